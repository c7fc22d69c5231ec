//! One connection as the table keeps it: its holder, and what it waits for.

use std::net::TcpStream;
use std::sync::Arc;
use std::time::Instant;

use super::refusal::{Refusal, RefusedFields};
use super::run_queue::Lane;
use crate::peers::PeerKey;

/// Names the current request of a connection, and neither a later one nor a later connection in its slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) key: usize,
    pub(super) generation: u64,
}

/// A connection for a worker, with the reply to its request if it waited for that.
pub(super) struct Assignment<C, R> {
    pub(super) token: Token,
    pub(super) connection: Box<C>,
    pub(super) reply: Option<R>,
}

/// What is left of a connection that was removed. It is dropped without the lock, since the application's code may run.
pub(super) struct Removed<C, R> {
    pub(super) stream: Arc<TcpStream>,
    pub(super) connection: Option<Box<C>>,
    pub(super) reply: Option<R>,
    pub(super) on_disconnect: Option<DisconnectCallback>,
}

/// What to do with a connection whose deadline has passed.
pub(super) enum Expired<C, R> {
    /// Nothing: a worker tries to write once more.
    Queued,
    /// Refuse its request with 408 or 503, and let it linger.
    Refuse(usize, Arc<TcpStream>, Refusal),
    /// Close it.
    Close(Removed<C, R>),
    /// Close it while the application still works on it, after a 504 unless the response has begun.
    Abandon { removed: Removed<C, R>, response: ResponseState, is_worker_stuck: bool },
}

/// Which connection gives way to a new one, and how.
pub(super) enum Victim {
    /// Close it.
    Close(usize),
    /// Refuse its incomplete request with 503, and let it linger.
    Refuse(usize, Arc<TcpStream>),
}

/// What to do about a socket that is ready.
pub(super) enum Dispatch {
    /// Look whether the request is urgent, and queue it, or refuse it if the run queue is full.
    Examine(Arc<TcpStream>),
    /// Discard what the client of a lingering connection sends.
    Drain(Arc<TcpStream>),
}

/// Who has a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holder {
    /// The poller waits for its socket.
    Poller,
    /// The run queue: it is ready, and the next free worker takes it.
    Queue,
    Worker,
    /// The application, which has not answered yet, or has not sent the next piece of a stream.
    Application,
}

/// What epoll reported since a worker took the connection. It is edge-triggered, so it does not repeat it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Readiness {
    pub(super) readable: bool,
    pub(super) writable: bool,
    /// The client has shut its side, or the connection failed.
    pub(super) ended: bool,
    /// Both sides are shut, or the connection failed: the client cannot receive anything any more.
    pub(super) failed: bool,
}

/// How far the response has got when the application is called.
#[derive(Debug, Clone, Default)]
pub(super) struct ResponseState {
    /// A part of the response is sent, so a refusal would corrupt it.
    pub(super) head_sent: bool,
    pub(super) head_only: bool,
    /// What a refusal of the request can depend on.
    pub(super) refused_fields: RefusedFields,
}

/// Called when the client of a request is gone.
pub type DisconnectCallback = Box<dyn FnOnce() + Send>;

/// A slot of the table. `C` is the connection, `R` what the application replies.
pub(super) struct Slot<C, R> {
    /// Tells the current request from earlier ones, and from those of connections that had the slot before.
    pub(super) generation: u64,
    /// `None` in a free slot.
    pub(super) stream: Option<Arc<TcpStream>>,
    /// Kept here, since its key changes with time. `None` also while the connection lingers.
    pub(super) peer: Option<PeerKey>,
    /// `None` while a worker has it.
    pub(super) connection: Option<Box<C>>,
    /// A reply that arrived while a worker had the connection.
    pub(super) reply: Option<R>,
    /// A piece of a stream arrived while a worker had the connection.
    pub(super) has_piece: bool,
    pub(super) holder: Holder,
    /// Its lane of the run queue, while that holds it.
    pub(super) lane: Lane,
    pub(super) response: ResponseState,
    /// A worker was sent to write although the time for it was over.
    pub(super) is_last_write: bool,
    /// Its number among the connections of its peer.
    pub(super) number: u64,
    /// When its incomplete request began: a worker found a part missing, so the client is slow, and not the queue.
    pub(super) incomplete_since: Option<Instant>,
    pub(super) readiness: Readiness,
    /// What the application has called when the client of its request is gone.
    pub(super) on_disconnect: Option<DisconnectCallback>,
}
