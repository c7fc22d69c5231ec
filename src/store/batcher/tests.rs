//! Group commit with a table of numbers in memory; `tests/suite/store/shared_statements.rs` proves it with PostgreSQL.
#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

mod after_callbacks;

use std::collections::BTreeSet;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use super::*;

const POLICY: BatchPolicy = BatchPolicy {
    max_in_flight: 1,
    max_items: 256,
    max_wait: Duration::from_secs(20),
    fails_fast: true,
    sharing: Sharing::UntilRolledBack,
};

/// Longer than any correct wait, also on a machine under load.
const PATIENCE: Duration = Duration::from_secs(15);

/// This number makes the statement panic.
const PANICKING: i32 = -1;

/// This number is of a worker that is gone.
const UNAVAILABLE: i32 = -2;

/// Numbers that are unique as in a table with a primary key, and what was observed of the statements on it.
#[derive(Default)]
struct Table {
    numbers: Mutex<BTreeSet<i32>>,
    batch_sizes: Mutex<Vec<usize>>,
    in_flight: AtomicUsize,
    max_in_flight: AtomicUsize,
    discarded: AtomicUsize,
    /// Closed, it blocks every statement.
    gate_is_closed: Mutex<bool>,
    gate_opened: Condvar,
}

/// A connection to the table.
struct Connection(Arc<Table>);

/// Stores all numbers or none, and answers each with its double.
fn insert(Connection(table): &mut Connection, numbers: &[i32]) -> Result<Vec<i32>, Error> {
    struct InFlight<'a>(&'a Table);
    impl Drop for InFlight<'_> {
        fn drop(&mut self) {
            self.0.in_flight.fetch_sub(1, Ordering::SeqCst);
        }
    }
    table.batch_sizes.lock().push(numbers.len());
    let in_flight = table.in_flight.fetch_add(1, Ordering::SeqCst) + 1;
    table.max_in_flight.fetch_max(in_flight, Ordering::SeqCst);
    let _in_flight = InFlight(table);
    table.gate_opened.wait_while(&mut table.gate_is_closed.lock(), |closed| *closed);
    // A round trip, in which the next batch fills.
    thread::sleep(Duration::from_micros(300));
    assert!(!numbers.contains(&PANICKING), "as requested");
    if numbers.contains(&UNAVAILABLE) {
        return Err(Error::Unavailable);
    }
    let mut stored = table.numbers.lock();
    if numbers.iter().any(|number| stored.contains(number)) {
        return Err(Error::Refused("SQLSTATE 23505".to_owned()));
    }
    stored.extend(numbers);
    Ok(numbers.iter().map(|number| number * 2).collect())
}

/// A bounded number of connections.
struct Source {
    table: Arc<Table>,
    idle: Mutex<usize>,
    returned: Condvar,
}

impl ConnectionSource for Source {
    type Connection = Connection;

    fn acquire(&self, timeout: Duration) -> Result<impl DerefMut<Target = Connection>, Error> {
        let mut idle = self.idle.lock();
        self.returned.wait_while_for(&mut idle, |idle| *idle == 0, timeout);
        *idle = idle.checked_sub(1).ok_or(Error::Unavailable)?;
        Ok(Borrowed { source: self, connection: Connection(self.table.clone()) })
    }

    fn track_wait(&self) -> impl Sized {}
}

/// A borrowed connection; one that is dropped by a panic is replaced, as the pool does.
struct Borrowed<'a> {
    source: &'a Source,
    connection: Connection,
}

impl Deref for Borrowed<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.connection
    }
}

impl DerefMut for Borrowed<'_> {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.connection
    }
}

impl Drop for Borrowed<'_> {
    fn drop(&mut self) {
        self.connection.0.discarded.fetch_add(usize::from(thread::panicking()), Ordering::SeqCst);
        *self.source.idle.lock() += 1;
        self.source.returned.notify_one();
    }
}

type Outcome = mpsc::Receiver<Result<i32, Error>>;

