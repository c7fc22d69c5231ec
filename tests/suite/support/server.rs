//! The HTTP server with an application for tests, which records the requests that reach it.

use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::time::Duration;

use safespace::http::{
    Application, Limits, Refusal, RefusedFields, Request, Responder, Response, ResponseBody, Server, ServerState,
};
use safespace::peers::{Distinct, PeerKey, Peers};
use serde_json::{Value, json};

use super::raw::Raw;
use super::requests::DEFERRED;
use super::timing::{PATIENCE, eventually};

/// Bytes that a body for `POST /long-body` may have.
pub(crate) const MAX_LONG_BODY_BYTES: usize = 256 * 1024;

/// The defaults of the service, with few workers.
pub(crate) fn limits() -> Limits {
    Limits {
        workers: 4,
        max_request_line_bytes: 8192,
        max_head_bytes: 16 * 1024,
        max_head_fields: 100,
        max_body_bytes: 64 * 1024,
        max_connections: 10_000,
        max_queued: 1024,
        max_answer_bytes: 64 * 1024 * 1024,
        head_timeout: Duration::from_secs(10),
        body_timeout: Duration::from_secs(30),
        idle_timeout: Duration::from_secs(75),
        write_timeout: Duration::from_secs(30),
        min_response_rate: 4096,
        request_timeout: Duration::from_secs(30),
    }
}

/// A running server.
pub(crate) struct TestServer {
    server: Option<Server>,
    pub(crate) address: SocketAddr,
    application: Arc<Echo>,
}

impl TestServer {
    pub(crate) fn start(limits: Limits) -> TestServer {
        TestServer::start_with(limits, Distinct::None)
    }

    /// Starts a server that tells clients apart by these addresses.
    pub(crate) fn start_with(limits: Limits, distinct: Distinct) -> TestServer {
        let application = Arc::new(Echo::new(Peers::new(distinct)));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Server::start(listener, limits, application.clone()).unwrap();
        TestServer { address: server.address(), server: Some(server), application }
    }

    pub(crate) fn connect(&self) -> Raw {
        Raw::connect(self.address)
    }

    /// The requests that have reached the application since the last call, each as method and target.
    pub(crate) fn received(&self) -> Vec<String> {
        std::mem::take(&mut *self.application.received.lock().unwrap())
    }

    /// The gate at which requests for `/wait` block.
    pub(crate) fn gate(&self) -> Arc<Gate> {
        self.application.gate.clone()
    }

    /// Waits until `count` requests for `/wait` have reached the application since the last call.
    #[track_caller]
    pub(crate) fn wait_until_blocked(&self, count: usize) {
        let mut blocked = 0;
        eventually(PATIENCE, || {
            blocked += self.received().iter().filter(|request| *request == "GET /wait").count();
            (blocked == count).then_some(())
        });
    }

    /// The responders of the requests for `/deferred` since the last call, in order of arrival.
    pub(crate) fn responders(&self) -> Vec<Responder> {
        std::mem::take(&mut *self.application.responders.lock().unwrap())
    }

    /// Waits until exactly `count` such requests have arrived, and returns their responders.
    #[track_caller]
    pub(crate) fn wait_for_responders(&self, count: usize) -> Vec<Responder> {
        let mut responders = Vec::new();
        eventually(PATIENCE, || {
            responders.extend(self.responders());
            (responders.len() >= count).then_some(())
        });
        assert_eq!(responders.len(), count);
        responders
    }

    /// Sends a request for `/deferred` and waits until the application has received it.
    #[track_caller]
    pub(crate) fn send_deferred(&self, raw: &mut Raw) -> Responder {
        raw.send(DEFERRED);
        self.wait_for_responders(1).remove(0)
    }

    /// Sets the body of the next request for `/stream`, chunk by chunk; dropping the sender ends the body.
    pub(crate) fn stream(&self) -> mpsc::Sender<Vec<u8>> {
        let (sender, chunks) = mpsc::channel();
        *self.application.chunks.lock().unwrap() = Some(chunks);
        sender
    }

    /// What the server is doing.
    pub(crate) fn state(&self) -> ServerState {
        self.server.as_ref().unwrap().observer().state()
    }

    /// Stops the server and returns whether every request was answered.
    pub(crate) fn stop(&mut self, grace: Duration) -> bool {
        self.server.take().unwrap().stop(grace)
    }
}

/// Blocks threads until it is opened.
#[derive(Default)]
pub(crate) struct Gate {
    is_open: Mutex<bool>,
    opened: Condvar,
}

impl Gate {
    pub(crate) fn open(&self) {
        *self.is_open.lock().unwrap() = true;
        self.opened.notify_all();
    }

    pub(crate) fn wait(&self) {
        let _open = self.opened.wait_while(self.is_open.lock().unwrap(), |open| !*open).unwrap();
    }

    /// Waits for at most `limit`, and returns whether the gate is open.
    pub(crate) fn wait_for(&self, limit: Duration) -> bool {
        let is_open = self.is_open.lock().unwrap();
        *self.opened.wait_timeout_while(is_open, limit, |open| !*open).unwrap().0
    }
}

