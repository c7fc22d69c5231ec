//! PostgreSQL: how it is reached, how its schema is migrated, and one file per table.
//!
//! - [`Store`]: owns the pool and the statements.
//! - `sessions`, `messages`, `reports`, `turns`, `health`: the statements, one file per table; `rows`: what several of them read.
//! - `erasing`: the lane in which sessions are erased.
//! - `batcher`: group commit, by which concurrent requests share a statement.
//! - `pool`: r2d2, and the log lines about an outage.
//! - `fault_monitor`, `fault`: that PostgreSQL answers and refuses, why, and since when.
//! - `sweeper`: deletes the sessions that ended.
//! - `rights`, `session_settings`: what the role may do, and which settings a connection has.
//! - [`Watermark`]: whether there is room for more rows.
//! - [`LossRisk`]: whether PostgreSQL can lose what it has acknowledged.
//! - `statements`, `direct`: prepared ones, or unnamed ones behind a pooler.
//! - `connection`, `connector`, `host`, `tls`, `error`, `connect_error`: one connection and how it is opened.
//! - `timelines`, `host_watch`: which of several servers is the primary.
//! - [`migrations`], [`distribution`]: the schema, and how Citus distributes it, at the start and for `safespace check`.
//! - [`commit_check`]: whether commits are acknowledged, for `safespace check`.

mod batcher;
pub mod commit_check;
mod connect_error;
mod connection;
mod connector;
mod direct;
pub mod distribution;
mod durability;
mod erasing;
mod error;
mod fault;
mod fault_monitor;
mod health;
mod host;
mod host_watch;
mod messages;
pub mod migrations;
mod pool;
mod reports;
mod rights;
mod rows;
mod session_settings;
mod sessions;
mod statements;
mod storage;
mod sweeper;
mod timelines;
mod tls;
mod turns;
mod watermark;

use std::sync::Arc;
use std::time::Duration;

pub use batcher::{Callback, wait};
pub use connect_error::ConnectError;
pub use connector::Connector;
pub use durability::LossRisk;
pub use erasing::{Caller, Erased};
pub use error::Error;
pub use fault::Fault;
pub use health::{Health, Readiness};
pub use messages::{
    Appended, Asked, Exchanged, MAX_READ_BYTES, Messages, NewExchange, NewQuestion, Page, PageRequest, Recent,
};
pub use migrations::{ServerFindings, inspect};
pub use pool::PoolState;
pub use reports::{MAX_REPORTS, ReportAppended, ReportList, ReportRef, Reports};
pub use rights::Rights;
pub use rows::{Row, StoredSession};
pub use sessions::{NewSession, Sessions};
pub use statements::StatementMode;
pub use storage::{Disk, ServerStorage};
pub use sweeper::MAX_SECONDS_UNTIL_CERTAIN;
pub use turns::{Claim, ClaimEvent, Claims};
pub use watermark::{DataLocation, Usage, Watermark};

use crate::config::{PoolSettings, RetentionSettings};
use crate::metrics::Metrics;
use durability::DurabilityWatch;
use erasing::Erasing;
use fault_monitor::FaultMonitor;
use host_watch::HostWatch;
use pool::{Pool, PoolPolicy};
use sweeper::Sweeper;

/// Connections of the watermark's thread.
const WATERMARK_CONNECTIONS: u32 = 1;

/// Connections of the write probes while PostgreSQL refuses.
const WRITE_PROBE_CONNECTIONS: u32 = 1;

/// Connections of the sweeper.
const SWEEPER_CONNECTIONS: u32 = 1;

/// Connections of the watches: one to each of several hosts, and one for a moment to the server that is used.
const WATCH_CONNECTIONS: u32 = 2;

/// Connections of the claims' thread.
const CLAIMS_CONNECTIONS: u32 = 1;

/// Descriptors of one connection (`postgres` runs a small tokio runtime in each).
const DESCRIPTORS_PER_CONNECTION: usize = 4;

