//! Responses on the wire: framing, streaming, and invalid responses of an application.

use std::time::{Duration, Instant};

use safespace::http::Limits;

use crate::support::raw::Raw;
use crate::support::requests::get;
use crate::support::server::{TestServer, limits};

fn get_1_0(path: &str, fields: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.0\r\n{fields}\r\n").into_bytes()
}

#[test]
fn a_response_has_date_and_content_length_and_no_server_field() {
    let server = TestServer::start(limits());
    let answer = server.connect().ask(&get("/"));
    assert!((chrono::Utc::now() - answer.date()).num_seconds().abs() < 5);
    assert_eq!(answer.header("Content-Length").unwrap(), answer.body.len().to_string());
    for absent in ["Server", "Connection", "Transfer-Encoding"] {
        assert_eq!(answer.header(absent), None, "{absent}");
    }
}

#[test]
fn head_gets_the_header_fields_of_get() {
    let server = TestServer::start(limits());
    let mut raw = server.connect();
    let full = raw.ask(&get("/40-kib"));
    raw.send(b"HEAD /40-kib HTTP/1.1\r\nHost: x\r\n\r\n");
    let head = raw.head_answer();
    assert_eq!((head.status, head.header("Content-Length")), (200, full.header("Content-Length")));
    let _end = server.stream();
    raw.send(b"HEAD /stream HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(raw.head_answer().header("Content-Length"), None);
    assert_eq!(raw.ask(&get("/")).status, 200);
}

#[test]
fn an_error_response_to_head_has_no_body() {
    let server = TestServer::start(Limits { request_timeout: Duration::from_millis(200), ..limits() });
    for (path, status) in [("/panic", 500), ("/split-value", 500), ("/wait", 504)] {
        let mut raw = server.connect();
        raw.send(format!("HEAD {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes());
        let answer = raw.head_answer();
        assert_eq!(answer.status, status, "{path}");
        assert_ne!(answer.header("Content-Length"), Some("0"), "{path}");
        raw.assert_closed();
    }
    server.gate().open();
    // After an answered HEAD, the refusal of another request has its body.
    let mut raw = server.connect();
    raw.send(b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(raw.head_answer().status, 200);
    let refusal = raw.ask(b"GET / HTTP/1.1\r\n\r\n");
    assert_eq!((refusal.status, refusal.body.is_empty()), (400, false));
}

#[test]
fn a_response_without_a_body_has_no_framing_fields() {
    let server = TestServer::start(limits());
    let mut raw = server.connect();
    for (path, status) in [("/no-content", 204), ("/not-modified", 304)] {
        let answer = raw.ask(&get(path));
        assert_eq!(answer.status, status, "{path}");
        assert_eq!((answer.header("Content-Length"), answer.header("Transfer-Encoding")), (None, None), "{path}");
    }
    assert_eq!(raw.ask(&get("/")).status, 200);
}

#[test]
fn framing_fields_of_the_application_are_replaced() {
    let server = TestServer::start(limits());
    let mut raw = server.connect();
    let answer = raw.ask(&get("/own-framing"));
    assert_eq!(answer.text(), "hello");
    assert_eq!(answer.header("Transfer-Encoding"), None);
    assert_eq!(answer.header("Connection"), None);
    assert!(answer.header("Date").unwrap().ends_with("GMT"));
    assert_eq!(raw.ask(&get("/")).status, 200);
}

#[test]
fn an_invalid_response_becomes_500() {
    let server = TestServer::start(limits());
    for path in ["/split-value", "/split-nul", "/split-name", "/informational", "/short", "/panic", "/panicking-body"] {
        let mut raw = server.connect();
        let answer = raw.ask(&get(path));
        assert_eq!(answer.status, 500, "{path}");
        assert_eq!(answer.header("Injected"), None, "{path}");
        raw.assert_closed();
        assert_eq!(server.connect().ask(&get("/")).status, 200, "{path}: the next request");
    }
}

#[test]
fn a_body_longer_than_its_declared_length_is_truncated() {
    let server = TestServer::start(limits());
    let mut raw = server.connect();
    assert_eq!(raw.ask(&get("/long")).text(), "long");
    assert_eq!(raw.ask(&get("/")).status, 200);
}

#[test]
fn a_body_of_unknown_length_is_sent_chunk_by_chunk() {
    let server = TestServer::start(limits());
    let mut raw = server.connect();
    let chunks = server.stream();
    raw.send(&get("/stream"));
    for chunk in ["one", "two", &"three ".repeat(1000)] {
        chunks.send(chunk.as_bytes().to_vec()).unwrap();
        if chunk == "one" {
            assert_eq!(read_head(&mut raw), "chunked");
        }
        // Each chunk arrives before the next is produced.
        assert_eq!(raw.chunk(), chunk.as_bytes());
    }
    drop(chunks);
    assert_eq!(raw.chunk(), b"");
    assert_eq!(raw.ask(&get("/")).status, 200, "the connection is kept");
}

/// Reads the head of a streamed response and returns its transfer coding.
fn read_head(raw: &mut Raw) -> String {
    raw.head_answer().header("Transfer-Encoding").unwrap_or_default().to_owned()
}

#[test]
fn http_1_0_gets_a_body_of_unknown_length_delimited_by_close() {
    let server = TestServer::start(limits());
    let chunks = server.stream();
    for chunk in ["one", "two"] {
        chunks.send(chunk.into()).unwrap();
    }
    drop(chunks);
    let answer = server.connect().ask(&get_1_0("/stream", "Connection: keep-alive\r\n"));
    assert_eq!((answer.header("Transfer-Encoding"), answer.header("Connection")), (None, Some("close")));
    assert_eq!(answer.text(), "onetwo");
}

#[test]
fn http_1_0_keep_alive_is_honoured_and_confirmed() {
    let server = TestServer::start(limits());
    let mut raw = server.connect();
    for _ in 0..2 {
        let answer = raw.ask(&get_1_0("/", "Connection: keep-alive\r\n"));
        assert_eq!((answer.status, answer.header("Connection")), (200, Some("keep-alive")));
    }
    assert_eq!(raw.ask(&get_1_0("/", "")).header("Connection"), Some("close"));
    raw.assert_closed();
}

#[test]
fn a_failed_body_ends_without_the_last_chunk() {
    let server = TestServer::start(limits());
    for path in ["/broken-stream", "/panicking-stream"] {
        let mut raw = server.connect();
        raw.send(&get(path));
        assert_eq!(read_head(&mut raw), "chunked", "{path}");
        assert_eq!(raw.chunk(), b"part", "{path}");
        raw.assert_closed();
    }
    let mut raw = server.connect();
    raw.send(&get("/short-large"));
    assert_eq!(raw.head_answer().header("Content-Length"), Some("200000"));
    while raw.read() > 0 {}
    assert_eq!(server.connect().ask(&get("/")).status, 200);
}

#[test]
fn a_large_body_reaches_a_slow_reader_complete() {
    let server = TestServer::start(limits());
    let mut raw = server.connect();
    raw.send(&get("/large"));
    // Long enough for the socket buffers to fill, so that the server waits for the client.
    std::thread::sleep(Duration::from_millis(100));
    let answer = raw.answer();
    assert_eq!(answer.body.len(), 8 * 1024 * 1024);
    assert!(answer.body.iter().all(|byte| *byte == b'x'));
    assert_eq!(raw.ask(&get("/")).status, 200);
}

#[test]
fn responses_are_sent_without_nagle_delay() {
    let server = TestServer::start(limits());
    let mut raw = server.connect();
    let started = Instant::now();
    for _ in 0..25 {
        assert_eq!(raw.ask(&get("/40-kib")).body.len(), 40 * 1024);
    }
    // With Nagle's algorithm each response would take 40 ms, a second in total.
    assert!(started.elapsed() < Duration::from_millis(900), "{:?}", started.elapsed());
}
