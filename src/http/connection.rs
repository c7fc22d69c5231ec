//! One connection, request after request: read, ask the application, write. This is the life of a request as the
//! server sees it; a worker goes through it until the client keeps it waiting.

use std::io::{self, Read, Write};
use std::mem;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;

use rouille::{Request, Response};

use super::body::Body;
use super::head::{self, Scanner};
use super::later::{Answer, Later};
use super::response::{Clock, Output, Recipient, Unsendable};
use super::table::{Phase, Token, Work};
use super::{Head, Length, Refusal, Shared};

/// Memory that a connection keeps between requests: enough for the usual head.
const RESTING_BYTES: usize = 1024;

/// What is read from a socket at once.
const READ_BYTES: usize = 8 * 1024;

/// A connection, wherever it has got to.
pub(super) struct Connection {
    stream: Arc<TcpStream>,
    client: SocketAddr,
    /// Whether the request at hand wants no body with its answer.
    head_only: bool,
    /// What was read and not yet used: part of a request, or the requests after it.
    input: Vec<u8>,
    /// Whether the last read left nothing, so that whatever comes later is told of.
    drained: bool,
    stage: Stage,
}

/// Where a connection has got to.
enum Stage {
    Head(Scanner),
    Body(Head, Body),
    /// The application answers later.
    Later(Recipient),
    Answer(Answer, Recipient),
    Output(Output, Afterwards),
}

/// What follows when everything is written.
enum Afterwards {
    NextRequest,
    /// The body, for which a 100 has asked.
    Body(Head, Body),
    /// The end, once the client had the time to read the answer: it may still be sending.
    Linger,
}

/// What is to become of a connection that a worker is done with for now.
#[derive(Clone, Copy)]
pub(super) enum Next {
    /// It waits for its client, to send something or, in [`Phase::Writing`], to take something; whether it has taken
    /// something just now.
    Wait {
        phase: Phase,
        progress: bool,
    },
    /// It waits for the application.
    Later,
    /// The next request is here already.
    Again,
    Linger,
    Close,
}

impl Next {
    fn wait(phase: Phase) -> Next {
        Next::Wait { phase, progress: false }
    }
}

/// What a worker has at hand for any connection.
pub(super) struct Tools {
    scratch: Vec<u8>,
    clock: Clock,
}

impl Tools {
    pub(super) fn new() -> Tools {
        Tools { scratch: Vec::new(), clock: Clock::default() }
    }
}

impl Connection {
    pub(super) fn new(stream: TcpStream, client: SocketAddr) -> Connection {
        Connection {
            stream: Arc::new(stream),
            client,
            head_only: false,
            input: Vec::new(),
            drained: false,
            stage: Stage::Head(Scanner::default()),
        }
    }

    pub(super) fn stream(&self) -> &Arc<TcpStream> {
        &self.stream
    }

    /// Goes on for as long as there is something to do without waiting for the client.
    pub(super) fn proceed(&mut self, shared: &Arc<Shared>, token: Token, tools: &mut Tools) -> Next {
        loop {
            let stage = mem::replace(&mut self.stage, Stage::Head(Scanner::default()));
            let step = match stage {
                Stage::Head(scanner) => self.read_head(scanner, shared, token, tools),
                Stage::Body(head, body) => self.read_body(head, body, shared, token, tools),
                Stage::Later(recipient) => Ok(Step::Pause(Next::Later, Stage::Later(recipient))),
                Stage::Answer(answer, recipient) => self.answer(answer, recipient, shared, token, tools),
                Stage::Output(output, afterwards) => self.write(output, afterwards, shared, token, tools),
            };
            match step {
                Ok(Step::To(stage)) => self.stage = stage,
                Ok(Step::Pause(next, stage)) => {
                    self.stage = stage;
                    return next;
                }
                Ok(Step::End(next)) => return next,
                Err(Interruption::Refused(refusal)) => self.stage = self.refuse(refusal, shared, tools),
                // The client has gone, or nobody will answer it any more.
                Err(Interruption::Gone) => return Next::Close,
            }
        }
    }

    /// Takes what the application answers later.
    pub(super) fn take_answer(&mut self, answer: Answer) {
        if let Stage::Later(recipient) = self.stage {
            self.stage = Stage::Answer(answer, recipient);
        }
    }

