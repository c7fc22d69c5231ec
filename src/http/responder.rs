//! How the application answers a request: at once or later, whole or piece by piece, from any thread.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use rouille::Response;

use super::reply::{End, Piece, Reply, SendError, StreamBuffer, StreamReceiver};
use super::shared::{Shared, discard, run_callback};
use super::slot::{DisconnectCallback, Token};
use crate::peers::PeerKey;

/// Answers one request once, from any thread. Dropped unused, the client gets the response to
/// [`Refusal::ApplicationFailed`](super::Refusal::ApplicationFailed), a 500.
///
/// The response has to come within [`Limits::request_timeout`](super::Limits::request_timeout) of the request; after that
/// the client has a 504 and the response is discarded.
pub struct Responder {
    reply: ReplySender,
    /// Whose share of the memory the response takes.
    client: Option<PeerKey>,
}

impl Responder {
    pub(super) fn new(shared: &Arc<Shared>, token: Token, peer: Option<PeerKey>) -> Responder {
        Responder { reply: ReplySender { shared: Some(shared.clone()), token }, client: peer }
    }

    /// Names the client whose share of the memory the response takes, and so of what waits for it. Without a call that is
    /// the peer of the connection.
    pub fn set_client(&mut self, client: Option<PeerKey>) {
        self.client = client;
    }

    /// Sends a response.
    pub fn respond(mut self, response: Response) {
        self.reply.send(Reply::Ready(response, self.client));
    }

    /// Has a worker make the response, without waiting for anything, and send it. Thus a thread that answers many requests,
    /// such as the leader of a batch, makes none of the responses itself.
    pub fn respond_with(mut self, make: impl FnOnce() -> Response + Send + 'static) {
        self.reply.send(Reply::Deferred(Box::new(make), self.client));
    }

    /// Begins a response whose body is sent piece by piece. Of `head` the status and the fields are used.
    ///
    /// While the stream waits for its next piece it holds no thread. Each piece has to come within
    /// [`Limits::request_timeout`](super::Limits::request_timeout) of the one before, or the connection is closed.
    #[must_use]
    pub fn stream(mut self, head: Response) -> StreamSender {
        let ReplySender { shared, token } = &self.reply;
        let (shared, token) = (shared.clone().expect("a responder is consumed by its first use"), *token);
        let buffer = Arc::new(StreamBuffer::new(shared.budget.empty(self.client)));
        let sender = StreamSender { buffer: buffer.clone(), shared: Some(shared), token };
        self.reply.send(Reply::Stream(head, StreamReceiver(buffer), self.client));
        sender
    }

    /// Begins a response whose body is made at the pace at which the client reads it. Of `head` the status and the fields
    /// are used. Whenever all so far is written, a worker calls `next`, which begins to make the next piece and must not
    /// wait for it. `HEAD` asks for none.
    ///
    /// While the response waits for a piece, or for memory for it, it holds no thread. Each piece has to come within
    /// [`Limits::request_timeout`](super::Limits::request_timeout) of the call, or the connection is closed.
    pub fn stream_from(mut self, head: Response, mut next: impl FnMut(PieceResponder) + Send + 'static) {
        let (shared, token) = (self.reply.shared.clone(), self.reply.token);
        let ask = move || next(PieceResponder(ReplySender { shared: shared.clone(), token }));
        self.reply.send(Reply::Pull(head, Box::new(ask), self.client));
    }

    /// Has `callback` called when the client has closed the connection or its sending side, or the server has closed the
    /// connection, while the application works on the response or on the body of its stream: at most once, on a thread of
    /// the server, which it must not block, or at once on this thread, if that has happened already. It replaces the
    /// callback of an earlier call.
    pub fn on_disconnect(&self, callback: DisconnectCallback) {
        let Some(shared) = &self.reply.shared else { return };
        let set = shared.lock().table.set_disconnect_callback(self.reply.token, callback);
        match set {
            Ok(replaced) => discard(replaced),
            Err(callback) => run_callback(callback),
        }
    }
}

