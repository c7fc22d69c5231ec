//! The threads that turns run in: as many as are needed, up to a bound, and kept for a while for the next.

use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// Threads beyond those that are with the companion: they wait for a place there, or for the database.
const OTHERS: usize = 224;

/// Turns that wait for a thread.
const MOST_WAITING: usize = 1024;

/// How long a thread is kept that has nothing to do.
const IDLE: Duration = Duration::from_secs(10);

/// A turn needs little more than what a TLS connection does.
const STACK_BYTES: usize = 512 * 1024;

/// What a thread does.
type Job = Box<dyn FnOnce() + Send>;

/// The threads. Clones are the same.
#[derive(Clone)]
pub(super) struct Threads(Arc<Mutex<State>>);

struct State {
    count: usize,
    most: usize,
    /// Those that have nothing to do, the last to have become so at the end: it is taken first, and the others may end.
    idle: Vec<(usize, SyncSender<Job>)>,
    waiting: VecDeque<Job>,
    started: usize,
}

impl Threads {
    /// As many as are needed where so many may be with the companion at once.
    pub(super) fn new(with_companion: usize) -> Threads {
        let most = with_companion + OTHERS;
        Threads(Arc::new(Mutex::new(State { count: 0, most, idle: Vec::new(), waiting: VecDeque::new(), started: 0 })))
    }

    /// Has a job done, and says whether there is room for it.
    pub(super) fn run(&self, job: Job) -> bool {
        let mut state = self.state();
        if let Some((_, thread)) = state.idle.pop() {
            drop(state);
            // It waits for one, and has room for it.
            return thread.try_send(job).is_ok();
        }
        if state.waiting.len() >= MOST_WAITING {
            return false;
        }
        state.waiting.push_back(job);
        if state.count < state.most && self.start(&mut state).is_err() && state.count == 0 {
            // Nobody would ever do it.
            state.waiting.pop_back();
            return false;
        }
        true
    }

    /// Whether jobs wait for a thread, and there can be no more of these.
    pub(super) fn is_crowded(&self) -> bool {
        let state = self.state();
        state.count >= state.most && !state.waiting.is_empty()
    }

    fn start(&self, state: &mut State) -> io::Result<()> {
        let (threads, number) = (self.clone(), state.started);
        thread::Builder::new().name("turn".to_owned()).stack_size(STACK_BYTES).spawn(move || threads.work(number))?;
        state.count += 1;
        state.started += 1;
        Ok(())
    }

    fn work(&self, number: usize) {
        let (sender, receiver) = mpsc::sync_channel(1);
        while let Some(job) = self.next(number, &sender, &receiver) {
            // Whoever waited for it is told by what it drops.
            let _ = catch_unwind(AssertUnwindSafe(job));
        }
    }

    /// The next job of a thread, or `None` where there is none for long.
    fn next(&self, number: usize, sender: &SyncSender<Job>, receiver: &Receiver<Job>) -> Option<Job> {
        let mut state = self.state();
        if let Some(job) = state.waiting.pop_front() {
            return Some(job);
        }
        state.idle.push((number, sender.clone()));
        drop(state);
        match receiver.recv_timeout(IDLE) {
            Ok(job) => Some(job),
            Err(_) if self.leave(number) => None,
            // It was taken in the very moment of leaving, so a job is there or on its way.
            Err(_) => receiver.recv().ok(),
        }
    }

    /// Takes a thread from the idle ones, and says whether it was among them.
    fn leave(&self, number: usize) -> bool {
        let mut state = self.state();
        let place = state.idle.iter().position(|(idle, _)| *idle == number);
        if let Some(place) = place {
            state.idle.remove(place);
            state.count -= 1;
        }
        place.is_some()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
