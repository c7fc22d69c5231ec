//! The route table, and how a request finds its line in it.

use std::borrow::Cow;

use super::context::Context;
use super::problem::Problem;
use super::responder::Answer;
use super::{chat, docs, health, openapi, service, sessions};
use crate::http::Request;
use percent_encoding::percent_decode_str;

/// Answers one kind of request. The text is the decoded path segment at the pattern's `{…}`, or empty.
pub(super) type Handler = for<'a> fn(&'a Context, &'a Request, &'a str) -> Result<Answer<'a>, Problem>;

/// One line of the table.
pub struct Route {
    /// The method, in capitals. `HEAD` goes with `GET`, `OPTIONS` with every path.
    pub method: &'static str,
    /// The path, with at most one segment in braces.
    pub pattern: &'static str,
    /// What answers.
    pub(super) handler: Handler,
}

/// Every route there is.
pub static ROUTES: &[Route] = &[
    route("GET", "/", service::root),
    route("GET", "/health/db", health::database),
    route("GET", "/health/live", health::live),
    route("GET", "/health/ready", health::ready),
    route("GET", "/openapi.json", openapi::document),
    route("GET", "/docs", docs::page),
    route("GET", "/docs/{asset}", docs::asset),
    route("POST", "/api/v1/sessions", sessions::create),
    route("GET", "/api/v1/sessions/{session_id}", sessions::read),
    route("DELETE", "/api/v1/sessions/{session_id}", sessions::delete),
    route("GET", "/api/v1/sessions/{session_id}/chat", chat::history),
    route("POST", "/api/v1/sessions/{session_id}/chat", chat::send),
    route("POST", "/api/v1/sessions/{session_id}/chat/stop", chat::stop),
];

const fn route(method: &'static str, pattern: &'static str, handler: Handler) -> Route {
    Route { method, pattern, handler }
}

/// What the table has for a request.
pub(super) enum Match<'a> {
    /// A route, and the text at its parameter.
    Route { route: &'static Route, parameter: Cow<'a, str> },
    /// `OPTIONS` on a path that exists.
    Options { pattern: &'static str, allow: String },
    /// The path exists, for other methods.
    WrongMethod { pattern: &'static str, allow: String },
    /// No such path.
    Nothing,
}

impl Match<'_> {
    /// The pattern for the log: never what the client sent.
    pub(super) fn pattern(&self) -> &'static str {
        match self {
            Match::Route { route, .. } => route.pattern,
            Match::Options { pattern, .. } | Match::WrongMethod { pattern, .. } => pattern,
            Match::Nothing => "none",
        }
    }
}

/// Finds the route for a method and a request target as it came. What follows a `?` does not matter.
pub(super) fn find<'a>(method: &str, target: &'a str) -> Match<'a> {
    let path = target.split('?').next().unwrap_or_default();
    let wanted = if method == "HEAD" { "GET" } else { method };
    let mut found: Vec<&'static Route> = Vec::new();
    for route in ROUTES {
        let Some(parameter) = fits(route.pattern, path) else { continue };
        if route.method == wanted {
            return Match::Route { route, parameter };
        }
        found.push(route);
    }
    match found.first() {
        None => Match::Nothing,
        Some(first) if method == "OPTIONS" => Match::Options { pattern: first.pattern, allow: allow(&found) },
        Some(first) => Match::WrongMethod { pattern: first.pattern, allow: allow(&found) },
    }
}

/// The method as one of a known few, since a client can invent any.
pub(super) fn known_method(method: &str) -> &'static str {
    const KNOWN: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    KNOWN.into_iter().find(|known| *known == method).unwrap_or("OTHER")
}

/// The parameter if the path has the pattern's form. Segments are cut before they are decoded, so that an encoded
/// slash does not make two of one.
fn fits<'a>(pattern: &str, path: &'a str) -> Option<Cow<'a, str>> {
    let mut parameter = Cow::Borrowed("");
    let mut segments = path.split('/');
    for expected in pattern.split('/') {
        let segment = percent_decode_str(segments.next()?).decode_utf8_lossy();
        if expected.starts_with('{') && !segment.is_empty() {
            parameter = segment;
        } else if expected != segment {
            return None;
        }
    }
    segments.next().is_none().then_some(parameter)
}

fn allow(routes: &[&Route]) -> String {
    let mut methods: Vec<&str> = routes.iter().map(|route| route.method).collect();
    if let Some(get) = methods.iter().position(|method| *method == "GET") {
        methods.insert(get + 1, "HEAD");
    }
    methods.push("OPTIONS");
    methods.join(", ")
}
