//! The pool of connections: r2d2, with probes of idle connections, short waits while the database hangs, and a log of outages.

use std::ops::DerefMut;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use r2d2::{ManageConnection, NopErrorHandler};

use super::connect_error::ConnectError;
use super::connection::Connection;
use super::connector::Connector;
use super::error::Error;
use super::fault_monitor::FaultMonitor;
use crate::metrics::Metrics;

/// How long a checkout waits for the answer to a probe. The minimum holds even at the end of the checkout's own time: a
/// connection that came free late is not broken for that.
const MIN_PROBE_TIMEOUT: Duration = Duration::from_millis(100);
const MAX_PROBE_TIMEOUT: Duration = Duration::from_secs(1);

/// How long to wait for a connection, or for a permit to use one, after the last wait timed out. The pool opens connections
/// in the background meanwhile.
pub(super) const STALLED_WAIT: Duration = Duration::from_millis(1);

/// r2d2 waits at most half of this between two attempts to connect, so it finds a database that is back within 0.5 s.
const MAX_RECONNECT_INTERVAL: Duration = Duration::from_secs(1);

/// Where a batch leader gets its connection.
pub(super) trait ConnectionSource {
    type Connection;

    /// Borrows a connection that works, waiting at most `timeout`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when none came free in time; [`Error::Faulty`] if there is none, because PostgreSQL refuses
    /// every connection.
    fn acquire(&self, timeout: Duration) -> Result<impl DerefMut<Target = Self::Connection>, Error>;

    /// Counts a batch as waiting for a permit and a connection until the guard is dropped.
    fn track_wait(&self) -> impl Sized;
}

/// Sizes and waits of a pool.
#[derive(Debug, Clone, Copy)]
pub(super) struct PoolPolicy {
    /// Idle connections that are kept open.
    pub(super) min_idle: u32,
    pub(super) max_size: u32,
    /// How long a checkout waits, whatever longer time its caller has.
    pub(super) max_wait: Duration,
    /// Whether checkouts wait for [`STALLED_WAIT`] only after one timed out: otherwise a database that hangs blocks every
    /// worker, and with them requests that need no database.
    pub(super) fails_fast: bool,
}

/// A pool of connections to one PostgreSQL.
pub(super) struct Pool {
    pool: r2d2::Pool<Manager>,
    policy: PoolPolicy,
    connector: Connector,
    pub(super) availability: Arc<Availability>,
    /// Whether the last checkout that waited timed out.
    stalled: AtomicBool,
    waiting: AtomicU32,
    metrics: Arc<Metrics>,
}

/// A snapshot of the pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolState {
    /// Open connections.
    pub total: u32,
    /// Open connections that are not borrowed.
    pub idle: u32,
    /// Maximum of open connections.
    pub max: u32,
    /// Batches that wait for a permit and a connection.
    pub waiting: u32,
}

impl Pool {
    /// Pools of one database share its availability and its faults, so that the log has each outage once.
    pub(super) fn open(
        connector: Connector,
        policy: PoolPolicy,
        availability: &Arc<Availability>,
        monitor: &Arc<FaultMonitor>,
        metrics: Arc<Metrics>,
    ) -> Pool {
        let availability = availability.clone();
        let manager =
            Manager { connector: connector.clone(), availability: availability.clone(), monitor: monitor.clone() };
        let pool = r2d2::Pool::builder()
            .max_size(policy.max_size)
            .min_idle(Some(policy.min_idle))
            .test_on_check_out(false)
            .connection_timeout(MAX_RECONNECT_INTERVAL)
            // `Manager::connect` logs the first failure of an outage; r2d2 would log every one.
            .error_handler(Box::new(NopErrorHandler))
            .build_unchecked(manager);
        let (stalled, waiting) = (AtomicBool::new(false), AtomicU32::new(0));
        Pool { pool, policy, connector, availability, stalled, waiting, metrics }
    }

    pub(super) fn state(&self) -> PoolState {
        let r2d2::State { connections: total, idle_connections: idle, .. } = self.pool.state();
        PoolState { total, idle, max: self.pool.max_size(), waiting: self.waiting.load(Ordering::Relaxed) }
    }

