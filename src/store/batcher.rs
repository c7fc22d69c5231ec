//! Group commit: requests that wait for a connection at the same time share one statement, one round trip and one commit. Where
//! Citus distributes the tables, each item of a batch is a statement of its own, which one shard of one worker executes.
//!
//! The first request of a batch is its leader. The leader waits for a permit (at most [`BatchPolicy::max_in_flight`] batches
//! run at once) and for a connection, closes the batch, executes the statement, releases the permit, and calls every
//! callback. Requests that arrive while a leader waits add their item to its batch and return at once. So each batch blocks
//! one thread, whatever number of requests it has.
//!
//! There is no timer: a request that meets no other leads a batch of one without delay. Under load the statement that runs
//! is the time in which the next batch fills. The leader is the calling thread, since handing every batch to a thread of the
//! store's own costs a lone client a tenth to a fifth of its throughput. What callbacks begin, the leader executes after the
//! last of them, so that it shares a batch.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::slice;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use prometheus_client::metrics::histogram::Histogram;

use super::error::Error;
use super::pool::{ConnectionSource, Pool, STALLED_WAIT};
use crate::config::PoolSettings;
use crate::sync::{ThreadPool, ThreadPoolSettings};

/// A batch that runs for longer than this, on a dead connection or behind a lock, no longer counts against
/// [`BatchPolicy::max_in_flight`].
const OVERDUE_AFTER: Duration = Duration::from_secs(2);

/// At most this many overdue batches are not counted.
const MAX_OVERDUE: usize = 2;

/// How long the items of a batch are executed one by one. Those left after that get [`Error::Unavailable`].
const MAX_INDIVIDUAL_TIME: Duration = Duration::from_secs(5);

/// Receives the result of a statement, once, on the thread of the batch leader; must not block.
pub type Callback<T> = Box<dyn FnOnce(Result<T, Error>) + Send>;

type Job = Box<dyn FnOnce()>;

thread_local! {
    /// What runs after the callbacks that are called on this thread; `None` while none are.
    static AFTER_CALLBACKS: RefCell<Option<Vec<Job>>> = const { RefCell::new(None) };
}

/// Blocks the calling thread until `start` has passed a result to its callback.
///
/// # Errors
/// Those of the statement, and [`Error::Timeout`] at the deadline: the statement may still be executed then.
pub fn wait<T: Send + 'static>(deadline: Instant, start: impl FnOnce(Callback<T>)) -> Result<T, Error> {
    let (sender, receiver) = mpsc::sync_channel(1);
    start(Box::new(move |result| _ = sender.send(result)));
    receiver.recv_timeout(deadline.saturating_duration_since(Instant::now())).unwrap_or(Err(Error::Timeout))
}

/// Executes one SQL statement for all items, atomically, and returns one answer for each item in the order of the items.
type Statement<Connection, Item, Answer> = fn(&mut Connection, &[Item]) -> Result<Vec<Answer>, Error>;

/// How requests share a statement.
#[derive(Debug, Clone, Copy)]
pub(super) struct BatchPolicy {
    /// Batches that run at once, each on its own connection.
    pub(super) max_in_flight: usize,
    /// Items in one batch.
    pub(super) max_items: usize,
    /// How long a batch waits for its permit and its connection together.
    pub(super) max_wait: Duration,
    /// Whether leaders wait for [`STALLED_WAIT`] only after one had no permit in time: otherwise a database that hangs blocks
    /// threads that requests without a statement need.
    pub(super) fails_fast: bool,
    /// Which items share a statement.
    pub(super) sharing: Sharing,
}

/// Which items share a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sharing {
    /// All of a batch: they are equal.
    Always,
    /// All of a batch, and where PostgreSQL rolled that back, each has its own.
    UntilRolledBack,
    /// None. A statement for the sessions of several shards would lock rows in no order, and commit in two phases.
    Never,
}

/// One batch may wait for a lock, or be over before the next has filled.
pub(super) const DEFAULT_MAX_IN_FLIGHT: usize = 2;

