//! What the threads of a server share: the poller's registry, and behind one lock its connections and the state of its
//! workers, of which each polls, serves or sleeps (Leader/Followers).
//!
//! One worker, the leader, polls the sockets. When it finds a connection to be served and another worker sleeps, it promotes
//! that one to leader and serves the connection itself, which it has at hand. Exactly one worker leads, or is being woken to
//! lead, so the sockets are always polled.

use std::io;
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsRawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};

use mio::unix::SourceFd;
use mio::{Interest, Registry, Waker};

use super::connection::Connection;
use super::limits::Limits;
use super::reply::Reply;
use super::slot::Removed;
use super::table::Table;

/// What a connection is polled for.
const INTEREST: Interest = Interest::READABLE.add(Interest::WRITABLE);

/// What the threads of a server share.
pub(super) struct Shared {
    /// The standard library's mutex: under this short and busy lock `parking_lot`'s costs 2 % of `GET /` (2026-11-25).
    state: Mutex<State>,
    /// No further requests: idle connections are closed.
    is_stopping: AtomicBool,
    /// Requests refused because the queue or the table was full.
    pub(super) refused_busy: AtomicU64,
    registry: Registry,
    waker: Waker,
    pub(super) limits: Limits,
}

impl Shared {
    pub(super) fn new(limits: Limits, registry: Registry, waker: Waker) -> Shared {
        let (state, is_stopping) = (Mutex::new(State::new(&limits)), AtomicBool::new(false));
        Shared { state, is_stopping, refused_busy: AtomicU64::new(0), registry, waker, limits }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::Relaxed)
    }

    /// Begins to stop, in order or at once, and lets the poller see to it.
    pub(super) fn stop(&self, at_once: bool) {
        self.is_stopping.store(true, Ordering::Relaxed);
        // Who has the lock from here on sees that the server stops.
        self.lock().is_closed |= at_once;
        self.wake_poller();
    }

    /// Ends the poller's wait.
    pub(super) fn wake_poller(&self) {
        let _ = self.waker.wake();
    }

    /// Changes the table from any thread, and wakes a worker if connections are queued then.
    pub(super) fn update<T>(&self, change: impl FnOnce(&mut Table<Connection, Reply>) -> T) -> T {
        let mut state = self.lock();
        let changed = change(&mut state.table);
        let woken = state.wake_for_queue();
        drop(state);
        wake(woken);
        changed
    }

    /// Registers a socket with the poller, edge-triggered, until [`Shared::close_removed`].
    pub(super) fn register(&self, key: usize, stream: &TcpStream) -> io::Result<()> {
        self.registry.register(&mut SourceFd(&stream.as_raw_fd()), mio::Token(key), INTEREST)
    }

    /// Has the poller report a socket's readiness again, although nothing new may arrive.
    pub(super) fn rearm(&self, key: usize, stream: &TcpStream) {
        // Fails if the connection was closed in the meantime, which needs nothing further.
        let _ = self.registry.reregister(&mut SourceFd(&stream.as_raw_fd()), mio::Token(key), INTEREST);
    }

    /// Closes a connection that the poller holds. For no other thread: a key does not tell which connection is meant.
    pub(super) fn close(&self, key: usize) {
        let removed = self.lock().table.remove(key);
        removed.into_iter().for_each(|removed| self.close_removed(removed));
    }

    /// Closes a connection that was removed from the table. The one place where connections are closed.
    pub(super) fn close_removed(&self, removed: Removed<Connection, Reply>) {
        let Removed { stream, connection, reply } = removed;
        let _ = self.registry.deregister(&mut SourceFd(&stream.as_raw_fd()));
        // A worker may hold the socket, too.
        let _ = stream.shutdown(Shutdown::Both);
        discard((connection, reply));
    }
}

/// The connections and the workers of a server.
pub(super) struct State {
    pub(super) table: Table<Connection, Reply>,
    /// Nothing further at all: workers end.
    pub(super) is_closed: bool,
    /// Workers that read or write and soon look at the queue again, so not those inside the application, which may block.
    pub(super) active_workers: usize,
    /// How many of those the machine runs at once.
    processors: usize,
    /// Workers that wait for work, the last to fall asleep at the end.
    pub(super) sleepers: Vec<Thread>,
    /// A worker was woken and has not looked at the queue yet.
    is_waking: bool,
    /// The leader has stepped down, and the worker that was woken takes its place.
    pub(super) is_leader_wanted: bool,
    /// Workers beyond the configured number, started in place of stuck ones.
    surplus: usize,
}

impl State {
    pub(super) fn new(limits: &Limits) -> State {
        State {
            table: Table::new(limits),
            is_closed: false,
            active_workers: 0,
            processors: thread::available_parallelism().map_or(1, usize::from),
            sleepers: Vec::new(),
            is_waking: false,
            is_leader_wanted: false,
            surplus: 0,
        }
    }

    /// The worker to be woken if connections are queued. None while as many workers are active as there are processors: each
    /// of them soon looks at the queue.
    pub(super) fn wake_for_queue(&mut self) -> Option<Thread> {
        self.wake_if_fewer_than(self.processors)
    }

    /// The same for a worker that enters the application, which may block. None while another is active: thus quick requests
    /// keep a few threads busy, and slow ones delay no others.
    pub(super) fn wake_successor(&mut self) -> Option<Thread> {
        self.wake_if_fewer_than(1)
    }

    /// The same for the leader, which the worker to be woken replaces.
    pub(super) fn promote_follower(&mut self) -> Option<Thread> {
        let follower = self.wake_for_queue();
        self.is_leader_wanted |= follower.is_some();
        follower
    }

    /// The last to fall asleep is woken first: its stack is in the caches, and the stacks of the others stay untouched.
    fn wake_if_fewer_than(&mut self, active_workers: usize) -> Option<Thread> {
        if self.table.queued() == 0 || self.is_waking || self.active_workers >= active_workers {
            return None;
        }
        let woken = self.sleepers.pop();
        self.is_waking = woken.is_some();
        woken
    }

    /// Whether a worker whose `park` returned was woken on purpose; `park` may also return for no reason.
    pub(super) fn was_woken(&mut self, worker: &Thread) -> bool {
        let was_woken = self.sleepers.iter().all(|sleeper| sleeper.id() != worker.id());
        self.is_waking &= !was_woken;
        was_woken
    }

    /// Makes room for a worker in place of a stuck one, up to as many again as are configured.
    pub(super) fn allow_surplus(&mut self, workers: usize) -> bool {
        let is_allowed = self.surplus < workers;
        self.surplus += usize::from(is_allowed);
        is_allowed
    }

    /// Whether a worker that was stuck, or could not be started, leaves its place to another.
    pub(super) fn retire_surplus(&mut self) -> bool {
        let is_surplus = self.surplus > 0;
        self.surplus -= usize::from(is_surplus);
        is_surplus
    }
}

/// Wakes a worker, without the lock, so that it does not wait for it at once.
pub(super) fn wake(worker: Option<Thread>) {
    if let Some(worker) = worker {
        worker.unpark();
    }
}

/// Drops what may run the application's code, which must neither end the thread nor run under the lock.
pub(super) fn discard<T>(dropped: T) {
    let _ = catch_unwind(AssertUnwindSafe(|| drop(dropped)));
}
