//! Deletes the sessions that ended, in small batches with pauses, and measures whether any is overdue; and claims that are left over.
//!
//! A session that ended does not exist for its client, swept or not: `retention` decides that by exact times. The sweeper sees
//! hours only, so it takes a session later: from ten minutes after the end of the hour of its end on.
//!
//! On one server a batch is one statement. Where Citus distributes the tables, the sessions are found on all shards, and then deleted
//! one by one: no lock is held meanwhile, and no commit spans workers.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use postgres::Client;
use postgres::types::Type;
use uuid::Uuid;

use super::connector::{self, Connector};
use super::error::Error;
use crate::config::RetentionSettings;
use crate::metrics::Metrics;

/// Seconds from the exact end of a session until its rows say for certain that it has ended: its hour, and the ten minutes for an
/// answer, both as in `sweep.sql`. The next sweep deletes it.
pub const MAX_SECONDS_UNTIL_CERTAIN: i32 = 3600 + 600;

/// The time for each statement. The longest that is usual is that of a full batch.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(30);

/// Sessions in a batch, for each of the three reasons why one ends.
const MAX_SESSIONS: i32 = 200;

/// Messages and sealed bytes in a batch, unless one session alone has more: deleting as many takes some tens of milliseconds.
const MAX_MESSAGES: i64 = 1_000;
const MAX_BYTES: i64 = 2 * 1024 * 1024;

/// The longest time in which a batch deletes sessions one by one. A full one takes about a second.
const MAX_BATCH_TIME: Duration = Duration::from_secs(2);

/// After a batch, so many times its duration pass until the next one, so that a service uses a tenth of one processor of the
/// database at most. The lock of the sweepers is held for a batch, not for the pause: where several services sweep, their batches
/// do not overlap, but each service pauses for itself and uses its own tenth.
const PAUSE_FACTOR: u32 = 9;

/// The same where Citus distributes the tables and the sessions are deleted one by one. Such a batch mostly waits for the disks of the
/// workers, so with pauses of its own duration it uses little of their processors; longer ones would let a backlog grow.
const PAUSE_FACTOR_ONE_BY_ONE: u32 = 1;

/// Sweeps until it is closed or dropped. The thread waits on the other end of the channel, through which nothing is sent.
#[derive(Default)]
pub(super) struct Sweeper(Mutex<Option<Sender<()>>>);

impl Sweeper {
    /// Starts to sweep once in each interval. Nothing waits for the end of its thread.
    pub(super) fn start(
        connector: Connector,
        settings: RetentionSettings,
        is_distributed: bool,
        metrics: Arc<Metrics>,
    ) -> Sweeper {
        let Some(interval) = settings.sweep_interval else { return Sweeper::default() };
        let (running, closed) = mpsc::channel();
        let connector = connector.with_statement_timeout(STATEMENT_TIMEOUT);
        let measured = Measurement { at: Instant::now(), overdue_seconds: 0 };
        let opened_at = Instant::now();
        let mut sweep = Sweep {
            connector,
            settings,
            is_distributed,
            interval,
            metrics,
            client: None,
            opened_at,
            measured,
            failing_since: None,
        };
        let thread = thread::Builder::new().name("sweeper".to_owned()).spawn(move || {
            while wait(&closed, interval) {
                let result = sweep.run(&closed);
                if wait(&closed, Duration::ZERO) {
                    sweep.report(result);
                }
            }
        });
        if let Err(error) = thread {
            log::error!(error:%; "Expired sessions are not deleted");
        }
        Sweeper(Mutex::new(Some(running)))
    }

    pub(super) fn close(&self) {
        *self.0.lock() = None;
    }
}

/// Waits for a time; false once the sweeper is closed.
fn wait(closed: &Receiver<()>, time: Duration) -> bool {
    closed.recv_timeout(time) == Err(RecvTimeoutError::Timeout)
}

/// Deletes the claims of turns whose instance died: their times tell when somebody wrote. They are few, at most one for each turn
/// that ran there.
fn delete_ended_claims(client: &mut Client) -> Result<(), postgres::Error> {
    for row in client.query_typed(include_str!("../../sql/sweeper/ended_claims.sql"), &[])? {
        let (session, claim): (Uuid, Uuid) = (row.get("session_id"), row.get("claim"));
        let release = include_str!("../../sql/turns/release.sql");
        client.query_typed(release, &[(&session, Type::UUID), (&claim, Type::UUID)])?;
    }
    Ok(())
}

/// How long the session that ended first was overdue.
struct Measurement {
    at: Instant,
    overdue_seconds: i64,
}

/// Owned by the thread.
struct Sweep {
    connector: Connector,
    settings: RetentionSettings,
    is_distributed: bool,
    interval: Duration,
    metrics: Arc<Metrics>,
    /// A connection of its own. It is kept, with the plans of foreign keys.
    client: Option<Client>,
    opened_at: Instant,
    /// The last measurement; before the first, that nothing was overdue at the start.
    measured: Measurement,
    failing_since: Option<Instant>,
}

