//! Logs one line when the database becomes unreachable and one when it is back, whatever number of attempts notice.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// How often the log repeats that PostgreSQL is at its connection limit.
const CONNECTION_LIMIT_LOG_INTERVAL: Duration = Duration::from_secs(60);

/// Whether the database could be reached at the last attempt.
#[derive(Debug, Default)]
pub(super) struct Availability {
    last_transition: Mutex<Transition>,
    connection_limit_logged_at: Mutex<Option<Instant>>,
    closed: AtomicBool,
}

/// The current state and when it began.
#[derive(Debug, Default)]
struct Transition {
    unreachable: bool,
    at: Option<Instant>,
}

impl Transition {
    /// Changes to `unreachable` and returns how long the previous state lasted; `None` if nothing changes.
    ///
    /// Attempts overlap: around a stop or a start of PostgreSQL some succeed and some fail. An attempt that began before
    /// the last transition is older evidence than that transition, and counting it would log a second outage.
    fn change(&mut self, unreachable: bool, attempt_began: Instant) -> Option<Duration> {
        if self.unreachable == unreachable || self.at.is_some_and(|at| at > attempt_began) {
            return None;
        }
        let lasted = self.at.map_or(Duration::ZERO, |at| at.elapsed());
        *self = Transition { unreachable, at: Some(Instant::now()) };
        Some(lasted)
    }
}

impl Availability {
    /// Ends the logging of outages: a service that stops may stop its database too.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }

    /// An attempt to connect that began at `began` failed.
    pub(super) fn failed(&self, began: Instant, reason: &dyn fmt::Display) {
        let mut transition = self.last_transition.lock();
        if !self.closed.load(Ordering::Relaxed) && transition.change(true, began).is_some() {
            log::warn!(reason:% = reason; "Database went away");
        }
    }

    /// An attempt to connect that began at `began` succeeded.
    ///
    /// The line is written under the lock, so it is in the log before any connection of the new state is used.
    pub(super) fn succeeded(&self, began: Instant) {
        let mut transition = self.last_transition.lock();
        if let Some(outage) = transition.change(false, began) {
            log::info!(after_s = outage.as_secs(); "Database is back");
        }
    }

    /// PostgreSQL is reachable and refuses another connection for lack of a resource.
    pub(super) fn connection_limit_reached(&self, reason: &dyn fmt::Display) {
        let mut logged_at = self.connection_limit_logged_at.lock();
        if logged_at.is_none_or(|at| at.elapsed() > CONNECTION_LIMIT_LOG_INTERVAL) {
            *logged_at = Some(Instant::now());
            log::warn!(reason:% = reason; "PostgreSQL gives no more connections; lower DB_POOL_MIN_SIZE and DB_POOL_MAX_SIZE");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_that_began_before_the_last_transition_changes_nothing() {
        let mut transition = Transition::default();
        let before_outage = Instant::now();
        assert!(transition.change(true, Instant::now()).is_some());
        assert!(transition.change(true, Instant::now()).is_none());
        assert!(transition.change(false, before_outage).is_none());
        let during_outage = Instant::now();
        assert!(transition.change(false, Instant::now()).is_some());
        assert!(transition.change(true, during_outage).is_none());
        assert!(transition.change(true, Instant::now()).is_some());
    }
}
