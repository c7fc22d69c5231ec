//! A shared statement of the tests' own, which notes how it is run and can be held up.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use postgres::types::Type;
use safespace::config;
use safespace::metrics::Metrics;
use safespace::store::batch::{Batcher, Sharing};
use safespace::store::{Connection, Database, Error, Target};

use super::app::configure;
use super::cluster::Schema;
use super::eventually;
use super::server::Gate;

/// More than one test needs to wait.
const PATIENCE: Duration = Duration::from_secs(15);

/// This number makes the statement panic.
pub(crate) const PANICKING: i32 = -1;

/// A number to be stored, and where that is noted.
pub(crate) struct Item {
    number: i32,
    watch: Arc<Watch>,
}

/// What is seen of the statement.
#[derive(Default)]
struct Watch {
    sizes: Mutex<Vec<usize>>,
    running: AtomicUsize,
    most_running: AtomicUsize,
    gate: Mutex<Option<Arc<Gate>>>,
}

/// Counts down also when the statement panics.
struct Running<'a>(&'a Watch);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Stores all of them and answers each with its double.
fn store(connection: &mut Connection, items: &[Item]) -> Result<Vec<i32>, Error> {
    let watch = &items[0].watch;
    watch.sizes.lock().unwrap().push(items.len());
    let running = watch.running.fetch_add(1, Ordering::SeqCst) + 1;
    watch.most_running.fetch_max(running, Ordering::SeqCst);
    let _running = Running(watch);
    let gate = watch.gate.lock().unwrap().clone();
    if let Some(gate) = gate {
        gate.wait();
    }
    let numbers: Vec<i32> = items.iter().map(|item| item.number).collect();
    assert!(!numbers.contains(&PANICKING), "as asked");
    connection.execute("INSERT INTO numbers SELECT unnest($1::int4[])", &[(&numbers, Type::INT4_ARRAY)])?;
    Ok(numbers.into_iter().map(|number| number * 2).collect())
}

/// What an item is told.
pub(crate) type Told = mpsc::Receiver<Result<i32, Error>>;

/// A statement to be shared, a pool, and a table of numbers that takes each once.
pub(crate) struct Shared {
    batcher: Arc<Batcher<Item, i32>>,
    pub(crate) database: Arc<Database>,
    watch: Arc<Watch>,
    returned: Arc<AtomicUsize>,
    // Dropped after the pool that uses it.
    schema: Schema,
}

impl Shared {
    pub(crate) fn new(sharing: Sharing, pool_size: u32) -> Shared {
        let schema = Schema::new();
        schema.client().batch_execute("CREATE TABLE numbers (number int4 PRIMARY KEY)").unwrap();
        let size = pool_size.to_string();
        let config = configure(&schema.url(), &[("DB_POOL_MIN_SIZE", &size), ("DB_POOL_MAX_SIZE", &size)]);
        let config::Database::Server(server) = &config.database else { panic!("it has a URL") };
        let target = Target::new(server, &config.pool, config.pool.query_timeout).unwrap();
        let metrics = Arc::new(Metrics::default());
        let batcher = Arc::new(Batcher::new(store, sharing, metrics.batch_sizes("numbers")));
        let database = Arc::new(Database::open(target, &config.pool, metrics));
        eventually(PATIENCE, || (database.state().idle == pool_size).then_some(()));
        Shared { batcher, database, watch: Arc::default(), returned: Arc::default(), schema }
    }

    /// Has a number stored, on this thread.
    pub(crate) fn ask(&self, number: i32) -> Told {
        let (done, told) = mpsc::channel();
        self.batcher.run(&self.database, self.item(number), Box::new(move |result| _ = done.send(result)));
        told
    }

    /// Has a number stored, on a thread of its own.
    pub(crate) fn ask_aside(&self, number: i32) -> Told {
        let (done, told) = mpsc::channel();
        let (batcher, database, returned) = (self.batcher.clone(), self.database.clone(), self.returned.clone());
        let item = self.item(number);
        thread::spawn(move || {
            batcher.run(&database, item, Box::new(move |result| _ = done.send(result)));
            returned.fetch_add(1, Ordering::SeqCst);
        });
        told
    }

    /// Has these numbers stored, and waits until all but the leaders of their batches have left theirs and gone.
    #[track_caller]
    pub(crate) fn pile_up(&self, numbers: impl IntoIterator<Item = i32>, leaders: usize) -> Vec<Told> {
        let before = self.returned.load(Ordering::SeqCst);
        let told: Vec<Told> = numbers.into_iter().map(|number| self.ask_aside(number)).collect();
        let returned = || self.returned.load(Ordering::SeqCst) - before;
        eventually(PATIENCE, || (returned() == told.len() - leaders).then_some(()));
        told
    }

    fn item(&self, number: i32) -> Item {
        Item { number, watch: self.watch.clone() }
    }

    /// Holds up each run from now on until it is opened.
    pub(crate) fn hold(&self) -> Arc<Gate> {
        let gate = Arc::new(Gate::default());
        *self.watch.gate.lock().unwrap() = Some(gate.clone());
        gate
    }

    #[track_caller]
    pub(crate) fn wait_until_running(&self, count: usize) {
        eventually(PATIENCE, || (self.running() == count).then_some(()));
    }

    pub(crate) fn running(&self) -> usize {
        self.watch.running.load(Ordering::SeqCst)
    }

    /// The most that ran at once.
    pub(crate) fn most_running(&self) -> usize {
        self.watch.most_running.load(Ordering::SeqCst)
    }

    /// How many items each run had since the last call, the first first.
    pub(crate) fn sizes(&self) -> Vec<usize> {
        std::mem::take(&mut *self.watch.sizes.lock().unwrap())
    }

    /// What is in the table.
    pub(crate) fn stored(&self) -> Vec<i32> {
        let rows = self.schema.client().query("SELECT number FROM numbers ORDER BY number", &[]).unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }
}

/// What came of it; the test fails when nobody says so in time.
#[track_caller]
pub(crate) fn outcome(told: &Told) -> Result<i32, Error> {
    told.recv_timeout(PATIENCE).expect("each item is told what came of it")
}
