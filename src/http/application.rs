//! Where server and application meet: what an application implements, how it answers a request (at once or later, whole or
//! as a stream, from any thread), and the refusals that it words.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rouille::{Request, Response};

use super::refusal::Refusal;
use super::reply::{End, Reply, SendError, StreamBuffer, StreamReceiver};
use super::response_head::{ClientCapabilities, DateClock};
use super::response_writer::ResponseWriter;
use super::shared::{Shared, discard};
use super::slot::Token;

/// What the server serves. Its methods are called on many threads at once.
pub trait Application: Send + Sync + 'static {
    /// Answers a request whose body is complete, through the responder: before it returns, or later from any thread.
    fn answer(&self, request: Request, responder: Responder);

    /// Checks a request whose client sent `Expect: 100-continue`, by its head alone. `Some` refuses the body.
    fn refuse_head(&self, request: &Request) -> Option<Response>;

    /// The response for a refusal by the server itself. The one for [`Refusal::Busy`] is made at most once a second and
    /// sent many times.
    fn refuse(&self, refusal: Refusal) -> Response;
}

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
    static CALL: RefCell<Option<(*const Shared, Token, Option<Reply>)>> = const { RefCell::new(None) };
}

impl Responder {
    /// Calls the application with a responder, and returns the reply that it gave before it returned.
    pub(super) fn call(shared: &Arc<Shared>, token: Token, answer: impl FnOnce(Responder)) -> Option<Reply> {
        CALL.set(Some((Arc::as_ptr(shared), token, None)));
        let responder = Responder { shared: Some(shared.clone()), token };
        // A panic drops the responder, which replies.
        let _ = catch_unwind(AssertUnwindSafe(|| answer(responder)));
        CALL.take().and_then(|(.., reply)| reply)
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
            Some((server, token, during_call)) if *server == Arc::as_ptr(&shared) && *token == self.token => {
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

/// The bytes of a refusal, after which the connection is closed; a bare 500 if the application fails even at that.
pub(super) fn refusal_writer(
    application: &dyn Application,
    refusal: Refusal,
    head_only: bool,
    clock: &mut DateClock,
) -> ResponseWriter {
    let client = ClientCapabilities { is_1_1: true, head_only, keep_alive: false };
    let make = || ResponseWriter::new(application.refuse(refusal), None, client, clock).ok();
    catch_unwind(AssertUnwindSafe(make)).ok().flatten().unwrap_or_else(|| {
        ResponseWriter::raw(*b"HTTP/1.1 500 Internal Server Error\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
    })
}

/// The refusal of requests when the run queue or the table is full. It is made once a second and sent many times, so that
/// a flood costs little.
pub(super) struct BusyRefusal {
    response: Vec<u8>,
    made_at: Instant,
    /// Requests that were refused since the last log line.
    refused: u64,
    next_log: Instant,
}

impl BusyRefusal {
    /// How old the response may be: it contains the time.
    const MAX_AGE: Duration = Duration::from_secs(1);

    /// The least time between two log lines about refusals.
    const LOG_INTERVAL: Duration = Duration::from_secs(10);

    pub(super) fn new(application: &dyn Application, clock: &mut DateClock, now: Instant) -> BusyRefusal {
        let response = refusal_writer(application, Refusal::Busy, false, clock).unwritten().to_vec();
        BusyRefusal { response, made_at: now, refused: 0, next_log: now }
    }

    /// Counts a refusal and returns the bytes of its response.
    pub(super) fn response(&mut self, application: &dyn Application, clock: &mut DateClock, now: Instant) -> &[u8] {
        if now.saturating_duration_since(self.made_at) >= BusyRefusal::MAX_AGE {
            let BusyRefusal { refused, next_log, .. } = *self;
            *self = BusyRefusal { refused, next_log, ..BusyRefusal::new(application, clock, now) };
        }
        self.refused += 1;
        &self.response
    }

    /// When [`BusyRefusal::log`] has something to do.
    pub(super) fn next_log(&self) -> Option<Instant> {
        (self.refused > 0).then_some(self.next_log)
    }

    /// Logs how many requests were refused, at most once in [`BusyRefusal::LOG_INTERVAL`].
    pub(super) fn log(&mut self, now: Instant) {
        if self.next_log().is_some_and(|next_log| next_log <= now) {
            log::warn!(refused = self.refused; "More requests than there is room for");
            (self.refused, self.next_log) = (0, now + BusyRefusal::LOG_INTERVAL);
        }
    }
}
