//! What all threads of the soak share.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::people::People;
use crate::promises::Promises;
use crate::tally::Tallies;

/// Between two looks at whether the load is over.
const TICK: Duration = Duration::from_millis(50);

/// The time between two sweeps of ended sessions, by the service's documentation.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);

/// How much later than its time a sweep may be done: a start takes some seconds, and the check comes once in ten.
const SWEEP_SLACK: Duration = Duration::from_secs(40);

/// What was killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Victim {
    Service,
    Postmaster,
    Backend,
}

pub(crate) struct Shared {
    /// That of the service, also after a restart.
    pub(crate) address: SocketAddr,
    pub(crate) people: People,
    pub(crate) promises: Promises,
    pub(crate) tallies: Tallies,
    pub(crate) started: Instant,
    kills: Mutex<Vec<(Instant, Victim)>>,
    is_over: AtomicBool,
}

impl Shared {
    pub(crate) fn new(address: SocketAddr) -> Shared {
        let (people, promises, tallies) = Default::default();
        let (kills, is_over) = Default::default();
        Shared { address, people, promises, tallies, started: Instant::now(), kills, is_over }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    /// Ends the load: every thread ends soon.
    pub(crate) fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    /// Waits until a moment; false once the load is over.
    pub(crate) fn wait_until(&self, moment: Instant) -> bool {
        while !self.is_over() {
            let left = moment.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            thread::sleep(left.min(TICK));
        }
        false
    }

    pub(crate) fn note_kill(&self, victim: Victim) {
        self.kills.lock().push((Instant::now(), victim));
    }

    /// All kills, each with the minute of the soak.
    pub(crate) fn kills(&self) -> Vec<(f64, Victim)> {
        let minute = |moment: &Instant| (*moment - self.started).as_secs_f64() / 60.0;
        self.kills.lock().iter().map(|(moment, victim)| (minute(moment), *victim)).collect()
    }

    /// In which time from a moment on a sweep must be done: each kill meanwhile can make the service wait once more.
    pub(crate) fn time_to_sweep(&self, since: Instant) -> Duration {
        let kills = self.kills.lock().iter().filter(|(moment, _)| *moment + SWEEP_SLACK > since).count();
        SWEEP_INTERVAL * (1 + u32::try_from(kills).unwrap_or(u32::MAX)) + SWEEP_SLACK
    }
}