/// Answers a request with its own contents as JSON; a few paths have special responses.
struct Echo {
    peers: Peers,
    received: Mutex<Vec<String>>,
    gate: Arc<Gate>,
    chunks: Mutex<Option<mpsc::Receiver<Vec<u8>>>>,
    responders: Mutex<Vec<Responder>>,
}

impl Echo {
    fn new(peers: Peers) -> Echo {
        let (received, gate, chunks, responders) = Default::default();
        Echo { peers, received, gate, chunks, responders }
    }
}

impl Application for Echo {
    fn peer(&self, address: IpAddr) -> Option<PeerKey> {
        self.peers.key(address)
    }

    fn max_body_bytes(&self, method: &str, target: &str) -> Option<usize> {
        (method == "POST" && target == "/long-body").then_some(MAX_LONG_BODY_BYTES)
    }

    fn is_quick(&self, _: &str, target: &str) -> bool {
        target == "/quick"
    }

    fn is_never_refused(&self, beginning: &[u8]) -> bool {
        beginning.starts_with(b"DELETE ")
    }

    fn answer(&self, request: Request, responder: Responder) {
        self.received.lock().unwrap().push(format!("{} {}", request.method(), request.raw_url()));
        let response = match request.raw_url() {
            "/deferred" => return self.responders.lock().unwrap().push(responder),
            "/deferred-at-once" => return responder.respond_with(|| Response::text("deferred, at once")),
            "/dropped" => return,
            "/thread" => Response::text(format!("{:?}", std::thread::current().id())),
            "/panic" => panic!("requested by the test"),
            "/wait" => {
                self.gate.wait();
                Response::text("went on")
            }
            "/stream" => from_reader(Chunks(self.chunks.lock().unwrap().take().expect("the test sets a body"))),
            "/large" => Response::from_data("application/octet-stream", vec![b'x'; 8 * 1024 * 1024]),
            "/40-kib" => Response::from_data("application/octet-stream", vec![b'x'; 40 * 1024]),
            "/no-content" => Response::empty_204(),
            "/not-modified" => Response { status_code: 304, ..Response::text("not sent") },
            "/short" => sized(b"four".as_slice(), 5),
            "/long" => sized(b"longer".as_slice(), 4),
            "/short-large" => sized(io::repeat(b'x').take(100_000), 200_000),
            "/broken-stream" => from_reader(b"part".chain(Broken)),
            "/panicking-stream" => from_reader(b"part".chain(Panicking)),
            "/split-value" => Response::text("").with_additional_header("X", "a\r\nInjected: b"),
            "/split-nul" => Response::text("").with_additional_header("X", "a\0b"),
            "/split-name" => Response::text("").with_additional_header("X: a\r\nInjected", "b"),
            "/panicking-body" => sized(Panicking, 5),
            "/slow" => {
                std::thread::sleep(Duration::from_millis(100));
                Response::text("slow")
            }
            "/informational" => Response { status_code: 100, ..Response::text("") },
            "/own-framing" => Response::text("hello")
                .with_additional_header("Content-Length", "3")
                .with_additional_header("Transfer-Encoding", "chunked")
                .with_additional_header("Connection", "keep-alive, x")
                .with_additional_header("Date", "yesterday"),
            _ => Response::from_data("application/json", echo(&request).to_string()),
        };
        responder.respond(response);
    }

    fn refuse_head(&self, request: &Request) -> Option<Response> {
        match request.raw_url() {
            "/unwanted" => Some(Response::empty_404()),
            "/panic" => panic!("requested by the test"),
            "/wait" => {
                self.gate.wait();
                None
            }
            _ => None,
        }
    }

    fn refuse(&self, refusal: Refusal, _: &RefusedFields) -> Response {
        Response::text(refusal.to_string()).with_status_code(refusal.status())
    }
}

fn echo(request: &Request) -> Value {
    let mut body = Vec::new();
    request.data().unwrap().read_to_end(&mut body).unwrap();
    let fields: Vec<(&str, &str)> = request.headers().collect();
    json!({
        "method": request.method(),
        "target": request.raw_url(),
        "fields": fields,
        "body": String::from_utf8_lossy(&body),
    })
}

fn from_reader(reader: impl Read + Send + 'static) -> Response {
    Response { data: ResponseBody::from_reader(reader), ..Response::text("") }
}

fn sized(reader: impl Read + Send + 'static, length: usize) -> Response {
    Response { data: ResponseBody::from_reader_and_size(reader, length), ..Response::text("") }
}

/// A body whose chunks the test sends.
struct Chunks(mpsc::Receiver<Vec<u8>>);

impl Read for Chunks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let chunk = self.0.recv().unwrap_or_default();
        buffer[..chunk.len()].copy_from_slice(&chunk);
        Ok(chunk.len())
    }
}

struct Broken;

impl Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::Other.into())
    }
}

struct Panicking;

impl Read for Panicking {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        panic!("requested by the test")
    }
}
