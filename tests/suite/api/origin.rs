//! Requests from pages of other origins: refused before they have an effect, unless the origin is allowed.

use safespace::api::routes::ROUTES;
use serde_json::json;

use crate::support::app::TestApp;
use crate::support::chat::{Chat, count_rows};
use crate::support::http::Answer;
use crate::support::raw::Raw;

/// Who sent a request, as the fields `Origin` and `Sec-Fetch-Site` say it; an empty text stands for a field that is missing.
type Sender<'a> = (&'a str, &'a str);

const ALLOWED: &str = "https://chat.example";

fn start() -> TestApp {
    TestApp::with(&[("CORS_ALLOWED_ORIGINS", ALLOWED)])
}

fn send(app: &TestApp, line: &str, (origin, site): Sender<'_>) -> Answer {
    let fields = [("Origin", origin), ("Sec-Fetch-Site", site)];
    let fields = fields.iter().filter(|(_, value)| !value.is_empty());
    let fields: String = fields.map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let (host, body) = (app.client.address(), json!({"message": "hello"}).to_string());
    let body = format!("Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    Raw::connect(host).ask(format!("{line} HTTP/1.1\r\nHost: {host}\r\n{fields}{body}").as_bytes())
}

#[test]
fn what_a_page_of_a_foreign_origin_sends_has_no_effect() {
    let app = start();
    let chat = Chat::new(&app);
    let (own, rows) = (format!("http://{}", app.client.address()), count_rows(&mut app.sql()));
    let senders = [
        ("https://evil.example", ""),
        ("https://evil.example", "cross-site"),
        ("https://evil.example", "same-site"),
        ("http://127.0.0.1:1", ""),
        ("http://chat.example", ""),
        ("https://chat.example:8443", ""),
        ("https://chat.example.evil.example", ""),
        ("https://chat.example/", ""),
        ("HTTPS://CHAT.EXAMPLE", ""),
        ("https://evil.example, https://chat.example", ""),
        // A browser sends the second field to this service of its own, so the first one cannot be right.
        (&own, "same-site"),
        (&own, "cross-site"),
        (&own, "unknown"),
        ("", "cross-site"),
        ("", "same-site"),
        // A sandboxed frame.
        ("null", ""),
        ("null", "cross-site"),
        ("null", "same-site"),
        ("null", "none"),
    ];
    for route in ROUTES.iter().filter(|route| route.method != "GET") {
        let line = format!("{} {}", route.method, route.pattern.replace("{session_id}", &chat.id));
        for sender in senders {
            let answer = send(&app, &line, sender);
            assert_eq!(answer.status, 403, "{line} {sender:?}");
            // The errors of the forms are pages.
            if route.pattern == "/api/v1/exit" || route.pattern.starts_with("/page/") {
                assert_eq!(answer.header("Content-Type"), Some("text/html; charset=utf-8"), "{line} {sender:?}");
            } else {
                answer.assert_problem(403);
                assert_eq!(answer.json()["code"], "foreign_origin", "{line} {sender:?}");
            }
            assert_eq!(answer.header("Access-Control-Allow-Origin"), None, "{line} {sender:?}");
        }
    }
    assert_eq!(count_rows(&mut app.sql()), rows);
}

#[test]
fn several_origins_in_one_request_are_foreign() {
    let app = start();
    let rows = count_rows(&mut app.sql());
    for (first, second) in [(ALLOWED, "https://evil.example"), ("https://evil.example", ALLOWED), (ALLOWED, ALLOWED)] {
        let head = format!("POST /api/v1/sessions HTTP/1.1\r\nHost: x\r\nOrigin: {first}\r\norigin: {second}\r\n\r\n");
        let answer = app.client.raw(head.as_bytes());
        answer.assert_problem(403);
        assert_eq!(answer.header("Access-Control-Allow-Origin"), None, "{first} {second}");
    }
    assert_eq!(count_rows(&mut app.sql()), rows);
}

#[test]
fn a_request_of_an_allowed_or_an_own_page_or_of_no_page_is_answered() {
    let app = start();
    let own = format!("http://{}", app.client.address());
    let https = own.replace("http", "https");
    for sender in [
        (ALLOWED, ""),
        (ALLOWED, "cross-site"),
        (ALLOWED, "same-site"),
        (own.as_str(), ""),
        // A proxy has ended TLS.
        (&https, ""),
        (&own, "same-origin"),
        // A proxy has changed Host.
        ("https://safe.example", "same-origin"),
        ("", "none"),
        ("", "same-origin"),
        // A form of a page with `Referrer-Policy: no-referrer`.
        ("null", "same-origin"),
        ("", ""),
    ] {
        let session = send(&app, "POST /api/v1/sessions", sender).assert_status(201).json();
        let path = format!("/api/v1/sessions/{}", session["session_id"].as_str().unwrap());
        send(&app, &format!("POST {path}/chat"), sender).assert_status(200);
        send(&app, &format!("DELETE {path}"), sender).assert_status(204);
    }
}

#[test]
fn a_read_of_a_foreign_page_is_answered_without_permission_to_see_it() {
    let app = start();
    let chat = Chat::new(&app);
    for method in ["GET", "HEAD"] {
        for path in ["/", "/openapi.json", &chat.path()] {
            let head = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nOrigin: https://evil.example\r\n\r\n");
            let mut raw = Raw::connect(app.client.address());
            raw.send(head.as_bytes());
            let answer = if method == "HEAD" { raw.head_answer() } else { raw.answer() }.assert_status(200);
            assert_eq!(answer.header("Access-Control-Allow-Origin"), None, "{method} {path}");
        }
    }
}
