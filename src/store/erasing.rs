//! Erasing sessions: with connections and threads that nothing else uses, so that it needs no room from other requests. Only a batch
//! beside which there is no other may be led by the thread of its first request, which costs no switch of threads.
//!
//! Small sessions are deleted in batches. A batch never takes long: it passes over sessions that are large or locked, and
//! these are deleted behind it, each alone, the smallest first: a flood of large ones delays no smaller one.
//!
//! Each deletion knows how many rows it deletes. A batch is one statement, which fails where others have just added rows to one of
//! its sessions. Then, and for a session that is deleted alone, a transaction locks first and deletes then.

mod queue;

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use postgres::types::Type;
use uuid::Uuid;

use super::batcher::{BatchPolicy, Batcher, Callback, leaders};
use super::connection::{Connection, Transaction};
use super::error::Error;
use super::pool::{ConnectionSource, Pool, PoolPolicy};
use super::rows::{StoredSession, read_row, read_session};
use super::statements::StatementMode;
use crate::config::PoolSettings;
use crate::metrics::Metrics;
use crate::sealing::Lookup;
use crate::sync::{Rejected, ThreadPool, ThreadPoolSettings};
use queue::{Added, Queue};

/// Connections that are kept open: one for a batch, one for a session that is deleted alone.
const RESERVED_CONNECTIONS: u32 = 2;

/// Connections at most: those of the batches in flight, of the sessions alone, and of an overdue batch.
pub(super) const MAX_CONNECTIONS: u32 = 5;

/// A session can be erased also where `DB_QUERY_TIMEOUT` is short and it has many messages.
pub(super) const MIN_STATEMENT_TIMEOUT: Duration = Duration::from_secs(30);

/// A single statement then either deletes all rows of a session that there are at its end, or fails.
pub(super) const ISOLATION: &str = "-c default_transaction_isolation=repeatable\\ read";

/// Sessions in one batch. With [`MAX_MESSAGES`] each, it takes a tenth of a second.
const MAX_ITEMS: usize = 64;

/// A session with more messages or more sealed bytes is deleted alone.
const MAX_MESSAGES: i32 = 100;
const MAX_BYTES: i64 = 256 * 1024;

/// Sessions deleted alone at the same time: one that waits for a lock does not hold up the others.
const MAX_ALONE: usize = 2;

/// Sessions that wait to be deleted alone. With 5,000 messages each, they take about 7 s together.
const MAX_QUEUED: usize = 256;

/// How long a batch waits for those before it. The wait for a connection has its own limit, `DB_ACQUIRE_TIMEOUT_MS`, so a
/// database that is gone is reported within twice that time.
const MAX_WAIT: Duration = Duration::from_secs(5);

/// Batches that wait; further deletes get 503. The connections of the server do not bound them: a client that is gone leaves its
/// delete behind.
const MAX_OPEN_BATCHES: usize = 256;

/// Callers that erasing can block while the database hangs; more only where the operating system gives no thread.
pub(super) const MAX_BLOCKED_CALLERS: usize = 1;

/// Erases sessions.
pub(super) struct Erasing(Arc<Lane>);

struct Lane {
    batches: Arc<Batcher<Lookup, Outcome>>,
    batch_leaders: ThreadPool,
    queue: Mutex<Queue<Pending>>,
    /// Has a job for each entry of the queue.
    alone_threads: ThreadPool,
    pool: Arc<Pool>,
    acquire_timeout: Duration,
}

/// A session that was erased, and the rows that went with it.
pub struct Erased {
    /// The session as it was.
    pub session: StoredSession,
    /// Rows of the table `messages`.
    pub messages: i64,
    /// Rows of the table `reports`.
    pub reports: i64,
}

/// Whether the thread that wants a session erased may wait for that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caller {
    /// It executes the statement itself, unless others run: a lone client waits for one thread less.
    MayBlock,
    /// It has an answer to give before PostgreSQL has answered.
    MustNotBlock,
}

/// What a batch did with a session.
enum Outcome {
    /// It is deleted, or did not exist.
    Done(Option<Erased>),
    /// It is large or locked, and must be deleted alone. It has this many sealed bytes.
    Postponed(i64),
}

impl Erasing {
    /// The connections of this lane.
    pub(super) fn pool_policy(acquire_timeout: Duration) -> PoolPolicy {
        PoolPolicy {
            min_idle: RESERVED_CONNECTIONS,
            max_size: MAX_CONNECTIONS,
            max_wait: acquire_timeout,
            fails_fast: false,
        }
    }

