//! The CORS protocol: every response to a page of an allowed origin says so, also the refusals of the server, and no other
//! response does.

use safespace::api::routes::ROUTES;
use serde_json::json;

use crate::support::app::TestApp;
use crate::support::chat::{Chat, store_messages};
use crate::support::http::Answer;
use crate::support::raw::Raw;
use crate::support::requests::{GET, POST_SESSION};
use crate::support::timing::PATIENCE;
use crate::support::{eventually, lock_table, wait_for_lock};

const ALLOWED: &str = "https://chat.example";
const OTHER: &str = "https://other.example";
const FOREIGN: &str = "https://evil.example";

/// A service that allows two origins.
fn start(further: &[(&str, &str)]) -> TestApp {
    let list = format!("{ALLOWED},{OTHER}");
    let own = [("CORS_ALLOWED_ORIGINS", list.as_str())];
    TestApp::with(&[own.as_slice(), further].concat())
}

/// Asserts what CORS says in the response to a request of this origin.
#[track_caller]
fn assert_cors(answer: &Answer, origin: &str, case: &str) {
    let is_allowed = [ALLOWED, OTHER].contains(&origin);
    let allowed = answer.header("Access-Control-Allow-Origin");
    assert_eq!(allowed, is_allowed.then_some(origin), "{case}, {origin}: {answer:?}");
    let vary = answer.header("Vary").unwrap_or_default();
    assert!(vary.split(", ").any(|name| name == "Origin"), "{case}, {origin}: Vary: {vary}");
    assert_eq!(answer.header("Access-Control-Allow-Credentials"), None, "{case}, {origin}");
    let exposed = answer.header("Access-Control-Expose-Headers").unwrap_or_default();
    for name in ["Retry-After", "X-Request-Id", "RateLimit", "RateLimit-Policy"] {
        assert_eq!(exposed.split(", ").any(|exposed| exposed == name), is_allowed, "{case}, {origin}: {exposed}");
    }
}

/// A request with an `Origin` in it. Pages of the first allowed origin prefer Indonesian.
fn from(origin: &str, request: &str) -> String {
    let (line, rest) = request.split_once("\r\n").unwrap();
    let language = if origin == ALLOWED { "Accept-Language: id\r\n" } else { "" };
    format!("{line}\r\n{language}Origin: {origin}\r\n{rest}")
}

/// Asserts that an error is in the language that the client prefers.
#[track_caller]
fn assert_language(answer: &Answer, origin: &str, case: &str) {
    let language = if origin == ALLOWED { "id" } else { "en" };
    let expected = (answer.status >= 400).then_some(language);
    assert_eq!(answer.header("Content-Language"), expected, "{case}, {origin}: {answer:?}");
}

