//! The worker that stands by: it sleeps in a poller of its own, which can watch that of the connections. So the last active worker
//! may enter code that blocks and wake nobody: the next event wakes this one, which then leads, or serves what is queued.

use std::io;
use std::os::fd::RawFd;
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Registry, Token, Waker};
use parking_lot::Mutex;

const CONNECTIONS: Token = Token(0);
const WAKER: Token = Token(1);

/// What a standing-by worker sleeps in.
pub(super) struct Standby {
    /// Locked by the worker that stands by.
    poll: Mutex<Poll>,
    registry: Registry,
    waker: Waker,
    /// The poller of the connections, which the workers keep open.
    connections: RawFd,
    /// Deadlines are kept to within this time also while nobody polls. So a server without anything to do wakes up that often.
    tick: Duration,
}

impl Standby {
    pub(super) fn new(connections: RawFd, tick: Duration) -> io::Result<Standby> {
        let poll = Poll::new()?;
        let (registry, waker) = (poll.registry().try_clone()?, Waker::new(poll.registry(), WAKER)?);
        Ok(Standby { poll: Mutex::new(poll), registry, waker, connections, tick })
    }

    /// Sleeps until the watched poller has events, or [`Standby::wake`], or for a tick, or for `max_wait`.
    pub(super) fn sleep(&self, max_wait: Option<Duration>) {
        // An error ends the sleep, too.
        let wait = max_wait.map_or(self.tick, |max_wait| max_wait.min(self.tick));
        let _ = self.poll.lock().poll(&mut Events::with_capacity(2), Some(wait));
    }

    /// Ends the sleep.
    pub(super) fn wake(&self) {
        let _ = self.waker.wake();
    }

    /// From now on events of connections end the sleep, also those that are there already.
    pub(super) fn watch(&self) -> io::Result<()> {
        self.registry.register(&mut SourceFd(&self.connections), CONNECTIONS, Interest::READABLE)
    }

    /// Events of connections are the leader's again.
    pub(super) fn ignore(&self) {
        // It is registered, so nothing fails.
        let _ = self.registry.deregister(&mut SourceFd(&self.connections));
    }
}