    /// Why no connection came free.
    fn acquire_error(&self) -> Error {
        let is_empty = self.pool.state().connections == 0;
        self.connector.refusal().filter(|_| is_empty).map_or(Error::Unavailable, Error::Faulty)
    }
}

impl ConnectionSource for Pool {
    type Connection = Connection;

    fn acquire(&self, timeout: Duration) -> Result<impl DerefMut<Target = Connection>, Error> {
        let deadline = Instant::now() + timeout.min(self.policy.max_wait);
        let remaining = || deadline.saturating_duration_since(Instant::now());
        loop {
            let hardly_waits = self.policy.fails_fast && self.stalled.load(Ordering::Relaxed);
            let wait = if hardly_waits { STALLED_WAIT.min(remaining()) } else { remaining() };
            let connection = self.pool.get_timeout(wait);
            self.stalled.store(connection.is_err(), Ordering::Relaxed);
            let mut connection = connection.map_err(|_| self.acquire_error())?;
            // All idle connections die together, so one broken connection does not end the search: the pool discards it.
            match connection.probe_if_stale(remaining().clamp(MIN_PROBE_TIMEOUT, MAX_PROBE_TIMEOUT)) {
                Ok(()) => return Ok(connection),
                Err(error) if remaining().is_zero() => return Err(error),
                Err(_) => {}
            }
        }
    }

    fn track_wait(&self) -> impl Sized {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        WaitGuard { pool: self, since: Instant::now() }
    }
}

struct WaitGuard<'a> {
    pool: &'a Pool,
    since: Instant,
}

impl Drop for WaitGuard<'_> {
    fn drop(&mut self) {
        self.pool.waiting.fetch_sub(1, Ordering::Relaxed);
        self.pool.metrics.wait(self.since.elapsed());
    }
}

/// How r2d2 opens and checks connections.
struct Manager {
    connector: Connector,
    availability: Arc<Availability>,
    monitor: Arc<FaultMonitor>,
}

impl ManageConnection for Manager {
    type Connection = Connection;
    type Error = ConnectError;

    fn connect(&self) -> Result<Connection, ConnectError> {
        let began = Instant::now();
        let result = self.connector.connect();
        match &result {
            Ok(_) => self.availability.succeeded(began),
            Err(ConnectError::Refused { fault, sqlstate, reason }) => {
                self.availability.succeeded(began);
                self.monitor.connection_refused(*fault, sqlstate, reason);
            }
            Err(error) => self.availability.failed(began, error),
        }
        result.map(|client| Connection::new(client, &self.connector, began, self.monitor.clone()))
    }

    /// Not called, since `test_on_check_out` is off: it would add a round trip to every request.
    fn is_valid(&self, connection: &mut Connection) -> Result<(), ConnectError> {
        connection.probe(MAX_PROBE_TIMEOUT).map_err(|error| ConnectError::Failed(error.to_string()))
    }

    fn has_broken(&self, connection: &mut Connection) -> bool {
        connection.is_broken()
    }
}

/// Whether the database could be reached at the last attempt. Logs one line when it becomes unreachable and one when it is
/// back, whatever number of attempts notice.
#[derive(Default)]
pub(super) struct Availability {
    last_transition: Mutex<Transition>,
    is_closed: AtomicBool,
}

/// The current state and when it began.
#[derive(Default)]
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
        self.is_closed.store(true, Ordering::Relaxed);
    }

    /// An attempt to connect that began at `began` failed.
    fn failed(&self, began: Instant, reason: &ConnectError) {
        let mut transition = self.last_transition.lock();
        if !self.is_closed.load(Ordering::Relaxed) && transition.change(true, began).is_some() {
            log::warn!(reason:% = reason; "Database went away");
        }
    }

    /// PostgreSQL answered an attempt to connect that began at `began`.
    ///
    /// The line is written under the lock, so it is in the log before any connection of the new state is used.
    fn succeeded(&self, began: Instant) {
        let mut transition = self.last_transition.lock();
        if let Some(outage) = transition.change(false, began) {
            log::warn!(after_s = outage.as_secs(); "Database is back");
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
