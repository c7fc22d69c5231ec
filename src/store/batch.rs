//! Requests that wait for a connection at the same time share one statement, and with it one commit.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::slice;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};

use prometheus_client::metrics::histogram::Histogram;

use super::database::STALLED_WAIT;
use super::{Connection, Database, Error};

/// Does something for each of several items, for all of them or for none, and says what came of each, in their order.
pub type Statement<Item, Answer> = fn(&mut Connection, &[Item]) -> Result<Vec<Answer>, Error>;

/// Is told what came of an item, on whichever thread had it done.
pub type Done<Answer> = Box<dyn FnOnce(Result<Answer, Error>) + Send>;

/// Waits for what a statement comes to, for those who have a thread to wait in.
///
/// # Errors
/// As the statement has them, and [`Error::Timeout`] at the deadline: then it may be done all the same, now or later.
pub fn wait<Answer: Send + 'static>(deadline: Instant, start: impl FnOnce(Done<Answer>)) -> Result<Answer, Error> {
    let (sender, receiver) = mpsc::sync_channel(1);
    start(Box::new(move |result| _ = sender.send(result)));
    let left = deadline.saturating_duration_since(Instant::now());
    receiver.recv_timeout(left).unwrap_or(Err(Error::Timeout))
}

/// How a statement is shared.
#[derive(Debug, Clone, Copy)]
pub struct Sharing {
    /// Batches that may run at once, each on a connection of its own.
    pub most_running: usize,
    /// Items in a batch.
    pub most_items: usize,
    /// How long a batch may wait for its turn and its connection.
    pub most_wait: Duration,
    /// Whether one item may be the trouble of a batch that PostgreSQL refused, so that each is tried alone.
    pub items_differ: bool,
}

/// A batch that has run for so long, on a connection that is dead or before a lock, does not keep the next from its turn.
const OVERDUE: Duration = Duration::from_secs(2);

/// As many more may run then.
const MOST_OVERDUE: usize = 2;

/// For how long items of a refused batch are tried alone; those that are left then are told to come again.
const MOST_ALONE: Duration = Duration::from_secs(5);

/// Runs one statement for all who ask for it while a turn or a connection is awaited.
///
/// There is no timer, and whoever comes alone goes at once. The first to come for a batch leads it: it waits for a turn and
/// a connection, closes the batch and runs the statement. The others leave their item and go. Then the turn is handed
/// over to the next leader, and all of the batch are told. So however many wait, each batch holds up one thread.
pub struct Batcher<Item, Answer> {
    statement: Statement<Item, Answer>,
    sharing: Sharing,
    sizes: Histogram,
    state: Mutex<State<Item, Answer>>,
    /// Told when a turn is over.
    turn_over: Condvar,
}

struct State<Item, Answer> {
    /// Batches that wait, the oldest first. Each has a leader, and whichever gets a turn takes the oldest.
    waiting: VecDeque<Batch<Item, Answer>>,
    /// Since when each batch runs that does.
    running: Vec<Instant>,
    /// Whether the last leader that waited for a turn waited in vain. Then others hardly wait: they would keep threads
    /// from requests that need no database.
    stalled: bool,
}

struct Batch<Item, Answer> {
    items: Vec<Item>,
    done: Vec<Done<Answer>>,
}

impl<Item, Answer> Batcher<Item, Answer> {
    /// Shares a statement; `sizes` is told how many items each run had.
    pub fn new(statement: Statement<Item, Answer>, sharing: Sharing, sizes: Histogram) -> Batcher<Item, Answer> {
        let state = State { waiting: VecDeque::new(), running: Vec::new(), stalled: false };
        Batcher { statement, sharing, sizes, state: Mutex::new(state), turn_over: Condvar::new() }
    }

    /// Has the statement run for an item, together with others or alone. `done` is called once, on this thread or another.
    ///
    /// Where PostgreSQL refuses a batch, each of its items is tried alone. Where the connection breaks or the statement takes
    /// too long, all are told so.
    pub fn run(&self, database: &Database, item: Item, done: Done<Answer>) {
        if self.join(item, done) {
            self.lead(database);
        }
    }

    /// Adds an item to the newest batch, and says whether it is the first there, so that it has to lead.
    fn join(&self, item: Item, done: Done<Answer>) -> bool {
        let mut state = self.state();
        match state.waiting.back_mut() {
            Some(batch) if batch.items.len() < self.sharing.most_items => {
                batch.items.push(item);
                batch.done.push(done);
                false
            }
            _ => {
                state.waiting.push_back(Batch { items: vec![item], done: vec![done] });
                true
            }
        }
    }

