//! Responses on the wire: framing, streaming, and what an application cannot break.

use std::time::{Duration, Instant};

use safespace::http::Limits;

use crate::support::raw::Raw;
use crate::support::server::{TestServer, limits};

fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").into_bytes()
}

fn get_1_0(path: &str, fields: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.0\r\n{fields}\r\n").into_bytes()
}

#[test]
fn a_response_has_a_date_and_its_length_and_no_name_of_the_server() {
    let server = TestServer::start(limits());
    let answer = server.connect().ask(&get("/"));
    let date = answer.header("Date").unwrap();
    let date = chrono::NaiveDateTime::parse_from_str(date, "%a, %d %b %Y %H:%M:%S GMT").unwrap().and_utc();
    assert!((chrono::Utc::now() - date).num_seconds().abs() < 5);
    assert_eq!(answer.header("Content-Length").unwrap(), answer.body.len().to_string());
    for absent in ["Server", "Connection", "Transfer-Encoding"] {
        assert_eq!(answer.header(absent), None, "{absent}");
    }
}

#[test]
fn a_head_request_gets_the_head_of_the_answer_to_get() {
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
fn a_refusal_of_a_head_request_has_no_body_either() {
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
    // The request behind it is another one.
    let mut raw = server.connect();
    raw.send(b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(raw.head_answer().status, 200);
    let refusal = raw.ask(b"GET / HTTP/1.1\r\n\r\n");
    assert_eq!((refusal.status, refusal.body.is_empty()), (400, false));
}

#[test]
fn a_response_that_has_no_body_says_nothing_of_one() {
    let server = TestServer::start(limits());
    let mut raw = server.connect();
    for (path, status) in [("/no-content", 204), ("/not-modified", 304)] {
        let answer = raw.ask(&get(path));
        assert_eq!(answer.status, status);
        assert_eq!((answer.header("Content-Length"), answer.header("Transfer-Encoding")), (None, None), "{path}");
    }
    assert_eq!(raw.ask(&get("/")).status, 200);
}

#[test]
fn the_framing_is_the_servers_whatever_the_application_says() {
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
fn a_response_that_would_be_split_or_is_not_one_becomes_a_500() {
    let server = TestServer::start(limits());
    for path in ["/split-value", "/split-nul", "/split-name", "/informational", "/short", "/panic", "/panicking-body"] {
        let mut raw = server.connect();
        let answer = raw.ask(&get(path));
        assert_eq!(answer.status, 500, "{path}");
        assert_eq!(answer.header("Injected"), None, "{path}");
        raw.assert_closed();
        assert_eq!(server.connect().ask(&get("/")).status, 200, "{path}: the next request is served as usual");
    }
}

#[test]
fn a_body_longer_than_its_length_is_cut_to_it() {
    let server = TestServer::start(limits());
    let mut raw = server.connect();
    assert_eq!(raw.ask(&get("/long")).text(), "long");
    assert_eq!(raw.ask(&get("/")).status, 200);
}

#[test]
fn a_body_of_unknown_length_arrives_piece_by_piece_as_it_is_made() {
    let server = TestServer::start(limits());
    let mut raw = server.connect();
    let pieces = server.stream();
    raw.send(&get("/stream"));
    for piece in ["one", "two", &"three ".repeat(1000)] {
        pieces.send(piece.as_bytes().to_vec()).unwrap();
        if piece == "one" {
            assert_eq!(read_head(&mut raw), "chunked");
        }
        // Each arrives before the next is made.
        assert_eq!(raw.chunk(), piece.as_bytes());
    }
    drop(pieces);
    assert_eq!(raw.chunk(), b"");
    assert_eq!(raw.ask(&get("/")).status, 200, "the connection goes on");
}

/// Reads the head of a streamed answer and returns its transfer coding.
fn read_head(raw: &mut Raw) -> String {
    raw.head_answer().header("Transfer-Encoding").unwrap_or_default().to_owned()
}

#[test]
fn to_an_old_client_a_body_of_unknown_length_ends_with_the_connection() {
    let server = TestServer::start(limits());
    let pieces = server.stream();
    for piece in ["one", "two"] {
        pieces.send(piece.into()).unwrap();
    }
    drop(pieces);
    let answer = server.connect().ask(&get_1_0("/stream", "Connection: keep-alive\r\n"));
    assert_eq!((answer.header("Transfer-Encoding"), answer.header("Connection")), (None, Some("close")));
    assert_eq!(answer.text(), "onetwo");
}

#[test]
fn an_old_client_that_asks_for_it_keeps_its_connection_and_is_told_so() {
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
fn a_body_that_breaks_off_ends_without_its_end() {
    let server = TestServer::start(limits());
    for path in ["/broken-stream", "/panicking-stream"] {
        let mut raw = server.connect();
        raw.send(&get(path));
        assert_eq!(read_head(&mut raw), "chunked");
        assert_eq!(raw.chunk(), b"part");
        raw.assert_closed();
    }
    let mut raw = server.connect();
    raw.send(&get("/short-large"));
    assert_eq!(raw.head_answer().header("Content-Length"), Some("200000"));
    while raw.read() > 0 {}
    assert_eq!(server.connect().ask(&get("/")).status, 200);
}

#[test]
fn a_large_body_arrives_whole_also_at_a_slow_reader() {
    let server = TestServer::start(limits());
    let mut raw = server.connect();
    raw.send(&get("/large"));
    // Long enough for the socket to fill, so that the server has to wait for its client.
    std::thread::sleep(Duration::from_millis(100));
    let answer = raw.answer();
    assert_eq!(answer.body.len(), 8 * 1024 * 1024);
    assert!(answer.body.iter().all(|byte| *byte == b'x'));
    assert_eq!(raw.ask(&get("/")).status, 200);
}

#[test]
fn an_answer_waits_for_no_acknowledgement() {
    let server = TestServer::start(limits());
    let mut raw = server.connect();
    let started = Instant::now();
    for _ in 0..25 {
        assert_eq!(raw.ask(&get("/40-kib")).body.len(), 40 * 1024);
    }
    // With Nagle's algorithm each of them would take 40 ms, so a second in all.
    assert!(started.elapsed() < Duration::from_millis(900), "{:?}", started.elapsed());
}
