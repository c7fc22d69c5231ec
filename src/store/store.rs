//! The store: one pool of connections, and the statements that are executed on it.

use std::sync::Arc;

use super::connector::Connector;
use super::health::Health;
use super::messages::Messages;
use super::pool::{Pool, PoolState};
use super::sessions::Sessions;
use crate::config::PoolSettings;
use crate::metrics::Metrics;

/// Descriptors of one connection (`postgres` runs a small tokio runtime in each).
const DESCRIPTORS_PER_CONNECTION: usize = 4;

/// Everything that is stored, in one PostgreSQL.
///
/// A connection is borrowed from the pool for one short statement. It is never held during a call to the companion or a
/// write to a client. Every method takes a [`super::Callback`], which is called once, on the calling thread or another.
pub struct Store {
    /// The table `sessions`.
    pub sessions: Sessions,
    /// The table `messages`.
    pub messages: Messages,
    /// Probes of the database and its schema.
    pub health: Health,
    pool: Arc<Pool>,
}

impl Store {
    /// Workers that the statements of requests can block while the database hangs. Turns are not counted: they have threads
    /// of their own.
    pub const MAX_BLOCKED_CALLERS: usize =
        Sessions::MAX_BLOCKED_CALLERS + Messages::MAX_BLOCKED_CALLERS + Health::MAX_BLOCKED_CALLERS;

    /// Descriptors that a full pool needs: for each connection its socket, and what the driver's runtime polls it with.
    #[must_use]
    pub fn max_descriptors(settings: &PoolSettings) -> usize {
        settings.max_size as usize * DESCRIPTORS_PER_CONNECTION
    }

    /// A store whose pool opens its connections in the background; an unreachable database is not an error here.
    #[must_use]
    pub fn open(connector: Connector, settings: &PoolSettings, metrics: &Arc<Metrics>) -> Store {
        let pool = Arc::new(Pool::open(connector, settings, metrics.clone()));
        Store {
            sessions: Sessions::new(&pool, settings.acquire_timeout, metrics),
            messages: Messages::new(&pool, settings.acquire_timeout, metrics),
            health: Health::new(&pool, metrics),
            pool,
        }
    }

    /// A snapshot of the pool of connections.
    #[must_use]
    pub fn pool_state(&self) -> PoolState {
        self.pool.state()
    }

    /// Ends the logging of outages: a service that stops may stop its database too.
    pub fn close(&self) {
        self.pool.close();
    }
}