#[test]
fn every_response_and_every_refusal_names_the_allowed_origin_and_no_other() {
    let app = start(&[]);
    let chat = Chat::new(&app);
    chat.send("hello").assert_status(200);
    let long = "a".repeat(20_000);
    let (json, body) = ("Content-Type: application/json\r\n", json!({"message": "hello"}).to_string());
    let (path, length) = (chat.path(), body.len());
    for (request, status) in [
        ("GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(), 200),
        ("GET /docs HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(), 200),
        ("POST /api/v1/sessions HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(), 201),
        (format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"), 200),
        (format!("POST {path} HTTP/1.1\r\nHost: x\r\n{json}Content-Length: {length}\r\n\r\n{body}"), 200),
        (format!("POST {path}/stop HTTP/1.1\r\nHost: x\r\n\r\n"), 204),
        ("GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(), 404),
        ("PUT / HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(), 405),
        ("OPTIONS / HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(), 204),
        ("POST /api/v1/sessions HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx".to_owned(), 415),
        ("GET /api/v1/sessions/x HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(), 422),
        // A body that is refused by its head.
        (format!("POST /nowhere HTTP/1.1\r\nHost: x\r\n{json}Content-Length: 2\r\nExpect: 100-continue\r\n\r\n"), 404),
        // The server's own refusals: of a head, of what follows a head, and of a head that has no end.
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), 400),
        ("GET / HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n".to_owned(), 400),
        ("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nz\r\n".to_owned(), 400),
        (format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 65537\r\n\r\n{long}"), 413),
        ("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n10001\r\n".to_owned(), 413),
        ("GET / HTTP/1.1\r\nHost: x\r\nExpect: tea\r\n\r\n".to_owned(), 417),
        (format!("GET / HTTP/1.1\r\nHost: x\r\nX: {long}\r\n\r\n"), 431),
        (format!("GET / HTTP/1.1\r\nHost: x\r\n{}\r\n", "X: y\r\n".repeat(101)), 431),
        ("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n".to_owned(), 501),
        ("GET / HTTP/2.5\r\nHost: x\r\n\r\n".to_owned(), 505),
    ] {
        let case = &request[..request.len().min(80)];
        for origin in [ALLOWED, OTHER] {
            let answer = app.client.raw(from(origin, &request).as_bytes()).assert_status(status);
            assert_cors(&answer, origin, case);
            if !case.starts_with("GET /docs") {
                assert_language(&answer, origin, case);
            }
        }
        let answer = app.client.raw(from(FOREIGN, &request).as_bytes());
        assert_cors(&answer, FOREIGN, case);
        assert_cors(&app.client.raw(request.as_bytes()).assert_status(status), "", case);
    }
}

#[test]
fn an_origin_that_is_cut_repeated_or_in_the_body_is_not_named_in_a_refusal() {
    let app = start(&[]);
    let connect = || Raw::connect(app.client.address());
    for (request, status) in [
        // Its line has no end.
        (format!("GET / HTTP/1.1\r\nHost: x\r\nOrigin: {ALLOWED}"), 400),
        (format!("GET / HTTP/1.1\r\nOrigin: {ALLOWED}\r\norigin: {OTHER}\r\n\r\n"), 400),
        (format!("GET / HTTP/1.1\r\nX-Origin: {ALLOWED}\r\n\r\n"), 400),
        (format!("GET / HTTP/1.1\r\n Origin: {ALLOWED}\r\n\r\n"), 400),
        (format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 65537\r\n\r\nOrigin: {ALLOWED}\r\n"), 413),
        // In the request that follows.
        (format!("GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\nOrigin: {ALLOWED}\r\n\r\n"), 400),
        (format!("GET / HTTP/1.1\r\nHost: x\r\nOrigin: {}\r\n\r\n", "a".repeat(10)), 200),
        (format!("GET / HTTP/1.1\r\nHost: x\r\nOrigin: {}\r\n\r\n", "a".repeat(1_000)), 200),
        (format!("GET / HTTP/1.1\r\nOrigin: {}\r\n\r\n", "a".repeat(1_000)), 400),
        (format!("GET / HTTP/1.1\r\nHost: x\r\nOrigin: {}\r\n\r\n", "a".repeat(20_000)), 431),
    ] {
        let mut raw = connect();
        raw.send(request.as_bytes());
        raw.end();
        let answer = raw.answer().assert_status(status);
        assert_eq!(answer.header("Access-Control-Allow-Origin"), None, "{}", &request[..60]);
    }
    // The origin of a request is not that of the next one on the connection.
    let mut raw = connect();
    assert_cors(&raw.ask(from(ALLOWED, "GET / HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()), ALLOWED, "first");
    assert_cors(&raw.ask(b"GET / HTTP/1.1\r\n\r\n").assert_status(400), "", "second");
}

#[test]
fn an_origin_cannot_add_a_field_to_the_response() {
    let app = start(&[]);
    for end in ["\r\n", "\n", "\r", "\0", "%0d%0a", "\u{a}"] {
        let request = format!("GET / HTTP/1.1\r\nHost: x\r\nOrigin: {ALLOWED}{end}Injected: yes\r\n\r\n");
        let answer = app.client.raw(request.as_bytes());
        assert_eq!(answer.header("Injected"), None, "{end:?}");
        let allowed = answer.header("Access-Control-Allow-Origin");
        assert!(allowed.is_none_or(|origin| origin == ALLOWED), "{end:?}: {allowed:?}");
    }
}

#[test]
fn streams_and_histories_in_pieces_name_the_origin() {
    let app = start(&[]);
    let chat = Chat::new(&app);
    for origin in [ALLOWED, FOREIGN] {
        let request = String::from_utf8(chat.stream_request(None, "hello")).unwrap();
        let mut raw = Raw::connect(app.client.address());
        raw.send(from(origin, &request).as_bytes());
        let head = raw.head();
        assert_eq!(head.status, if origin == ALLOWED { 200 } else { 403 });
        assert_cors(&head, origin, "stream");
    }
    let chat = Chat::new(&app);
    store_messages(&mut app.sql(), &chat.id, &vec!["\u{1}".repeat(4_096); 60]);
    let request = format!("GET {} HTTP/1.1\r\nHost: x\r\n\r\n", chat.path());
    for origin in [ALLOWED, FOREIGN] {
        let answer = app.client.raw(from(origin, &request).as_bytes()).assert_status(200);
        assert_eq!(answer.header("Transfer-Encoding"), Some("chunked"));
        assert_cors(&answer, origin, "history");
    }
}

#[test]
fn timeouts_name_the_origin() {
    let app = start(&[
        ("APP_HEAD_TIMEOUT", "1"),
        ("APP_BODY_TIMEOUT", "1"),
        ("APP_REQUEST_TIMEOUT", "1"),
        ("DB_ACQUIRE_TIMEOUT_MS", "9000"),
    ]);
    let mut sql = app.sql();
    let lock = lock_table(&mut sql, "sessions");
    let origins = [ALLOWED, OTHER, FOREIGN, ""];
    let json = "Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{";
    let mut clients = Vec::new();
    for (request, status) in [
        ("GET / HTTP/1.1\r\nHost: x\r\nX".to_owned(), 408),
        (format!("POST /api/v1/sessions HTTP/1.1\r\nHost: x\r\n{json}"), 408),
        ("POST /api/v1/sessions HTTP/1.1\r\nHost: x\r\nSec-Fetch-Site: none\r\n\r\n".to_owned(), 504),
    ] {
        for origin in origins {
            let mut raw = Raw::connect(app.client.address());
            raw.send(if origin.is_empty() { request.clone() } else { from(origin, &request) }.as_bytes());
            clients.push((raw, origin, status));
        }
    }
    for (mut raw, origin, status) in clients {
        let answer = raw.answer().assert_status(status);
        assert_cors(&answer, origin, &status.to_string());
        assert_language(&answer, origin, &status.to_string());
    }
    lock.commit().unwrap();
}

#[test]
fn a_503_of_a_full_queue_names_the_origin_of_each_request() {
    let app = start(&[("APP_WORKERS", "1"), ("APP_MAX_QUEUED_REQUESTS", "1"), ("DB_POOL_MAX_SIZE", "1")]);
    let mut sql = app.sql();
    let lock = lock_table(&mut sql, "sessions");
    let connect = || Raw::connect(app.client.address());
    let (mut busy, mut waiting) = (connect(), connect());
    busy.send(POST_SESSION);
    wait_for_lock(&mut app.sql());
    waiting.send(GET);
    let get = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    for _ in 0..3 {
        for origin in [ALLOWED, OTHER, FOREIGN] {
            let answer = connect().ask(from(origin, get).as_bytes());
            answer.assert_problem(503);
            assert_eq!(answer.header("Retry-After"), Some("1"));
            assert_cors(&answer, origin, "503");
            assert_language(&answer, origin, "503");
        }
        assert_cors(&connect().ask(get.as_bytes()).assert_status(503), "", "503");
    }
    // Half a head, whose origin has come.
    let answer = connect().ask(format!("GET / HTTP/1.1\r\nOrigin: {ALLOWED}\r\n").as_bytes());
    assert_cors(&answer.assert_status(503), ALLOWED, "503");
    lock.commit().unwrap();
    assert_eq!((busy.answer().status, waiting.answer().status), (201, 200));
}

#[test]
fn an_incomplete_request_that_gives_way_names_the_origin() {
    for (phase, head) in [
        ("head", format!("GET / HTTP/1.1\r\nHost: x\r\nOrigin: {ALLOWED}\r\n")),
        ("body", format!("POST / HTTP/1.1\r\nHost: x\r\nOrigin: {ALLOWED}\r\nContent-Length: 2\r\n\r\n")),
    ] {
        let app = start(&[("APP_MAX_CONNECTIONS", "1"), ("METRICS_PORT", "0")]);
        let mut first = Raw::connect(app.client.address());
        first.send(head.as_bytes());
        let sample = format!("safespace_http_connections{{state=\"{phase}\"}} 1\n");
        eventually(PATIENCE, || app.metrics().contains(&sample).then_some(()));
        let mut second = Raw::connect(app.client.address());
        assert_eq!(second.ask(GET).status, 200);
        assert_cors(&first.answer().assert_status(503), ALLOWED, phase);
    }
}

#[test]
fn a_preflight_of_every_route_names_its_methods() {
    let app = start(&[]);
    let id = app.create_session();
    for route in ROUTES {
        let path = route.pattern.replace("{session_id}", &id).replace("{asset}", "docs.css");
        let preflight = format!(
            "OPTIONS {path} HTTP/1.1\r\nHost: x\r\nOrigin: {ALLOWED}\r\nAccess-Control-Request-Method: {}\r\n\
             Access-Control-Request-Headers: content-type\r\nSec-Fetch-Site: cross-site\r\n\r\n",
            route.method
        );
        let answer = app.client.raw(preflight.as_bytes()).assert_status(204);
        let methods = answer.header("Access-Control-Allow-Methods").unwrap_or_default();
        let expected = ROUTES.iter().filter(|other| other.pattern == route.pattern).map(|other| other.method);
        for method in expected {
            assert!(methods.split(", ").any(|allowed| allowed == method), "{path}: {methods}");
        }
        assert_eq!(answer.header("Allow"), Some(methods), "{path}");
        assert_eq!(answer.header("Access-Control-Allow-Origin"), Some(ALLOWED), "{path}");
        assert_eq!(answer.header("Access-Control-Max-Age"), Some("600"), "{path}");
        assert_eq!(answer.header("Vary"), Some("Origin"), "{path}");
        let fields = answer.header("Access-Control-Allow-Headers").unwrap_or_default();
        for field in ["Content-Type", "Idempotency-Key", "Authorization", "Accept", "Prefer", "Proof-Of-Work"] {
            assert!(fields.split(", ").any(|allowed| allowed == field), "{path}: {fields}");
        }
        assert_eq!(answer.header("Access-Control-Allow-Credentials"), None, "{path}");
        assert_eq!(answer.header("Access-Control-Allow-Private-Network"), None, "{path}");
    }
    app.client.get(&format!("/api/v1/sessions/{id}")).assert_status(200);
}

#[test]
fn what_is_no_preflight_of_an_allowed_origin_gets_no_permission() {
    let app = start(&[]);
    let method = "Access-Control-Request-Method: DELETE\r\n";
    for (line, fields, status) in [
        ("OPTIONS /api/v1/sessions", format!("Origin: {FOREIGN}\r\n{method}"), 204),
        ("OPTIONS /api/v1/sessions", format!("Origin: null\r\n{method}"), 204),
        ("OPTIONS /api/v1/sessions", format!("Origin: {ALLOWED}\r\nOrigin: {ALLOWED}\r\n{method}"), 204),
        ("OPTIONS /api/v1/sessions", method.to_owned(), 204),
        ("OPTIONS /api/v1/sessions", format!("Origin: {ALLOWED}\r\n"), 204),
        ("PUT /api/v1/sessions", format!("Origin: {ALLOWED}\r\n{method}"), 405),
        ("OPTIONS /nowhere", format!("Origin: {ALLOWED}\r\n{method}"), 404),
    ] {
        let answer = app.client.raw(format!("{line} HTTP/1.1\r\nHost: x\r\n{fields}\r\n").as_bytes());
        let answer = answer.assert_status(status);
        for name in ["Access-Control-Allow-Methods", "Access-Control-Allow-Headers", "Access-Control-Max-Age"] {
            assert_eq!(answer.header(name), None, "{line} {fields}");
        }
        assert!(answer.header("Allow").is_some() || status == 404, "{line} {fields}");
    }
}

#[test]
fn without_other_origins_no_response_depends_on_the_origin() {
    let app = TestApp::with(&[("ENVIRONMENT", "production")]);
    for request in
        ["GET / HTTP/1.1\r\nHost: x\r\n\r\n", "GET / HTTP/1.1\r\n\r\n", "OPTIONS / HTTP/1.1\r\nHost: x\r\n\r\n"]
    {
        let answer = app.client.raw(from("http://localhost:5173", request).as_bytes());
        assert_eq!(answer.header("Access-Control-Allow-Origin"), None, "{request}");
        assert!(!answer.header("Vary").unwrap_or_default().contains("Origin"), "{request}");
    }
}

#[test]
fn in_development_a_page_of_any_local_port_may_use_the_service() {
    let app = TestApp::start();
    for origin in ["http://localhost:5173", "http://127.0.0.1:3000", "http://[::1]:8080", "https://localhost"] {
        let answer = app.client.post_json("/api/v1/sessions", &json!({}), &[("Origin", origin)]).assert_status(201);
        assert_eq!(answer.header("Access-Control-Allow-Origin"), Some(origin));
    }
    app.client.post_json("/api/v1/sessions", &json!({}), &[("Origin", "https://chat.example")]).assert_status(403);
}
