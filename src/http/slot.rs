//! One connection as the table keeps it: who has it, what it waits for, and what follows when its time is over.

use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use super::deadlines::Phase;
use super::refusal::Refusal;

/// Names a connection, and never a later one in its slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) key: usize,
    pub(super) generation: u64,
}

/// Names one request of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ReplyToken {
    pub(super) connection: Token,
    pub(super) request: u64,
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
}

/// A connection whose deadline has passed.
pub(super) struct Expired {
    pub(super) key: usize,
    pub(super) stream: Arc<TcpStream>,
    pub(super) action: ExpiryAction,
    /// A worker is stuck in the application.
    pub(super) holds_worker: bool,
}

/// What to do about a socket that is ready.
pub(super) enum Dispatch {
    /// Nothing: it is queued, or held by another, or waits for something else.
    None,
    /// Refuse the request: the run queue is full.
    RefuseBusy(Arc<TcpStream>),
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
    /// A worker.
    Worker,
    /// The application, which has not answered yet, or has not sent the next piece of a stream.
    Application,
}

/// What the operating system reported about a socket since a worker took its connection. The registration is
/// edge-triggered, so epoll does not repeat it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Readiness {
    pub(super) readable: bool,
    pub(super) writable: bool,
    /// The client has shut its side, or the connection failed.
    pub(super) ended: bool,
}

/// How far the response has got when the application is called.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ResponseState {
    /// A part of the response is sent, so a refusal would corrupt it.
    pub(super) head_sent: bool,
    /// The request was `HEAD`.
    pub(super) head_only: bool,
}

/// A slot of the table. `C` is the connection, `R` what the application replies.
pub(super) struct Slot<C, R> {
    /// Tells this connection from others that had the slot before.
    pub(super) generation: u64,
    /// `None` in a free slot.
    pub(super) stream: Option<Arc<TcpStream>>,
    /// `None` while a worker has it.
    pub(super) connection: Option<Box<C>>,
    /// A reply that arrived while a worker had the connection.
    pub(super) reply: Option<R>,
    /// A piece of a stream arrived while a worker had the connection.
    pub(super) has_piece: bool,
    /// Counts requests, so that no reply is taken for that of another one.
    pub(super) request: u64,
    pub(super) holder: Holder,
    pub(super) response: ResponseState,
    /// A worker was sent to write although the time for it was over.
    pub(super) is_last_write: bool,
    /// A worker found a part of the request missing, so the client is slow, and not the queue.
    pub(super) is_incomplete: bool,
    pub(super) readiness: Readiness,
}

/// What to do with a connection whose deadline has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ExpiryAction {
    /// Close it.
    Close,
    /// Refuse the request, with 408 or 503.
    Refuse(Refusal),
    /// Refuse the request with 504 and close, while the application still works on it.
    AbandonAnswer {
        /// Send the head of the refusal only.
        head_only: bool,
    },
    /// Close in the middle of a response that the application does not go on with.
    AbandonBody,
    /// Let a worker try to write once more: epoll reports only a third of the send buffer as free space, and a slow
    /// client may have read less than that.
    LastWrite,
}

impl<C, R> Slot<C, R> {
    /// What follows when the time of this phase is over; `None` leaves it to the worker that has the connection.
    pub(super) fn on_expiry(&self, phase: Phase, duration: Duration) -> Option<ExpiryAction> {
        Some(match (phase, self.holder) {
            (Phase::Answering, _) if self.response.head_sent => ExpiryAction::AbandonBody,
            (Phase::Answering, _) => ExpiryAction::AbandonAnswer { head_only: self.response.head_only },
            (_, Holder::Worker) | (Phase::Writing, Holder::Queue) => return None,
            (_, Holder::Queue) if !self.is_incomplete => ExpiryAction::Refuse(Refusal::Busy),
            (Phase::Head, _) => ExpiryAction::Refuse(Refusal::HeadTooSlow(duration)),
            (Phase::Body, _) => ExpiryAction::Refuse(Refusal::BodyTooSlow(duration)),
            (Phase::Writing, _) if !self.is_last_write => ExpiryAction::LastWrite,
            (Phase::Idle | Phase::Writing | Phase::Lingering, _) => ExpiryAction::Close,
        })
    }
}
