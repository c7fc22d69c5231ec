//! Does not ask a model for a while that failed too often.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Failures in a row after which nobody is asked for a while.
pub const MOST_FAILURES: u32 = 5;

/// The first rest. It doubles each time the one that is let through after it fails.
pub const FIRST_REST: Duration = Duration::from_secs(5);

/// The longest rest.
pub const LONGEST_REST: Duration = Duration::from_secs(60);

/// What those are told who come while one is let through to see: nobody knows how long that one takes.
const WHILE_PROBING: Duration = Duration::from_secs(1);

/// A circuit: closed while all is well, open for a while after failures. It has no clock; whoever uses it says what time
/// it is.
#[derive(Default)]
pub struct Breaker(Mutex<State>);

#[derive(Default)]
struct State {
    failures: u32,
    /// Where it is open.
    rest: Option<Rest>,
}

struct Rest {
    lasts: Duration,
    ends: Instant,
    /// Whether one was let through after the end, and is not back yet.
    is_probed: bool,
}

/// Leave to ask once. Dropped rather than ended, it counts as nothing.
#[must_use]
pub struct Permit<'a> {
    breaker: &'a Breaker,
    is_probe: bool,
}

/// What came of asking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The server does its work.
    Answered,
    /// It does not.
    Failed,
}

/// What an outcome changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Nothing, or only for how long it stays open.
    None,
    /// It has opened: nobody is asked for this long.
    Opened(Duration),
    /// It has closed again.
    Closed,
}

impl Breaker {
    /// Lets one through, if it is closed, or if it has rested and this is the first after that.
    ///
    /// # Errors
    /// How long to wait before coming again, where it is open.
    pub fn admit(&self, now: Instant) -> Result<Permit<'_>, Duration> {
        let mut state = self.state();
        let Some(rest) = &mut state.rest else { return Ok(Permit { breaker: self, is_probe: false }) };
        if now < rest.ends {
            return Err(rest.ends - now);
        }
        if rest.is_probed {
            return Err(WHILE_PROBING);
        }
        rest.is_probed = true;
        Ok(Permit { breaker: self, is_probe: true })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Permit<'_> {
    /// Says what came of it.
    pub fn end(self, outcome: Outcome, now: Instant) -> Change {
        let mut state = self.breaker.state();
        let change = match outcome {
            Outcome::Answered => state.answered(),
            Outcome::Failed => state.failed(self.is_probe, now),
        };
        // The permit takes the lock too when it is dropped.
        drop(state);
        change
    }
}

impl State {
    fn answered(&mut self) -> Change {
        self.failures = 0;
        if self.rest.take().is_some() { Change::Closed } else { Change::None }
    }

    fn failed(&mut self, is_probe: bool, now: Instant) -> Change {
        match &mut self.rest {
            Some(rest) if is_probe => {
                let lasts = (rest.lasts * 2).min(LONGEST_REST);
                *rest = Rest { lasts, ends: now + lasts, is_probed: false };
                Change::None
            }
            // It was asked before the circuit opened, so this is no news.
            Some(_) => Change::None,
            None => {
                self.failures += 1;
                if self.failures < MOST_FAILURES {
                    return Change::None;
                }
                self.rest = Some(Rest { lasts: FIRST_REST, ends: now + FIRST_REST, is_probed: false });
                Change::Opened(FIRST_REST)
            }
        }
    }
}

impl Drop for Permit<'_> {
    /// Lets the next one through in its place, for it may have been cut or have panicked, and said nothing.
    fn drop(&mut self) {
        if self.is_probe
            && let Some(rest) = &mut self.breaker.state().rest
        {
            rest.is_probed = false;
        }
    }
}
