//! One connection as a state machine: it reads requests and writes responses as far as the socket allows, and returns what
//! it needs next. It knows neither the table nor the application.

use std::io::{self, Read, Write};
use std::mem;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Instant;

use rouille::Request;

use super::body::Body;
use super::budget::{MemoryBudget, Reservation};
use super::deadlines::Phase;
use super::head::{self, Head, HeadScanner, Length};
use super::limits::Limits;
use super::refusal::{Refusal, RefusedFields};
use super::response_head::ClientCapabilities;
use super::response_writer::{Next, ResponseWriter};
use super::slot::ResponseState;
use super::step::{Disposition, Step};
use crate::memory;
use crate::peers::PeerKey;

/// Bytes of input buffer that a connection keeps between requests: enough for the usual head.
const IDLE_BUFFER_BYTES: usize = 1024;

/// Bytes that one read takes from a socket.
const READ_BYTES: usize = 8 * 1024;

/// A connection in any state.
pub(super) struct Connection {
    stream: Arc<TcpStream>,
    client: SocketAddr,
    pub(super) peer: Option<PeerKey>,
    /// Input that is not used yet: part of a request, or pipelined requests.
    input: Vec<u8>,
    /// The last read emptied the socket, so the poller reports whatever arrives later.
    is_drained: bool,
    /// What the client of the current request understands.
    capabilities: ClientCapabilities,
    /// What a refusal of the current request can depend on.
    refused_fields: RefusedFields,
    /// For the body of the current request, if that may be longer than most.
    body_memory: Option<Reservation>,
    /// The application works on the response to the current request, or on the pieces of its body.
    pub(super) awaits_application: bool,
    state: ConnectionState,
}

enum ConnectionState {
    ReadingHead(HeadScanner),
    ReadingBody(Box<Incoming>),
    /// The client sent `Expect: 100-continue`; the application checks the head.
    CheckingHead(Box<Incoming>),
    AwaitingReply,
    /// A response, or `100 Continue` and the request whose body follows.
    Writing(ResponseWriter, Option<Box<Incoming>>),
}

/// A request with a body that is not complete. In a box, since the states of most requests are moved without one.
struct Incoming {
    head: Head,
    body: Body,
}

/// The bounds of the bodies of requests.
#[derive(Clone, Copy)]
pub(super) struct BodyBounds<'a> {
    /// Bytes of the body of a request with this head.
    pub(super) max_bytes: &'a dyn Fn(&Head) -> usize,
    /// Memory for bodies that are longer than those of most requests may be.
    pub(super) budget: &'a Arc<MemoryBudget>,
}

impl BodyBounds<'_> {
    /// Memory for a body that can get more than `usual` bytes. Without such bodies the number of connections bounds the memory.
    fn reserve(&self, body: &Body, usual: usize, peer: Option<PeerKey>) -> Result<Option<Reservation>, Refusal> {
        if body.max_length() <= usual {
            return Ok(None);
        }
        let mut memory = self.budget.empty(peer);
        if memory.grow(body.max_length()) { Ok(Some(memory)) } else { Err(Refusal::Busy) }
    }
}

/// The next state, or what the connection needs before it goes on.
type Transition = Result<ConnectionState, Step>;

const CLOSE: Step = Step::Done(Disposition::Close);

use ConnectionState::{AwaitingReply, CheckingHead, ReadingBody, ReadingHead, Writing};

impl Connection {
    pub(super) fn new(stream: TcpStream, client: SocketAddr, peer: Option<PeerKey>) -> Connection {
        let (stream, capabilities) = (Arc::new(stream), ClientCapabilities::default());
        let state = ReadingHead(HeadScanner::default());
        let input = Vec::new();
        Connection {
            stream,
            client,
            peer,
            input,
            is_drained: false,
            capabilities,
            refused_fields: RefusedFields::default(),
            body_memory: None,
            awaits_application: false,
            state,
        }
    }

    pub(super) fn stream(&self) -> &Arc<TcpStream> {
        &self.stream
    }

    /// How far the response has got, for a call of the application.
    pub(super) fn response_state(&self) -> ResponseState {
        let (head_sent, head_only) = (matches!(self.state, Writing(..)), self.capabilities.head_only);
        ResponseState { head_sent, head_only, refused_fields: self.refused_fields.clone() }
    }

    /// What the refusal by the poller can depend on, after it has read these bytes.
    pub(super) fn into_refused_fields(mut self, received: &[u8]) -> RefusedFields {
        if !matches!(self.state, ReadingHead(_)) {
            return self.refused_fields;
        }
        self.input.extend_from_slice(received);
        head::find_refused_fields(&self.input)
    }

    /// What the client of the current request understands.
    pub(super) fn capabilities(&self) -> ClientCapabilities {
        // The body that follows a refused head is not read, so nothing can follow the response.
        let is_checking = matches!(self.state, CheckingHead(_));
        ClientCapabilities { keep_alive: self.capabilities.keep_alive && !is_checking, ..self.capabilities }
    }

