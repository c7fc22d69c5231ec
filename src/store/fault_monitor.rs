//! Whether PostgreSQL refuses statements or connections at the moment: one log line when that begins, one when it ends, and a
//! write probe that notices the end.
//!
//! Requests are tried all the same. The write probe does what requests do, in a transaction that is rolled back, so it fails
//! for the same reasons: also a full disk and a missing privilege, which no reading shows.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use postgres::Client;
use postgres::types::Type;
use uuid::Uuid;

use super::connect_error::ConnectError;
use super::connector::{self, Connector};
use super::error::Error;
use super::fault::{self, Fault};

/// The time from one write probe to the next, each on a connection of its own: a session keeps the settings with which it
/// began, so only a new one shows that a database is no longer read-only.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);

/// The time for each statement of a write probe.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);

/// Bytes of the message that a write probe stores: more than is free in a page of the table, as those of many messages are.
const PROBE_BYTES: usize = 16 * 1024;

/// The time from the line that ends a fault to the next line that begins the same one: a fault that some requests meet, and
/// the write probe does not, begins and ends with each of them.
const LOG_PAUSE: Duration = Duration::from_secs(60);

/// The faults of PostgreSQL, shared by all connections.
pub(super) struct FaultMonitor {
    connector: Connector,
    state: Mutex<State>,
    closed: Condvar,
}

#[derive(Default)]
struct State {
    faults: BTreeMap<Fault, OngoingFault>,
    /// When the log was last told the end of a fault.
    ends: BTreeMap<Fault, Instant>,
    /// What the last write probe, or a statement since, says of storing a message.
    blocking: Option<Fault>,
    /// Connections that were opened before are not used again.
    reopen_since: Option<Instant>,
    is_probing: bool,
    is_closed: bool,
}

struct OngoingFault {
    sqlstate: String,
    reason: String,
    began: Instant,
    /// The last time that a statement or a connection failed for it.
    last: Instant,
    is_logged: bool,
}

/// What a write probe found.
enum ProbeOutcome {
    Stored,
    Refused(Fault),
    /// PostgreSQL is not reached, which the probes of the pool find too.
    Away,
    /// There was no connection for it, or PostgreSQL took too long: the connections of the pool may work or not.
    Unknown,
}

/// How long nothing may have failed for a fault before it is over. A write probe says little of the last two: it needs little
/// memory, and it reads and writes few blocks.
fn quiet_time(fault: Fault) -> Duration {
    match fault {
        Fault::Resources | Fault::Damaged => Duration::from_secs(60),
        _ => Duration::from_secs(2),
    }
}

impl FaultMonitor {
    pub(super) fn new(connector: Connector) -> FaultMonitor {
        let connector = connector.with_statement_timeout(PROBE_TIMEOUT);
        FaultMonitor { connector, state: Mutex::default(), closed: Condvar::new() }
    }

    /// Notes that a statement failed, and why, if a fault is the reason.
    pub(super) fn statement_failed(self: &Arc<Self>, error: &postgres::Error) {
        let Some(error) = error.as_db_error().filter(|error| fault::keeps_connection(error)) else { return };
        if let Some(fault) = Fault::of(error.code()) {
            self.statements_refused(fault, error.code().code(), || fault::reason(error));
        }
    }

    /// Notes a fault that statements meet, or would meet.
    pub(super) fn statements_refused(self: &Arc<Self>, fault: Fault, sqlstate: &str, reason: impl FnOnce() -> String) {
        self.begin(fault, sqlstate, reason, !fault.may_concern_one_item());
    }

    /// Notes a fault for which PostgreSQL refused a connection. Those that are open may work.
    pub(super) fn connection_refused(self: &Arc<Self>, fault: Fault, sqlstate: &str, reason: &str) {
        self.begin(fault, sqlstate, || reason.to_owned(), false);
    }

    /// The first failure for a fault is logged, and starts the write probes.
    fn begin(self: &Arc<Self>, fault: Fault, sqlstate: &str, reason: impl FnOnce() -> String, blocks: bool) {
        let mut state = self.state.lock();
        if state.is_closed {
            return;
        }
        if blocks {
            state.blocking = Some(fault);
        }
        state.begin(fault, sqlstate, reason, Instant::now());
        if !state.is_probing {
            let monitor = self.clone();
            let spawned =
                thread::Builder::new().name("db-write-probe".to_owned()).spawn(move || monitor.probe_until_over());
            state.is_probing = spawned.is_ok();
            if spawned.is_err() {
                state.forget();
            }
        }
    }