    pub(super) fn new(pool: Pool, settings: &PoolSettings, metrics: &Metrics) -> Erasing {
        let pool = Arc::new(pool);
        let policy = BatchPolicy { fails_fast: false, max_wait: MAX_WAIT, ..BatchPolicy::new(MAX_ITEMS, settings) };
        let alone_threads = ThreadPoolSettings {
            name: "erase-alone",
            max_threads: MAX_ALONE,
            // A job takes an entry of the queue.
            max_queued: usize::MAX,
            idle_timeout: Duration::from_secs(10),
            stack_bytes: 512 * 1024,
        };
        Erasing(Arc::new(Lane {
            batches: Arc::new(Batcher::new(
                &pool,
                // Citus writes no two tables in one statement.
                if settings.is_distributed { delete_batch } else { erase_batch },
                policy,
                metrics.batch_sizes("sessions/delete"),
            )),
            batch_leaders: leaders("erase", 1),
            queue: Mutex::new(Queue::new(MAX_QUEUED)),
            alone_threads: ThreadPool::new(alone_threads),
            pool,
            acquire_timeout: settings.acquire_timeout,
        }))
    }

    /// When the batch that runs began. Sessions that are deleted alone are not counted: one may wait for a lock.
    pub(super) fn oldest_began(&self) -> Option<Instant> {
        self.0.batches.oldest_began()
    }

    /// Deletes a session; the result is `None` if it did not exist.
    pub(super) fn run(&self, session: Lookup, caller: Caller, callback: Callback<Option<Erased>>) {
        let (lane, pending) = (self.0.clone(), Pending(Some(callback)));
        if lane.batches.open_batches() >= MAX_OPEN_BATCHES {
            return pending.complete(Err(Error::Unavailable));
        }
        let behind = lane.clone();
        let finish = move |outcome| match outcome {
            Ok(Outcome::Postponed(bytes)) => behind.delete_alone(session, bytes, pending),
            Ok(Outcome::Done(erased)) => pending.complete(Ok(erased)),
            Err(error) => pending.complete(Err(error)),
        };
        match caller {
            Caller::MayBlock => lane.batches.run_alone_or_on(&lane.batch_leaders, session, Box::new(finish)),
            Caller::MustNotBlock => lane.batches.run_on(&lane.batch_leaders, session, Box::new(finish)),
        }
    }
}

impl Lane {
    fn delete_alone(self: Arc<Lane>, session: Lookup, bytes: i64, pending: Pending) {
        let added = self.queue.lock().add(session, bytes, pending);
        // Waiters that gave way are dropped here, without the lock, and their callbacks report [`Error::Unavailable`].
        if !matches!(added, Added::Queued) {
            return;
        }
        let lane = self.clone();
        if self.alone_threads.execute(move || lane.delete_next()) == Err(Rejected) {
            // Without any thread, this entry is the only one.
            let next = self.queue.lock().take();
            drop(next.map(|session| self.queue.lock().finish(session)));
        }
    }

    /// Deletes the next session of the queue. Of its waiters the first gets the result.
    fn delete_next(&self) {
        let Some(session) = self.queue.lock().take() else { return };
        // A panic must leave no waiter behind. Unwinding drops the connection, and the pool discards it.
        let deleted =
            catch_unwind(AssertUnwindSafe(|| delete_one(&mut *self.pool.acquire(self.acquire_timeout)?, session)));
        let mut result = deleted.unwrap_or(Err(Error::Unavailable));
        let waiters = self.queue.lock().finish(session);
        for waiter in waiters {
            let of_next = result.as_ref().map(|_| None).map_err(Clone::clone);
            waiter.complete(std::mem::replace(&mut result, of_next));
        }
    }
}

/// A callback that is called with an error if it is dropped: by a thread pool without a thread, or by a panic.
struct Pending(Option<Callback<Option<Erased>>>);

