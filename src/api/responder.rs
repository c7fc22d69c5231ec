//! What a handler works with and how it answers: with a response, or with work that ends in one. Every response is counted,
//! logged and given its common fields here.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use super::cors::Cors;
use super::problem::{ErrorBody, Problem};
use super::reports::workers::ReportWorkers;
use super::resources::listing::Resources;
use super::respond::with_common_fields;
use crate::admission::Admission;
use crate::config::{AllowedOrigins, RetentionSettings};
use crate::http::{self, PieceResponder, Response, StreamSender};
use crate::language::Language;
use crate::metrics::Metrics;
use crate::peers::{PeerKey, PeerLimit};
use crate::privacy::Disclosure;
use crate::store::{self, Callback, Store};
use crate::sync::{CancellationToken, Timers};
use crate::turns::Turns;
use crate::web::Site;

/// The target of the log's lines of requests, also of those that the server refuses.
pub(super) const LOG_TARGET: &str = module_path!();

/// What handlers work with.
pub struct Context {
    /// PostgreSQL.
    pub store: Arc<Store>,
    /// The turns of all sessions.
    pub turns: Arc<Turns>,
    /// The texts of reports, and the threads that make them.
    pub reports: Arc<ReportWorkers>,
    /// When a session ends.
    pub retention: RetentionSettings,
    /// Who is admitted.
    pub admission: Admission,
    /// The other origins whose pages may use the API.
    pub allowed_origins: AllowedOrigins,
    /// Counters and histograms.
    pub metrics: Arc<Metrics>,
    /// What the promise of privacy is computed from.
    pub disclosure: Arc<Disclosure>,
    /// The help lines.
    pub resources: Arc<Resources>,
    /// The pages of conversations that are read for each network.
    pub page_reads: Arc<PeerLimit>,
    /// The page; `None` if there is none.
    pub site: Option<Arc<Site>>,
    /// Where a person can leave to (`EXIT_URLS`): at least one, the default first.
    pub exit_urls: Vec<String>,
    /// Keeps silent streams alive, and holds responses back.
    pub timers: Arc<Timers>,
    /// Set once the service begins to stop.
    pub stopping: AtomicBool,
}

/// What a handler returns, so that `?` answers with a [`Problem`].
pub(super) enum Answer<'a> {
    /// The response.
    Response(Response),
    /// What begins the work and is given the responder to end it with. It must not wait for the work.
    Deferred(Box<dyn FnOnce(Responder) + 'a>),
}

impl<'a> Answer<'a> {
    pub(super) fn defer(start: impl FnOnce(Responder) + 'a) -> Result<Answer<'a>, Problem> {
        Ok(Answer::Deferred(Box::new(start)))
    }
}

impl From<Response> for Answer<'_> {
    fn from(response: Response) -> Self {
        Answer::Response(response)
    }
}

/// Answers one request once, from any thread. Dropped unused, by a panic for example, the client gets a 500.
pub(super) struct Responder(Option<(http::Responder, AccessLog)>);

impl Responder {
    pub(super) fn new(responder: http::Responder, access_log: AccessLog) -> Responder {
        Responder(Some((responder, access_log)))
    }

    /// The same; the response, whichever it is, has these fields too.
    pub(super) fn with_fields(mut self, fields: Vec<(&'static str, String)>) -> Responder {
        if let Some((_, access_log)) = &mut self.0 {
            access_log.fields = fields;
        }
        self
    }

    /// The same; if the response is an error, it has this body.
    pub(super) fn with_errors(mut self, body: ErrorBody) -> Responder {
        if let Some((_, access_log)) = &mut self.0 {
            access_log.error_body = body;
        }
        self
    }

    /// The same; its response shares memory with the others of this client.
    pub(super) fn of_client(mut self, client: Option<PeerKey>) -> Responder {
        if let Some((responder, _)) = &mut self.0 {
            responder.set_client(client);
        }
        self
    }

    fn take(&mut self) -> (http::Responder, AccessLog) {
        self.0.take().expect("a responder is consumed by its first use")
    }

    /// The language of errors.
    pub(super) fn language(&self) -> Language {
        self.0.as_ref().map_or_else(Language::default, |(_, access_log)| access_log.language)
    }

    /// Has the token cancelled when the client is gone before it has the whole response.
    pub(super) fn on_disconnect(&self, disconnect: CancellationToken) {
        if let Some((responder, _)) = &self.0 {
            responder.on_disconnect(Box::new(move || disconnect.cancel()));
        }
    }

    /// Answers with what a handler made.
    pub(super) fn respond(mut self, result: Result<Response, Problem>) {
        let (responder, access_log) = self.take();
        responder.respond(access_log.complete(result));
    }

    /// Answers with what `make` makes on a worker: for threads that answer many requests, or must not block.
    pub(super) fn respond_with(mut self, make: impl FnOnce() -> Result<Response, Problem> + Send + 'static) {
        let (responder, access_log) = self.take();
        responder.respond_with(move || access_log.complete(catch_panic(make)));
    }

    /// A callback for a statement, which answers with what `make` makes of its result, on a worker.
    pub(super) fn on<T: Send + 'static>(
        self,
        make: impl FnOnce(Result<T, store::Error>) -> Result<Response, Problem> + Send + 'static,
    ) -> Callback<T> {
        Box::new(move |result| self.respond_with(move || make(result)))
    }