    fn read_head(
        &mut self,
        mut scanner: Scanner,
        shared: &Shared,
        token: Token,
        tools: &mut Tools,
    ) -> Result<Step, Interruption> {
        // What the request before wanted says nothing of this one, which may be refused before it is understood.
        self.head_only = false;
        let Some(range) = scanner.find(&self.input, &shared.limits)? else {
            return match self.read(tools)? {
                Some(0) if self.is_between_requests() => Err(Interruption::Gone),
                Some(0) => Err(Refusal::Malformed("it is not complete").into()),
                Some(_) => Ok(Step::To(Stage::Head(scanner))),
                None if self.is_between_requests() => {
                    self.rest();
                    let scanner = Scanner::default();
                    Ok(Step::Pause(Next::wait(Phase::Idle), Stage::Head(scanner)))
                }
                None => Ok(Step::Pause(Next::wait(Phase::Head), Stage::Head(scanner))),
            };
        };
        let head = head::parse(&self.input[range.clone()], &shared.limits)?;
        self.input.drain(..range.end);
        self.head_only = head.method == "HEAD";
        let body = Body::new(head.length, shared.limits.max_body_bytes)?;
        if head.expects_continue && head.length != Length::Known(0) && self.input.is_empty() {
            // Only a body that is wanted is asked for (RFC 9110, section 10.1.1).
            let asked = request(self.client, head.clone(), None);
            let recipient = Recipient { keep_alive: false, ..recipient(&head) };
            let work = Work { midway: false, head_only: self.head_only };
            let refusal = shared.ask(token, work, |_| {
                let response = shared.application.refuse_head(&asked);
                Some(response.map(|response| Output::new(response, recipient, &mut tools.clock)))
            })?;
            return match refusal.map(Option::flatten) {
                Ok(None) => {
                    let output = Output::of(*b"HTTP/1.1 100 Continue\r\n\r\n");
                    Ok(Step::To(Stage::Output(output, Afterwards::Body(head, body))))
                }
                Ok(Some(output)) => Ok(Step::To(respond(Ok(output))?)),
                Err(panic) => Ok(Step::To(respond(Err(panic))?)),
            };
        }
        Ok(Step::To(Stage::Body(head, body)))
    }

    /// Whether nothing of a request has come. An empty line may come first (RFC 9112, section 2.2).
    fn is_between_requests(&self) -> bool {
        self.input.is_empty() || self.input == b"\r\n"
    }

    fn read_body(
        &mut self,
        head: Head,
        mut body: Body,
        shared: &Arc<Shared>,
        token: Token,
        tools: &mut Tools,
    ) -> Result<Step, Interruption> {
        if !body.take(&mut self.input)? {
            return match self.read(tools)? {
                Some(0) => Err(Refusal::Malformed("it is not complete").into()),
                Some(_) => Ok(Step::To(Stage::Body(head, body))),
                None => Ok(Step::Pause(Next::wait(Phase::Body), Stage::Body(head, body))),
            };
        }
        let recipient = recipient(&head);
        let asked = request(self.client, head, Some(body.into_bytes()));
        let work = Work { midway: false, head_only: self.head_only };
        let output = shared.ask(token, work, |due| {
            let response = shared.application.answer(&asked, Later::new(shared, due))?;
            Some(output(response, recipient, shared, tools))
        })?;
        Ok(Step::To(match output {
            Ok(None) => Stage::Later(recipient),
            Ok(Some(output)) => respond(Ok(output))?,
            Err(panic) => respond(Err(panic))?,
        }))
    }

    /// Has the answer made that was put off.
    fn answer(
        &mut self,
        answer: Answer,
        recipient: Recipient,
        shared: &Shared,
        token: Token,
        tools: &mut Tools,
    ) -> Result<Step, Interruption> {
        let make = answer.ok_or(Refusal::ApplicationFailed)?;
        let work = Work { midway: false, head_only: self.head_only };
        let output = shared.ask(token, work, |_| Some(output(make(), recipient, shared, tools)))?;
        Ok(Step::To(respond(output.map(|output| output.expect("it is not put off again")))?))
    }