    /// Why messages cannot be stored at the moment, if they cannot.
    pub(super) fn blocking(&self) -> Option<Fault> {
        self.state.lock().blocking
    }

    /// A fault of statements that is not over, the one that blocks first.
    pub(super) fn current(&self) -> Option<Fault> {
        let state = self.state.lock();
        state.blocking.or_else(|| state.faults.keys().find(|fault| !fault.concerns_new_connections()).copied())
    }

    /// Whether a connection has settings that may no longer hold for new ones, or is to a server that was replaced.
    pub(super) fn is_outdated(&self, opened_at: Instant) -> bool {
        self.is_replaced(opened_at) || self.state.lock().reopen_since.is_some_and(|since| opened_at < since)
    }

    /// Whether a connection may be one to a server that was replaced.
    pub(super) fn is_replaced(&self, opened_at: Instant) -> bool {
        self.connector.is_outdated(opened_at)
    }

    /// Ends the write probes and the log lines: a service that stops may stop its database too.
    pub(super) fn close(&self) {
        self.state.lock().is_closed = true;
        self.closed.notify_all();
    }

    fn probe_until_over(self: &Arc<Self>) {
        loop {
            let began = Instant::now();
            let outcome = self.write_probe();
            let mut state = self.state.lock();
            if state.is_closed {
                return;
            }
            let now = Instant::now();
            match outcome {
                ProbeOutcome::Stored => state.probe_succeeded(began, now),
                ProbeOutcome::Refused(fault) => state.blocking = Some(fault),
                ProbeOutcome::Away => state.blocking = None,
                ProbeOutcome::Unknown => {}
            }
            state.log_begun(now);
            if state.faults.is_empty() {
                state.is_probing = false;
                return;
            }
            self.closed.wait_for(&mut state, PROBE_INTERVAL);
            if state.is_closed {
                return;
            }
        }
    }

    /// Stores a session, the claim of a turn and a message, reads and deletes them, and takes all of it back.
    fn write_probe(self: &Arc<Self>) -> ProbeOutcome {
        let mut client = match self.connector.connect() {
            Ok(client) => client,
            Err(ConnectError::Refused { .. } | ConnectError::TimedOut(_) | ConnectError::TooManyPending) => {
                return ProbeOutcome::Unknown;
            }
            Err(ConnectError::Failed(_) | ConnectError::ReadOnly) => return ProbeOutcome::Away,
        };
        // The driver can panic, and no other probe would follow.
        let result = catch_unwind(AssertUnwindSafe(|| store_and_undo(&mut client)));
        connector::close(client);
        let Ok(result) = result else { return ProbeOutcome::Unknown };
        match result.inspect_err(|error| self.statement_failed(error)).map_err(Error::from) {
            Ok(()) => ProbeOutcome::Stored,
            Err(Error::Faulty(fault)) => ProbeOutcome::Refused(fault),
            Err(Error::Unavailable) => ProbeOutcome::Away,
            Err(_) => ProbeOutcome::Unknown,
        }
    }
}

impl State {
    fn begin(&mut self, fault: Fault, sqlstate: &str, reason: impl FnOnce() -> String, now: Instant) {
        if let Some(ongoing) = self.faults.get_mut(&fault) {
            ongoing.last = now;
            return;
        }
        let (sqlstate, reason) = (sqlstate.to_owned(), reason());
        self.faults.insert(fault, OngoingFault { sqlstate, reason, began: now, last: now, is_logged: false });
        self.log_begun(now);
    }

    /// Writes the first line of faults, each after its [`LOG_PAUSE`].
    fn log_begun(&mut self, now: Instant) {
        for (fault, OngoingFault { sqlstate, reason, is_logged, .. }) in &mut self.faults {
            let is_pausing = self.ends.get(fault).is_some_and(|end| now.saturating_duration_since(*end) < LOG_PAUSE);
            if *is_logged || is_pausing {
                continue;
            }
            *is_logged = true;
            let (sqlstate, reason) = (sqlstate.as_str(), reason.as_str());
            if fault.concerns_new_connections() {
                log::warn!(sqlstate, reason; "PostgreSQL refuses connections");
            } else {
                log::warn!(sqlstate, reason; "PostgreSQL refuses statements");
            }
        }
    }