    /// Begins a response whose body is sent piece by piece. It is counted and logged here.
    pub(super) fn stream(mut self, head: Response) -> StreamSender {
        let (responder, access_log) = self.take();
        responder.stream(access_log.complete(Ok(head)))
    }

    /// Begins a response whose pieces `next` makes at the pace at which the client reads. It is counted and logged here.
    pub(super) fn stream_from(mut self, head: Response, next: impl FnMut(PieceResponder) + Send + 'static) {
        let (responder, access_log) = self.take();
        responder.stream_from(access_log.complete(Ok(head)), next);
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        if let Some((responder, access_log)) = self.0.take() {
            responder.respond_with(move || access_log.complete(Err(Problem::panicked())));
        }
    }
}

/// What `make` makes, or a 500 if it panics. Nothing half done is left behind: the connection to PostgreSQL that a handler
/// had is not used again.
pub(super) fn catch_panic<T>(make: impl FnOnce() -> Result<T, Problem>) -> Result<T, Problem> {
    catch_unwind(AssertUnwindSafe(make)).unwrap_or_else(|_| Err(Problem::panicked()))
}

/// The log line and the metrics of a request. They name the route's pattern, never the path.
pub(super) struct AccessLog {
    pub(super) method: &'static str,
    pub(super) route: &'static str,
    pub(super) started: Instant,
    pub(super) metrics: Arc<Metrics>,
    /// The language of an error.
    pub(super) language: Language,
    pub(super) cors: Cors,
    /// Further fields of the response.
    pub(super) fields: Vec<(&'static str, String)>,
    /// The body of an error.
    pub(super) error_body: ErrorBody,
}

impl AccessLog {
    /// Counts and logs the request, and adds the fields that every response has.
    pub(super) fn complete(self, result: Result<Response, Problem>) -> Response {
        let AccessLog { method, route, started, metrics, language, cors, fields, error_body } = self;
        let (response, cause) = match result {
            Ok(response) => (response, None),
            Err(problem) => (problem.response(language, error_body), problem.cause),
        };
        let (status, took, request_id) = (response.status_code, started.elapsed(), new_request_id());
        metrics.request(method, route, status, took);
        let id = request_id.as_str();
        let duration_ms = (took.as_secs_f64() * 1e6).round() / 1e3;
        if let Some(cause) = cause.as_deref() {
            log::error!(method, route, status, duration_ms, request_id = id, cause; "Request failed");
        } else {
            // What a load balancer asks every few seconds, and what anybody can repeat without end at no cost. The metrics
            // count it.
            let is_frequent = (route.starts_with("/health/") && status == 200) || status == 429 || route == "none";
            let level = if is_frequent { log::Level::Debug } else { log::Level::Info };
            log::log!(level, method, route, status, duration_ms, request_id = id; "Request");
        }
        let response = cors.add_to(with_common_fields(response)).with_additional_header("X-Request-Id", request_id);
        fields.into_iter().fold(response, |response, (name, value)| response.with_additional_header(name, value))
    }
}

/// A random id, known only to the log and to the client that receives the response.
pub(super) fn new_request_id() -> String {
    format!("{:016x}", RandomState::new().build_hasher().finish())
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    use prometheus_client::encoding::text;
    use prometheus_client::registry::Registry;

    use super::*;
    use crate::http::{Application, Limits, Refusal, Request, Server};

    /// Drops the responder of each request.
    struct Dropping(Arc<Metrics>);

    impl Application for Dropping {
        fn answer(&self, _: Request, responder: http::Responder) {
            let (method, route, started, metrics) = ("GET", "/", Instant::now(), self.0.clone());
            let (language, cors, fields, error_body) = Default::default();
            let access_log = AccessLog { method, route, started, metrics, language, cors, fields, error_body };
            drop(Responder::new(responder, access_log));
        }

        fn refuse_head(&self, _: &Request) -> Option<Response> {
            None
        }

        fn refuse(&self, _: Refusal, _: &http::RefusedFields) -> Response {
            Response::text("a refusal").with_status_code(503)
        }
    }

    #[test]
    fn a_dropped_responder_is_a_500_that_is_counted() {
        let metrics = Arc::new(Metrics::default());
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let server =
            Server::start(listener, Limits::for_tests(), Arc::new(Dropping(metrics.clone()))).expect("it starts");
        let mut client = TcpStream::connect(server.address()).expect("it listens");
        client.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").expect("it reads");
        let mut answer = String::new();
        client.read_to_string(&mut answer).expect("it answers");
        assert!(answer.starts_with("HTTP/1.1 500 ") && answer.contains("\r\nX-Request-Id: "), "{answer}");
        let (mut registry, mut counted) = (Registry::default(), String::new());
        metrics.register(&mut registry);
        text::encode(&mut counted, &registry).expect("metrics are text");
        assert!(counted.contains("http_requests_total{method=\"GET\",route=\"/\",status=\"500\"} 1\n"), "{counted}");
    }
}
