//! The pool of connections, as handlers see it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use r2d2::{HandleError, ManageConnection, PooledConnection};

use super::availability::Availability;
use super::{ConnectError, Connection, Error, Target, health, messages, sessions};
use crate::config::Pool;
use crate::metrics::Metrics;

/// How long a checkout may wait for a sign of life of one connection; at least the lesser, even at the end of the time
/// that is left, since nothing is wrong with a connection that came late.
const PROBE_DEADLINES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));

/// How long to wait for a connection, or for a turn to use one, after others have waited in vain. The pool goes on opening
/// connections meanwhile.
pub(super) const STALLED_WAIT: Duration = Duration::from_millis(1);

/// r2d2 waits at most half of this between two attempts to connect, so a database that is back is found within 0.5 s.
const RECONNECT_PACE: Duration = Duration::from_secs(1);

/// A pool of connections to one PostgreSQL.
pub struct Database {
    pool: r2d2::Pool<Manager>,
    availability: Arc<Availability>,
    /// Whether the last request that waited for a connection waited in vain. Then others do not wait any more: a
    /// database that hangs would keep every worker waiting, and with them requests that need no database.
    stalled: AtomicBool,
    waiting: AtomicU32,
    metrics: Arc<Metrics>,
    pub(super) health: health::Statements,
    pub(super) sessions: sessions::Statements,
    pub(super) messages: messages::Statements,
}

/// How many connections there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolState {
    /// Open connections.
    pub total: u32,
    /// Open connections that nobody uses.
    pub idle: u32,
    /// Connections there may be at most.
    pub max: u32,
    /// Batches that wait for their turn and then for one.
    pub waiting: u32,
}

impl Database {
    /// A pool that opens its connections in the background; it does not fail when the database is away.
    #[must_use]
    pub fn open(target: Target, config: &Pool, metrics: Arc<Metrics>) -> Database {
        let availability = Arc::new(Availability::default());
        let pool = r2d2::Pool::builder()
            .max_size(config.max_size)
            .min_idle(Some(config.min_size))
            .test_on_check_out(false)
            .connection_timeout(RECONNECT_PACE)
            .error_handler(Box::new(AlreadyLogged))
            .build_unchecked(Manager { target, availability: availability.clone() });
        Database {
            pool,
            availability,
            stalled: AtomicBool::new(false),
            waiting: AtomicU32::new(0),
            health: health::Statements::new(&metrics),
            sessions: sessions::Statements::new(config.acquire_timeout, &metrics),
            messages: messages::Statements::new(config.acquire_timeout, &metrics),
            metrics,
        }
    }

    /// Borrows a connection, waiting at most `limit`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when none that works came free.
    pub fn connection_within(&self, limit: Duration) -> Result<PooledConnection<Manager>, Error> {
        let deadline = Instant::now() + limit;
        let left = || deadline.saturating_duration_since(Instant::now());
        loop {
            let wait = if self.stalled.load(Ordering::Relaxed) { STALLED_WAIT.min(left()) } else { left() };
            let connection = self.pool.get_timeout(wait);
            self.stalled.store(connection.is_err(), Ordering::Relaxed);
            let mut connection = connection.map_err(|_| Error::Unavailable)?;
            let (least, most) = PROBE_DEADLINES;
            // Whole poolfuls die together, so one that is dead does not end the search: it goes, the next is tried.
            match connection.probe_if_stale(left().clamp(least, most)) {
                Ok(()) => return Ok(connection),
                Err(error) if left().is_zero() => return Err(error),
                Err(_) => {}
            }
        }
    }

    /// Notes that somebody waits for a connection, until what it returns is dropped.
    pub(super) fn note_wait(&self) -> Waiting<'_> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        Waiting { database: self, since: Instant::now() }
    }

    /// Says nothing more of a database that goes away: the service is stopping.
    pub fn close(&self) {
        self.availability.close();
    }

    /// How many connections there are now.
    #[must_use]
    pub fn state(&self) -> PoolState {
        let state = self.pool.state();
        PoolState {
            total: state.connections,
            idle: state.idle_connections,
            max: self.pool.max_size(),
            waiting: self.waiting.load(Ordering::Relaxed),
        }
    }
}

/// Somebody who waits for a connection.
pub(super) struct Waiting<'a> {
    database: &'a Database,
    since: Instant,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.database.waiting.fetch_sub(1, Ordering::Relaxed);
        self.database.metrics.wait(self.since.elapsed());
    }
}

/// How r2d2 makes and judges connections.
pub struct Manager {
    target: Target,
    availability: Arc<Availability>,
}

impl ManageConnection for Manager {
    type Connection = Connection;
    type Error = ConnectError;

    fn connect(&self) -> Result<Connection, ConnectError> {
        let begun = Instant::now();
        match self.target.connect() {
            Ok(client) => {
                self.availability.succeeded(begun);
                Ok(Connection::new(client))
            }
            Err(error) => {
                match &error {
                    ConnectError::NoMore(_) => self.availability.crowded(&error),
                    _ => self.availability.failed(begun, &error),
                }
                Err(error)
            }
        }
    }

    /// Not called, since `test_on_check_out` is off: it would cost every request a round trip.
    fn is_valid(&self, connection: &mut Connection) -> Result<(), ConnectError> {
        connection.probe(PROBE_DEADLINES.1).map_err(|error| ConnectError::Failed(error.to_string()))
    }

    fn has_broken(&self, connection: &mut Connection) -> bool {
        connection.is_broken()
    }
}

/// [`Manager::connect`] logs the first failure of an outage; r2d2 would log every one.
#[derive(Debug)]
struct AlreadyLogged;

impl HandleError<ConnectError> for AlreadyLogged {
    fn handle_error(&self, _error: ConnectError) {}
}