#[derive(Clone)]
struct Fixture {
    batcher: Arc<Batcher<i32, i32, Source>>,
    source: Arc<Source>,
    table: Arc<Table>,
}

impl Fixture {
    fn new(policy: BatchPolicy, connections: usize) -> Fixture {
        let table = Arc::new(Table::default());
        let source = Source { table: table.clone(), idle: Mutex::new(connections), returned: Condvar::new() };
        let source = Arc::new(source);
        let batcher = Arc::new(Batcher::new(&source, insert, policy, Histogram::new([1.0])));
        Fixture { batcher, source, table }
    }

    /// Has a number stored, on this thread.
    fn run(&self, number: i32) -> Outcome {
        let (sender, outcome) = mpsc::channel();
        self.batcher.run(number, Box::new(move |result| _ = sender.send(result)));
        outcome
    }

    /// Has numbers stored, each on its own thread, and waits until all threads but those of the leaders have returned.
    #[track_caller]
    fn enqueue(&self, numbers: impl IntoIterator<Item = i32>, leaders: usize) -> Vec<Outcome> {
        // Counted for each call: the leader of an earlier batch returns some time after its callbacks.
        let returned = Arc::new(AtomicUsize::new(0));
        let spawn = |number| {
            let (sender, outcome) = mpsc::channel();
            let (batcher, returned) = (self.batcher.clone(), returned.clone());
            thread::spawn(move || {
                batcher.run(number, Box::new(move |result| _ = sender.send(result)));
                returned.fetch_add(1, Ordering::SeqCst);
            });
            outcome
        };
        let outcomes: Vec<Outcome> = numbers.into_iter().map(spawn).collect();
        eventually(|| returned.load(Ordering::SeqCst) == outcomes.len() - leaders);
        outcomes
    }

    /// Closes the gate and has one number for each permit run into it.
    #[track_caller]
    fn block(&self, numbers: impl IntoIterator<Item = i32>) -> Vec<Outcome> {
        *self.table.gate_is_closed.lock() = true;
        let mut outcomes = Vec::new();
        for number in numbers {
            outcomes.extend(self.enqueue([number], 1));
            eventually(|| self.table.in_flight.load(Ordering::SeqCst) == outcomes.len());
        }
        outcomes
    }

    fn unblock(&self) {
        *self.table.gate_is_closed.lock() = false;
        self.table.gate_opened.notify_all();
    }

    /// The sizes of the batches since the last call.
    fn batch_sizes(&self) -> Vec<usize> {
        std::mem::take(&mut *self.table.batch_sizes.lock())
    }

    #[track_caller]
    fn assert_stored(&self, numbers: impl IntoIterator<Item = i32>) {
        assert_eq!(*self.table.numbers.lock(), numbers.into_iter().collect());
    }
}

#[track_caller]
fn eventually(condition: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "it did not happen within {PATIENCE:?}");
        thread::sleep(Duration::from_millis(1));
    }
}

#[track_caller]
fn result(outcome: &Outcome) -> Result<i32, Error> {
    outcome.recv_timeout(PATIENCE).expect("each item gets a result")
}

#[track_caller]
fn assert_doubled(numbers: impl IntoIterator<Item = i32>, outcomes: &[Outcome]) {
    for (number, outcome) in numbers.into_iter().zip(outcomes) {
        assert_eq!(result(outcome), Ok(number * 2), "{number}");
    }
}

#[test]
fn a_lone_item_runs_at_once_on_the_calling_thread() {
    let fixture = Fixture::new(POLICY, 1);
    for number in 0..5 {
        let started_at = Instant::now();
        assert_eq!(fixture.run(number).try_recv(), Ok(Ok(number * 2)));
        assert!(started_at.elapsed() < Duration::from_secs(1), "{:?}", started_at.elapsed());
    }
    assert_eq!(fixture.batch_sizes(), [1; 5]);
}

