//! What a client sees. The life of a request is [`serve`], the routes are in [`routes`], one file per resource.

mod body;
mod chat;
mod docs;
mod health;
mod later;
pub mod openapi;
mod problem;
mod respond;
pub mod routes;
mod service;
mod sessions;
mod timestamp;

use std::hash::{BuildHasher, Hasher, RandomState};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use rouille::{Request, Response};

use crate::http::{self, Application, Refusal};
use crate::metrics::Metrics;
use crate::store::Database;
use crate::turns::Turns;
use later::Later;
use problem::Problem;
use routes::{Handler, Match};

/// What handlers work with.
pub struct Context {
    /// The pool of connections.
    pub database: Arc<Database>,
    /// Who answers what is said in sessions.
    pub turns: Arc<Turns>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Set once the service was told to stop.
    pub stopping: AtomicBool,
}

/// Sent with every answer: nothing of it is to be kept, guessed at or told to the next page.
const HEADERS: [(&str, &str); 3] =
    [("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff"), ("Referrer-Policy", "no-referrer")];

impl Application for Context {
    fn answer(&self, request: &Request, later: http::Later<'_>) -> Option<Response> {
        serve(self, request, later)
    }

    fn refuse_head(&self, request: &Request) -> Option<Response> {
        let found = routes::find(request.method(), request.raw_url());
        let entry = Entry::new(request, &found);
        let problem = match &found {
            Match::Route { .. } => body::check_head(request).err()?,
            found => refuse(found).err()?,
        };
        Some(finish(entry, &self.metrics, || Err(problem)))
    }

    fn refuse(&self, refusal: Refusal) -> Response {
        let response = with_headers(Problem::refused(refusal).response());
        // One answer for many requests can have no id, and the server counts those itself.
        if refusal == Refusal::Busy {
            return response;
        }
        self.metrics.refusal(refusal.name());
        let request_id = new_request_id();
        let id = request_id.as_str();
        log::info!(status = response.status_code, request_id = id, reason:% = refusal; "Request refused");
        response.with_additional_header("X-Request-Id", request_id)
    }
}

/// Serves one request, whatever it is: finds its route, calls the handler, and logs a line that names the route's
/// pattern, never the path. `None` is for an answer that waits for a statement that others share.
#[must_use]
pub fn serve(context: &Context, request: &Request, later: http::Later<'_>) -> Option<Response> {
    let found = routes::find(request.method(), request.raw_url());
    let (entry, metrics) = (Entry::new(request, &found), &context.metrics);
    let Match::Route { route, parameter } = &found else {
        return Some(finish(entry, metrics, || refuse(&found)));
    };
    if let Err(problem) = body::check_head(request) {
        return Some(finish(entry, metrics, || Err(problem)));
    }
    match route.handler {
        Handler::AtOnce(handler) => Some(finish(entry, metrics, || handler(context, request, parameter))),
        Handler::Later(handler) => {
            let later = Later { later, entry, metrics };
            let result = catch_unwind(AssertUnwindSafe(|| handler(context, request, parameter, later)));
            let result = result.unwrap_or_else(|_| Err(panicked()));
            result.err().map(|problem| finish(entry, metrics, || Err(problem)))
        }
    }
}

/// The answer where no handler is asked.
fn refuse(found: &Match<'_>) -> Result<Response, Problem> {
    match found {
        Match::Options { allow, .. } => Ok(respond::no_content().with_additional_header("Allow", allow.clone())),
        Match::WrongMethod { allow, .. } => Err(Problem::method_not_allowed(allow)),
        Match::Nothing | Match::Route { .. } => Err(Problem::no_such_path()),
    }
}

/// What is counted and logged of a request, whatever comes of it.
#[derive(Clone, Copy)]
struct Entry {
    method: &'static str,
    route: &'static str,
    started: Instant,
}

impl Entry {
    fn new(request: &Request, found: &Match<'_>) -> Entry {
        Entry { method: routes::known_method(request.method()), route: found.pattern(), started: Instant::now() }
    }
}

/// Makes the response, turns a problem into one, counts and logs the request, and adds what every response has.
fn finish(entry: Entry, metrics: &Metrics, answer: impl FnOnce() -> Result<Response, Problem>) -> Response {
    // A handler that panics leaves nothing half done behind: the connection it had does not go back to the pool.
    let result = catch_unwind(AssertUnwindSafe(answer)).unwrap_or_else(|_| Err(panicked()));
    let request_id = new_request_id();
    let id = request_id.as_str();
    let (response, cause) = match result {
        Ok(response) => (response, None),
        Err(problem) => (problem.response(), problem.cause),
    };
    let (Entry { method, route, started }, status) = (entry, response.status_code);
    let took = started.elapsed();
    metrics.request(method, route, status, took);
    let duration_ms = (took.as_secs_f64() * 1e6).round() / 1e3;
    if let Some(cause) = cause.as_deref() {
        log::error!(method, route, status, duration_ms, request_id = id, cause; "Request failed");
    } else {
        log::info!(method, route, status, duration_ms, request_id = id; "Request");
    }
    with_headers(response).with_additional_header("X-Request-Id", request_id)
}

fn panicked() -> Problem {
    Problem::internal("a handler panicked")
}

/// Random, and known to nobody but the log and whoever got the answer.
fn new_request_id() -> String {
    format!("{:016x}", RandomState::new().build_hasher().finish())
}

fn with_headers(mut response: Response) -> Response {
    response.headers.reserve(HEADERS.len() + 1);
    HEADERS.into_iter().fold(response, |response, (name, value)| response.with_additional_header(name, value))
}

impl Context {
    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }
}