/// Everything that is stored, in one PostgreSQL.
///
/// A connection is borrowed from the pool for one short statement. It is never held during a call to the companion or a
/// write to a client. Every statement takes a [`Callback`], which is called once, on any thread; those on reports block their caller.
pub struct Store {
    /// The table `sessions`.
    pub sessions: Sessions,
    /// The table `messages`.
    pub messages: Messages,
    /// The table `reports`.
    pub reports: Reports,
    /// The table `turns`.
    pub claims: Claims,
    /// Probes of the database and its schema.
    pub health: Health,
    /// Whether there is room for more rows.
    pub watermark: Arc<Watermark>,
    monitor: Arc<FaultMonitor>,
    pool: Arc<Pool>,
    sweeper: Sweeper,
    host_watch: HostWatch,
    durability_watch: DurabilityWatch,
}

impl Store {
    /// Workers that the statements of requests can block while the database hangs. Turns are not counted: they have threads
    /// of their own.
    pub const MAX_BLOCKED_CALLERS: usize =
        Sessions::MAX_BLOCKED_CALLERS + Messages::MAX_BLOCKED_CALLERS + Health::MAX_BLOCKED_CALLERS;

    /// Descriptors that all connections need: for each its socket, and what the driver's runtime polls it with.
    #[must_use]
    pub fn max_descriptors(settings: &PoolSettings) -> usize {
        Store::max_connections(settings) as usize * DESCRIPTORS_PER_CONNECTION
    }

    /// Connections that are open at the same time at most.
    #[must_use]
    pub fn max_connections(settings: &PoolSettings) -> u32 {
        settings.max_size
            + erasing::MAX_CONNECTIONS
            + WATERMARK_CONNECTIONS
            + WRITE_PROBE_CONNECTIONS
            + SWEEPER_CONNECTIONS
            + WATCH_CONNECTIONS
            + CLAIMS_CONNECTIONS
    }

    /// A store whose pools open their connections in the background; an unreachable database is not an error here.
    #[must_use]
    pub fn open(
        connector: &Connector,
        settings: &PoolSettings,
        retention: RetentionSettings,
        watermark: Arc<Watermark>,
        metrics: &Arc<Metrics>,
    ) -> Store {
        let availability = Arc::default();
        let monitor = Arc::new(FaultMonitor::new(connector.clone()));
        let open = |connector, policy| Pool::open(connector, policy, &availability, &monitor, metrics.clone());
        // The connections for erasing first: PostgreSQL may have none left for them later.
        let timeout = settings.query_timeout.max(erasing::MIN_STATEMENT_TIMEOUT);
        let erasing = connector.clone().with_statement_timeout(timeout).with_option(erasing::ISOLATION);
        let erasing = open(erasing, Erasing::pool_policy(settings.acquire_timeout));
        let erasing = Erasing::new(erasing, settings, metrics);
        let (min_idle, max_size) = (settings.min_size, settings.max_size);
        let pool = Arc::new(open(
            connector.clone(),
            PoolPolicy { min_idle, max_size, max_wait: Duration::MAX, fails_fast: true },
        ));
        Store {
            sessions: Sessions::new(&pool, erasing, settings, metrics),
            messages: Messages::new(&pool, settings, metrics),
            reports: Reports::new(&pool, settings.acquire_timeout),
            claims: Claims::start(&pool, connector, &monitor, settings, metrics),
            health: Health::new(&pool, &monitor, metrics),
            watermark,
            monitor,
            pool,
            sweeper: Sweeper::start(connector.clone(), retention, settings.is_distributed, metrics.clone()),
            host_watch: HostWatch::start(connector),
            durability_watch: DurabilityWatch::start(connector),
        }
    }

    /// Finds out whether requests can be served: as [`Health::readiness`], and not while commits hang.
    pub fn readiness(&self, callback: Callback<Readiness>) {
        let oldest_write = [self.sessions.oldest_write(), self.messages.oldest_write()].into_iter().flatten().min();
        self.health.readiness(oldest_write, callback);
    }

    /// A snapshot of the pool of connections, without those for erasing.
    #[must_use]
    pub fn pool_state(&self) -> PoolState {
        self.pool.state()
    }

    /// Ends the measuring of storage, the sweeping, the watches over hosts, durability and turns, and the logging of outages: a service
    /// that stops may stop its database too.
    pub fn close(&self) {
        self.sweeper.close();
        self.host_watch.close();
        self.durability_watch.close();
        self.claims.close();
        self.watermark.close();
        self.monitor.close();
        self.pool.availability.close();
    }
}