    fn lead(&self, database: &Database) {
        let deadline = Instant::now() + self.sharing.most_wait;
        let waiting = database.note_wait();
        let turn = self.take_turn(deadline);
        let mut taken = None;
        // A panic must leave nobody waiting, and the connection to nobody else: it is dropped on the way out.
        let results = catch_unwind(AssertUnwindSafe(|| {
            let _turn = turn?;
            let mut connection = database.connection_within(deadline.saturating_duration_since(Instant::now()))?;
            drop(waiting);
            let batch = taken.insert(self.close_oldest());
            self.sizes.observe(batch.items.len() as f64);
            Ok(self.execute(&mut connection, &batch.items))
        }));
        let batch = taken.unwrap_or_else(|| self.close_oldest());
        let all = |error: Error| batch.items.iter().map(|_| Err(error.clone())).collect();
        let results: Vec<_> = match results {
            Ok(Ok(results)) => results,
            Ok(Err(error)) => all(error),
            Err(_) => all(Error::Refused("the statement panicked".to_owned())),
        };
        for (done, result) in batch.done.into_iter().zip(results) {
            done(result);
        }
    }

    /// Runs the statement. An error that undid all of it may be the fault of one item, so each is tried alone.
    fn execute(&self, connection: &mut Connection, items: &[Item]) -> Vec<Result<Answer, Error>> {
        match (self.statement)(connection, items) {
            Ok(answers) => answers.into_iter().map(Ok).collect(),
            Err(error) if error.undid_everything() && self.sharing.items_differ && items.len() > 1 => {
                self.execute_each(connection, items)
            }
            Err(error) => items.iter().map(|_| Err(error.clone())).collect(),
        }
    }

    fn execute_each(&self, connection: &mut Connection, items: &[Item]) -> Vec<Result<Answer, Error>> {
        let deadline = Instant::now() + MOST_ALONE;
        let mut over = None;
        let one = |item| {
            if let Some(error) = &over {
                return Err(Error::clone(error));
            }
            let result = (self.statement)(connection, slice::from_ref(item)).map(|mut answers| answers.pop());
            match &result {
                // It would be no different for the others.
                Err(error @ (Error::Unavailable | Error::Timeout)) => over = Some(error.clone()),
                _ if Instant::now() > deadline => over = Some(Error::Unavailable),
                _ => {}
            }
            result.and_then(|answer| answer.ok_or_else(|| Error::Refused("a statement without an answer".to_owned())))
        };
        items.iter().map(one).collect()
    }

    /// Waits until fewer batches run than may.
    fn take_turn(&self, deadline: Instant) -> Result<Turn<'_, Item, Answer>, Error> {
        let state = self.state();
        let wait = if state.stalled { STALLED_WAIT } else { deadline.saturating_duration_since(Instant::now()) };
        let is_busy = |state: &mut State<Item, Answer>| {
            let overdue = state.running.iter().filter(|since| since.elapsed() > OVERDUE).count();
            state.running.len() >= self.sharing.most_running + overdue.min(MOST_OVERDUE)
        };
        let waited = self.turn_over.wait_timeout_while(state, wait, is_busy);
        let (mut state, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        state.stalled = timeout.timed_out();
        if state.stalled {
            return Err(Error::Unavailable);
        }
        let since = Instant::now();
        state.running.push(since);
        Ok(Turn { batcher: self, since })
    }

    /// Takes the batch that has waited for longest; nobody joins it any more.
    fn close_oldest(&self) -> Batch<Item, Answer> {
        self.state().waiting.pop_front().expect("each leader has added a batch and takes one")
    }

    fn state(&self) -> MutexGuard<'_, State<Item, Answer>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to run a batch, handed over when it is dropped.
struct Turn<'a, Item, Answer> {
    batcher: &'a Batcher<Item, Answer>,
    since: Instant,
}

impl<Item, Answer> Drop for Turn<'_, Item, Answer> {
    fn drop(&mut self) {
        let mut state = self.batcher.state();
        if let Some(place) = state.running.iter().position(|since| *since == self.since) {
            state.running.swap_remove(place);
        }
        let is_awaited = !state.waiting.is_empty();
        drop(state);
        // Telling nobody would still be a system call.
        if is_awaited {
            self.batcher.turn_over.notify_one();
        }
    }
}
