//! How the application answers one request: at once or later, whole or as a stream, from any thread.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use rouille::Response;

use super::reply::{End, Reply, SendError, StreamBuffer, StreamReceiver};
use super::shared::{Shared, discard};
use super::slot::Token;

/// Answers one request once, from any thread. Dropped unused, the client gets the response to
/// [`Refusal::ApplicationFailed`](super::Refusal::ApplicationFailed), a 500.
///
/// The response has to come within [`Limits::request_timeout`](super::Limits::request_timeout) of the request; after that
/// the client has a 504 and the response is discarded.
pub struct Responder {
    /// `None` once it is used.
    shared: Option<Arc<Shared>>,
    token: Token,
}

thread_local! {
    /// The request for which this thread runs the application, and the reply to it. A reply that is given during the call
    /// needs no lock.
    static CALL: RefCell<Option<(Token, Option<Reply>)>> = const { RefCell::new(None) };
}

impl Responder {
    /// Calls the application with a responder, and returns the reply that it gave before it returned.
    pub(super) fn call(shared: &Arc<Shared>, token: Token, answer: impl FnOnce(Responder)) -> Option<Reply> {
        CALL.set(Some((token, None)));
        let responder = Responder { shared: Some(shared.clone()), token };
        // A panic drops the responder, which replies.
        let _ = catch_unwind(AssertUnwindSafe(|| answer(responder)));
        CALL.take().and_then(|(_, reply)| reply)
    }

    /// Sends a response.
    pub fn respond(mut self, response: Response) {
        self.send(Reply::Ready(response));
    }

    /// Has a worker make the response and send it. Thus a thread that answers many requests, such as the leader of a
    /// batch, makes none of the responses itself.
    pub fn respond_with(mut self, make: impl FnOnce() -> Response + Send + 'static) {
        self.send(Reply::Deferred(Box::new(make)));
    }

    /// Begins a response whose body is sent piece by piece. Of `head` the status and the fields are used.
    ///
    /// While the stream waits for its next piece it holds no thread. Each piece has to come within
    /// [`Limits::request_timeout`](super::Limits::request_timeout) of the one before, or the connection is closed.
    #[must_use]
    pub fn stream(mut self, head: Response) -> StreamSender {
        let buffer = Arc::new(StreamBuffer::default());
        let sender = StreamSender { buffer: buffer.clone(), shared: self.shared.clone(), token: self.token };
        self.send(Reply::Stream(head, StreamReceiver(buffer)));
        sender
    }

    fn send(&mut self, reply: Reply) {
        let Some(shared) = self.shared.take() else { return };
        let later = CALL.with_borrow_mut(|call| match call {
            Some((token, during_call)) if *token == self.token => {
                *during_call = Some(reply);
                None
            }
            _ => Some(reply),
        });
        if let Some(reply) = later {
            discard(shared.update(|table| table.reply(self.token, reply, Instant::now())));
        }
    }
}

impl Drop for Responder {
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
    /// Whether [`StreamSender::send`] would not return [`SendError::Full`].
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.buffer.has_room()
    }

    /// Sends a piece; it never blocks.
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
            shared.update(|table| table.notify(self.token, Instant::now()));
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