/// Sends the piece of a body that [`Responder::stream_from`] asked for, from any thread. Dropped unused, the connection is
/// closed without the end of the body, so that the client does not take what it has for the whole.
pub struct PieceResponder(ReplySender);

impl PieceResponder {
    /// Has a worker make the piece and send it. With `None` the connection is closed, as if this were dropped.
    pub fn send_with(mut self, make: impl FnOnce() -> Option<Piece> + Send + 'static) {
        self.0.send(Reply::Piece(Box::new(make)));
    }
}

/// Sends one reply. Dropped unused, it sends [`Reply::Dropped`].
struct ReplySender {
    /// `None` once it is used.
    shared: Option<Arc<Shared>>,
    token: Token,
}

thread_local! {
    /// The request for which this thread runs the application, and the reply to it. A reply that is given during the call
    /// needs no lock.
    static CALL: RefCell<Option<(*const Shared, Token, Option<Reply>)>> = const { RefCell::new(None) };
}

/// Calls the application, and returns the reply that it gave before it returned.
pub(super) fn call(shared: &Arc<Shared>, token: Token, run: impl FnOnce()) -> Option<Reply> {
    CALL.set(Some((Arc::as_ptr(shared), token, None)));
    // A panic drops the responder, which replies.
    let _ = catch_unwind(AssertUnwindSafe(run));
    CALL.take().and_then(|(.., reply)| reply)
}

impl ReplySender {
    fn send(&mut self, reply: Reply) {
        let Some(shared) = self.shared.take() else { return };
        let later = CALL.with_borrow_mut(|call| match call {
            Some((server, token, during_call)) if *server == Arc::as_ptr(&shared) && *token == self.token => {
                *during_call = Some(reply);
                None
            }
            _ => Some(reply),
        });
        if let Some(reply) = later {
            // The application has done its work, unless more pieces follow.
            let is_whole = matches!(reply, Reply::Ready(..) | Reply::Deferred(..) | Reply::Dropped);
            discard(shared.update(|table| {
                let unused = if is_whole { table.take_disconnect_callback(self.token) } else { None };
                (unused, table.reply(self.token, reply, Instant::now()))
            }));
        }
    }
}

impl Drop for ReplySender {
    fn drop(&mut self) {
        self.send(Reply::Dropped);
    }
}

/// Sends the body of a response piece by piece, from any thread. Dropped before [`StreamSender::finish`], the connection is
/// closed without the end of the body, so that the client does not take what it has for the whole.
pub struct StreamSender {
    buffer: Arc<StreamBuffer>,
    /// `None` once it is finished.
    shared: Option<Arc<Shared>>,
    token: Token,
}

impl StreamSender {
    /// Whether [`StreamSender::send`] would not return [`SendError::Full`], and the responses of all clients leave memory
    /// for more than a small piece.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.buffer.has_room()
    }

    /// Sends a piece; it never blocks, and runs no code of the application, so its thread may hold any locks of that.
    ///
    /// # Errors
    /// [`SendError::Full`] while [`MAX_BUFFERED_BYTES`](super::MAX_BUFFERED_BYTES) or more wait for the client to read,
    /// [`SendError::Closed`] when the client is gone. The piece is not sent then.
    pub fn send(&self, piece: &[u8]) -> Result<(), SendError> {
        self.send_piece(piece, End::Open)
    }

    /// Sends the last piece and ends the body. The last piece is accepted also where [`StreamSender::send`] accepts none.
    pub fn finish(mut self, piece: &[u8]) {
        let _ = self.send_piece(piece, End::Finished);
        self.shared = None;
    }

    fn send_piece(&self, piece: &[u8], end: End) -> Result<(), SendError> {
        let is_awaited = self.buffer.send(piece, end)?;
        if let Some(shared) = self.shared.as_ref().filter(|_| is_awaited) {
            match end {
                End::Open => shared.write_piece(self.token),
                End::Finished | End::Aborted => shared.update(|table| table.notify(self.token, Instant::now())),
            }
        }
        Ok(())
    }
}

impl Drop for StreamSender {
    fn drop(&mut self) {
        if self.shared.is_some() {
            let _ = self.send_piece(b"", End::Aborted);
        }
    }
}