impl Sweep {
    /// Deletes what ended, batch by batch. Measures what is overdue before the first batch, so that it is measured where
    /// deleting fails too, and once in each interval.
    ///
    /// # Errors
    /// In words without any value of a row.
    fn run(&mut self, closed: &Receiver<()>) -> Result<(), String> {
        let mut client = match self.client.take() {
            Some(client) if !self.connector.is_outdated(self.opened_at) => client,
            outdated => {
                outdated.into_iter().for_each(connector::close);
                self.opened_at = Instant::now();
                self.connector.connect().map_err(|error| error.to_string())?
            }
        };
        let mut deleted = 0;
        let result = loop {
            // What is deleted or measured on a server that was replaced does not count; a run can last for hours.
            if self.connector.is_outdated(self.opened_at) {
                break Ok(());
            }
            // An interval has passed when a run begins.
            if self.measured.at.elapsed() >= self.interval
                && let Err(error) = self.measure(&mut client).and_then(|()| delete_ended_claims(&mut client))
            {
                break Err(error);
            }
            let began = Instant::now();
            let (batch, pause_factor) = if self.is_distributed {
                (self.delete_one_by_one(&mut client), PAUSE_FACTOR_ONE_BY_ONE)
            } else {
                (self.delete_batch(&mut client), PAUSE_FACTOR)
            };
            match batch {
                Ok(0) => break Ok(()),
                Ok(count) => deleted += count,
                Err(error) => break Err(error),
            }
            if !wait(closed, began.elapsed() * pause_factor) {
                break Ok(());
            }
        };
        if deleted > 0 {
            log::info!(deleted; "Expired sessions deleted");
        }
        // A connection on which a statement failed may be broken.
        if result.is_ok() {
            self.client = Some(client);
        } else {
            connector::close(client);
        }
        result.map_err(|error| Error::from(error).to_string())
    }

    /// Deletes one batch, and returns the number of its sessions; 0 also while another service deletes one.
    fn delete_batch(&self, client: &mut Client) -> Result<u64, postgres::Error> {
        let mut transaction = client.transaction()?;
        let locked = transaction.query_typed(include_str!("../../sql/sweeper/lock.sql"), &[])?;
        if !locked.iter().any(|row| row.get("is_locked")) {
            return Ok(0);
        }
        let [idle, max_age] = self.seconds();
        let rows = transaction.query_typed(
            include_str!("../../sql/sweeper/sweep.sql"),
            &[
                (&idle, Type::INT8),
                (&max_age, Type::INT8),
                (&MAX_SESSIONS, Type::INT4),
                (&MAX_MESSAGES, Type::INT8),
                (&MAX_BYTES, Type::INT8),
            ],
        )?;
        let deleted = rows.first().map_or(0, |row| row.get::<_, i64>("count"));
        transaction.commit()?;
        let deleted = u64::try_from(deleted).unwrap_or(0);
        self.metrics.sessions_expired.inc_by(deleted);
        Ok(deleted)
    }

    /// The same where Citus distributes the tables. There is no lock of the sweepers: where two delete the same sessions, each
    /// session is deleted and counted once.
    fn delete_one_by_one(&self, client: &mut Client) -> Result<u64, postgres::Error> {
        let [idle, max_age] = self.seconds();
        let [idle, max_age] = [&idle, &max_age].map(|seconds| (seconds as _, Type::INT8));
        let find = include_str!("../../sql/sweeper/ended.sql");
        let ended = client.query_typed(find, &[idle.clone(), max_age.clone(), (&MAX_SESSIONS, Type::INT4)])?;
        let (began, mut deleted) = (Instant::now(), 0);
        for row in ended {
            let id: Uuid = row.get("id");
            let delete = include_str!("../../sql/sweeper/delete.sql");
            let rows = client.query_typed(delete, &[(&id, Type::UUID), idle.clone(), max_age.clone()])?;
            self.metrics.sessions_expired.inc_by(rows.len() as u64);
            deleted += rows.len() as u64;
            if began.elapsed() > MAX_BATCH_TIME {
                break;
            }
        }
        Ok(deleted)
    }

    fn measure(&mut self, client: &mut Client) -> Result<(), postgres::Error> {
        let [idle, max_age] = self.seconds();
        let statement = include_str!("../../sql/sweeper/overdue.sql");
        let rows = client.query_typed(statement, &[(&idle, Type::INT8), (&max_age, Type::INT8)])?;
        let overdue_seconds = rows.first().map_or(0, |row| row.get("seconds"));
        self.measured = Measurement { at: Instant::now(), overdue_seconds };
        self.metrics.retention_overdue.set(overdue_seconds);
        Ok(())
    }

    /// The idle timeout and the maximum age.
    fn seconds(&self) -> [i64; 2] {
        [self.settings.idle_timeout_seconds, self.settings.max_age_seconds].map(i64::from)
    }

    /// Logs the first failure and its end. After a failure, what is overdue goes on from the last measurement: while the database
    /// cannot be asked, a session can have ended right after it, and an alert must not wait for the database.
    fn report(&mut self, result: Result<(), String>) {
        if result.is_err() {
            let since = i64::try_from(self.measured.at.elapsed().as_secs()).unwrap_or(i64::MAX);
            self.metrics.retention_overdue.set(self.measured.overdue_seconds.saturating_add(since));
        }
        match (result, self.failing_since) {
            (Err(reason), None) => {
                self.failing_since = Some(Instant::now());
                log::warn!(reason; "Expired sessions cannot be deleted");
            }
            (Ok(()), Some(since)) => {
                self.failing_since = None;
                log::info!(after_s = since.elapsed().as_secs(); "Expired sessions are deleted again");
            }
            _ => {}
        }
    }
}
