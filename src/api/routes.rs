//! The route table, and how a request finds its line in it.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use super::catalogue::Code;
use super::problem::Problem;
use super::responder::{Answer, Context};
use super::{
    challenge, chat, docs, export, health, leaving, openapi, privacy, reports, resources, respond, sessions, web,
};
use crate::http::{Request, Response};

/// Answers one kind of request. A text is the decoded path segment at a `{…}` of the pattern, or the session's id of
/// `Authorization`, which comes first.
#[derive(Clone, Copy)]
pub(super) enum Handler {
    /// With one text, or an empty one.
    OfOne(OneText),
    /// With two.
    OfTwo(TwoTexts),
}

impl Handler {
    pub(super) fn call<'a>(
        self,
        context: &'a Context,
        request: &'a Request,
        texts: [&'a str; 2],
    ) -> Result<Answer<'a>, Problem> {
        match self {
            Handler::OfOne(handler) => handler(context, request, texts[0]),
            Handler::OfTwo(handler) => handler(context, request, texts),
        }
    }
}

type OneText = for<'a> fn(&'a Context, &'a Request, &'a str) -> Result<Answer<'a>, Problem>;
type TwoTexts = for<'a> fn(&'a Context, &'a Request, [&'a str; 2]) -> Result<Answer<'a>, Problem>;

/// One line of the table.
#[derive(Clone, Copy)]
pub struct Route {
    /// The method, in capitals. `HEAD` goes with `GET`, `OPTIONS` with every path.
    pub method: &'static str,
    /// The path, with at most two segments in braces.
    pub pattern: &'static str,
    /// How many slashes the pattern has.
    slashes: usize,
    /// What answers.
    pub(super) handler: Handler,
    /// What a request has to have.
    pub(super) input: Input,
    /// The longest body in bytes; `None` for that of the server.
    pub(super) max_body_bytes: Option<usize>,
    /// Whether it is answered from memory alone: in all that a request passes, nothing waits but for locks that are held for
    /// microseconds. No texts are in its pattern.
    is_quick: bool,
}

impl Route {
    /// The pattern as far as every path that fits begins with it.
    fn beginning(&self) -> &'static str {
        self.pattern.split('{').next().unwrap_or_default()
    }
}

/// What a request has to have besides its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Input {
    /// If it has a body, one of JSON.
    Json,
    /// The same, and the session's id in `Authorization`.
    Bearer,
    /// A short text of any media type: what a form, or `navigator.sendBeacon`, sends without asking for permission.
    Form,
    /// A form of the page, sent by the page itself.
    PageForm,
}

/// Every route there is.
pub static ROUTES: &[Route] = &[
    quick("GET", "/", web::root),
    route("GET", "/page/{asset}", web::asset),
    page_form("POST", "/page/begin", web::begin),
    Route { max_body_bytes: Some(web::MAX_MESSAGE_FORM_BYTES), ..page_form("POST", "/page/say", web::say) },
    page_form("POST", "/page/read", web::read),
    page_form("POST", web::END_PATH, web::end),
    page_form("POST", web::LEAVE_PATH, web::leave),
    route("GET", "/widget.js", web::widget),
    route("GET", "/health/db", health::database),
    quick("GET", "/health/live", health::live),
    route("GET", "/health/ready", health::ready),
    route("GET", "/openapi.json", openapi::document),
    route("GET", "/docs", docs::page),
    route("GET", "/docs/errors", docs::errors),
    route("GET", "/docs/{asset}", docs::asset),
    route("GET", "/api/v1/resources", resources::list),
    quick("GET", "/api/v1/privacy", privacy::read),
    route("GET", "/api/v1/challenge", challenge::read),
    route("POST", "/api/v1/sessions", sessions::create),
    route("GET", "/api/v1/sessions/{session_id}", sessions::read),
    route("PATCH", "/api/v1/sessions/{session_id}", sessions::change),
    route("DELETE", "/api/v1/sessions/{session_id}", sessions::delete),
    route("GET", "/api/v1/sessions/{session_id}/chat", chat::history),
    route("POST", "/api/v1/sessions/{session_id}/chat", chat::send),
    route("POST", "/api/v1/sessions/{session_id}/chat/stop", chat::stop),
    route("GET", "/api/v1/sessions/{session_id}/report", reports::newest),
    report(route("POST", "/api/v1/sessions/{session_id}/report", reports::create)),
    route("GET", "/api/v1/sessions/{session_id}/reports", reports::list),
    route("GET", "/api/v1/sessions/{session_id}/export", export::export),
    part("GET", "/api/v1/sessions/{session_id}/reports/{report_id}", reports::read),
    report(part("PATCH", "/api/v1/sessions/{session_id}/reports/{report_id}", reports::change)),
    part("DELETE", "/api/v1/sessions/{session_id}/reports/{report_id}", reports::delete),
    bearer("GET", "/api/v1/session", sessions::read),
    bearer("PATCH", "/api/v1/session", sessions::change),
    bearer("DELETE", "/api/v1/session", sessions::delete),
    bearer("GET", "/api/v1/session/chat", chat::history),
    bearer("POST", "/api/v1/session/chat", chat::send),
    bearer("POST", "/api/v1/session/chat/stop", chat::stop),
    bearer("GET", "/api/v1/session/report", reports::newest),
    report(bearer("POST", "/api/v1/session/report", reports::create)),
    bearer("GET", "/api/v1/session/reports", reports::list),
    bearer("GET", "/api/v1/session/export", export::export),
    bearer_part("GET", "/api/v1/session/reports/{report_id}", reports::read),
    report(bearer_part("PATCH", "/api/v1/session/reports/{report_id}", reports::change)),
    bearer_part("DELETE", "/api/v1/session/reports/{report_id}", reports::delete),
    form("POST", leaving::PANIC_PATH, leaving::panic),
    form("POST", leaving::EXIT_PATH, leaving::exit),
];

