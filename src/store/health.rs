//! Probes of the database. Concurrent probes share one, so that each kind takes at most one connection of the pool.

use std::sync::Arc;
use std::time::Duration;

use postgres::error::SqlState;

use super::batcher::{BatchPolicy, Batcher, Callback, max_blocked_callers};
use super::connection::Connection;
use super::error::Error;
use super::fault::Fault;
use super::fault_monitor::FaultMonitor;
use super::migrations;
use super::pool::Pool;
use super::rights::Rights;
use crate::metrics::Metrics;

/// The wait for a permit and a connection, and then [`PROBE_TIMEOUT`], stay together below the 5 s that the API promises.
const MAX_WAIT: Duration = Duration::from_millis(1500);
const POLICY: BatchPolicy = BatchPolicy {
    max_in_flight: 1,
    max_items: usize::MAX,
    max_wait: MAX_WAIT,
    fails_fast: true,
    retry_individually: false,
};
const PROBE_TIMEOUT: Duration = Duration::from_secs(3);

/// Whether requests can be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readiness {
    /// Yes.
    Ready,
    /// The schema is another version's.
    OtherSchema,
    /// PostgreSQL would refuse to store a message.
    Blocked(Fault),
}

/// The probes that `/health/…` needs.
pub struct Health {
    probe: Batcher<(), ()>,
    readiness: Batcher<(), Readiness>,
    monitor: Arc<FaultMonitor>,
}

impl Health {
    pub(super) const MAX_BLOCKED_CALLERS: usize = 2 * max_blocked_callers(POLICY.max_in_flight);

    pub(super) fn new(pool: &Arc<Pool>, monitor: &Arc<FaultMonitor>, metrics: &Metrics) -> Health {
        Health {
            probe: Batcher::new(pool, probe, POLICY, metrics.batch_sizes("health/probe")),
            readiness: Batcher::new(pool, readiness, POLICY, metrics.batch_sizes("schema/version")),
            monitor: monitor.clone(),
        }
    }

    /// Checks that the database answers a trivial query.
    pub fn probe(&self, callback: Callback<()>) {
        self.probe.run((), callback);
    }

    /// Finds out whether requests can be served: by what became of them and of a write probe since, by the version of the schema,
    /// and by the privileges of the role.
    pub fn readiness(&self, callback: Callback<Readiness>) {
        match self.monitor.blocking() {
            Some(fault) => callback(Ok(Readiness::Blocked(fault))),
            None => self.readiness.run((), callback),
        }
    }

    /// Why PostgreSQL refuses statements at the moment, if it does and answers probes.
    #[must_use]
    pub fn fault(&self) -> Option<Fault> {
        self.monitor.current()
    }
}

fn probe(connection: &mut Connection, requests: &[()]) -> Result<Vec<()>, Error> {
    connection.probe(PROBE_TIMEOUT).map(|()| requests.to_vec())
}

fn readiness(connection: &mut Connection, requests: &[()]) -> Result<Vec<Readiness>, Error> {
    Ok(vec![read_readiness(connection)?; requests.len()])
}

fn read_readiness(connection: &mut Connection) -> Result<Readiness, Error> {
    if !migrations::is_served(connection)? {
        return Ok(Readiness::OtherSchema);
    }
    let rows = connection.query(Rights::STATEMENT, &[])?;
    let rights = Rights::read(rows.first().ok_or(Error::Protocol)?);
    let (fault, sqlstate) = match &rights {
        _ if rights.read_only => (Fault::ReadOnly, &SqlState::READ_ONLY_SQL_TRANSACTION),
        _ if !rights.missing.is_empty() => (Fault::Privilege, &SqlState::INSUFFICIENT_PRIVILEGE),
        _ => return Ok(Readiness::Ready),
    };
    connection.report(fault, sqlstate.code(), &rights.to_string());
    Ok(Readiness::Blocked(fault))
}