    /// Advances until the connection needs something. `buffer` is the worker's, for reading.
    pub(super) fn advance(&mut self, limits: &Limits, bodies: BodyBounds<'_>, buffer: &mut Vec<u8>) -> Step {
        loop {
            let transition = match self.take_state() {
                ReadingHead(scanner) => self.read_head(scanner, limits, bodies, buffer).inspect_err(|step| {
                    if let Step::Refuse(_) = step {
                        self.refused_fields = head::find_refused_fields(&self.input);
                    }
                }),
                ReadingBody(incoming) => self.continue_body(incoming, buffer),
                Writing(writer, next) => self.write(writer, next, limits, buffer),
                waiting => self.stop(waiting, Step::Done(Disposition::AwaitApplication)),
            };
            match transition {
                Ok(state) => self.state = state,
                Err(step) => return step,
            }
        }
    }

    /// Writes the pieces of a stream whose end is open, as far as the socket allows. A connection that is to be closed waits
    /// for that, and does nothing further.
    pub(super) fn write_pieces(&mut self, limits: &Limits) -> Disposition {
        let Writing(writer, next) = mem::replace(&mut self.state, AwaitingReply) else { return Disposition::Close };
        match self.write(writer, next, limits, &mut Vec::new()) {
            Err(Step::Done(waits @ (Disposition::AwaitApplication | Disposition::AwaitClient { .. }))) => waits,
            _ => Disposition::Close,
        }
    }

    /// Sends the response to the current request.
    pub(super) fn respond(&mut self, writer: ResponseWriter) {
        self.state = Writing(writer, None);
    }

    /// Sends a refusal and nothing after it: where the next request begins is not known.
    pub(super) fn refuse(&mut self, writer: ResponseWriter) {
        self.input = Vec::new();
        self.state = Writing(writer, None);
    }

    /// Asks the client for the body whose head was checked (RFC 9110, section 10.1.1).
    pub(super) fn read_body(&mut self) {
        if let CheckingHead(incoming) = self.take_state() {
            self.state = Writing(ResponseWriter::raw(*b"HTTP/1.1 100 Continue\r\n\r\n"), Some(incoming));
        }
    }

    pub(super) fn response_writer(&mut self) -> Option<&mut ResponseWriter> {
        if let Writing(writer, _) = &mut self.state { Some(writer) } else { None }
    }

    /// Leaves the connection at the beginning of a request.
    fn take_state(&mut self) -> ConnectionState {
        mem::replace(&mut self.state, ReadingHead(HeadScanner::default()))
    }

    /// Leaves the connection in this state until the step is done.
    fn stop(&mut self, state: ConnectionState, step: Step) -> Transition {
        self.state = state;
        Err(step)
    }

    fn await_client(&mut self, phase: Phase, state: ConnectionState) -> Transition {
        self.stop(state, Step::Done(Disposition::AwaitClient { phase, progress: false }))
    }

    fn read_head(
        &mut self,
        mut scanner: HeadScanner,
        limits: &Limits,
        bodies: BodyBounds<'_>,
        buffer: &mut Vec<u8>,
    ) -> Transition {
        // The method of the request before says nothing of this one, which may be refused before it is parsed.
        self.capabilities = ClientCapabilities::default();
        let Some(range) = scanner.find(&self.input, limits)? else {
            return match self.read(buffer)? {
                Some(0) if self.is_between_requests() => Err(CLOSE),
                Some(0) => Err(Refusal::Malformed("it is not complete").into()),
                Some(_) => Ok(ReadingHead(scanner)),
                None if self.is_between_requests() => self.idle(),
                None => self.await_client(Phase::Head, ReadingHead(scanner)),
            };
        };
        let mut head = head::parse(&self.input[range.clone()], limits)?;
        self.capabilities =
            ClientCapabilities { is_1_1: head.is_1_1, head_only: head.method == "HEAD", keep_alive: head.keep_alive };
        if head.length == Length::Known(0) {
            memory::consume(&mut self.input, range.end);
            self.refused_fields = mem::take(&mut head.refused_fields);
            return self.answer(head, Vec::new());
        }
        // Before the head leaves the input, in which the refusal of the body looks for fields.
        let body = Body::new(head.length, (bodies.max_bytes)(&head))?;
        self.body_memory = bodies.reserve(&body, limits.max_body_bytes, self.peer)?;
        memory::consume(&mut self.input, range.end);
        self.refused_fields = mem::take(&mut head.refused_fields);
        if head.expects_continue && self.input.is_empty() {
            let request = request(self.client, head.clone(), None);
            return self.stop(CheckingHead(Box::new(Incoming { head, body })), Step::CheckHead(request));
        }
        Ok(ReadingBody(Box::new(Incoming { head, body })))
    }