#[test]
fn items_that_arrive_while_a_batch_runs_share_the_next_and_each_gets_its_own_answer() {
    let fixture = Fixture::new(POLICY, 2);
    let first = fixture.block([0]);
    let others = fixture.enqueue(1..60, 1);
    fixture.unblock();
    assert_doubled([0], &first);
    assert_doubled(1..60, &others);
    assert_eq!(fixture.batch_sizes(), [1, 59]);
    fixture.assert_stored(0..60);
}

#[test]
fn batches_in_flight_stay_within_the_limit() {
    let fixture = Fixture::new(BatchPolicy { max_in_flight: 2, ..POLICY }, 4);
    let first = fixture.block(0..2);
    let others = fixture.enqueue(2..30, 1);
    assert_eq!(fixture.table.in_flight.load(Ordering::SeqCst), 2);
    fixture.unblock();
    assert_doubled(0..2, &first);
    assert_doubled(2..30, &others);
    assert_eq!(fixture.batch_sizes(), [1, 1, 28]);
    assert_eq!(fixture.table.max_in_flight.load(Ordering::SeqCst), 2);
}

#[test]
fn batches_stay_within_their_size_and_the_oldest_runs_first() {
    let fixture = Fixture::new(BatchPolicy { max_items: 8, ..POLICY }, 2);
    let first = fixture.block([0]);
    let others = fixture.enqueue(1..31, 4);
    fixture.unblock();
    assert_doubled([0], &first);
    assert_doubled(1..31, &others);
    assert_eq!(fixture.batch_sizes(), [1, 8, 8, 8, 6]);
}

#[test]
fn a_refused_item_fails_alone() {
    let fixture = Fixture::new(POLICY, 2);
    assert_eq!(result(&fixture.run(13)), Ok(26));
    let first = fixture.block([100]);
    let others = fixture.enqueue(0..20, 1);
    fixture.unblock();
    assert_doubled([100], &first);
    for (number, outcome) in (0..20).zip(&others) {
        let refused = Err(Error::Refused("SQLSTATE 23505".to_owned()));
        assert_eq!(result(outcome), if number == 13 { refused } else { Ok(number * 2) }, "{number}");
    }
    fixture.assert_stored((0..20).chain([100]));
    let alone = [1; 20];
    assert_eq!(fixture.batch_sizes(), [&[1, 1, 20], alone.as_slice()].concat());
}

#[test]
fn a_panicking_statement_fails_its_batch_and_discards_its_connection() {
    let fixture = Fixture::new(POLICY, 2);
    for round in 0..4 {
        let first = fixture.block([round]);
        let others = fixture.enqueue((1..10).map(|number| round * 100 + number + 10).chain([PANICKING]), 1);
        fixture.unblock();
        assert_doubled([round], &first);
        for outcome in &others {
            assert_eq!(result(outcome), Err(Error::Refused("the statement panicked".to_owned())));
        }
        assert_eq!(fixture.batch_sizes(), [1, 10], "round {round}");
    }
    assert_eq!(fixture.table.discarded.load(Ordering::SeqCst), 4);
    assert_eq!(result(&fixture.run(50)), Ok(100));
    fixture.assert_stored([0, 1, 2, 3, 50]);
}

#[test]
fn a_batch_without_a_permit_is_unavailable_and_the_next_ones_hardly_wait() {
    let max_wait = Duration::from_secs(1);
    let fixture = Fixture::new(BatchPolicy { max_wait, ..POLICY }, 2);
    for round in [0, 100] {
        let blocked = fixture.block([round]);
        let started_at = Instant::now();
        for outcome in &fixture.enqueue((1..10).map(|number| round + number), 1) {
            assert_eq!(result(outcome), Err(Error::Unavailable));
        }
        let took = started_at.elapsed();
        assert!(took > max_wait.mul_f32(0.9) && took < max_wait + Duration::from_secs(3), "{took:?}");
        let started_at = Instant::now();
        for number in 10..20 {
            assert_eq!(result(&fixture.run(round + number)), Err(Error::Unavailable));
        }
        let took = started_at.elapsed();
        assert!(took < max_wait, "ten in a row took {took:?}");
        // Once the database works again, a batch runs at once, and the next leaders wait for their permit again.
        fixture.unblock();
        assert_doubled([round], &blocked);
        assert_eq!(result(&fixture.run(round + 20)), Ok((round + 20) * 2));
    }
    fixture.assert_stored([0, 20, 100, 120]);
}

