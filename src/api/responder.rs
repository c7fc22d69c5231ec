//! What a handler works with and how it answers: with a response, or with work that ends in one. Every response is counted,
//! logged and given its common fields here.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use super::problem::Problem;
use super::respond::with_common_fields;
use crate::http::{self, Response, StreamSender};
use crate::metrics::Metrics;
use crate::store::{self, Callback, Store};
use crate::sync::Timers;
use crate::turns::Turns;

/// What handlers work with.
pub struct Context {
    /// PostgreSQL.
    pub store: Arc<Store>,
    /// The turns of all sessions.
    pub turns: Arc<Turns>,
    /// Counters and histograms.
    pub metrics: Arc<Metrics>,
    /// Keeps silent streams alive.
    pub timers: Arc<Timers>,
    /// Set once the service begins to stop.
    pub stopping: AtomicBool,
}

/// What a handler returns, so that `?` answers with a [`Problem`].
pub(super) enum Answer<'a> {
    /// The response.
    Now(Response),
    /// What begins the work and is given the responder to end it with. It must not wait for the work.
    Later(Box<dyn FnOnce(Responder) + 'a>),
}

impl<'a> Answer<'a> {
    pub(super) fn later(start: impl FnOnce(Responder) + 'a) -> Result<Answer<'a>, Problem> {
        Ok(Answer::Later(Box::new(start)))
    }
}

impl From<Response> for Answer<'_> {
    fn from(response: Response) -> Self {
        Answer::Now(response)
    }
}

/// Answers one request once, from any thread. Dropped unused, the client gets a 500.
pub(super) struct Responder(pub(super) http::Responder, pub(super) AccessLog);

impl Responder {
    /// Answers with what a handler made.
    pub(super) fn respond(self, result: Result<Response, Problem>) {
        self.0.respond(self.1.complete(result));
    }

    /// Answers with what `make` makes on a worker: for threads that answer many requests, or must not block.
    pub(super) fn respond_with(self, make: impl FnOnce() -> Result<Response, Problem> + Send + 'static) {
        let Responder(responder, access_log) = self;
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
    pub(super) fn stream(self, head: Response) -> StreamSender {
        self.0.stream(self.1.complete(Ok(head)))
    }
}

/// What `make` makes, or a 500 if it panics. Nothing half done is left behind: the connection to PostgreSQL that a handler
/// had is not used again.
pub(super) fn catch_panic<T>(make: impl FnOnce() -> Result<T, Problem>) -> Result<T, Problem> {
    catch_unwind(AssertUnwindSafe(make)).unwrap_or_else(|_| Err(Problem::internal("a handler panicked")))
}

/// The log line and the metrics of a request. They name the route's pattern, never the path.
pub(super) struct AccessLog {
    pub(super) method: &'static str,
    pub(super) route: &'static str,
    pub(super) started: Instant,
    pub(super) metrics: Arc<Metrics>,
}

impl AccessLog {
    /// Counts and logs the request, and adds the fields that every response has.
    pub(super) fn complete(self, result: Result<Response, Problem>) -> Response {
        let AccessLog { method, route, started, metrics } = self;
        let (response, cause) = match result {
            Ok(response) => (response, None),
            Err(problem) => (problem.response(), problem.cause),
        };
        let (status, took, request_id) = (response.status_code, started.elapsed(), new_request_id());
        metrics.request(method, route, status, took);
        let id = request_id.as_str();
        let duration_ms = (took.as_secs_f64() * 1e6).round() / 1e3;
        if let Some(cause) = cause.as_deref() {
            log::error!(method, route, status, duration_ms, request_id = id, cause; "Request failed");
        } else {
            log::info!(method, route, status, duration_ms, request_id = id; "Request");
        }
        with_common_fields(response).with_additional_header("X-Request-Id", request_id)
    }
}

/// A random id, known only to the log and to the client that receives the response.
pub(super) fn new_request_id() -> String {
    format!("{:016x}", RandomState::new().build_hasher().finish())
}
