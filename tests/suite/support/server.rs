//! The HTTP server with an application of the tests' own, to see exactly what reaches an application.

use std::io::{self, Read};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::time::Duration;

use rouille::{Request, Response, ResponseBody};
use safespace::http::{Application, Later, Limits, Refusal, Reply, Server};
use serde_json::{Value, json};

use super::eventually;
use super::raw::Raw;

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
        head_timeout: Duration::from_secs(10),
        body_timeout: Duration::from_secs(30),
        idle_timeout: Duration::from_secs(75),
        write_timeout: Duration::from_secs(30),
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
        let application = Arc::new(Echo::default());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Server::start(listener, limits, application.clone()).unwrap();
        TestServer { address: server.address(), server: Some(server), application }
    }

    pub(crate) fn connect(&self) -> Raw {
        Raw::connect(self.address)
    }

    /// The requests that have reached the application, each as method and target, since the last call.
    pub(crate) fn seen(&self) -> Vec<String> {
        std::mem::take(&mut *self.application.seen.lock().unwrap())
    }

    /// Where the requests for `/wait` wait.
    pub(crate) fn gate(&self) -> Arc<Gate> {
        self.application.gate.clone()
    }

    /// What answers the requests for `/later` that came since the last call, the first first.
    pub(crate) fn replies(&self) -> Vec<Reply> {
        std::mem::take(&mut *self.application.replies.lock().unwrap())
    }

    /// The same, once so many have come.
    #[track_caller]
    pub(crate) fn wait_for_replies(&self, count: usize) -> Vec<Reply> {
        let mut replies = Vec::new();
        eventually(Duration::from_secs(5), || {
            replies.extend(self.replies());
            (replies.len() >= count).then_some(())
        });
        assert_eq!(replies.len(), count);
        replies
    }

    /// Sends a request for `/later` and waits until the application has it.
    #[track_caller]
    pub(crate) fn ask_later(&self, raw: &mut Raw) -> Reply {
        raw.send(b"GET /later HTTP/1.1\r\nHost: x\r\n\r\n");
        self.wait_for_replies(1).remove(0)
    }

    /// Gives the next request for `/stream` its body, piece by piece; the end of the sender is the end of the body.
    pub(crate) fn stream(&self) -> mpsc::Sender<Vec<u8>> {
        let (sender, pieces) = mpsc::channel();
        *self.application.pieces.lock().unwrap() = Some(pieces);
        sender
    }

    /// Stops it and says whether everything was answered.
    pub(crate) fn stop(&mut self, grace: Duration) -> bool {
        self.server.take().unwrap().stop(grace)
    }
}

/// Holds up whoever comes until it is opened.
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

    /// Waits for so long at most, and says whether it is open.
    pub(crate) fn wait_for(&self, limit: Duration) -> bool {
        let is_open = self.is_open.lock().unwrap();
        *self.opened.wait_timeout_while(is_open, limit, |open| !*open).unwrap().0
    }
}

/// Answers most requests with what came, and a few paths as they say.
#[derive(Default)]
struct Echo {
    seen: Mutex<Vec<String>>,
    gate: Arc<Gate>,
    pieces: Mutex<Option<mpsc::Receiver<Vec<u8>>>>,
    replies: Mutex<Vec<Reply>>,
}

impl Application for Echo {
    fn answer(&self, request: &Request, later: Later<'_>) -> Option<Response> {
        self.seen.lock().unwrap().push(format!("{} {}", request.method(), request.raw_url()));
        Some(match request.raw_url() {
            "/later" => {
                self.replies.lock().unwrap().push(later.reply());
                return None;
            }
            "/later-at-once" => {
                later.reply().send(|| Response::text("later, at once"));
                return None;
            }
            "/later-and-now" => {
                self.replies.lock().unwrap().push(later.reply());
                Response::text("now")
            }
            "/thread" => Response::text(format!("{:?}", std::thread::current().id())),
            "/panic" => panic!("as asked"),
            "/wait" => {
                self.gate.wait();
                Response::text("went on")
            }
            "/stream" => from_reader(Pieces(self.pieces.lock().unwrap().take().expect("a test gave pieces"))),
            "/large" => Response::from_data("application/octet-stream", vec![b'x'; 8 * 1024 * 1024]),
            "/40-kib" => Response::from_data("application/octet-stream", vec![b'x'; 40 * 1024]),
            "/no-content" => Response::empty_204(),
            "/not-modified" => Response { status_code: 304, ..Response::text("none of this is sent") },
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
            _ => Response::from_data("application/json", echo(request).to_string()),
        })
    }

    fn refuse_head(&self, request: &Request) -> Option<Response> {
        match request.raw_url() {
            "/unwanted" => Some(Response::empty_404()),
            "/panic" => panic!("as asked"),
            "/wait" => {
                self.gate.wait();
                None
            }
            _ => None,
        }
    }

    fn refuse(&self, refusal: Refusal) -> Response {
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

/// A body that comes as the test sends it.
struct Pieces(mpsc::Receiver<Vec<u8>>);

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let piece = self.0.recv().unwrap_or_default();
        buffer[..piece.len()].copy_from_slice(&piece);
        Ok(piece.len())
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
        panic!("as asked")
    }
}