impl BatchPolicy {
    pub(super) fn new(max_items: usize, settings: &PoolSettings) -> BatchPolicy {
        let (max_in_flight, max_wait) = (DEFAULT_MAX_IN_FLIGHT, settings.acquire_timeout);
        let sharing = if settings.is_distributed { Sharing::Never } else { Sharing::UntilRolledBack };
        BatchPolicy { max_in_flight, max_items, max_wait, fails_fast: true, sharing }
    }
}

/// Calling threads that a statement can block while the database hangs: the leaders of the batches in flight, of those
/// that start once these are overdue, and of the one that waits.
pub(super) const fn max_blocked_callers(max_in_flight: usize) -> usize {
    max_in_flight + MAX_OVERDUE + 1
}

/// Threads that lead the batches of so many statements with the default policy, for [`Batcher::run_on`].
pub(super) fn leaders(name: &'static str, statements: usize) -> ThreadPool {
    ThreadPool::new(ThreadPoolSettings {
        name,
        max_threads: statements * max_blocked_callers(DEFAULT_MAX_IN_FLIGHT),
        // A job leads a batch, and answers it in time.
        max_queued: usize::MAX,
        idle_timeout: Duration::from_secs(10),
        stack_bytes: 512 * 1024,
    })
}

/// Executes one statement for all requests that wait for it.
pub(super) struct Batcher<Item, Answer, Source: ConnectionSource = Pool> {
    statement: Statement<Source::Connection, Item, Answer>,
    policy: BatchPolicy,
    /// Observes the number of items of each batch that runs.
    sizes: Histogram,
    source: Arc<Source>,
    state: Mutex<State<Item, Answer>>,
    /// Notified when a permit is released.
    permit_released: Condvar,
}

struct State<Item, Answer> {
    /// Open batches, the oldest first. Each has one leader; a leader that gets a permit takes the oldest batch.
    queue: VecDeque<Vec<(Item, Callback<Answer>)>>,
    /// When each batch in flight started.
    in_flight: Vec<Instant>,
    /// Whether the last leader that waited for a permit timed out.
    stalled: bool,
}

impl<Item, Answer, Source: ConnectionSource> Batcher<Item, Answer, Source> {
    pub(super) fn new(
        source: &Arc<Source>,
        statement: Statement<Source::Connection, Item, Answer>,
        policy: BatchPolicy,
        sizes: Histogram,
    ) -> Batcher<Item, Answer, Source> {
        let state = Mutex::new(State { queue: VecDeque::new(), in_flight: Vec::new(), stalled: false });
        Batcher { statement, policy, sizes, source: source.clone(), state, permit_released: Condvar::new() }
    }

    /// Has the statement executed for an item and its result passed to `callback`, once, on this thread or another.
    ///
    /// Without a permit or a connection within [`BatchPolicy::max_wait`] the result is [`Error::Unavailable`]. A broken
    /// connection or a timeout is the result of every item of the batch.
    pub(super) fn run(&self, item: Item, callback: Callback<Answer>) {
        if self.enqueue(item, callback).is_some() {
            self.lead();
        }
    }

    /// The same, but a thread of the pool leads the batch, so that the calling thread does not block.
    pub(super) fn run_on(self: &Arc<Self>, leaders: &ThreadPool, item: Item, callback: Callback<Answer>)
    where
        Batcher<Item, Answer, Source>: Send + Sync + 'static,
    {
        if self.enqueue(item, callback).is_some() {
            self.lead_on(leaders);
        }
    }

    /// The same, but the calling thread leads the batch if no other one is open or runs, so that a lone client costs no switch of
    /// threads. It blocks one caller at most, since a batch is in flight until its statement ends.
    pub(super) fn run_alone_or_on(self: &Arc<Self>, leaders: &ThreadPool, item: Item, callback: Callback<Answer>)
    where
        Batcher<Item, Answer, Source>: Send + Sync + 'static,
    {
        match self.enqueue(item, callback) {
            Some(true) => self.lead(),
            Some(false) => self.lead_on(leaders),
            None => {}
        }
    }