#[test]
fn a_batch_without_a_connection_is_unavailable() {
    let max_wait = Duration::from_millis(500);
    let fixture = Fixture::new(BatchPolicy { max_in_flight: 2, max_wait, ..POLICY }, 1);
    let held = fixture.source.acquire(max_wait).unwrap();
    let started_at = Instant::now();
    for outcome in &fixture.enqueue(0..10, 0) {
        assert_eq!(result(outcome), Err(Error::Unavailable));
    }
    assert!(started_at.elapsed() < max_wait + Duration::from_secs(3), "{:?}", started_at.elapsed());
    assert!(fixture.batch_sizes().is_empty(), "nothing ran");
    drop(held);
    assert_eq!(result(&fixture.run(10)), Ok(20));
}

#[test]
fn many_clients_need_few_statements_and_every_item_is_stored_once() {
    let fixture = Fixture::new(BatchPolicy { max_in_flight: 2, max_items: 16, ..POLICY }, 2);
    thread::scope(|scope| {
        for client in 0..32 {
            let fixture = &fixture;
            scope.spawn(move || {
                for number in (client * 100)..(client * 100 + 50) {
                    assert_eq!(result(&fixture.run(number)), Ok(number * 2));
                }
            });
        }
    });
    let sizes = fixture.batch_sizes();
    assert_eq!(sizes.iter().sum::<usize>(), 1600);
    assert!(sizes.len() < 1000, "{} statements for 1600 items", sizes.len());
    assert!(sizes.iter().all(|size| *size <= 16), "{sizes:?}");
    assert!(fixture.table.max_in_flight.load(Ordering::SeqCst) <= 2);
    assert_eq!(fixture.table.numbers.lock().len(), 1600);
}

#[test]
fn overdue_batches_let_others_run_up_to_their_limit() {
    let fixture = Fixture::new(BatchPolicy { max_wait: Duration::from_millis(50), ..POLICY }, 8);
    *fixture.table.gate_is_closed.lock() = true;
    let in_flight = || fixture.table.in_flight.load(Ordering::SeqCst);
    let mut outcomes = Vec::new();
    for number in 1..=1 + i32::try_from(MAX_OVERDUE).unwrap() {
        outcomes.extend(fixture.enqueue([number], 1));
        eventually(|| in_flight() == outcomes.len());
        assert_eq!(result(&fixture.run(100 + number)), Err(Error::Unavailable), "beside {number}");
        thread::sleep(OVERDUE_AFTER + Duration::from_millis(100));
    }
    // All of them are overdue, and no more than the limit are passed.
    assert_eq!(result(&fixture.run(200)), Err(Error::Unavailable));
    fixture.unblock();
    assert_doubled(1.., &outcomes);
}

#[test]
fn items_that_share_no_statement_are_executed_one_by_one_and_one_of_a_lost_worker_fails_alone() {
    let fixture = Fixture::new(BatchPolicy { sharing: Sharing::Never, ..POLICY }, 2);
    assert_eq!(result(&fixture.run(13)), Ok(26));
    let first = fixture.block([100]);
    let others = fixture.enqueue([11, 12, 13, UNAVAILABLE, 14], 1);
    fixture.unblock();
    assert_doubled([100], &first);
    let results: Vec<_> = others.iter().map(result).collect();
    assert_eq!(results[..2], [Ok(22), Ok(24)]);
    assert!(matches!(results[2], Err(Error::Refused(_))), "{:?}", results[2]);
    assert_eq!(results[3..], [Err(Error::Unavailable), Ok(28)]);
    assert_eq!(fixture.batch_sizes(), [1; 7]);
    fixture.assert_stored([11, 12, 13, 14, 100]);
}
