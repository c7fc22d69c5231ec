//! What a client sees. The life of a request is [`serve`], the routes are in [`routes`], one file per resource.

mod body;
mod docs;
mod health;
pub mod openapi;
mod problem;
mod respond;
pub mod routes;
mod service;
mod sessions;
mod timestamp;

use std::hash::{BuildHasher, Hasher, RandomState};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use rouille::{Request, Response};

use crate::http::{Application, Refusal};
use crate::store::Database;
use problem::Problem;
use routes::Match;

/// What handlers work with.
pub struct Context {
    /// The pool of connections.
    pub database: Database,
    /// Set once the service was told to stop.
    pub stopping: AtomicBool,
}

/// Sent with every answer: nothing of it is to be kept, guessed at or told to the next page.
const HEADERS: [(&str, &str); 3] =
    [("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff"), ("Referrer-Policy", "no-referrer")];

impl Application for Context {
    fn answer(&self, request: &Request) -> Response {
        serve(self, request)
    }

    fn refuse_head(&self, request: &Request) -> Option<Response> {
        let started = Instant::now();
        let found = routes::find(request.method(), request.raw_url());
        let problem = match &found {
            Match::Route { .. } => body::check_head(request).err()?,
            _ => answer(self, request, &found).err()?,
        };
        Some(finish(request, &found, started, Err(problem)))
    }

    fn refuse(&self, refusal: Refusal) -> Response {
        let response = with_headers(Problem::refused(refusal).response());
        // One answer for many requests can have no id, and the server counts those itself.
        if refusal == Refusal::Busy {
            return response;
        }
        let request_id = new_request_id();
        let id = request_id.as_str();
        log::info!(status = response.status_code, request_id = id, reason:% = refusal; "Request refused");
        response.with_additional_header("X-Request-Id", request_id)
    }
}

/// Serves one request, whatever it is: finds its route, calls the handler, and logs a line that names the route's
/// pattern, never the path.
#[must_use]
pub fn serve(context: &Context, request: &Request) -> Response {
    let started = Instant::now();
    let found = routes::find(request.method(), request.raw_url());
    // A handler that panics leaves nothing half done behind: the connection it had does not go back to the pool.
    let result = catch_unwind(AssertUnwindSafe(|| answer(context, request, &found)))
        .unwrap_or_else(|_| Err(Problem::internal("a handler panicked")));
    finish(request, &found, started, result)
}

fn answer(context: &Context, request: &Request, found: &Match<'_>) -> Result<Response, Problem> {
    match found {
        Match::Route { route, parameter } => {
            body::check_head(request)?;
            (route.handler)(context, request, parameter)
        }
        Match::Options { allow, .. } => Ok(respond::no_content().with_additional_header("Allow", allow.clone())),
        Match::WrongMethod { allow, .. } => Err(Problem::method_not_allowed(allow)),
        Match::Nothing => Err(Problem::no_such_path()),
    }
}

/// Turns a problem into a response, logs the request, and adds what every response has.
fn finish(request: &Request, found: &Match<'_>, started: Instant, result: Result<Response, Problem>) -> Response {
    let request_id = new_request_id();
    let id = request_id.as_str();
    let (response, cause) = match result {
        Ok(response) => (response, None),
        Err(problem) => (problem.response(), problem.cause),
    };
    let (method, route, status) = (routes::known_method(request.method()), found.pattern(), response.status_code);
    let duration_ms = (started.elapsed().as_secs_f64() * 1e6).round() / 1e3;
    if let Some(cause) = cause {
        log::error!(method, route, status, duration_ms, request_id = id, cause; "Request failed");
    } else {
        log::info!(method, route, status, duration_ms, request_id = id; "Request");
    }
    with_headers(response).with_additional_header("X-Request-Id", request_id)
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