    /// The same for the callbacks of another batch. After the last of them, their thread leads the batch that they have begun,
    /// if no other one is open or runs, so that a lone client costs no switch of threads; else a thread of the pool leads it.
    pub(super) fn run_from_callback(self: &Arc<Self>, leaders: &Arc<ThreadPool>, item: Item, callback: Callback<Answer>)
    where
        Batcher<Item, Answer, Source>: Send + Sync + 'static,
    {
        let Some(is_alone) = self.enqueue(item, callback) else { return };
        let (batcher, leaders) = (self.clone(), leaders.clone());
        after_callbacks(move || {
            if is_alone {
                batcher.lead();
            } else {
                batcher.lead_on(&leaders);
            }
        });
    }

    /// Batches that wait for a permit or a connection.
    pub(super) fn open_batches(&self) -> usize {
        self.state.lock().queue.len()
    }

    /// When the batch in flight began that has run for longest; `None` if none runs.
    pub(super) fn oldest_began(&self) -> Option<Instant> {
        self.state.lock().in_flight.iter().min().copied()
    }

    /// Adds an item to the open batch. For the first one, whose caller must lead the batch, returns whether no other batch is
    /// open or runs.
    fn enqueue(&self, item: Item, callback: Callback<Answer>) -> Option<bool> {
        let mut state = self.state.lock();
        match state.queue.back_mut() {
            Some(batch) if batch.len() < self.policy.max_items => {
                batch.push((item, callback));
                None
            }
            _ => {
                state.queue.push_back(vec![(item, callback)]);
                Some(state.queue.len() == 1 && state.in_flight.is_empty())
            }
        }
    }

    fn lead_on(self: &Arc<Self>, leaders: &ThreadPool)
    where
        Batcher<Item, Answer, Source>: Send + Sync + 'static,
    {
        let batcher = self.clone();
        if leaders.execute(move || batcher.lead()).is_err() {
            // The operating system has no thread.
            self.lead();
        }
    }

    fn lead(&self) {
        let deadline = Instant::now() + self.policy.max_wait;
        let wait = self.source.track_wait();
        let mut callbacks = None;
        // A panic must leave no callback uncalled. Unwinding drops the connection, and the pool discards it.
        let results = catch_unwind(AssertUnwindSafe(|| {
            let _permit = self.acquire_permit(deadline)?;
            let mut connection = self.source.acquire(deadline.saturating_duration_since(Instant::now()))?;
            drop(wait);
            let (items, waiting) = self.close_oldest();
            callbacks = Some(waiting);
            self.sizes.observe(items.len() as f64);
            self.execute(&mut connection, &items)
        }));
        let callbacks = callbacks.unwrap_or_else(|| self.close_oldest().1);
        let results = match results.unwrap_or_else(|_| Err(Error::Refused("the statement panicked".to_owned()))) {
            Ok(results) => results,
            Err(error) => callbacks.iter().map(|_| Err(error.clone())).collect(),
        };
        call_back(callbacks, results);
    }

    /// One result for each item, or the error of all.
    ///
    /// One item may be the reason why PostgreSQL rolled the batch back. With [`Sharing::UntilRolledBack`] each item is then
    /// executed alone.
    fn execute(
        &self,
        connection: &mut Source::Connection,
        items: &[Item],
    ) -> Result<Vec<Result<Answer, Error>>, Error> {
        let sharing = self.policy.sharing;
        if sharing == Sharing::Never {
            return Ok(self.execute_individually(connection, items));
        }
        match (self.statement)(connection, items) {
            Err(error) if error.was_rolled_back() && sharing == Sharing::UntilRolledBack && items.len() > 1 => {
                Ok(self.execute_individually(connection, items))
            }
            Ok(answers) if answers.len() != items.len() => {
                Err(Error::Refused("a statement without an answer".to_owned()))
            }
            result => Ok(result?.into_iter().map(Ok).collect()),
        }
    }

