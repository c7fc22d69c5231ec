//! What the threads of a server share: the connections and the workers behind one lock, and the poller's registry.

use std::io;
use std::mem;
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsRawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mio::unix::SourceFd;
use mio::{Interest, Registry, Waker};

use super::budget::MemoryBudget;
use super::connection::Connection;
use super::limits::Limits;
use super::reply::Reply;
use super::scheduler::{Scheduler, Sleeper};
use super::slot::{Assignment, DisconnectCallback, Removed};
use super::standby::Standby;
use super::table::Table;

/// What a connection is polled for.
const INTEREST: Interest = Interest::READABLE.add(Interest::WRITABLE);

/// Connections of a poller that is watched. To begin with that costs Linux a step for each of them (`ep_loop_check`), and where
/// there are many, another worker is mostly active anyway.
const MAX_WATCHED: usize = 32;

/// What the threads of a server share.
pub(super) struct Shared {
    /// The standard library's mutex: under this short and busy lock `parking_lot`'s costs 2 % of `GET /` (2026-11-25).
    state: Mutex<State>,
    /// Every response closes its connection.
    is_draining: AtomicBool,
    /// No further requests: idle connections are closed.
    is_stopping: AtomicBool,
    /// Requests refused because the queue or the table was full, or no memory was free.
    pub(super) refused_busy: AtomicU64,
    /// Requests refused because their peer had its share.
    pub(super) refused_of_peers: AtomicU64,
    registry: Registry,
    waker: Arc<Waker>,
    pub(super) budget: Arc<MemoryBudget>,
    pub(super) standby: Standby,
    /// The poller has something to do, or to look for, that no event reports.
    pub(super) is_poller_due: AtomicBool,
    pub(super) limits: Limits,
}

impl Shared {
    pub(super) fn new(limits: Limits, registry: Registry, waker: Waker, standby: Standby) -> Shared {
        let state = State { table: Table::new(&limits), scheduler: Scheduler::new(), is_closed: false };
        let (refused_busy, refused_of_peers) = (AtomicU64::new(0), AtomicU64::new(0));
        let waker = Arc::new(waker);
        let budget = MemoryBudget::new(limits.max_answer_bytes, waker.clone());
        let [is_draining, is_stopping, is_poller_due] = [const { AtomicBool::new(false) }; 3];
        Shared {
            state: Mutex::new(state),
            is_draining,
            is_stopping,
            refused_busy,
            refused_of_peers,
            registry,
            waker,
            budget,
            standby,
            is_poller_due,
            limits,
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_draining(&self) -> bool {
        self.is_draining.load(Ordering::Relaxed)
    }

    /// Lets every response close its connection from now on.
    pub(super) fn drain(&self) {
        self.is_draining.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::Relaxed)
    }

    /// Begins to stop, in order or at once, and lets the poller see to it.
    pub(super) fn stop(&self, at_once: bool) {
        self.drain();
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
        let woken = state.wake(Scheduler::wake_for_queue);
        drop(state);
        self.wake(woken);
        changed
    }

    /// Lets the worker that stands by watch the poller, if that is enough for the last active worker, which enters code that may
    /// block. Under the lock, so that nobody leads meanwhile.
    pub(super) fn watch(&self, state: &mut State) -> bool {
        let has_many = state.table.count() > MAX_WATCHED;
        if has_many || self.is_poller_due.load(Ordering::Relaxed) || !state.scheduler.may_watch(state.table.queue.len())
        {
            return false;
        }
        state.scheduler.is_watched = state.scheduler.is_watched || self.standby.watch().is_ok();
        state.scheduler.is_watched
    }

    /// The poller is not watched any more: a worker leads or soon looks at the queue.
    pub(super) fn end_watch(&self, state: &mut State) {
        if mem::take(&mut state.scheduler.is_watched) {
            self.standby.ignore();
        }
    }

    /// Wakes a worker, without the lock, so that it does not wait for it at once.
    pub(super) fn wake(&self, worker: Option<Sleeper>) {
        match worker {
            Some(Sleeper::Parked(thread)) => thread.unpark(),
            Some(Sleeper::Standby) => self.standby.wake(),
            None => {}
        }
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
        let Removed { stream, connection, reply, on_disconnect } = removed;
        let _ = self.registry.deregister(&mut SourceFd(&stream.as_raw_fd()));
        // A worker may hold the socket, too.
        let _ = stream.shutdown(Shutdown::Both);
        discard((connection, reply));
        on_disconnect.into_iter().for_each(run_callback);
    }
}

/// What the lock protects.
pub(super) struct State {
    pub(super) table: Table<Connection, Reply>,
    pub(super) scheduler: Scheduler,
    /// Nothing further at all: workers end.
    pub(super) is_closed: bool,
}

impl State {
    /// The worker to be woken, with what is queued in view.
    pub(super) fn wake(&mut self, choose: fn(&mut Scheduler, usize) -> Option<Sleeper>) -> Option<Sleeper> {
        choose(&mut self.scheduler, self.table.queue.len())
    }

    /// The next connection for a worker that has served one, unless it has to poll first.
    pub(super) fn take(&mut self) -> Option<Assignment<Connection, Reply>> {
        if self.scheduler.is_leader_wanted(self.table.queue.len()) {
            return None;
        }
        let work = self.table.take()?;
        self.scheduler.begin_work();
        Some(work)
    }

    /// A connection for the leader, which is no leader any more then, and the worker to be woken.
    pub(super) fn step_down(&mut self) -> Option<(Assignment<Connection, Reply>, Option<Sleeper>)> {
        if !self.scheduler.may_step_down() {
            return None;
        }
        let work = self.table.take()?;
        self.scheduler.begin_work();
        self.scheduler.step_down();
        Some((work, self.wake(Scheduler::wake_to_share)))
    }
}

/// Runs a callback of the application, without the lock; a panic must not end the thread.
pub(super) fn run_callback(callback: DisconnectCallback) {
    let _ = catch_unwind(AssertUnwindSafe(callback));
}

/// Drops what may run the application's code, which must neither end the thread nor run under the lock.
pub(super) fn discard<T>(dropped: T) {
    let _ = catch_unwind(AssertUnwindSafe(|| drop(dropped)));
}