    /// Ends the faults that nothing met for their [`quiet_time`].
    fn probe_succeeded(&mut self, began: Instant, now: Instant) {
        self.blocking = None;
        if let Some(read_only) = self.faults.get(&Fault::ReadOnly)
            && self.reopen_since.is_none_or(|since| since < read_only.last)
        {
            self.reopen_since = Some(began);
        }
        self.faults.retain(|fault, ongoing| {
            if now.saturating_duration_since(ongoing.last) < quiet_time(*fault) {
                return true;
            }
            if ongoing.is_logged {
                self.ends.insert(*fault, now);
                let (sqlstate, after_s) = (ongoing.sqlstate.as_str(), (now - ongoing.began).as_secs());
                if fault.concerns_new_connections() {
                    log::warn!(sqlstate, after_s; "PostgreSQL accepts connections again");
                } else {
                    log::warn!(sqlstate, after_s; "PostgreSQL executes statements again");
                }
            }
            false
        });
    }

    /// Without write probes nothing would end a fault; the next failure begins it again.
    fn forget(&mut self) {
        self.faults.clear();
        self.blocking = None;
        self.is_probing = false;
    }
}

fn store_and_undo(client: &mut Client) -> Result<(), postgres::Error> {
    let (session, message) = (Uuid::new_v4(), Uuid::new_v4());
    let (nothing, sealed) = (Vec::<u8>::new(), vec![0_u8; PROBE_BYTES]);
    let id = || (&session as _, Type::UUID);
    let mut transaction = client.transaction()?;
    let create = include_str!("../../sql/sessions/create.sql");
    transaction.query_typed(create, &[id(), (&nothing, Type::BYTEA), (&None::<i32>, Type::INT4)])?;
    let position = || (&1_i32 as _, Type::INT4);
    let claim = include_str!("../../sql/turns/claim.sql");
    transaction.query_typed(claim, &[id(), position(), id(), (&1_i32, Type::INT4)])?;
    let append = include_str!("../../sql/messages/append.sql");
    let message = [id(), position(), (&message, Type::UUID), (&sealed, Type::BYTEA), (&1_i64, Type::INT8)];
    transaction.query_typed(append, &message)?;
    let recent = include_str!("../../sql/messages/recent.sql");
    transaction.query_typed(recent, &[id(), position(), (&1_i64, Type::INT8)])?;
    transaction.query_typed(include_str!("../../sql/sessions/delete.sql"), &[id()])?;
    transaction.rollback()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Authorities, PoolSettings, Server, SslMode};

    #[test]
    fn a_statement_that_fails_for_a_known_fault_blocks_again_and_a_refused_connection_does_not() {
        let server =
            Server { connect: postgres::Config::new(), ssl_mode: SslMode::Disable, authorities: Authorities::None };
        let timeout = Duration::from_secs(1);
        let pool = PoolSettings {
            min_size: 0,
            max_size: 1,
            query_timeout: timeout,
            connection_timeout: timeout,
            acquire_timeout: timeout,
            is_distributed: false,
        };
        let monitor = Arc::new(FaultMonitor::new(
            Connector::new(&server, &pool, timeout).expect("it has no certificates to read"),
        ));
        // No write probe, which would reset it.
        monitor.state.lock().is_probing = true;
        for _ in 0..2 {
            monitor.statements_refused(Fault::DiskFull, "53100", String::new);
            assert_eq!(monitor.blocking(), Some(Fault::DiskFull));
            monitor.state.lock().blocking = None;
        }
        monitor.connection_refused(Fault::Login, "28000", "");
        monitor.connection_refused(Fault::DiskFull, "53100", "");
        assert_eq!((monitor.blocking(), monitor.current()), (None, Some(Fault::DiskFull)));
    }

    /// A failure and, three seconds later, a write probe that succeeds; returns whether the log has these.
    fn fail_once(state: &mut State, at: Instant) -> bool {
        state.begin(Fault::DiskFull, "53100", String::new, at);
        let is_logged = state.faults[&Fault::DiskFull].is_logged;
        state.probe_succeeded(at, at + Duration::from_secs(3));
        assert!(state.faults.is_empty());
        is_logged
    }

    #[test]
    fn a_fault_that_comes_and_goes_is_logged_once_a_minute() {
        let (mut state, start) = (State::default(), Instant::now());
        let logged = (0..40).filter(|step| fail_once(&mut state, start + Duration::from_secs(3 * step))).count();
        assert_eq!(logged, 2);
    }

    #[test]
    fn a_fault_that_came_back_and_stays_is_logged_when_the_pause_is_over() {
        let (mut state, start) = (State::default(), Instant::now());
        assert!(fail_once(&mut state, start));
        let back = start + Duration::from_secs(10);
        state.begin(Fault::DiskFull, "53100", String::new, back);
        state.log_begun(back + Duration::from_secs(30));
        assert!(!state.faults[&Fault::DiskFull].is_logged);
        state.log_begun(back + LOG_PAUSE);
        assert!(state.faults[&Fault::DiskFull].is_logged);
    }
}