    fn execute_individually(&self, connection: &mut Source::Connection, items: &[Item]) -> Vec<Result<Answer, Error>> {
        let deadline = Instant::now() + MAX_INDIVIDUAL_TIME;
        let mut abort = None;
        let execute_one = |item| {
            if let Some(error) = &abort {
                return Err(Error::clone(error));
            }
            let result = (self.statement)(connection, slice::from_ref(item));
            match &result {
                // With Citus one worker may be gone, and the items of others succeed. If it is the connection, each fails at once.
                Err(Error::Unavailable) if self.policy.sharing == Sharing::Never => {}
                // The remaining items would meet the same error.
                Err(error) if error.concerns_all() => abort = Some(error.clone()),
                _ if Instant::now() > deadline => abort = Some(Error::Unavailable),
                _ => {}
            }
            result?.pop().ok_or_else(|| Error::Refused("a statement without an answer".to_owned()))
        };
        items.iter().map(execute_one).collect()
    }

    /// Waits until another batch may run.
    fn acquire_permit(&self, deadline: Instant) -> Result<Permit<'_, Item, Answer, Source>, Error> {
        let mut state = self.state.lock();
        let hardly_waits = self.policy.fails_fast && state.stalled;
        let wait = if hardly_waits { STALLED_WAIT } else { deadline.saturating_duration_since(Instant::now()) };
        self.permit_released.wait_while_for(&mut state, |state| self.is_full(state), wait);
        state.stalled = self.is_full(&state);
        if state.stalled {
            return Err(Error::Unavailable);
        }
        let started_at = Instant::now();
        state.in_flight.push(started_at);
        Ok(Permit { batcher: self, started_at })
    }

    fn is_full(&self, state: &State<Item, Answer>) -> bool {
        let overdue = state.in_flight.iter().filter(|started_at| started_at.elapsed() > OVERDUE_AFTER).count();
        state.in_flight.len() >= self.policy.max_in_flight + overdue.min(MAX_OVERDUE)
    }

    /// Takes the oldest batch out of the queue, so that no further item joins it.
    fn close_oldest(&self) -> (Vec<Item>, Vec<Callback<Answer>>) {
        let batch = self.state.lock().queue.pop_front().expect("each leader adds one batch and takes one");
        batch.into_iter().unzip()
    }
}

/// Calls each callback with its result, then runs what they have begun. A callback that panics takes no other with it.
fn call_back<Answer>(callbacks: Vec<Callback<Answer>>, results: Vec<Result<Answer, Error>>) {
    let outer = AFTER_CALLBACKS.replace(Some(Vec::new()));
    for (callback, result) in callbacks.into_iter().zip(results) {
        // The panic hook has logged it.
        let _ = catch_unwind(AssertUnwindSafe(|| callback(result)));
    }
    let jobs = AFTER_CALLBACKS.replace(outer);
    jobs.into_iter().flatten().for_each(|job| job());
}

/// Runs a job at once, or after the last callback of the batch whose callbacks are called on this thread.
fn after_callbacks(job: impl FnOnce() + 'static) {
    let job = AFTER_CALLBACKS.with_borrow_mut(|jobs| match jobs {
        Some(jobs) => {
            jobs.push(Box::new(job));
            None
        }
        None => Some(job),
    });
    if let Some(job) = job {
        job();
    }
}

/// The right to run one batch, released on drop.
struct Permit<'a, Item, Answer, Source: ConnectionSource> {
    batcher: &'a Batcher<Item, Answer, Source>,
    started_at: Instant,
}

impl<Item, Answer, Source: ConnectionSource> Drop for Permit<'_, Item, Answer, Source> {
    fn drop(&mut self) {
        let mut state = self.batcher.state.lock();
        if let Some(index) = state.in_flight.iter().position(|started_at| *started_at == self.started_at) {
            state.in_flight.swap_remove(index);
        }
        drop(state);
        self.batcher.permit_released.notify_one();
    }
}

#[cfg(test)]
mod tests;