const fn route(method: &'static str, pattern: &'static str, handler: OneText) -> Route {
    of_json(method, pattern, Handler::OfOne(handler))
}

const fn of_json(method: &'static str, pattern: &'static str, handler: Handler) -> Route {
    let slashes = count_slashes(pattern);
    Route { method, pattern, slashes, handler, input: Input::Json, max_body_bytes: None, is_quick: false }
}

const fn quick(method: &'static str, pattern: &'static str, handler: OneText) -> Route {
    Route { is_quick: true, ..route(method, pattern, handler) }
}

const fn bearer(method: &'static str, pattern: &'static str, handler: OneText) -> Route {
    Route { input: Input::Bearer, ..route(method, pattern, handler) }
}

/// A route for a part of a session, whose id is the last segment of the pattern.
const fn part(method: &'static str, pattern: &'static str, handler: TwoTexts) -> Route {
    of_json(method, pattern, Handler::OfTwo(handler))
}

const fn bearer_part(method: &'static str, pattern: &'static str, handler: TwoTexts) -> Route {
    Route { input: Input::Bearer, ..part(method, pattern, handler) }
}

/// The same route, whose body is a report.
const fn report(route: Route) -> Route {
    Route { max_body_bytes: Some(reports::MAX_BODY_BYTES), ..route }
}

const fn form(method: &'static str, pattern: &'static str, handler: OneText) -> Route {
    Route { input: Input::Form, ..route(method, pattern, handler) }
}

const fn page_form(method: &'static str, pattern: &'static str, handler: OneText) -> Route {
    Route { input: Input::PageForm, ..route(method, pattern, handler) }
}

/// What the table has for a request.
pub(super) enum Found<'a> {
    /// A route, and the texts at its parameters; empty ones behind the last.
    Route(&'static Route, [Cow<'a, str>; 2]),
    /// The response where no route fits.
    Answer(Result<Response, Problem>),
}

/// Finds the route for a method and a request target as it came; what follows a `?` does not matter. The pattern is for the
/// log: never what the client sent.
pub(super) fn find<'a>(method: &str, target: &'a str) -> (&'static str, Found<'a>) {
    let path = target.split('?').next().unwrap_or_default();
    let wanted = if method == "HEAD" { "GET" } else { method };
    let mut others: Vec<&'static Route> = Vec::new();
    let (slashes, is_encoded) = (count_slashes(path), path.contains('%'));
    for route in ROUTES {
        // Nearly all others are passed over without being cut into segments.
        if route.slashes != slashes || !(is_encoded || path.starts_with(route.beginning())) {
            continue;
        }
        let Some(parameters) = fits(route.pattern, path) else { continue };
        if route.method == wanted {
            return (route.pattern, Found::Route(route, parameters));
        }
        others.push(route);
    }
    let Some(first) = others.first() else { return ("none", Found::Answer(Err(Problem::new(Code::PathNotFound)))) };
    let answer = match method {
        "OPTIONS" => Ok(respond::no_content().with_additional_header("Allow", allow(&others))),
        _ => Err(Problem::method_not_allowed(allow(&others))),
    };
    (first.pattern, Found::Answer(answer))
}

