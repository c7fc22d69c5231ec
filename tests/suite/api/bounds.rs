//! The server's bounds as an operator sets them and a client of the API meets them.

use std::time::{Duration, Instant};

use crate::support::app::TestApp;
use crate::support::raw::Raw;
use crate::support::wait_for_lock;

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
const POST: &[u8] = b"POST /api/v1/sessions HTTP/1.1\r\nHost: x\r\n\r\n";

#[test]
fn what_the_server_refuses_by_itself_is_a_problem_document_with_the_usual_headers() {
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
            assert_eq!(answer.header(name), Some(value), "{status}");
        }
        assert_eq!(answer.header("X-Request-Id").map(str::len), Some(16), "{status}");
    }
}

#[test]
fn a_body_that_is_not_wanted_is_refused_before_it_is_sent() {
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
            assert_eq!(answer.status, 100);
            assert_eq!(raw.ask(b"{}").status, 201);
        } else {
            answer.assert_problem(status);
            raw.assert_closed();
        }
    }
}

#[test]
fn the_sizes_can_be_set() {
    let app = TestApp::with(&[
        ("APP_MAX_REQUEST_LINE_BYTES", "256"),
        ("APP_MAX_HEAD_BYTES", "1024"),
        ("APP_MAX_HEAD_FIELDS", "8"),
        ("APP_MAX_BODY_BYTES", "2048"),
    ]);
    let (line, value) = ("a".repeat(250), "a".repeat(1000));
    let fields = "X: y\r\n".repeat(8);
    for (request, status, said) in [
        (format!("GET /{line} HTTP/1.1\r\nHost: x\r\n\r\n"), 414, "256"),
        (format!("GET / HTTP/1.1\r\nHost: x\r\nX: {value}\r\n\r\n"), 431, "1024"),
        (format!("GET / HTTP/1.1\r\nHost: x\r\n{fields}\r\n"), 431, "8"),
        ("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2049\r\n\r\n".to_owned(), 413, "2048"),
    ] {
        let detail = app.client.raw(request.as_bytes()).assert_problem(status);
        assert!(detail.contains(said), "{detail}");
    }
}

#[test]
fn the_times_for_a_head_a_body_and_a_kept_connection_can_be_set() {
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
fn the_time_for_an_answer_can_be_set() {
    let app = TestApp::with(&[("APP_REQUEST_TIMEOUT", "1")]);
    let mut sql = app.sql();
    let mut lock = sql.transaction().unwrap();
    lock.batch_execute("LOCK TABLE sessions").unwrap();
    let answer = app.client.post("/api/v1/sessions");
    answer.assert_problem(504);
    assert_eq!(answer.header("Connection"), Some("close"));
    lock.commit().unwrap();
    app.create_session();
}

#[test]
fn the_time_for_a_slow_reader_can_be_set() {
    let app = TestApp::with(&[("APP_WRITE_TIMEOUT", "1")]);
    let mut raw = Raw::connect(app.client.address());
    // The same large answer again and again, more than all buffers together hold.
    raw.send(&b"GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: x\r\n\r\n".repeat(20));
    std::thread::sleep(Duration::from_secs(4));
    let received = raw.count_rest();
    assert!(received < 20 * 1024 * 1024, "{received} bytes");
}

#[test]
fn the_number_of_connections_can_be_set() {
    let app = TestApp::with(&[("APP_MAX_CONNECTIONS", "1")]);
    let mut first = Raw::connect(app.client.address());
    let mut second = Raw::connect(app.client.address());
    assert_eq!(second.ask(GET).status, 200);
    first.assert_closed();
}

#[test]
fn the_number_of_waiting_requests_can_be_set_and_says_when_to_come_back() {
    let app = TestApp::with(&[("APP_WORKERS", "1"), ("APP_MAX_QUEUED_REQUESTS", "1"), ("DB_POOL_MAX_SIZE", "1")]);
    let mut sql = app.sql();
    let mut lock = sql.transaction().unwrap();
    lock.batch_execute("LOCK TABLE sessions").unwrap();
    let connect = || Raw::connect(app.client.address());
    let (mut busy, mut waiting) = (connect(), connect());
    busy.send(POST);
    wait_for_lock(&mut app.sql());
    waiting.send(GET);
    // The poller takes them in the order in which they came.
    let mut refused = connect();
    let answer = refused.ask(GET);
    answer.assert_problem(503);
    assert_eq!((answer.header("Retry-After"), answer.header("Connection")), (Some("1"), Some("close")));
    lock.commit().unwrap();
    assert_eq!(busy.answer().status, 201);
    assert_eq!(waiting.answer().status, 200);
}