impl Pending {
    fn complete(mut self, result: Result<Option<Erased>, Error>) {
        if let Some(callback) = self.0.take() {
            callback(result);
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if let Some(callback) = self.0.take() {
            callback(Err(Error::Unavailable));
        }
    }
}

fn delete_one(connection: &mut Connection, session: Lookup) -> Result<Option<Erased>, Error> {
    let lock = include_str!("../../sql/sessions/lock.sql");
    connection.transaction(|transaction| {
        let locked = transaction.query(lock, &[(session.expose(), Type::UUID)])?;
        let ids: Vec<Uuid> = locked.iter().map(|row| row.get("id")).collect();
        Ok(delete(transaction, &ids)?.remove(session.expose()))
    })
}

/// Deletes sessions in one statement, if that is exact.
fn erase_batch(connection: &mut Connection, sessions: &[Lookup]) -> Result<Vec<Outcome>, Error> {
    // A pooler that drops the settings of a connection drops its isolation level, too.
    if connection.statement_mode()? == StatementMode::Unnamed {
        return delete_batch(connection, sessions);
    }
    let ids: Vec<&Uuid> = sessions.iter().map(Lookup::expose).collect();
    let (erase, session) = match ids.as_slice() {
        [id] => (include_str!("../../sql/sessions/erase.sql"), (*id as _, Type::UUID)),
        _ => (include_str!("../../sql/sessions/erase_many.sql"), (&ids as _, Type::UUID_ARRAY)),
    };
    let rows = match connection.query(erase, &[session, (&MAX_MESSAGES, Type::INT4), (&MAX_BYTES, Type::INT8)]) {
        Err(Error::Conflict) => return delete_batch(connection, sessions),
        rows => rows?,
    };
    let (mut left, mut erased) = (HashMap::new(), HashMap::new());
    for row in &rows {
        match row.get::<_, Option<i64>>("bytes_left") {
            Some(bytes) => _ = left.insert(row.get("id"), bytes),
            None => _ = erased.insert(row.get("id"), read_erased(row)),
        }
    }
    Ok(outcomes(&ids, &left, erased))
}

fn delete_batch(connection: &mut Connection, sessions: &[Lookup]) -> Result<Vec<Outcome>, Error> {
    let ids: Vec<&Uuid> = sessions.iter().map(Lookup::expose).collect();
    let (lock, session) = match ids.as_slice() {
        [id] => (include_str!("../../sql/sessions/lock_if_small.sql"), (*id as _, Type::UUID)),
        _ => (include_str!("../../sql/sessions/lock_many.sql"), (&ids as _, Type::UUID_ARRAY)),
    };
    let parameters = [session, (&MAX_MESSAGES as _, Type::INT4), (&MAX_BYTES as _, Type::INT8)];
    let (left, erased) = connection.transaction(|transaction| {
        let (mut locked, mut left) = (Vec::new(), HashMap::new());
        for row in transaction.query(lock, &parameters)? {
            match row.get::<_, Option<i64>>("bytes_left") {
                Some(bytes) => _ = left.insert(row.get::<_, Uuid>("id"), bytes),
                None => locked.push(row.get("id")),
            }
        }
        Ok((left, delete(transaction, &locked)?))
    })?;
    Ok(outcomes(&ids, &left, erased))
}

/// What became of each session of a batch. Of several deletions of a session, one has deleted it. While it exists, all of them wait for
/// its deletion. `left`: the sealed bytes of those that exist.
fn outcomes(ids: &[&Uuid], left: &HashMap<Uuid, i64>, mut erased: HashMap<Uuid, Erased>) -> Vec<Outcome> {
    let outcome = |id: &&Uuid| match left.get(*id) {
        Some(bytes) => Outcome::Postponed(*bytes),
        None => Outcome::Done(erased.remove(*id)),
    };
    ids.iter().map(outcome).collect()
}

/// Deletes sessions that the transaction has locked.
fn delete(transaction: &mut Transaction<'_>, locked: &[Uuid]) -> Result<HashMap<Uuid, Erased>, postgres::Error> {
    let rows = match locked {
        [] => return Ok(HashMap::new()),
        [id] => transaction.query(include_str!("../../sql/sessions/delete.sql"), &[(id, Type::UUID)])?,
        _ => {
            let statement = include_str!("../../sql/sessions/delete_many.sql");
            transaction.query(statement, &[(&locked, Type::UUID_ARRAY)])?
        }
    };
    Ok(rows.iter().map(|row| (row.get("id"), read_erased(row))).collect())
}

fn read_erased(row: &postgres::Row) -> Erased {
    let newest = read_row(row);
    let messages = newest.as_ref().map_or(0, |newest| newest.position.into());
    Erased { session: read_session(row, newest), messages, reports: row.get("reports") }
}
