//! Whether PostgreSQL can lose what it has acknowledged: looked at when the service starts and once a minute.

use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;
use postgres::Client;

use super::connector::Connector;
use super::migrations::MigrationError;
use crate::config::{PoolSettings, Server};

const INTERVAL: Duration = Duration::from_secs(60);

/// The time for the answer of the server.
const ASK_TIMEOUT: Duration = Duration::from_secs(5);

/// A reason for which messages that were acknowledged can be lost, and sessions that were erased can come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LossRisk {
    /// `fsync` is off.
    #[error("fsync is off: a crash of the machine can damage the database or lose all of it; set fsync = on")]
    NotFlushed,
    /// `synchronous_commit` is off.
    #[error(
        "synchronous_commit is off: a crash of PostgreSQL loses the last commits; set synchronous_commit = on, also for the role and the database"
    )]
    CommitsOff,
    /// `synchronous_commit` is local, and there are standbys.
    #[error(
        "synchronous_commit is local: commits do not wait for the standbys, and a failover loses the last ones; set synchronous_commit = on, also for the role and the database"
    )]
    CommitsLocal,
    /// There are standbys, and none is synchronous.
    #[error(
        "no standby is synchronous: a failover loses the last commits, and sessions that were erased come back; set synchronous_standby_names (docs/failover.md)"
    )]
    NoSynchronousStandby,
}

impl LossRisk {
    /// Connects once and finds a risk, without changing anything.
    ///
    /// # Errors
    /// When the database cannot be reached or does not answer.
    pub fn find(server: &Server, pool: &PoolSettings) -> Result<Option<LossRisk>, MigrationError> {
        Ok(ask(&mut Connector::new(server, pool, ASK_TIMEOUT)?.connect()?)?)
    }
}

fn ask(client: &mut Client) -> Result<Option<LossRisk>, postgres::Error> {
    let rows = client.query_typed(include_str!("../../sql/schema/durability.sql"), &[])?;
    let Some(row) = rows.first().filter(|row| !row.get::<_, bool>("is_standby")) else { return Ok(None) };
    let [is_flushed, waits, has_standbys] =
        ["is_flushed", "waits_for_standbys", "has_standbys"].map(|column| row.get::<_, bool>(column));
    Ok(match row.get("synchronous_commit") {
        _ if !is_flushed => Some(LossRisk::NotFlushed),
        "off" => Some(LossRisk::CommitsOff),
        "local" if waits || has_standbys => Some(LossRisk::CommitsLocal),
        // With names that no connected standby has, commits wait.
        _ if has_standbys && !waits => Some(LossRisk::NoSynchronousStandby),
        _ => None,
    })
}

/// Looks until it is closed or dropped. The thread waits on the other end of the channel, through which nothing is sent.
pub(super) struct DurabilityWatch(Mutex<Option<Sender<()>>>);

impl DurabilityWatch {
    /// Starts the thread, which logs the risk there is, and each change. Nothing waits for its end.
    pub(super) fn start(connector: &Connector) -> DurabilityWatch {
        let (running, closed) = mpsc::channel();
        let connector = connector.clone().with_statement_timeout(ASK_TIMEOUT);
        let thread = thread::Builder::new().name("durability".to_owned()).spawn(move || run(&connector, &closed));
        if let Err(error) = thread {
            log::error!(error:%; "Whether PostgreSQL can lose what it has acknowledged is not watched");
        }
        DurabilityWatch(Mutex::new(Some(running)))
    }

    pub(super) fn close(&self) {
        *self.0.lock() = None;
    }
}

fn run(connector: &Connector, closed: &Receiver<()>) {
    let mut known = None;
    loop {
        // The pool logs that a database does not answer.
        let found = connector.connect().ok().and_then(|mut client| ask(&mut client).ok());
        if let Some(found) = found.filter(|found| *found != known) {
            match found {
                Some(reason) => log::warn!(reason:%; "PostgreSQL can lose what it has acknowledged"),
                None => log::info!("PostgreSQL loses nothing that it has acknowledged any more"),
            }
            known = found;
        }
        if closed.recv_timeout(INTERVAL) != Err(RecvTimeoutError::Timeout) {
            return;
        }
    }
}
