//! A running server: started on a listener, observed, and stopped.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsRawFd;
use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use mio::{Poll, Waker};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::socket;
use parking_lot::Mutex;

use super::application::Application;
use super::deadlines::{PHASES, Phase};
use super::limits::Limits;
use super::poller::{self, Poller, WAKER};
use super::shared::Shared;
use super::standby::Standby;
use super::worker::Worker;

/// Bytes of a response that the operating system keeps for a client that does not read. Linux doubles it for its own
/// bookkeeping, and [`Limits::max_connections`] of them are not part of [`Limits::max_answer_bytes`].
const SEND_BUFFER_BYTES: usize = 64 * 1024;

/// How long dropping a server waits for its threads to close the connections.
const DROP_TIMEOUT: Duration = Duration::from_secs(1);

/// What a server is doing at a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerState {
    /// How many connections are in each of their phases, in the order of a request's life.
    pub connections: [(&'static str, usize); PHASES],
    /// Connections in the run queue.
    pub queued: usize,
    /// Requests refused since the start because there was no room for them.
    pub refused_busy: u64,
    /// Requests refused since the start because their peer had its share of the connections or of the incomplete requests.
    pub refused_of_peers: u64,
    /// Bytes reserved for responses in memory.
    pub answer_bytes: usize,
    /// Bytes that may be reserved.
    pub max_answer_bytes: usize,
}

/// Observes a running server, and does not keep it running.
#[derive(Clone)]
pub struct Observer(Arc<Shared>);

impl Observer {
    /// What the server is doing now.
    #[must_use]
    pub fn state(&self) -> ServerState {
        let state = self.0.lock();
        let names = ["idle", "head", "body", "answering", "writing", "lingering"];
        let connections = Phase::ALL.map(|phase| (names[phase as usize], state.table.deadlines.count(phase)));
        let [refused_busy, refused_of_peers] =
            [&self.0.refused_busy, &self.0.refused_of_peers].map(|count| count.load(Ordering::Relaxed));
        let (answer_bytes, max_answer_bytes) = (self.0.budget.reserved(), self.0.budget.max());
        ServerState {
            connections,
            queued: state.table.queue.len(),
            refused_busy,
            refused_of_peers,
            answer_bytes,
            max_answer_bytes,
        }
    }
}

/// A running server. Dropped, it stops without waiting for responses.
pub struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    /// Disconnected when the last request is answered and everything is closed.
    finished: mpsc::Receiver<()>,
}

impl Server {
    /// Serves an application on a listener, which may be a socket that is only bound yet.
    ///
    /// # Errors
    /// When the operating system gives no thread or no poller.
    pub fn start(listener: TcpListener, limits: Limits, application: Arc<dyn Application>) -> io::Result<Server> {
        let address = listener.local_addr()?;
        // The standard library's backlog is 128; a crowd that connects at once is larger.
        socket::listen(&listener, socket::Backlog::MAXCONN)?;
        // Accepted sockets inherit these options. With an automatic size the operating system keeps megabytes for a
        // client that reads slowly, and for as long it is unknown whether the client reads at all.
        socket::setsockopt(&listener, socket::sockopt::SndBuf, &SEND_BUFFER_BYTES)?;
        // A small response must not wait for the acknowledgement of the one before (Nagle's algorithm).
        socket::setsockopt(&listener, socket::sockopt::TcpNoDelay, &true)?;
        // Also what the operating system keeps of a response that is written ends with its connection. macOS has no such option.
        #[cfg(target_os = "linux")]
        {
            let write_timeout = u32::try_from(limits.write_timeout.as_millis()).unwrap_or(u32::MAX);
            socket::setsockopt(&listener, socket::sockopt::TcpUserTimeout, &write_timeout)?;
        }
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), WAKER)?;
        let count = limits.workers;
        let standby = Standby::new(poll.as_raw_fd(), poller::tick(&limits))?;
        let shared = Arc::new(Shared::new(limits, poll.registry().try_clone()?, waker, standby));
        let (poller, finished) = Poller::new(shared.clone(), application.clone(), poll, listener)?;
        // From here on, dropping it ends the threads that were started.
        let server = Server { address, shared: shared.clone(), finished };
        let worker = Worker::new(shared, application, Arc::new(Mutex::new(poller)));
        worker.start(true)?;
        for _ in 0..count {
            worker.start(false)?;
        }
        Ok(server)
    }

    /// The address it listens on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// An observer of it.
    #[must_use]
    pub fn observer(&self) -> Observer {
        Observer(self.shared.clone())
    }

    /// Prepares for the stop: every response closes its connection, while new connections are still accepted.
    pub fn drain(&self) {
        self.shared.drain();
    }

    /// Stops: closes the listener and idle connections, answers the requests that have begun, and returns whether all of
    /// them were answered within `grace`. Connections that are left then are closed.
    #[must_use]
    pub fn stop(self, grace: Duration) -> bool {
        self.shared.stop(false);
        self.finished.recv_timeout(grace) == Err(mpsc::RecvTimeoutError::Disconnected)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.stop(true);
        // The poller closes every connection and ends the workers; a stuck worker ends when it comes back.
        let _ = self.finished.recv_timeout(DROP_TIMEOUT);
    }
}

/// Raises the soft limit on open descriptors (`RLIMIT_NOFILE`) of the process to the hard one if that is allowed, and returns
/// the limit in force.
///
/// # Errors
/// When the operating system does not tell.
pub fn raise_limit() -> io::Result<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let raised = setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok();
    Ok(if raised { hard } else { soft })
}
