//! Whether PostgreSQL refuses statements at the moment: one log line when that begins, one when it ends, and a trial that
//! notices the end.
//!
//! Requests are tried all the same. The trial does what requests do, in a transaction that is rolled back, so it fails for
//! the same reasons: also a full disk and a missing privilege, which no reading shows.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use postgres::Client;
use postgres::types::Type;
use uuid::Uuid;

use super::connector::{ConnectError, Connector};
use super::fault::{self, Fault};

/// The time from one trial to the next, each on a connection of its own: a session keeps the settings with which it began,
/// so only a new one shows that a database is no longer read-only.
const TRIAL_INTERVAL: Duration = Duration::from_secs(1);

/// The time for each statement of a trial.
const TRIAL_TIMEOUT: Duration = Duration::from_secs(5);

/// Bytes of the message that a trial stores: more than is free in a page of the table, as those of many messages are.
const TRIAL_BYTES: usize = 16 * 1024;

/// The faults of PostgreSQL, shared by all connections.
pub(super) struct Condition {
    connector: Connector,
    state: Mutex<State>,
    closed: Condvar,
}

#[derive(Default)]
struct State {
    faults: BTreeMap<Fault, Begun>,
    /// What the last trial, or a fault since, says of storing a message.
    blocking: Option<Fault>,
    /// Connections that were opened before are not used again.
    reopen_since: Option<Instant>,
    is_closed: bool,
}

struct Begun {
    sqlstate: String,
    at: Instant,
    /// The last time that a statement failed for it.
    last: Instant,
}

/// How long no statement may have failed for a fault before it is over. A trial says little of the last two: it needs little
/// memory, and it reads and writes few blocks.
fn quiet_time(fault: Fault) -> Duration {
    match fault {
        Fault::Resources | Fault::Damaged => Duration::from_secs(60),
        _ => Duration::from_secs(2),
    }
}

impl Condition {
    pub(super) fn new(connector: Connector) -> Condition {
        let connector = connector.with_statement_timeout(TRIAL_TIMEOUT);
        Condition { connector, state: Mutex::default(), closed: Condvar::new() }
    }

    /// Notes that a statement failed, and why, if a fault is the reason.
    pub(super) fn failed(self: &Arc<Self>, error: &postgres::Error) {
        let Some(error) = error.as_db_error().filter(|error| fault::keeps_connection(error)) else { return };
        if let Some(fault) = Fault::of(error.code()) {
            self.begin(fault, error.code().code(), || fault::reason(error));
        }
    }

    /// Notes a fault; only the first of its kind is logged, and starts the trials.
    pub(super) fn begin(self: &Arc<Self>, fault: Fault, sqlstate: &str, reason: impl FnOnce() -> String) {
        let mut state = self.state.lock();
        let now = Instant::now();
        if let Some(begun) = state.faults.get_mut(&fault) {
            begun.last = now;
            return;
        }
        if state.is_closed {
            return;
        }
        log::warn!(sqlstate, reason = reason().as_str(); "PostgreSQL refuses statements");
        let is_first = state.faults.is_empty();
        state.faults.insert(fault, Begun { sqlstate: sqlstate.to_owned(), at: now, last: now });
        if !fault.may_concern_one_item() {
            state.blocking = Some(fault);
        }
        if is_first {
            let condition = self.clone();
            let trials = thread::Builder::new().name("db-trial".to_owned()).spawn(move || condition.try_until_over());
            if trials.is_err() {
                // The next failure begins it again.
                *state = State { reopen_since: state.reopen_since, ..State::default() };
            }
        }
    }

    /// Why messages cannot be stored at the moment, if they cannot.
    pub(super) fn blocking(&self) -> Option<Fault> {
        self.state.lock().blocking
    }

    /// A fault that is not over, the one that blocks first.
    pub(super) fn current(&self) -> Option<Fault> {
        let state = self.state.lock();
        state.blocking.or_else(|| state.faults.keys().next().copied())
    }

    /// Whether a connection has settings that may no longer hold for new ones.
    pub(super) fn is_outdated(&self, opened_at: Instant) -> bool {
        self.state.lock().reopen_since.is_some_and(|since| opened_at < since)
    }

    /// Ends the trials and the log lines: a service that stops may stop its database too.
    pub(super) fn close(&self) {
        self.state.lock().is_closed = true;
        self.closed.notify_all();
    }

    fn try_until_over(self: &Arc<Self>) {
        loop {
            let began = Instant::now();
            let result = self.attempt();
            let mut state = self.state.lock();
            match result {
                Ok(()) => state.trial_succeeded(began),
                Err(Some(fault)) => state.blocking = Some(fault),
                // It says nothing of the faults: PostgreSQL was not reached or took too long.
                Err(None) => {}
            }
            if state.is_closed || state.faults.is_empty() {
                return;
            }
            self.closed.wait_for(&mut state, TRIAL_INTERVAL);
            if state.is_closed {
                return;
            }
        }
    }

    /// Stores a session and a message, reads and deletes them, and takes all of it back.
    ///
    /// # Errors
    /// The fault for which PostgreSQL refused it; `None` for any other reason.
    fn attempt(self: &Arc<Self>) -> Result<(), Option<Fault>> {
        let mut client = self.connector.connect().map_err(|error| match error {
            ConnectError::Login(_) => Some(Fault::Login),
            _ => None,
        })?;
        execute(&mut client).map_err(|error| {
            self.failed(&error);
            error.code().and_then(Fault::of)
        })
    }
}

impl State {
    /// Ends the faults that no statement met for their [`quiet_time`].
    fn trial_succeeded(&mut self, began: Instant) {
        self.blocking = None;
        if let Some(read_only) = self.faults.get(&Fault::ReadOnly)
            && self.reopen_since.is_none_or(|since| since < read_only.last)
        {
            self.reopen_since = Some(began);
        }
        self.faults.retain(|fault, begun| {
            let continues = begun.last.elapsed() < quiet_time(*fault);
            if !continues {
                let after_s = begun.at.elapsed().as_secs();
                log::info!(sqlstate = begun.sqlstate.as_str(), after_s; "PostgreSQL executes statements again");
            }
            continues
        });
    }
}

fn execute(client: &mut Client) -> Result<(), postgres::Error> {
    let (session, message) = (Uuid::new_v4(), Uuid::new_v4());
    let (nothing, sealed) = (Vec::<u8>::new(), vec![0_u8; TRIAL_BYTES]);
    let id = || (&session as _, Type::UUID);
    let mut transaction = client.transaction()?;
    let create = include_str!("../../sql/sessions/create.sql");
    transaction.query_typed(create, &[id(), (&nothing, Type::BYTEA)])?;
    let append = include_str!("../../sql/messages/append.sql");
    let [position, total] = [(&1_i32 as _, Type::INT4), (&1_i64 as _, Type::INT8)];
    let message = [id(), position, (&message, Type::UUID), (&sealed, Type::BYTEA), total];
    transaction.query_typed(append, &message)?;
    let recent = include_str!("../../sql/messages/recent.sql");
    transaction.query_typed(recent, &[id(), (&1_i32, Type::INT4), (&1_i64, Type::INT8)])?;
    transaction.query_typed(include_str!("../../sql/sessions/delete.sql"), &[id()])?;
    transaction.rollback()
}