    /// Whether nothing of a request has come. An empty line may come first (RFC 9112, section 2.2).
    fn is_between_requests(&self) -> bool {
        self.input.is_empty() || self.input == b"\r\n"
    }

    fn continue_body(&mut self, mut incoming: Box<Incoming>, buffer: &mut Vec<u8>) -> Transition {
        if !incoming.body.take(&mut self.input)? {
            return match self.read(buffer)? {
                Some(0) => Err(Refusal::Malformed("it is not complete").into()),
                Some(_) => Ok(ReadingBody(incoming)),
                None => self.await_client(Phase::Body, ReadingBody(incoming)),
            };
        }
        let Incoming { head, body } = *incoming;
        self.answer(head, body.into_bytes())
    }

    /// Has the application answer a request, whose body is complete.
    fn answer(&mut self, head: Head, body: Vec<u8>) -> Transition {
        // The application has the body now, and a bounded number of threads works for that.
        self.body_memory = None;
        self.awaits_application = true;
        self.stop(AwaitingReply, Step::Answer(request(self.client, head, Some(body))))
    }

    fn write(
        &mut self,
        mut writer: ResponseWriter,
        next: Option<Box<Incoming>>,
        limits: &Limits,
        buffer: &mut Vec<u8>,
    ) -> Transition {
        let mut progress = false;
        writer.rate.resume(Instant::now);
        loop {
            let needed = writer.next();
            self.awaits_application = writer.awaits_pieces();
            let step = match needed {
                Next::Write => match (&*self.stream).write(writer.unwritten()) {
                    Ok(written @ 1..) => {
                        writer.written += written;
                        writer.rate.accept(written);
                        progress = true;
                        continue;
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        let is_too_slow = writer.rate.is_below(limits.min_response_rate, limits.write_timeout);
                        if is_too_slow || !writer.reserve_unwritten() {
                            return Err(CLOSE);
                        }
                        writer.rate.wait(Instant::now());
                        Step::Done(Disposition::AwaitClient { phase: Phase::Writing, progress })
                    }
                    Ok(0) | Err(_) => return Err(CLOSE),
                },
                Next::ReadBody => Step::ReadResponseBody,
                Next::AskForPiece => Step::AskForPiece,
                Next::AwaitPiece => Step::Done(Disposition::AwaitApplication),
                Next::Aborted => return Err(CLOSE),
                Next::Finished => break,
            };
            return self.stop(Writing(writer, next), step);
        }
        match next {
            Some(incoming) => Ok(ReadingBody(incoming)),
            None if writer.keep_alive => self.next_request(buffer),
            // The client may still be sending, and has the time to read the response.
            None => {
                let _ = self.stream.shutdown(Shutdown::Write);
                Err(Step::Done(Disposition::Linger))
            }
        }
    }

    /// Waits for the next request, or requeues the connection behind the others.
    fn next_request(&mut self, buffer: &mut Vec<u8>) -> Transition {
        // The poller reports each arrival once, so the socket has to be empty before it is waited for.
        if self.input.is_empty() {
            match if self.is_drained { None } else { self.read(buffer)? } {
                Some(0) => return Err(CLOSE),
                Some(_) => {}
                None => return self.idle(),
            }
        }
        // More may have been reported in the meantime, and is not reported again.
        self.is_drained = false;
        Err(Step::Done(Disposition::Requeue))
    }

    /// Waits between requests with a small buffer, large enough that most requests need no new one.
    fn idle(&mut self) -> Transition {
        let received = self.input.len();
        memory::consume(&mut self.input, received);
        self.input.shrink_to(IDLE_BUFFER_BYTES);
        self.await_client(Phase::Idle, ReadingHead(HeadScanner::default()))
    }

    /// Reads what is there: `Some(0)` at the end of the input, `None` while there is nothing.
    fn read(&mut self, buffer: &mut Vec<u8>) -> Result<Option<usize>, Step> {
        // Many workers never need it.
        buffer.resize(READ_BYTES, 0);
        loop {
            match (&*self.stream).read(buffer) {
                Ok(read) => {
                    self.is_drained = read < buffer.len();
                    self.input.extend_from_slice(&buffer[..read]);
                    memory::overwrite(&mut buffer[..read]);
                    return Ok(Some(read));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.is_drained = true;
                    return Ok(None);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Err(CLOSE),
            }
        }
    }
}

/// The request as the application sees it. A body that was chunked has a length here.
fn request(client: SocketAddr, head: Head, body: Option<Vec<u8>>) -> Request {
    let mut fields = head.fields;
    if let (Length::Chunked, Some(body)) = (head.length, &body) {
        fields.retain(|(name, _)| !name.eq_ignore_ascii_case("Transfer-Encoding"));
        fields.push(("Content-Length".to_owned(), body.len().to_string()));
    }
    Request::fake_http_from(client, head.method, head.target, fields, body.unwrap_or_default())
}
