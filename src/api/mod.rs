//! What a client sees: the routes are in [`routes`], one file per resource. The life of a request is
//! [`Context::answer`](Application::answer) below.

mod bearer;
mod body;
mod catalogue;
mod challenge;
mod chat;
mod cors;
mod docs;
mod examples;
mod export;
mod health;
mod language;
mod leaving;
pub mod openapi;
mod origin;
mod prefer;
mod privacy;
mod problem;
mod proof_of_work;
mod reports;
mod resources;
mod respond;
mod responder;
pub mod routes;
mod sessions;
mod web;

use std::borrow::Cow;
use std::net::IpAddr;
use std::time::Instant;

use crate::http::{self, Application, Refusal, RefusedFields, Request, Response};
use crate::peers::PeerKey;
use cors::Cors;
use problem::{ErrorBody, Problem};
pub use reports::workers::ReportWorkers;
pub use resources::listing::Resources;
pub use responder::Context;
use responder::{AccessLog, Answer, LOG_TARGET, Responder, catch_panic, new_request_id};
use routes::{Found, Input, Route};
pub use web::MAX_PAGE_READS_OF_PEER;

/// The route of a request, and its log from here on.
fn begin<'a>(context: &Context, request: &'a Request) -> (Found<'a>, AccessLog) {
    let (started, method) = (Instant::now(), routes::known_method(request.method()));
    let (route, found) = routes::find(request.method(), request.raw_url());
    let (metrics, language) = (context.metrics.clone(), language::of(request).unwrap_or_default());
    let cors = Cors::of(&context.allowed_origins, request);
    let error_body = match &found {
        // Nobody who presses a button to leave should see an error on the screen, whatever it is.
        Found::Route(route, _) if route.pattern == leaving::EXIT_PATH => {
            ErrorBody::Leading(leaving::default_url(context).clone())
        }
        Found::Route(route, _) if route.input == Input::PageForm => web::error_body(context, request, route.pattern),
        _ => web::browser_body(context, request),
    };
    (found, AccessLog { method, route, started, metrics, language, cors, fields: Vec::new(), error_body })
}

/// Refuses a request by its head alone. Returns the texts for the handler: those of the path, behind the session's id of
/// `Authorization` where the route takes it from there.
fn check_head<'a>(
    context: &Context,
    route: &Route,
    request: &'a Request,
    [first, second]: &'a [Cow<'_, str>; 2],
) -> Result<[&'a str; 2], Problem> {
    match route.input {
        Input::PageForm => origin::check(request, &origin::NONE)?,
        _ => origin::check(request, &context.allowed_origins)?,
    }
    let texts: [&str; 2] =
        if route.input == Input::Bearer { [bearer::session_id(request)?, first] } else { [first, second] };
    match route.input {
        Input::Json | Input::Bearer => body::check_head(request)?,
        Input::Form => body::check_form_head(request)?,
        Input::PageForm => {
            body::check_page_form_head(request, route.max_body_bytes.unwrap_or(body::MAX_FORM_BYTES))?;
        }
    }
    Ok(texts)
}

/// Erasing, the preflight that a page of another origin may need for it, stopping an answer, and the probes of health.
fn is_never_refused(beginning: &[u8]) -> bool {
    let mut parts = beginning.split(|byte| *byte == b' ');
    match (parts.next(), parts.next()) {
        (Some(b"DELETE" | b"OPTIONS"), _) => true,
        (Some(b"GET" | b"HEAD"), Some(target)) => target.starts_with(b"/health/"),
        (Some(b"POST"), Some(target)) => {
            let path = target.split(|byte| *byte == b'?').next().unwrap_or_default();
            [leaving::PANIC_PATH, leaving::EXIT_PATH, web::END_PATH, web::LEAVE_PATH].map(str::as_bytes).contains(&path)
                || path.ends_with(b"/chat/stop")
        }
        _ => false,
    }
}

impl Application for Context {
    /// Finds the route, calls its handler, and answers with what that returns.
    fn answer(&self, request: Request, responder: http::Responder) {
        let (found, access_log) = begin(self, &request);
        let responder = Responder::new(responder, access_log);
        let (route, parameters) = match found {
            Found::Route(route, parameters) => (route, parameters),
            Found::Answer(answer) => return responder.respond(answer),
        };
        let answer = catch_panic(|| {
            let texts = check_head(self, route, &request, &parameters)?;
            route.handler.call(self, &request, texts)
        });
        match answer {
            Ok(Answer::Deferred(start)) => start(responder),
            Ok(Answer::Response(response)) => responder.respond(Ok(response)),
            Err(problem) => responder.respond(Err(problem)),
        }
    }

