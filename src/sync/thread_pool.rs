//! A bounded pool of threads for blocking jobs. Threads start on demand and end after a time without work.

use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;

type Job = Box<dyn FnOnce() + Send>;

/// Bounds of a pool.
#[derive(Debug, Clone, Copy)]
pub struct ThreadPoolSettings {
    /// The threads' name. Linux shows its first 15 bytes.
    pub name: &'static str,
    /// Threads at most.
    pub max_threads: usize,
    /// Jobs at most that wait for a thread.
    pub max_queued: usize,
    /// After this time without work a thread ends.
    pub idle_timeout: Duration,
    /// Stack of each thread in bytes.
    pub stack_bytes: usize,
}

/// The pool has no thread and no room in its queue for another job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rejected;

/// A pool of threads. Queued and running jobs continue when it is dropped.
pub struct ThreadPool(Arc<Shared>);

struct Shared {
    settings: ThreadPoolSettings,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    threads: usize,
    next_id: u64,
    /// The most recently idle thread is last and gets the next job, so that the others reach their timeout.
    idle: Vec<IdleThread>,
    queue: VecDeque<Job>,
}

struct IdleThread {
    id: u64,
    jobs: SyncSender<Job>,
}

impl ThreadPool {
    /// A pool without threads; the first job starts the first one.
    #[must_use]
    pub fn new(settings: ThreadPoolSettings) -> ThreadPool {
        ThreadPool(Arc::new(Shared { settings, state: Mutex::default() }))
    }

    /// Runs a job on a thread of the pool. A panic ends the job, not its thread.
    ///
    /// # Errors
    /// [`Rejected`] when `max_queued` jobs wait, or the operating system gives no thread; the job is dropped.
    pub fn execute(&self, job: impl FnOnce() + Send + 'static) -> Result<(), Rejected> {
        let job: Job = Box::new(job);
        let mut state = self.0.state.lock();
        if let Some(thread) = state.idle.pop() {
            drop(state);
            // Its channel holds one job and is empty.
            return thread.jobs.try_send(job).map_err(|_| Rejected);
        }
        if state.queue.len() >= self.0.settings.max_queued {
            return Err(Rejected);
        }
        state.queue.push_back(job);
        if state.threads < self.0.settings.max_threads && self.0.start(&mut state).is_err() && state.threads == 0 {
            let job = state.queue.pop_back();
            drop(state);
            // The job's captures may take locks when they are dropped.
            drop(job);
            return Err(Rejected);
        }
        Ok(())
    }

    /// Whether jobs wait while all threads are busy.
    #[must_use]
    pub fn is_saturated(&self) -> bool {
        let state = self.0.state.lock();
        state.threads >= self.0.settings.max_threads && !state.queue.is_empty()
    }
}

impl Shared {
    fn start(self: &Arc<Shared>, state: &mut State) -> io::Result<()> {
        let (shared, id) = (self.clone(), state.next_id);
        let builder = thread::Builder::new().name(self.settings.name.to_owned()).stack_size(self.settings.stack_bytes);
        builder.spawn(move || shared.work(id))?;
        state.threads += 1;
        state.next_id += 1;
        Ok(())
    }

    fn work(&self, id: u64) {
        let (sender, receiver) = mpsc::sync_channel(1);
        while let Some(job) = self.next_job(id, &sender, &receiver) {
            // The panic hook has logged it.
            let _ = catch_unwind(AssertUnwindSafe(job));
        }
    }

