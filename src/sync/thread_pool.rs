//! A bounded pool of threads for blocking jobs. Threads start on demand and end after a time without work.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{self, SyncSender};
use std::thread::{self, ThreadId};
use std::time::Duration;

use parking_lot::Mutex;

use crate::memory::overwrite_stack;

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

/// The pool has no idle thread, and its queue is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rejected;

/// A pool of threads. Queued and running jobs continue when it is dropped.
pub struct ThreadPool {
    settings: ThreadPoolSettings,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    threads: usize,
    /// The most recently idle thread is last and gets the next job, so that the others reach their timeout.
    idle: Vec<(ThreadId, SyncSender<Job>)>,
    queue: VecDeque<Job>,
}

impl ThreadPool {
    /// A pool without threads; the first job starts the first one.
    #[must_use]
    pub fn new(settings: ThreadPoolSettings) -> ThreadPool {
        ThreadPool { settings, state: Arc::default() }
    }

    /// Runs a job on a thread of the pool. A panic ends the job, not its thread.
    ///
    /// # Errors
    /// [`Rejected`] when `max_queued` jobs wait, or the operating system gives no thread; the job is dropped.
    pub fn execute(&self, job: impl FnOnce() + Send + 'static) -> Result<(), Rejected> {
        let ThreadPoolSettings { name, max_threads, max_queued, idle_timeout, stack_bytes } = self.settings;
        // Before the lock, and so dropped after it: the job's captures may take locks when they are dropped.
        let job: Job = Box::new(job);
        let mut state = self.state.lock();
        if let Some((_, jobs)) = state.idle.pop() {
            drop(state);
            // Its channel holds one job and is empty.
            return jobs.try_send(job).map_err(|_| Rejected);
        }
        if state.queue.len() >= max_queued {
            return Err(Rejected);
        }
        if state.threads < max_threads {
            let shared = self.state.clone();
            let work = move || {
                while let Some(job) = next_job(&shared, idle_timeout) {
                    // The panic hook has logged it.
                    let _ = catch_unwind(AssertUnwindSafe(job));
                    overwrite_stack();
                }
            };
            let started = thread::Builder::new().name(name.to_owned()).stack_size(stack_bytes).spawn(work).is_ok();
            state.threads += usize::from(started);
            if state.threads == 0 {
                return Err(Rejected);
            }
        }
        state.queue.push_back(job);
        Ok(())
    }

    /// Whether jobs wait while all threads are busy.
    #[must_use]
    pub fn is_saturated(&self) -> bool {
        let state = self.state.lock();
        state.threads >= self.settings.max_threads && !state.queue.is_empty()
    }
}

/// The next job of the calling thread; `None` after the idle timeout.
fn next_job(shared: &Mutex<State>, idle_timeout: Duration) -> Option<Job> {
    let id = thread::current().id();
    let (sender, receiver) = mpsc::sync_channel(1);
    let mut state = shared.lock();
    if let Some(job) = state.queue.pop_front() {
        return Some(job);
    }
    state.idle.push((id, sender));
    drop(state);
    if let Ok(job) = receiver.recv_timeout(idle_timeout) {
        return Some(job);
    }
    let mut state = shared.lock();
    if let Some(position) = state.idle.iter().position(|(idle, _)| *idle == id) {
        state.idle.remove(position);
        state.threads -= 1;
        return None;
    }
    drop(state);
    // `execute` took this thread at the moment of the timeout, so its job is on the way.
    receiver.recv().ok()
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
        assert_eq!(pool.state.lock().threads, SETTINGS.max_threads);
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
            eventually("the thread is idle again", || pool.state.lock().idle.len() == 1);
        }
        assert_eq!((done.load(Ordering::Relaxed), pool.state.lock().threads), (10, 1));
    }

    #[test]
    fn an_idle_thread_ends_after_its_timeout() {
        let pool = ThreadPool::new(ThreadPoolSettings { idle_timeout: Duration::from_millis(10), ..SETTINGS });
        let done = Arc::new(AtomicUsize::new(0));
        for number in 1..=3 {
            let counter = done.clone();
            assert_eq!(pool.execute(move || _ = counter.fetch_add(1, Ordering::Relaxed)), Ok(()));
            eventually("the thread ends", || pool.state.lock().threads == 0);
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
