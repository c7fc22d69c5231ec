//! Probes of the database. Concurrent probes share one, so that each kind takes at most one connection of the pool.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use postgres::error::SqlState;

use super::batcher::{BatchPolicy, Batcher, Callback, Sharing, leaders, max_blocked_callers};
use super::connection::Connection;
use super::error::Error;
use super::fault::Fault;
use super::fault_monitor::FaultMonitor;
use super::migrations;
use super::pool::Pool;
use super::rights::Rights;
use super::statements::StatementMode;
use crate::metrics::Metrics;
use crate::sync::{ThreadPool, Timers};

/// The wait for a permit and a connection, and then [`PROBE_TIMEOUT`], stay together below the 5 s that the API promises.
const MAX_WAIT: Duration = Duration::from_millis(1500);
const POLICY: BatchPolicy = BatchPolicy {
    max_in_flight: 1,
    max_items: usize::MAX,
    max_wait: MAX_WAIT,
    fails_fast: true,
    sharing: Sharing::Always,
};
const PROBE_TIMEOUT: Duration = Duration::from_secs(3);

/// Until then there is an answer on readiness, whatever the database or a pooler in front of it does.
const READINESS_TIMEOUT: Duration = Duration::from_secs(2);

/// A write that has run for longer than this is a reason to try whether commits hang.
const MAX_WRITE_TIME: Duration = Duration::from_secs(2);

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
    probe: Batcher<(), Option<StatementMode>>,
    /// With an item that is true, it commits too.
    readiness: Arc<Batcher<bool, Readiness>>,
    readiness_leaders: ThreadPool,
    monitor: Arc<FaultMonitor>,
    timers: Timers,
    /// Since when the service is not ready.
    not_ready_since: Arc<Mutex<Option<Instant>>>,
}

impl Health {
    /// The batches of `readiness` have leaders of their own: a worker that waits for the database cannot answer at the deadline.
    pub(super) const MAX_BLOCKED_CALLERS: usize = max_blocked_callers(POLICY.max_in_flight);

    pub(super) fn new(pool: &Arc<Pool>, monitor: &Arc<FaultMonitor>, metrics: &Metrics) -> Health {
        Health {
            probe: Batcher::new(pool, probe, POLICY, metrics.batch_sizes("health/probe")),
            readiness: Arc::new(Batcher::new(pool, readiness, POLICY, metrics.batch_sizes("schema/version"))),
            readiness_leaders: leaders("readiness", 1),
            monitor: monitor.clone(),
            timers: Timers::default(),
            not_ready_since: Arc::default(),
        }
    }

    /// Checks that the database answers a trivial query. The result is how the statements of the connection are
    /// executed, if it has executed one.
    pub fn probe(&self, callback: Callback<Option<StatementMode>>) {
        self.probe.run((), callback);
    }

    /// Finds out within [`READINESS_TIMEOUT`] whether requests can be served: by what became of them and of a write probe since, by
    /// the version of the schema, by the privileges of the role, and, if the oldest running write has taken too long, by a commit. A
    /// write that waits for a lock alone is no reason. The log has one line when the service becomes unready, and one when it is ready
    /// again.
    pub(super) fn readiness(&self, oldest_write: Option<Instant>, callback: Callback<Readiness>) {
        let commits = oldest_write.is_some_and(|began| began.elapsed() > MAX_WRITE_TIME);
        let (callback, not_ready_since) = (Mutex::new(Some(callback)), self.not_ready_since.clone());
        let answer = Arc::new(move |result: Result<Readiness, Error>| {
            let callback = callback.lock().take();
            if let Some(callback) = callback {
                log_readiness(&mut not_ready_since.lock(), &result, commits);
                callback(result);
            }
        });
        if let Some(fault) = self.monitor.blocking() {
            return answer(Ok(Readiness::Blocked(fault)));
        }
        let at_deadline = answer.clone();
        let deadline = Instant::now() + READINESS_TIMEOUT;
        let timer = self.timers.schedule(deadline, move || at_deadline(Err(Error::Timeout)));
        let finish = move |result| {
            drop(timer);
            answer(result);
        };
        self.readiness.run_on(&self.readiness_leaders, commits, Box::new(finish));
    }

    /// Why PostgreSQL refuses statements at the moment, if it does and answers probes.
    #[must_use]
    pub fn fault(&self) -> Option<Fault> {
        self.monitor.current()
    }
}

fn probe(connection: &mut Connection, requests: &[()]) -> Result<Vec<Option<StatementMode>>, Error> {
    connection.probe(PROBE_TIMEOUT)?;
    Ok(vec![connection.known_statement_mode(); requests.len()])
}

fn readiness(connection: &mut Connection, requests: &[bool]) -> Result<Vec<Readiness>, Error> {
    let readiness = read_readiness(connection)?;
    if readiness == Readiness::Ready && requests.contains(&true) {
        connection.query(include_str!("../../sql/schema/commit.sql"), &[])?;
    }
    Ok(vec![readiness; requests.len()])
}

fn log_readiness(not_ready_since: &mut Option<Instant>, result: &Result<Readiness, Error>, commits: bool) {
    let reason = match result {
        Ok(Readiness::Ready) => {
            if let Some(since) = not_ready_since.take() {
                log::warn!(after_s = since.elapsed().as_secs(); "Ready again");
            }
            return;
        }
        Ok(Readiness::OtherSchema) => "the schema is another version's".to_owned(),
        Ok(Readiness::Blocked(fault)) => Error::Faulty(*fault).to_string(),
        Err(_) if commits => "writes take longer than 2 s, and a commit hangs or fails too".to_owned(),
        Err(Error::Timeout) => "the database did not answer within 2 s".to_owned(),
        Err(error) => error.to_string(),
    };
    if not_ready_since.is_none() {
        *not_ready_since = Some(Instant::now());
        log::warn!(reason; "Not ready: a load balancer is told to send no requests");
    }
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
