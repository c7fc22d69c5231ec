//! Deletes the sessions that ended, in small batches with pauses, and measures whether any is overdue.
//!
//! A session that ended does not exist for its client, swept or not: `retention` decides that by exact times. The sweeper sees
//! hours only, and takes a session at the end of its hour.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use postgres::Client;
use postgres::types::Type;

use super::connector::Connector;
use super::error::Error;
use crate::config::RetentionSettings;
use crate::metrics::Metrics;

/// The time for each statement. A batch takes some milliseconds.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(30);

/// Sessions in a batch, for each of the three reasons why one ends.
const MAX_SESSIONS: i32 = 200;

/// Messages and sealed bytes in a batch, unless one session alone has more: as many take some tens of milliseconds.
const MAX_MESSAGES: i64 = 1_000;
const MAX_BYTES: i64 = 2 * 1024 * 1024;

/// After a batch, so many times its duration pass until the next one, so that the sweeper uses a tenth of one processor of the
/// database at most.
const PAUSE_FACTOR: u32 = 9;

/// Sweeps until it is closed.
#[derive(Default)]
pub(super) struct Sweeper(Arc<Closing>);

#[derive(Default)]
struct Closing {
    is_closed: Mutex<bool>,
    closed: Condvar,
}

impl Sweeper {
    /// Starts to sweep once in each interval. Nothing waits for the end of its thread.
    pub(super) fn start(connector: Connector, settings: RetentionSettings, metrics: Arc<Metrics>) -> Sweeper {
        let sweeper = Sweeper::default();
        let Some(interval) = settings.sweep_interval else { return sweeper };
        let (closing, connector) = (sweeper.0.clone(), connector.with_statement_timeout(STATEMENT_TIMEOUT));
        let mut sweep = Sweep { connector, settings, metrics, client: None, failing_since: None };
        let thread = thread::Builder::new().name("sweeper".to_owned()).spawn(move || {
            while closing.wait(interval) {
                let result = sweep.run(interval, &closing);
                if !closing.is_closed() {
                    sweep.report(result);
                }
            }
        });
        if let Err(error) = thread {
            log::error!(error:%; "Expired sessions are not deleted");
        }
        sweeper
    }

    pub(super) fn close(&self) {
        *self.0.is_closed.lock() = true;
        self.0.closed.notify_all();
    }
}

impl Closing {
    /// Waits for a time; false once it is closed.
    fn wait(&self, time: Duration) -> bool {
        let mut is_closed = self.is_closed.lock();
        self.closed.wait_while_for(&mut is_closed, |is_closed| !*is_closed, time);
        !*is_closed
    }

    fn is_closed(&self) -> bool {
        *self.is_closed.lock()
    }
}

/// Owned by the thread.
struct Sweep {
    connector: Connector,
    settings: RetentionSettings,
    metrics: Arc<Metrics>,
    /// A connection of its own. It is kept, with the plans of foreign keys.
    client: Option<Client>,
    failing_since: Option<Instant>,
}

impl Sweep {
    /// Deletes what ended, batch by batch, and measures what is overdue: at the end, and once in each interval.
    ///
    /// # Errors
    /// In words without any value of a row.
    fn run(&mut self, interval: Duration, closing: &Closing) -> Result<(), String> {
        let mut client = match self.client.take() {
            Some(client) => client,
            None => self.connector.connect().map_err(|error| error.to_string())?,
        };
        let (mut deleted, mut measured_at) = (0, Instant::now());
        let result = loop {
            let began = Instant::now();
            match self.sweep(&mut client) {
                Ok(0) => break self.measure(&mut client),
                Ok(count) => deleted += count,
                Err(error) => break Err(error),
            }
            if !closing.wait(began.elapsed() * PAUSE_FACTOR) {
                break Ok(());
            }
            if measured_at.elapsed() >= interval {
                measured_at = Instant::now();
                if let Err(error) = self.measure(&mut client) {
                    break Err(error);
                }
            }
        };
        if deleted > 0 {
            log::info!(deleted; "Expired sessions deleted");
        }
        // A connection on which a statement failed may be broken.
        self.client = result.is_ok().then_some(client);
        result.map_err(|error| Error::from(error).to_string())
    }

    /// Deletes one batch, and returns the number of its sessions; 0 also where another service sweeps.
    fn sweep(&self, client: &mut Client) -> Result<u64, postgres::Error> {
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

    fn measure(&self, client: &mut Client) -> Result<(), postgres::Error> {
        let [idle, max_age] = self.seconds();
        let statement = include_str!("../../sql/sweeper/overdue.sql");
        let rows = client.query_typed(statement, &[(&idle, Type::INT8), (&max_age, Type::INT8)])?;
        self.metrics.retention_overdue.set(rows.first().map_or(0, |row| row.get("seconds")));
        Ok(())
    }

    /// The idle timeout and the maximum age.
    fn seconds(&self) -> [i64; 2] {
        [self.settings.idle_timeout_seconds, self.settings.max_age_seconds].map(i64::from)
    }

    /// Logs the first failure and its end.
    fn report(&mut self, result: Result<(), String>) {
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