/// Whether the route of a request is quick.
pub(super) fn is_quick(method: &str, target: &str) -> bool {
    let path = target.split('?').next().unwrap_or_default();
    let wanted = if method == "HEAD" { "GET" } else { method };
    ROUTES.iter().any(|route| route.is_quick && route.method == wanted && route.pattern == path)
}

/// The method as one of a known few, since a client can invent any.
pub(super) fn known_method(method: &str) -> &'static str {
    const KNOWN: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    KNOWN.into_iter().find(|known| *known == method).unwrap_or("OTHER")
}

/// The parameters if the path has the pattern's form. Segments are cut before they are decoded, so that an encoded
/// slash does not make two of one.
fn fits<'a>(pattern: &str, path: &'a str) -> Option<[Cow<'a, str>; 2]> {
    let mut parameters = [const { Cow::Borrowed("") }; 2];
    let mut number = 0;
    let mut segments = path.split('/');
    for expected in pattern.split('/') {
        let segment = percent_decode_str(segments.next()?).decode_utf8_lossy();
        if expected.starts_with('{') && !segment.is_empty() {
            parameters[number] = segment;
            number += 1;
        } else if expected != segment {
            return None;
        }
    }
    segments.next().is_none().then_some(parameters)
}

const fn count_slashes(path: &str) -> usize {
    let (mut count, mut at) = (0, 0);
    while at < path.len() {
        count += (path.as_bytes()[at] == b'/') as usize;
        at += 1;
    }
    count
}

fn allow(routes: &[&Route]) -> String {
    let mut methods: Vec<&str> = routes.iter().map(|route| route.method).collect();
    if let Some(get) = methods.iter().position(|method| *method == "GET") {
        methods.insert(get + 1, "HEAD");
    }
    methods.push("OPTIONS");
    methods.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pattern that a path fits, and the texts at its parameters.
    fn found(method: &str, target: &str) -> (&'static str, [String; 2]) {
        match find(method, target) {
            (pattern, Found::Route(_, parameters)) => (pattern, parameters.map(Cow::into_owned)),
            (pattern, Found::Answer(_)) => (pattern, Default::default()),
        }
    }

    #[test]
    fn each_route_is_found_by_its_own_path_and_not_by_a_longer_one() {
        for route in ROUTES {
            let path = route.pattern.replace(['{', '}'], "");
            assert_eq!(found(route.method, &path).0, route.pattern);
            assert_eq!(found(route.method, &format!("{path}?a=/b/%2F")).0, route.pattern);
            assert_ne!(found(route.method, &format!("{path}/x")).0, route.pattern);
        }
    }

    #[test]
    fn only_reads_that_are_answered_from_memory_are_quick() {
        for (method, target, quick) in [
            ("GET", "/", true),
            ("HEAD", "/?language=id", true),
            ("GET", "/health/live", true),
            ("GET", "/api/v1/privacy", true),
            ("POST", "/", false),
            ("GET", "/health/db", false),
            ("GET", "/health/ready", false),
            ("GET", "/api/v1/session", false),
        ] {
            assert_eq!(is_quick(method, target), quick, "{method} {target}");
        }
    }

    #[test]
    fn segments_are_decoded_after_they_are_cut_also_where_the_path_begins_encoded() {
        for (target, pattern, texts) in [
            ("/%70age/style.css", "/page/{asset}", ["style.css", ""]),
            ("/page/a%2Fb", "/page/{asset}", ["a/b", ""]),
            ("/page%2Fa", "none", ["", ""]),
            ("/page/", "none", ["", ""]),
            ("/page/a?b", "/page/{asset}", ["a", ""]),
            ("/api/v1/%73essions/a/reports/b", "/api/v1/sessions/{session_id}/reports/{report_id}", ["a", "b"]),
            ("//", "none", ["", ""]),
            ("*", "none", ["", ""]),
        ] {
            assert_eq!(found("GET", target), (pattern, texts.map(str::to_owned)), "{target}");
        }
    }
}