    fn write(
        &mut self,
        mut output: Output,
        afterwards: Afterwards,
        shared: &Shared,
        token: Token,
        tools: &mut Tools,
    ) -> Result<Step, Interruption> {
        let mut progress = false;
        while !output.is_finished() {
            if output.unwritten().is_empty() {
                // A body that fails ends without its end, so that the client does not take it for the whole.
                let work = Work { midway: true, head_only: self.head_only };
                let read = shared.ask(token, work, |_| Some(output.read_on()))?;
                read.ok().flatten().and_then(Result::ok).ok_or(Interruption::Gone)?;
            }
            match (&*self.stream).write(output.unwritten()) {
                Ok(0) => return Err(Interruption::Gone),
                Ok(written) => {
                    output.advance(written);
                    progress = true;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let next = Next::Wait { phase: Phase::Writing, progress };
                    return Ok(Step::Pause(next, Stage::Output(output, afterwards)));
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Err(Interruption::Gone),
            }
        }
        Ok(match afterwards {
            Afterwards::Body(head, body) => Step::To(Stage::Body(head, body)),
            // In turns, so that a client that sends many requests at once keeps nobody waiting.
            Afterwards::NextRequest if !self.input.is_empty() => {
                // More may have been told of meanwhile, and is told of once.
                self.drained = false;
                Step::End(Next::Again)
            }
            Afterwards::NextRequest if self.drained => {
                self.rest();
                Step::End(Next::wait(Phase::Idle))
            }
            // The poller tells of what is new once, so nothing may be left to read for whom it is to wait.
            Afterwards::NextRequest => match self.read(tools)? {
                Some(0) => return Err(Interruption::Gone),
                Some(_) => {
                    self.drained = false;
                    Step::End(Next::Again)
                }
                None => {
                    self.rest();
                    Step::End(Next::wait(Phase::Idle))
                }
            },
            Afterwards::Linger => {
                let _ = self.stream.shutdown(Shutdown::Write);
                Step::End(Next::Linger)
            }
        })
    }

    /// Reads what is there: `Some(0)` at the end, `None` while there is nothing.
    fn read(&mut self, tools: &mut Tools) -> Result<Option<usize>, Interruption> {
        // Many workers never come to need it.
        tools.scratch.resize(READ_BYTES, 0);
        loop {
            match (&*self.stream).read(&mut tools.scratch) {
                Ok(read) => {
                    self.drained = read < tools.scratch.len();
                    self.input.extend_from_slice(&tools.scratch[..read]);
                    return Ok(Some(read));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.drained = true;
                    return Ok(None);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Err(Interruption::Gone),
            }
        }
    }

    /// Keeps little memory between requests, and not so little that every request has to ask for some.
    fn rest(&mut self) {
        self.input.clear();
        self.input.shrink_to(RESTING_BYTES);
    }

    /// Answers with a refusal, and with nothing after it: where the next request begins is not known.
    fn refuse(&mut self, refusal: Refusal, shared: &Shared, tools: &mut Tools) -> Stage {
        self.input = Vec::new();
        let output = refuse(shared, refusal, self.head_only, &mut tools.clock);
        Stage::Output(output, Afterwards::Linger)
    }
}

/// The next step of a connection.
enum Step {
    To(Stage),
    Pause(Next, Stage),
    End(Next),
}

/// Why a connection does not go on as usual.
pub(super) enum Interruption {
    Refused(Refusal),
    Gone,
}

impl From<Refusal> for Interruption {
    fn from(refusal: Refusal) -> Interruption {
        Interruption::Refused(refusal)
    }
}

impl From<Unsendable> for Interruption {
    fn from(unsendable: Unsendable) -> Interruption {
        log::error!("{unsendable}");
        Interruption::Refused(Refusal::ApplicationFailed)
    }
}

fn recipient(head: &Head) -> Recipient {
    Recipient { is_1_1: head.is_1_1, head_only: head.method == "HEAD", keep_alive: head.keep_alive }
}

/// The bytes of a response. Whether another request may follow is seen now: the server may have begun to stop.
fn output(response: Response, recipient: Recipient, shared: &Shared, tools: &mut Tools) -> Result<Output, Unsendable> {
    let keep_alive = recipient.keep_alive && !shared.is_stopping();
    Output::new(response, Recipient { keep_alive, ..recipient }, &mut tools.clock)
}

/// Sends what came of asking the application, which may have panicked.
fn respond(output: thread::Result<Result<Output, Unsendable>>) -> Result<Stage, Interruption> {
    let output = output.map_err(|_| Refusal::ApplicationFailed)??;
    let afterwards = if output.keep_alive { Afterwards::NextRequest } else { Afterwards::Linger };
    Ok(Stage::Output(output, afterwards))
}

/// The request as the application sees it. Once its body is there, how that was framed is over: it has a length.
fn request(client: SocketAddr, head: Head, body: Option<Vec<u8>>) -> Request {
    let mut fields = head.fields;
    if let (Length::Chunked, Some(body)) = (head.length, &body) {
        fields.retain(|(name, _)| !name.eq_ignore_ascii_case("Transfer-Encoding"));
        fields.push(("Content-Length".to_owned(), body.len().to_string()));
    }
    Request::fake_http_from(client, head.method, head.target, fields, body.unwrap_or_default())
}

/// The application's words for a refusal, or, if even those fail, none.
pub(super) fn refuse(shared: &Shared, refusal: Refusal, head_only: bool, clock: &mut Clock) -> Output {
    let recipient = Recipient { is_1_1: true, head_only, keep_alive: false };
    catch_unwind(AssertUnwindSafe(|| Output::new(shared.application.refuse(refusal), recipient, clock).ok()))
        .ok()
        .flatten()
        .unwrap_or_else(|| {
            Output::of(*b"HTTP/1.1 500 Internal Server Error\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
        })
}