    /// The next job of a thread; `None` after the idle timeout.
    fn next_job(&self, id: u64, sender: &SyncSender<Job>, receiver: &Receiver<Job>) -> Option<Job> {
        let mut state = self.state.lock();
        if let Some(job) = state.queue.pop_front() {
            return Some(job);
        }
        state.idle.push(IdleThread { id, jobs: sender.clone() });
        drop(state);
        if let Ok(job) = receiver.recv_timeout(self.settings.idle_timeout) {
            return Some(job);
        }
        let mut state = self.state.lock();
        match state.idle.iter().position(|thread| thread.id == id) {
            Some(position) => {
                state.idle.remove(position);
                state.threads -= 1;
                None
            }
            None => {
                drop(state);
                // `execute` took this thread at the moment of the timeout, so its job is on the way.
                receiver.recv().ok()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Instant;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    const SETTINGS: ThreadPoolSettings = ThreadPoolSettings {
        name: "test",
        max_threads: 2,
        max_queued: 3,
        idle_timeout: Duration::from_secs(60),
        stack_bytes: 256 * 1024,
    };

    fn eventually(what: &str, condition: impl Fn() -> bool) {
        let deadline = Instant::now() + LIMIT;
        while !condition() {
            assert!(Instant::now() < deadline, "{what}");
            thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn jobs_beyond_the_threads_wait_and_jobs_beyond_the_queue_are_rejected() {
        let pool = ThreadPool::new(SETTINGS);
        let (gate, entered) = (Arc::new(Mutex::new(())), Arc::new(AtomicUsize::new(0)));
        let closed = gate.lock();
        let job = || {
            let (gate, entered) = (gate.clone(), entered.clone());
            move || {
                entered.fetch_add(1, Ordering::Relaxed);
                drop(gate.lock());
            }
        };
        for number in 1..=SETTINGS.max_threads {
            assert_eq!(pool.execute(job()), Ok(()));
            eventually("a thread runs the job", || entered.load(Ordering::Relaxed) == number);
        }
        assert!(!pool.is_saturated());
        for _ in 0..SETTINGS.max_queued {
            assert_eq!(pool.execute(job()), Ok(()));
        }
        assert!(pool.is_saturated());
        assert_eq!(pool.execute(job()), Err(Rejected));
        assert_eq!(pool.0.state.lock().threads, SETTINGS.max_threads);
        drop(closed);
        eventually("queued jobs run", || entered.load(Ordering::Relaxed) == SETTINGS.max_threads + SETTINGS.max_queued);
        assert!(!pool.is_saturated());
    }

    #[test]
    fn an_idle_thread_runs_the_next_job_also_after_a_panic() {
        let pool = ThreadPool::new(SETTINGS);
        let done = Arc::new(AtomicUsize::new(0));
        for number in 1..=10 {
            let done = done.clone();
            let job = move || {
                done.fetch_add(1, Ordering::Relaxed);
                assert!(number % 2 == 0, "an odd job panics");
            };
            assert_eq!(pool.execute(job), Ok(()));
            eventually("the thread is idle again", || pool.0.state.lock().idle.len() == 1);
        }
        assert_eq!((done.load(Ordering::Relaxed), pool.0.state.lock().threads), (10, 1));
    }

    #[test]
    fn an_idle_thread_ends_after_its_timeout() {
        let pool = ThreadPool::new(ThreadPoolSettings { idle_timeout: Duration::from_millis(10), ..SETTINGS });
        let done = Arc::new(AtomicUsize::new(0));
        for number in 1..=3 {
            let counter = done.clone();
            assert_eq!(pool.execute(move || _ = counter.fetch_add(1, Ordering::Relaxed)), Ok(()));
            eventually("the thread ends", || pool.0.state.lock().threads == 0);
            assert_eq!(done.load(Ordering::Relaxed), number);
        }
    }

    #[test]
    fn no_job_is_lost_when_it_arrives_at_the_idle_timeout() {
        let pool = ThreadPool::new(ThreadPoolSettings { idle_timeout: Duration::from_micros(200), ..SETTINGS });
        let done = Arc::new(AtomicUsize::new(0));
        for number in 1..=500 {
            let counter = done.clone();
            assert_eq!(pool.execute(move || _ = counter.fetch_add(1, Ordering::Relaxed)), Ok(()));
            eventually("the job runs", || done.load(Ordering::Relaxed) == number);
            thread::sleep(Duration::from_micros(100 + number as u64 % 20 * 10));
        }
    }
}
