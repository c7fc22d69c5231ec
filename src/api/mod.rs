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

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use rouille::{Request, Response};
use uuid::Uuid;

use crate::store::Database;
use problem::Problem;
use routes::Match;

/// What handlers work with.
pub struct Context {
    /// The pool of connections.
    pub database: Database,
    /// Bytes a request body may have.
    pub max_body_bytes: usize,
    /// Set once the service was told to stop.
    pub stopping: AtomicBool,
}

/// Sent with every answer: nothing of it is to be kept, guessed at or told to the next page.
const HEADERS: [(&str, &str); 3] =
    [("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff"), ("Referrer-Policy", "no-referrer")];

/// Serves one request, whatever it is: finds its route, calls the handler, and logs a line that names the route's
/// pattern, never the path.
#[must_use]
pub fn serve(context: &Context, request: &Request) -> Response {
    let started = Instant::now();
    let request_id = format!("{:016x}", Uuid::new_v4().as_u64_pair().1);
    let found = routes::find(request.method(), request.raw_url());

    // A handler that panics leaves nothing half done behind: the connection it had does not go back to the pool.
    let response = catch_unwind(AssertUnwindSafe(|| answer(context, request, &found)))
        .unwrap_or_else(|_| Err(Problem::internal("a handler panicked")));
    let (response, cause) = match response {
        Ok(response) => (response, None),
        Err(problem) => (problem.response(), problem.cause),
    };

    let (method, route, status) = (routes::known_method(request.method()), found.pattern(), response.status_code);
    let duration_ms = (started.elapsed().as_secs_f64() * 1e6).round() / 1e3;
    let request_id_text = request_id.as_str();
    if let Some(cause) = cause {
        log::error!(method, route, status, duration_ms, request_id = request_id_text, cause; "Request failed");
    } else {
        log::info!(method, route, status, duration_ms, request_id = request_id_text; "Request");
    }
    HEADERS
        .into_iter()
        .fold(response, |response, (name, value)| response.with_additional_header(name, value))
        .with_additional_header("X-Request-Id", request_id)
}

fn answer(context: &Context, request: &Request, found: &Match<'_>) -> Result<Response, Problem> {
    match found {
        Match::Route { route, .. } if context.is_stopping() && !route.pattern.starts_with("/health/") => {
            Err(Problem::unavailable("The service is stopping. Please try again shortly."))
        }
        Match::Route { route, parameter } => {
            body::check_head(context, request)?;
            (route.handler)(context, request, parameter)
        }
        Match::Options { allow, .. } => Ok(respond::no_content().with_additional_header("Allow", allow.clone())),
        Match::WrongMethod { allow, .. } => Err(Problem::method_not_allowed(allow)),
        Match::Nothing => Err(Problem::no_such_path()),
    }
}

impl Context {
    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }
}