    fn peer(&self, address: IpAddr) -> Option<PeerKey> {
        self.admission.connection_peer(address)
    }

    fn max_body_bytes(&self, method: &str, target: &str) -> Option<usize> {
        // Most requests have another method, and need not be looked for twice.
        if method != "POST" && method != "PATCH" {
            return None;
        }
        match routes::find(method, target).1 {
            Found::Route(route, _) => route.max_body_bytes,
            Found::Answer(_) => None,
        }
    }

    fn is_quick(&self, method: &str, target: &str) -> bool {
        routes::is_quick(method, target)
    }

    fn is_never_refused(&self, beginning: &[u8]) -> bool {
        is_never_refused(beginning)
    }

    fn refuse_head(&self, request: &Request) -> Option<Response> {
        let (found, access_log) = begin(self, request);
        let problem = match found {
            Found::Route(route, parameters) => check_head(self, route, request, &parameters).err()?,
            Found::Answer(answer) => answer.err()?,
        };
        Some(access_log.complete(Err(problem)))
    }

    fn refuse(&self, refusal: Refusal, fields: &RefusedFields) -> Response {
        let preferred = language::of_refused(fields);
        // What a browser shows to a person is a page, wherever it asked for one.
        let form = web::refusal_body(self, fields, preferred);
        let response =
            respond::with_common_fields(Problem::from(refusal).response(preferred.unwrap_or_default(), form));
        let response = Cors::of_refused(&self.allowed_origins, fields.origin.as_deref()).add_to(response);
        // One response is sent for many of these requests, so it has no id, and the server counts them itself.
        if refusal == Refusal::Busy {
            return response;
        }
        self.metrics.refusal(refusal.name());
        let request_id = new_request_id();
        let id = request_id.as_str();
        log::info!(target: LOG_TARGET, status = response.status_code, request_id = id, reason:% = refusal; "Request refused");
        response.with_additional_header("X-Request-Id", request_id)
    }

    fn distinguish(&self, fields: &RefusedFields) -> RefusedFields {
        let origin = fields.origin.clone().filter(|origin| self.allowed_origins.contains(origin));
        let accept_language = language::of_refused(fields).map(|preferred| preferred.tag().into());
        let is_page = self.site.is_some() && web::accepts_html(fields.accept.as_deref());
        RefusedFields { origin, accept: is_page.then(|| web::HTML.into()), accept_language }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn erasing_stopping_and_health_are_never_refused() {
        let session = "/api/v1/sessions/550e8400-e29b-41d4-a716-446655440000";
        for (request, is_never) in [
            (format!("DELETE {session} HTTP/1.1\r\n"), true),
            (format!("OPTIONS {session} HTTP/1.1\r\n"), true),
            (format!("POST {session}/chat/stop HTTP/1.1\r\n"), true),
            ("DELETE /api/v1/session HTTP/1.1\r\n".to_owned(), true),
            ("POST /api/v1/session/chat/stop HTTP/1.1\r\n".to_owned(), true),
            ("POST /api/v1/panic HTTP/1.1\r\n".to_owned(), true),
            ("POST /api/v1/panic?now HTTP/1.1\r\n".to_owned(), true),
            ("POST /api/v1/exit HTTP/1.1\r\n".to_owned(), true),
            ("POST /api/v1/exits HTTP/1.1\r\n".to_owned(), false),
            ("POST /page/end?language=id HTTP/1.1\r\n".to_owned(), true),
            ("POST /page/leave?language=id HTTP/1.1\r\n".to_owned(), true),
            ("POST /page/say?language=id HTTP/1.1\r\n".to_owned(), false),
            ("GET /api/v1/exit HTTP/1.1\r\n".to_owned(), false),
            ("POST /api/v1/session/chat HTTP/1.1\r\n".to_owned(), false),
            ("GET /health/live HTTP/1.1\r\n".to_owned(), true),
            ("HEAD /health/ready HTTP/1.1\r\n".to_owned(), true),
            (format!("POST {session}/chat HTTP/1.1\r\n"), false),
            (format!("GET {session}/chat/stop HTTP/1.1\r\n"), false),
            ("POST /health/live HTTP/1.1\r\n".to_owned(), false),
            ("DELET".to_owned(), false),
        ] {
            assert_eq!(is_never_refused(request.as_bytes()), is_never, "{request}");
        }
    }
}
