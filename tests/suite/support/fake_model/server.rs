//! A fake of a server with OpenAI's `POST /v1/chat/completions`. It checks every request against the schema; its replies
//! are what a test defines.

use std::collections::VecDeque;
use std::io::{self, BufReader};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::reply::{Behaviour, Reply, answers};
use super::request::{API_KEY, CompletionRequest, MODEL, Request};
use crate::support::app::TestApp;
use crate::support::eventually;
use crate::support::process::{Binary, Service};

/// Longer than any expected request takes.
const TIMEOUT: Duration = Duration::from_secs(15);

/// A running fake. Dropping it fails the test if a request violated the schema.
pub(crate) struct FakeModel {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

struct Shared {
    host: String,
    checks_schema: bool,
    is_stopping: AtomicBool,
    state: Mutex<State>,
}

struct State {
    next: VecDeque<Behaviour>,
    default: Behaviour,
    requests: Vec<CompletionRequest>,
    raw_requests: Vec<String>,
    disconnects: usize,
    violations: Vec<String>,
    connections: Vec<TcpStream>,
}

impl FakeModel {
    pub(crate) fn start() -> FakeModel {
        FakeModel::listen(true)
    }

    /// A fake for other keys, model names and providers: it checks nothing, and `requests` stays empty.
    pub(crate) fn without_schema() -> FakeModel {
        FakeModel::listen(false)
    }

    fn listen(checks_schema: bool) -> FakeModel {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Mutex::new(State {
            next: VecDeque::new(),
            default: Arc::new(answers(&["I am here, ", "and I listen."])),
            requests: Vec::new(),
            raw_requests: Vec::new(),
            disconnects: 0,
            violations: Vec::new(),
            connections: Vec::new(),
        });
        let shared = Shared { host: address.to_string(), checks_schema, is_stopping: AtomicBool::new(false), state };
        let shared = Arc::new(shared);
        let acceptor = thread::spawn({
            let shared = shared.clone();
            move || accept(&listener, &shared)
        });
        FakeModel { address, shared, acceptor: Some(acceptor) }
    }

    /// The value of `OPENAI_BASE_URL` for it.
    pub(crate) fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// The variables that make a service use it.
    pub(crate) fn variables(&self) -> [(&'static str, String); 3] {
        let (key, model) = (API_KEY.to_owned(), MODEL.to_owned());
        [("OPENAI_BASE_URL", self.base_url()), ("OPENAI_API_KEY", key), ("COMPANION_MODEL", model)]
    }

    /// A service that uses it.
    pub(crate) fn app(&self, variables: &[(&str, &str)]) -> TestApp {
        let own = self.variables();
        let own = own.iter().map(|(name, value)| (*name, value.as_str()));
        TestApp::with(&own.chain(variables.iter().copied()).collect::<Vec<_>>())
    }

    /// The same on a given database.
    pub(crate) fn app_at(&self, url: &str, variables: &[(&str, &str)]) -> TestApp {
        let own = self.variables();
        let own = own.iter().map(|(name, value)| (*name, value.as_str()));
        TestApp::at(url, &own.chain(variables.iter().copied()).collect::<Vec<_>>())
    }

    /// The binary on a given database, with every log line.
    #[track_caller]
    pub(crate) fn service_at(&self, url: &str) -> Service {
        let own = self.variables();
        let own = own.iter().map(|(name, value)| (*name, value.as_str()));
        Binary::new(&own.chain([("DATABASE_URL", url), ("RUST_LOG", "trace")]).collect::<Vec<_>>()).serve()
    }

    /// Adds to the queue of behaviours, each of which serves one request.
    pub(crate) fn next(&self, behaviour: impl Fn(&mut Reply<'_>) -> io::Result<()> + Send + Sync + 'static) {
        self.shared.state(|state| state.next.push_back(Arc::new(behaviour)));
    }

    /// Sets the behaviour for all requests while the queue is empty.
    pub(crate) fn always(&self, behaviour: Behaviour) {
        self.shared.state(|state| state.default = behaviour);
    }

    /// The requests so far, the oldest first.
    pub(crate) fn requests(&self) -> Vec<CompletionRequest> {
        self.shared.state(|state| state.requests.clone())
    }

    /// The same as received: head and body.
    pub(crate) fn raw_requests(&self) -> Vec<String> {
        self.shared.state(|state| state.raw_requests.clone())
    }

    #[track_caller]
    pub(crate) fn wait_for_requests(&self, count: usize) {
        eventually(TIMEOUT, || self.shared.state(|state| state.requests.len() >= count).then_some(()));
    }

    /// How many clients closed their connection before the end of the reply.
    pub(crate) fn disconnects(&self) -> usize {
        self.shared.state(|state| state.disconnects)
    }

    #[track_caller]
    pub(crate) fn wait_for_disconnects(&self, count: usize) {
        eventually(TIMEOUT, || (self.disconnects() >= count).then_some(()));
    }

    /// Removes and returns the violations of the schema so far.
    pub(crate) fn take_violations(&self) -> Vec<String> {
        self.shared.state(|state| std::mem::take(&mut state.violations))
    }
}

impl Drop for FakeModel {
    fn drop(&mut self) {
        self.shared.state(|state| {
            self.shared.is_stopping.store(true, Ordering::SeqCst);
            state.connections.iter().for_each(|connection| _ = connection.shutdown(Shutdown::Both));
        });
        let _ = TcpStream::connect(self.address);
        let _ = self.acceptor.take().map(JoinHandle::join);
        let violations = self.take_violations();
        assert!(violations.is_empty() || thread::panicking(), "requests violate the schema: {violations:?}");
    }
}

impl Shared {
    fn state<T>(&self, access: impl FnOnce(&mut State) -> T) -> T {
        access(&mut self.state.lock().unwrap())
    }

    fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::SeqCst)
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    let mut threads = Vec::new();
    for stream in listener.incoming() {
        let Ok(stream) = stream else { continue };
        let is_stopping = shared.state(|state| {
            state.connections.extend(stream.try_clone());
            shared.is_stopping()
        });
        if is_stopping {
            break;
        }
        let shared = shared.clone();
        threads.push(thread::spawn(move || {
            let _ = serve(&stream, &shared);
            let _ = stream.shutdown(Shutdown::Both);
        }));
    }
    threads.into_iter().for_each(|thread| _ = thread.join());
}

fn serve(stream: &TcpStream, shared: &Shared) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    while let Some(request) = Request::read(&mut reader)? {
        let mut reply = Reply::new(stream, &shared.is_stopping);
        let completion_request = match request.check(&shared.host) {
            Ok(completion_request) => Some(completion_request),
            Err(_) if !shared.checks_schema => None,
            Err(violation) => {
                shared.state(|state| state.violations.push(violation));
                return reply.refuse(400);
            }
        };
        reply.length = request.raw().len();
        if let Some(completion_request) = &completion_request {
            reply.is_streamed = completion_request.is_streamed;
            completion_request.question().clone_into(&mut reply.question);
        }
        let behaviour = shared.state(|state| {
            state.raw_requests.push(request.raw());
            state.requests.extend(completion_request.filter(|_| shared.checks_schema));
            state.next.pop_front().unwrap_or_else(|| state.default.clone())
        });
        if let Err(error) = behaviour(&mut reply) {
            shared.state(|state| state.disconnects += usize::from(!shared.is_stopping()));
            return Err(error);
        }
        if !reply.is_finished() {
            break;
        }
    }
    Ok(())
}
