//! The limits of the HTTP server as the service configures them and as a client of the API observes them.

use std::time::{Duration, Instant};

use crate::support::app::TestApp;
use crate::support::raw::Raw;
use crate::support::requests::{GET, POST_SESSION};
use crate::support::{lock_table, wait_for_lock};

#[test]
fn refusals_by_the_server_are_problem_documents_with_the_common_fields() {
    let app = TestApp::start();
    let long = "a".repeat(20_000);
    for (request, status) in [
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), 400),
        (format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 65537\r\n\r\n{long}"), 413),
        (format!("GET /{long} HTTP/1.1\r\nHost: x\r\n\r\n"), 414),
        ("GET / HTTP/1.1\r\nHost: x\r\nExpect: tea\r\n\r\n".to_owned(), 417),
        (format!("GET / HTTP/1.1\r\nHost: x\r\nX: {long}\r\n\r\n"), 431),
        ("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n".to_owned(), 501),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), 505),
    ] {
        let answer = app.client.raw(request.as_bytes());
        answer.assert_problem(status);
        for (name, value) in [
            ("Cache-Control", "no-store"),
            ("X-Content-Type-Options", "nosniff"),
            ("Referrer-Policy", "no-referrer"),
            ("Connection", "close"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{status}: {name}");
        }
        assert_eq!(answer.header("X-Request-Id").map(str::len), Some(16), "{status}");
    }
}

#[test]
fn expect_100_continue_is_refused_for_an_unacceptable_body() {
    let app = TestApp::start();
    let (length, chunked) = ("Content-Length: 2", "Transfer-Encoding: chunked");
    for (line, media_type, length, status) in [
        ("POST /api/v1/sessions", "text/plain", length, 415),
        ("POST /api/v1/sessions", "text/plain", chunked, 415),
        ("POST /nowhere", "application/json", length, 404),
        ("PUT /api/v1/sessions", "application/json", length, 405),
        ("POST /api/v1/sessions", "application/json", length, 100),
    ] {
        let head = format!("{line} HTTP/1.1\r\nHost: x\r\nContent-Type: {media_type}\r\n{length}\r\n");
        let mut raw = Raw::connect(app.client.address());
        let answer = raw.ask(format!("{head}Expect: 100-continue\r\n\r\n").as_bytes());
        if status == 100 {
            assert_eq!(answer.status, 100, "{line}, {media_type}");
            assert_eq!(raw.ask(b"{}").status, 201, "{line}, {media_type}");
        } else {
            assert_eq!(answer.status, status, "{line}, {media_type}, {length}");
            answer.assert_problem(status);
            raw.assert_closed();
        }
    }
}

#[test]
fn size_limits_are_configurable() {
    let app = TestApp::with(&[
        ("APP_MAX_REQUEST_LINE_BYTES", "256"),
        ("APP_MAX_HEAD_BYTES", "1024"),
        ("APP_MAX_HEAD_FIELDS", "8"),
        ("APP_MAX_BODY_BYTES", "2048"),
    ]);
    let (line, value) = ("a".repeat(250), "a".repeat(1000));
    let fields = "X: y\r\n".repeat(8);
    for (request, status, limit) in [
        (format!("GET /{line} HTTP/1.1\r\nHost: x\r\n\r\n"), 414, "256"),
        (format!("GET / HTTP/1.1\r\nHost: x\r\nX: {value}\r\n\r\n"), 431, "1024"),
        (format!("GET / HTTP/1.1\r\nHost: x\r\n{fields}\r\n"), 431, "8"),
        ("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2049\r\n\r\n".to_owned(), 413, "2048"),
    ] {
        let detail = app.client.raw(request.as_bytes()).assert_problem(status);
        assert!(detail.contains(limit), "{status}: {detail}");
    }
}

#[test]
fn head_body_and_idle_timeouts_are_configurable() {
    let app = TestApp::with(&[("APP_HEAD_TIMEOUT", "1"), ("APP_BODY_TIMEOUT", "2"), ("APP_IDLE_TIMEOUT", "3")]);
    let connect = || Raw::connect(app.client.address());
    let started = Instant::now();
    let (mut head, mut body, mut idle) = (connect(), connect(), connect());
    head.send(&GET[..20]);
    body.send(
        b"POST /api/v1/sessions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{",
    );
    assert_eq!(idle.ask(GET).status, 200);
    let took = |seconds: u64| {
        let took = started.elapsed().as_secs_f32();
        let deadline = seconds as f32;
        assert!(took > deadline * 0.9 && took < deadline + 0.9, "{took} s instead of {seconds}");
    };
    head.answer().assert_problem(408);
    took(1);
    body.answer().assert_problem(408);
    took(2);
    idle.assert_closed();
    took(3);
}

#[test]
fn the_request_timeout_is_configurable() {
    let app = TestApp::with(&[("APP_REQUEST_TIMEOUT", "1")]);
    let mut sql = app.sql();
    let lock = lock_table(&mut sql, "sessions");
    let answer = app.client.post("/api/v1/sessions");
    answer.assert_problem(504);
    assert_eq!(answer.header("Connection"), Some("close"));
    lock.commit().unwrap();
    app.create_session();
}

#[test]
fn the_write_timeout_is_configurable() {
    let app = TestApp::with(&[("APP_WRITE_TIMEOUT", "1")]);
    let mut raw = Raw::connect(app.client.address());
    // Twenty times the same large response: more than all buffers hold together.
    raw.send(&b"GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: x\r\n\r\n".repeat(20));
    std::thread::sleep(Duration::from_secs(4));
    let received = raw.count_rest();
    assert!(received < 20 * 1024 * 1024, "{received} bytes");
}

#[test]
fn the_connection_limit_is_configurable() {
    let app = TestApp::with(&[("APP_MAX_CONNECTIONS", "1")]);
    let mut first = Raw::connect(app.client.address());
    let mut second = Raw::connect(app.client.address());
    assert_eq!(second.ask(GET).status, 200);
    first.assert_closed();
}

#[test]
fn the_queue_limit_is_configurable_and_its_503_has_retry_after() {
    let app = TestApp::with(&[("APP_WORKERS", "1"), ("APP_MAX_QUEUED_REQUESTS", "1"), ("DB_POOL_MAX_SIZE", "1")]);
    let mut sql = app.sql();
    let lock = lock_table(&mut sql, "sessions");
    let connect = || Raw::connect(app.client.address());
    let (mut busy, mut waiting) = (connect(), connect());
    busy.send(POST_SESSION);
    wait_for_lock(&mut app.sql());
    waiting.send(GET);
    // The poller accepts connections in order.
    let mut refused = connect();
    let answer = refused.ask(GET);
    answer.assert_problem(503);
    assert_eq!((answer.header("Retry-After"), answer.header("Connection")), (Some("1"), Some("close")));
    lock.commit().unwrap();
    assert_eq!(busy.answer().status, 201);
    assert_eq!(waiting.answer().status, 200);
}
