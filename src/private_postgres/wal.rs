//! A short write-ahead log: it tells when each row was stored or deleted, and keeps what is deleted.
//!
//! PostgreSQL removes a segment of its log when a checkpoint began behind it. By itself it begins one after five minutes or a large
//! amount of log, and on a quiet service a segment takes days to fill. So while the service is quiet, this ends the segment and
//! makes a checkpoint soon after each write. On a busy one a checkpoint writes many pages, and again each of them in full to the log
//! at its next change; there PostgreSQL's own checkpoints, which come by themselves, are enough.

use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use postgres::{Client, Config, NoTls};

/// Settings with which PostgreSQL writes little log and keeps none for later. Without `wal_recycle` it deletes a segment that it
/// does not need, in place of keeping it, with its contents, under the name of a later one.
pub(super) const SETTINGS: [&str; 4] =
    ["wal_level=minimal", "max_wal_senders=0", "archive_mode=off", "wal_recycle=off"];

/// From one look at the log to the next.
const INTERVAL: Duration = Duration::from_secs(30);

/// The service is busy if it writes more log in an interval.
const MAX_QUIET_BYTES: i64 = 64 << 20;

/// How long a server that stops may take to end its segment.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Removes what is written to the log, until it is dropped.
pub(super) struct WalRemoval {
    /// Closes the channel on which the thread waits, and through which nothing is sent.
    running: Option<Sender<()>>,
    /// Its other end is dropped by the thread when it ends.
    ended: Receiver<()>,
}

impl WalRemoval {
    /// Starts the thread. `connect` is for the server's superuser.
    pub(super) fn start(connect: Config) -> WalRemoval {
        let ((running, closed), (end, ended)) = (mpsc::channel(), mpsc::channel());
        let thread = thread::Builder::new().name("postgres-wal".to_owned()).spawn(move || {
            let _end: Sender<()> = end;
            run(&connect, &closed);
        });
        if let Err(error) = thread {
            log::error!(error:%; "PostgreSQL's log is not removed soon after a write");
        }
        WalRemoval { running: Some(running), ended }
    }
}

impl Drop for WalRemoval {
    /// Ends the last segment, so that the checkpoint with which the server stops removes it.
    fn drop(&mut self) {
        self.running = None;
        // An error is the end of the thread, or that the server does not answer.
        let _ = self.ended.recv_timeout(CLOSE_TIMEOUT);
    }
}

fn run(connect: &Config, closed: &Receiver<()>) {
    let mut positions = Positions::default();
    while closed.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
        // A server that is away, or restarts, is reported by its supervisor, and writes no log.
        let _ = positions.look(connect);
    }
    let _ = connect.connect(NoTls).and_then(|mut client| client.batch_execute(END_SEGMENT));
}

const END_SEGMENT: &str = "SELECT pg_switch_wal()";

/// Positions in the log, in bytes since the beginning of the cluster.
#[derive(Default)]
struct Positions {
    /// At the last look.
    seen: Option<i64>,
    /// Behind the last checkpoint of this.
    removed: Option<i64>,
}

impl Positions {
    /// Removes the log if something was written to it, and little of late.
    fn look(&mut self, connect: &Config) -> Result<(), postgres::Error> {
        let mut client = connect.connect(NoTls)?;
        let written = position(&mut client)?;
        let is_quiet = self.seen.is_none_or(|seen| written - seen <= MAX_QUIET_BYTES);
        self.seen = Some(written);
        if is_quiet && self.removed != Some(written) {
            client.batch_execute(END_SEGMENT)?;
            client.batch_execute("CHECKPOINT")?;
            let behind = position(&mut client)?;
            (self.seen, self.removed) = (Some(behind), Some(behind));
        }
        Ok(())
    }
}

fn position(client: &mut Client) -> Result<i64, postgres::Error> {
    let query = "SELECT (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::bigint";
    client.query_typed(query, &[]).map(|rows| rows.first().map_or(0, |row| row.get(0)))
}
