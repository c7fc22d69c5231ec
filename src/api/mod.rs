//! What a client sees: the routes are in [`routes`], one file per resource. The life of a request is
//! [`Context::answer`](Application::answer) below.

mod access_log;
mod body;
mod chat;
mod context;
mod docs;
mod health;
pub mod openapi;
mod problem;
mod respond;
mod responder;
pub mod routes;
mod service;
mod sessions;
mod timestamp;

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::http::{self, Application, Refusal, Request, Response};
use access_log::{AccessLog, new_request_id};
pub use context::Context;
use problem::Problem;
use responder::{Answer, Responder, complete};
use routes::Match;

impl Application for Context {
    /// Finds the route, calls its handler, and answers with what that returns.
    fn answer(&self, request: Request, responder: http::Responder) {
        let found = routes::find(request.method(), request.raw_url());
        let access_log = AccessLog::start(routes::known_method(request.method()), found.pattern());
        let responder = Responder::new(responder, access_log, self.metrics.clone());
        let answer = catch_unwind(AssertUnwindSafe(|| match &found {
            Match::Route { route, parameter } => {
                body::check_head(&request)?;
                (route.handler)(self, &request, parameter)
            }
            found => answer_without_route(found).map(Answer::Now),
        }));
        match answer.unwrap_or_else(|_| Err(Problem::panicked())) {
            Ok(Answer::Later(start)) => start(responder),
            Ok(Answer::Now(response)) => responder.respond(|| Ok(response)),
            Err(problem) => responder.respond(|| Err(problem)),
        }
    }

    fn refuse_head(&self, request: &Request) -> Option<Response> {
        let found = routes::find(request.method(), request.raw_url());
        let access_log = AccessLog::start(routes::known_method(request.method()), found.pattern());
        let problem = match &found {
            Match::Route { .. } => body::check_head(request).err()?,
            found => answer_without_route(found).err()?,
        };
        Some(complete(access_log, &self.metrics, || Err(problem)))
    }

    fn refuse(&self, refusal: Refusal) -> Response {
        let response = respond::with_common_fields(Problem::refused(refusal).response());
        // One response is sent for many of these requests, so it has no id, and the server counts them itself.
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

/// The answer for a path or a method that no route has.
fn answer_without_route(found: &Match<'_>) -> Result<Response, Problem> {
    match found {
        Match::Options { allow, .. } => Ok(respond::no_content().with_additional_header("Allow", allow.clone())),
        Match::WrongMethod { allow, .. } => Err(Problem::method_not_allowed(allow)),
        Match::Nothing | Match::Route { .. } => Err(Problem::no_such_path()),
    }
}
