//! A stand-in for a server that speaks OpenAI's `POST /v1/chat/completions`: strict about what it is asked, while its
//! answers are as good or bad as a test wants.

use std::collections::VecDeque;
use std::io::{self, BufReader, ErrorKind, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::app::TestApp;
use super::eventually;
use super::model_schema::{API_KEY, Asked, MODEL, Request};
use super::process::{Binary, Service};
use super::server::Gate;

/// Is in whatever a provider says about its own faults, which neither a client nor a log may ever see.
pub(crate) const MARKER: &str = "marker-of-the-provider";

/// More than any request takes that is to come.
const PATIENCE: Duration = Duration::from_secs(15);

/// What it does with one request; an error is a client that went away.
pub(crate) type Behaviour = Arc<dyn Fn(&mut Reply<'_>) -> io::Result<()> + Send + Sync>;

/// A running stand-in. The test fails when anything it was asked is not as the schema has it.
pub(crate) struct Model {
    pub(crate) address: SocketAddr,
    watch: Arc<Watch>,
    accepting: Option<JoinHandle<()>>,
}

struct Watch {
    host: String,
    state: Mutex<State>,
}

struct State {
    next: VecDeque<Behaviour>,
    otherwise: Behaviour,
    asked: Vec<Asked>,
    hang_ups: usize,
    violations: Vec<String>,
    connections: Vec<TcpStream>,
    is_over: bool,
}

impl Model {
    pub(crate) fn start() -> Model {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = State {
            next: VecDeque::new(),
            otherwise: Arc::new(says(&["I am here, ", "and I listen."])),
            asked: Vec::new(),
            hang_ups: 0,
            violations: Vec::new(),
            connections: Vec::new(),
            is_over: false,
        };
        let watch = Arc::new(Watch { host: address.to_string(), state: Mutex::new(state) });
        let accepting = thread::spawn({
            let watch = watch.clone();
            move || accept(&listener, &watch)
        });
        Model { address, watch, accepting: Some(accepting) }
    }

    /// The variables that lead a service to it.
    pub(crate) fn variables(&self) -> [(&'static str, String); 3] {
        let url = format!("http://{}/v1", self.address);
        [("OPENAI_BASE_URL", url), ("OPENAI_API_KEY", API_KEY.to_owned()), ("COMPANION_MODEL", MODEL.to_owned())]
    }

    /// A service that asks it.
    pub(crate) fn app(&self, further: &[(&str, &str)]) -> TestApp {
        let own = self.variables();
        let own = own.iter().map(|(name, value)| (*name, value.as_str()));
        TestApp::with(&own.chain(further.iter().copied()).collect::<Vec<_>>())
    }

    /// The same on a given database.
    pub(crate) fn app_at(&self, url: &str, further: &[(&str, &str)]) -> TestApp {
        let own = self.variables();
        let own = own.iter().map(|(name, value)| (*name, value.as_str()));
        TestApp::at(url, &own.chain(further.iter().copied()).collect::<Vec<_>>())
    }

    /// The binary on a given database, logging all it can.
    #[track_caller]
    pub(crate) fn service_at(&self, url: &str) -> Service {
        let [base, key, name] = self.variables();
        let ours = [("DATABASE_URL", url), ("RUST_LOG", "trace")];
        let theirs = [(base.0, base.1.as_str()), (key.0, key.1.as_str()), (name.0, name.1.as_str())];
        Binary::new(&[ours.as_slice(), &theirs].concat()).serve()
    }

    /// What it does with the next request for which nothing else was said.
    pub(crate) fn next(&self, behaviour: impl Fn(&mut Reply<'_>) -> io::Result<()> + Send + Sync + 'static) {
        self.state(|state| state.next.push_back(Arc::new(behaviour)));
    }

    /// What it does with each request for which nothing else was said.
    pub(crate) fn always(&self, behaviour: Behaviour) {
        self.state(|state| state.otherwise = behaviour);
    }

    /// What it was asked, the first first.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.state(|state| state.asked.clone())
    }

    #[track_caller]
    pub(crate) fn wait_until_asked(&self, count: usize) {
        eventually(PATIENCE, || self.state(|state| state.asked.len() >= count).then_some(()));
    }

    /// How many clients went away before they had their answer.
    pub(crate) fn hang_ups(&self) -> usize {
        self.state(|state| state.hang_ups)
    }

    #[track_caller]
    pub(crate) fn wait_for_hang_ups(&self, count: usize) {
        eventually(PATIENCE, || (self.hang_ups() >= count).then_some(()));
    }

    /// What it holds against its clients, which then is forgotten.
    pub(crate) fn take_violations(&self) -> Vec<String> {
        self.state(|state| std::mem::take(&mut state.violations))
    }

    fn state<T>(&self, see: impl FnOnce(&mut State) -> T) -> T {
        self.watch.state(see)
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        self.state(|state| {
            state.is_over = true;
            state.connections.iter().for_each(|connection| _ = connection.shutdown(Shutdown::Both));
        });
        let _ = TcpStream::connect(self.address);
        let _ = self.accepting.take().map(JoinHandle::join);
        let violations = self.take_violations();
        assert!(violations.is_empty() || thread::panicking(), "it was asked badly: {violations:?}");
    }
}

impl Watch {
    fn state<T>(&self, see: impl FnOnce(&mut State) -> T) -> T {
        see(&mut self.state.lock().unwrap())
    }

    /// Notes what was asked and says what to do with it.
    fn take_note(&self, asked: Asked) -> Behaviour {
        self.state(|state| {
            state.asked.push(asked);
            state.next.pop_front().unwrap_or_else(|| state.otherwise.clone())
        })
    }
}

fn accept(listener: &TcpListener, watch: &Arc<Watch>) {
    let mut serving = Vec::new();
    for stream in listener.incoming() {
        let Ok(stream) = stream else { continue };
        let is_over = watch.state(|state| {
            state.connections.extend(stream.try_clone());
            state.is_over
        });
        if is_over {
            break;
        }
        let watch = watch.clone();
        serving.push(thread::spawn(move || {
            let _ = serve(&stream, &watch);
            let _ = stream.shutdown(Shutdown::Both);
        }));
    }
    serving.into_iter().for_each(|serving| _ = serving.join());
}

fn serve(stream: &TcpStream, watch: &Watch) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    while let Some(request) = Request::read(&mut reader)? {
        let mut reply = Reply {
            stream,
            watch,
            is_streamed: false,
            is_byte_by_byte: false,
            has_head: false,
            is_finished: false,
            asked: String::new(),
            said: String::new(),
        };
        let asked = match request.check(&watch.host) {
            Ok(asked) => asked,
            Err(violation) => {
                watch.state(|state| state.violations.push(violation));
                return reply.refuse(400);
            }
        };
        reply.is_streamed = asked.is_streamed;
        asked.last().clone_into(&mut reply.asked);
        if let Err(error) = watch.take_note(asked)(&mut reply) {
            watch.state(|state| state.hang_ups += usize::from(!state.is_over));
            return Err(error);
        }
        if !reply.is_finished {
            break;
        }
    }
    Ok(())
}

/// Says so, whole or in these pieces, as it is asked.
pub(crate) fn says(pieces: &[&str]) -> impl Fn(&mut Reply<'_>) -> io::Result<()> + Send + Sync + 'static {
    let pieces: Vec<String> = pieces.iter().map(|piece| (*piece).to_owned()).collect();
    move |reply| {
        pieces.iter().try_for_each(|piece| reply.say(piece))?;
        reply.finish("stop")
    }
}

/// Says the first, waits until the gate is open, and says the rest.
pub(crate) fn says_at(
    gate: &Arc<Gate>,
    first: &str,
    rest: &str,
) -> impl Fn(&mut Reply<'_>) -> io::Result<()> + Send + Sync + 'static {
    let (gate, first, rest) = (gate.clone(), first.to_owned(), rest.to_owned());
    move |reply| {
        if !first.is_empty() {
            reply.say(&first)?;
        }
        reply.wait(&gate)?;
        reply.say(&rest)?;
        reply.finish("stop")
    }
}

/// One answer of it in the making.
pub(crate) struct Reply<'a> {
    stream: &'a TcpStream,
    watch: &'a Watch,
    pub(crate) is_streamed: bool,
    /// Whether each byte is sent apart.
    pub(crate) is_byte_by_byte: bool,
    has_head: bool,
    is_finished: bool,
    /// The words that it is to answer.
    pub(crate) asked: String,
    /// What an answer that is not streamed will have as its content.
    said: String,
}

impl Reply<'_> {
    /// Sends the head of an answer, once.
    pub(crate) fn head(&mut self) -> io::Result<()> {
        if std::mem::replace(&mut self.has_head, true) {
            return Ok(());
        }
        let media_type = if self.is_streamed { "text/event-stream; charset=utf-8" } else { "application/json" };
        self.send(
            format!("HTTP/1.1 200 OK\r\nContent-Type: {media_type}\r\nTransfer-Encoding: chunked\r\n\r\n").as_bytes(),
        )
    }

    /// Says words: a piece of a stream, or a part of the whole.
    pub(crate) fn say(&mut self, words: &str) -> io::Result<()> {
        if self.is_streamed {
            self.choices(&json!([{"index": 0, "delta": {"content": words}, "finish_reason": null}]))
        } else {
            self.said += words;
            self.head()
        }
    }

    /// Sends one chunk of a stream with these choices.
    pub(crate) fn choices(&mut self, choices: &Value) -> io::Result<()> {
        let chunk = json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_760_000_000,
            "model": MODEL, "choices": choices});
        self.text(&format!("data: {chunk}\n\n"))
    }

    /// Ends an answer in order.
    pub(crate) fn finish(&mut self, reason: &str) -> io::Result<()> {
        if self.is_streamed {
            self.choices(&json!([{"index": 0, "delta": {}, "finish_reason": reason}]))?;
            self.text("data: [DONE]\n\n")?;
        } else {
            let message = json!({"role": "assistant", "content": self.said, "refusal": null});
            self.completion(&json!([{"index": 0, "message": message, "logprobs": null, "finish_reason": reason}]))?;
        }
        self.end()
    }

    /// Sends a whole answer with these choices, but for its end.
    pub(crate) fn completion(&mut self, choices: &Value) -> io::Result<()> {
        let completion = json!({"id": "chatcmpl-1", "object": "chat.completion", "created": 1_760_000_000,
            "model": MODEL, "choices": choices,
            "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}});
        self.text(&completion.to_string())
    }

    /// Sends a piece of the body, whatever it is.
    pub(crate) fn text(&mut self, text: &str) -> io::Result<()> {
        self.head()?;
        self.send(format!("{:x}\r\n{text}\r\n", text.len()).as_bytes())
    }

    /// Ends the body.
    pub(crate) fn end(&mut self) -> io::Result<()> {
        self.head()?;
        self.is_finished = true;
        self.send(b"0\r\n\r\n")
    }

    /// Answers with another status.
    pub(crate) fn refuse(&mut self, status: u16) -> io::Result<()> {
        let error = json!({"message": MARKER, "type": MARKER, "param": null, "code": MARKER});
        self.whole(&format!("{status} {MARKER}"), "application/json", &json!({"error": error}).to_string())
    }

    /// Sends a whole answer of any kind.
    pub(crate) fn whole(&mut self, status: &str, media_type: &str, body: &str) -> io::Result<()> {
        self.is_finished = true;
        let head = format!("HTTP/1.1 {status}\r\nContent-Type: {media_type}\r\nContent-Length: {}\r\n\r\n", body.len());
        self.send(format!("{head}{body}").as_bytes())
    }

    /// Sends these bytes, HTTP or not.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let size = if self.is_byte_by_byte { 1 } else { bytes.len() };
        bytes.chunks(size).try_for_each(|bytes| self.stream.write_all(bytes))
    }

    /// Waits until the gate is open, or the client goes away.
    pub(crate) fn wait(&self, gate: &Gate) -> io::Result<()> {
        self.wait_for(gate, Duration::MAX)
    }

    /// The same for so long at most.
    pub(crate) fn wait_for(&self, gate: &Gate, limit: Duration) -> io::Result<()> {
        let started = Instant::now();
        self.stream.set_nonblocking(true)?;
        while !gate.wait_for(Duration::from_millis(5)) && started.elapsed() < limit {
            let is_over = self.watch.state(|state| state.is_over);
            match self.stream.peek(&mut [0]) {
                Err(error) if error.kind() == ErrorKind::WouldBlock && !is_over => {}
                Err(error) => return Err(error),
                Ok(_) => return Err(ErrorKind::ConnectionAborted.into()),
            }
        }
        self.stream.set_nonblocking(false)
    }
}
