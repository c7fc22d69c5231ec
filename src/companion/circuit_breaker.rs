//! A circuit breaker: after failures in a row it rejects calls for a while, then lets a single probe through.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Failures in a row that open the circuit.
const FAILURE_THRESHOLD: u32 = 5;

/// How long the circuit stays open at first; each failed probe doubles it.
const MIN_OPEN_TIME: Duration = Duration::from_secs(5);

/// The longest time between two probes.
const MAX_OPEN_TIME: Duration = Duration::from_secs(60);

/// The delay reported to calls that are rejected while a probe runs, because the time the probe needs is not known.
const RETRY_DURING_PROBE: Duration = Duration::from_secs(1);

/// The circuit. It has no clock: every method takes the current time.
#[derive(Default)]
pub(super) struct CircuitBreaker(Mutex<State>);

enum State {
    /// Calls pass. Counts the failures since the last success.
    Closed { failures: u32 },
    /// Calls are rejected until `until`. From then on the circuit is half-open: one call at a time passes, as a probe.
    Open { duration: Duration, until: Instant, is_probing: bool },
}

/// Permission for one call. Dropped without a report, it leaves the circuit as it is: the call was cancelled or panicked.
#[must_use]
pub(super) struct CallPermit<'a> {
    breaker: &'a CircuitBreaker,
    is_probe: bool,
}

/// What a call shows of the server's health.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Success,
    Failure,
}

/// The change of state that an outcome caused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transition {
    /// None, or a failed probe that keeps the circuit open.
    None,
    /// The circuit has opened for this long.
    Opened(Duration),
    /// The circuit has closed.
    Closed,
}

impl CircuitBreaker {
    /// Admits a call if the circuit is closed, or as the probe if it is half-open.
    ///
    /// # Errors
    /// The time until the next attempt is worthwhile.
    pub(super) fn admit(&self, now: Instant) -> Result<CallPermit<'_>, Duration> {
        let is_probe = match &mut *self.0.lock() {
            State::Closed { .. } => false,
            State::Open { until, .. } if now < *until => return Err(*until - now),
            State::Open { is_probing: true, .. } => return Err(RETRY_DURING_PROBE),
            State::Open { is_probing, .. } => {
                *is_probing = true;
                true
            }
        };
        Ok(CallPermit { breaker: self, is_probe })
    }
}

impl CallPermit<'_> {
    /// Reports the outcome of the call.
    pub(super) fn report(self, outcome: Outcome, now: Instant) -> Transition {
        let open = |duration| State::Open { duration, until: now + duration, is_probing: false };
        // Unlocked before `self` is dropped, which locks again.
        let mut state = self.breaker.0.lock();
        let (next, transition) = match (outcome, &*state) {
            (Outcome::Success, State::Closed { .. }) => (State::default(), Transition::None),
            (Outcome::Success, State::Open { .. }) => (State::default(), Transition::Closed),
            (Outcome::Failure, State::Closed { failures }) if failures + 1 < FAILURE_THRESHOLD => {
                (State::Closed { failures: failures + 1 }, Transition::None)
            }
            (Outcome::Failure, State::Closed { .. }) => (open(MIN_OPEN_TIME), Transition::Opened(MIN_OPEN_TIME)),
            (Outcome::Failure, State::Open { duration, .. }) if self.is_probe => {
                (open((*duration * 2).min(MAX_OPEN_TIME)), Transition::None)
            }
            // The call began before the circuit opened.
            (Outcome::Failure, State::Open { .. }) => return Transition::None,
        };
        *state = next;
        transition
    }
}

impl Default for State {
    fn default() -> State {
        State::Closed { failures: 0 }
    }
}

impl Drop for CallPermit<'_> {
    /// Lets the next call probe in place of one that reported nothing.
    fn drop(&mut self) {
        if self.is_probe
            && let State::Open { is_probing, .. } = &mut *self.breaker.0.lock()
        {
            *is_probing = false;
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]
mod tests {
    use super::*;

    fn fail(breaker: &CircuitBreaker, now: Instant) -> Transition {
        breaker.admit(now).ok().unwrap().report(Outcome::Failure, now)
    }

    fn open(breaker: &CircuitBreaker, now: Instant) {
        for failure in 1..FAILURE_THRESHOLD {
            assert_eq!(fail(breaker, now), Transition::None, "failure {failure}");
        }
        assert_eq!(fail(breaker, now), Transition::Opened(MIN_OPEN_TIME));
    }

    #[test]
    fn a_success_resets_the_count_of_failures() {
        let (breaker, now) = (CircuitBreaker::default(), Instant::now());
        for _ in 1..FAILURE_THRESHOLD {
            assert_eq!(fail(&breaker, now), Transition::None);
        }
        assert_eq!(breaker.admit(now).ok().unwrap().report(Outcome::Success, now), Transition::None);
        open(&breaker, now);
    }

    #[test]
    fn each_failed_probe_doubles_the_open_time_up_to_the_maximum() {
        let (breaker, mut now) = (CircuitBreaker::default(), Instant::now());
        let earlier = breaker.admit(now).ok().unwrap();
        open(&breaker, now);
        assert_eq!(earlier.report(Outcome::Failure, now), Transition::None);
        for seconds in [5, 10, 20, 40, 60, 60] {
            let duration = Duration::from_secs(seconds);
            let (at_once, just_before) =
                (breaker.admit(now).err(), breaker.admit(now + duration - Duration::from_millis(1)));
            assert_eq!((at_once, just_before.err()), (Some(duration), Some(Duration::from_millis(1))), "{seconds} s");
            now += duration;
            let probe = breaker.admit(now).ok().unwrap();
            assert_eq!(breaker.admit(now).err(), Some(RETRY_DURING_PROBE), "a second probe after {seconds} s");
            assert_eq!(probe.report(Outcome::Failure, now), Transition::None, "{seconds} s");
        }
    }

    #[test]
    fn a_probe_without_a_report_is_followed_by_another_and_a_success_closes_the_circuit() {
        let (breaker, now) = (CircuitBreaker::default(), Instant::now());
        open(&breaker, now);
        let now = now + MIN_OPEN_TIME;
        drop(breaker.admit(now).ok().unwrap());
        assert_eq!(breaker.admit(now).ok().unwrap().report(Outcome::Success, now), Transition::Closed);
        open(&breaker, now);
    }
}
