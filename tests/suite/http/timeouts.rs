//! The timeouts of the server: head, body, idle connection, write, request, and waiting for a worker.

use std::io::{Read, Write};
use std::thread;
use std::time::{Duration, Instant};

use safespace::http::Limits;

use crate::support::raw::Raw;
use crate::support::requests::{GET, WAIT, get};
use crate::support::server::{TestServer, limits};
use crate::support::timing::PATIENCE;
use crate::support::{SHORT, assert_took, eventually, timed};

#[test]
fn a_head_that_exceeds_its_timeout_gets_408() {
    let server = TestServer::start(Limits { head_timeout: SHORT, ..limits() });
    for beginning in ["G", "GET / HTTP/1.1\r\nHost: x\r\nX: "] {
        let mut raw = server.connect();
        raw.send(beginning.as_bytes());
        let (answer, took) = timed(|| raw.answer());
        assert_eq!((answer.status, answer.header("Connection")), (408, Some("close")), "{beginning}");
        assert_took(took, SHORT);
        raw.assert_closed();
    }
    // Further bytes do not restart the timeout.
    let mut raw = server.connect();
    let started = Instant::now();
    let mut trickle = raw.stream.try_clone().unwrap();
    let sender = thread::spawn(move || {
        while trickle.write_all(b"X").is_ok() && started.elapsed() < 4 * SHORT {
            thread::sleep(Duration::from_millis(10));
        }
    });
    assert_eq!(raw.answer().status, 408);
    assert!(started.elapsed() < 3 * SHORT, "{:?}", started.elapsed());
    sender.join().unwrap();
}

#[test]
fn the_head_timeout_starts_with_the_first_byte() {
    let server = TestServer::start(Limits { head_timeout: SHORT, ..limits() });
    let mut raw = server.connect();
    for _ in 0..2 {
        thread::sleep(SHORT * 2);
        assert_eq!(raw.ask(GET).status, 200);
    }
}

#[test]
fn a_body_that_exceeds_its_timeout_gets_408() {
    let server = TestServer::start(Limits { body_timeout: SHORT, ..limits() });
    for (length, beginning) in [("Content-Length: 5", "hell"), ("Transfer-Encoding: chunked", "5\r\nhello\r\n")] {
        let mut raw = server.connect();
        raw.send(format!("POST / HTTP/1.1\r\nHost: x\r\n{length}\r\n\r\n{beginning}").as_bytes());
        let (answer, took) = timed(|| raw.answer());
        assert_eq!(answer.status, 408, "{length}");
        assert_took(took, SHORT);
        raw.assert_closed();
    }
    assert!(server.received().is_empty());
}

#[test]
fn an_idle_connection_is_closed_without_a_response() {
    let server = TestServer::start(Limits { idle_timeout: SHORT, ..limits() });
    let mut fresh = server.connect();
    let mut used = server.connect();
    assert_eq!(used.ask(GET).status, 200);
    let ((), took) = timed(|| {
        fresh.assert_closed();
        used.assert_closed();
    });
    assert_took(took, SHORT);
}

#[test]
fn a_client_that_reads_nothing_is_disconnected() {
    let server = TestServer::start(Limits { write_timeout: SHORT, ..limits() });
    let mut raw = server.connect();
    raw.send(&get("/large"));
    // Several times the timeout without reading.
    thread::sleep(SHORT * 4);
    let received = raw.count_rest();
    assert!(received < 8 * 1024 * 1024, "{received} bytes");
}

#[test]
fn a_client_that_reads_nothing_of_a_response_in_the_buffers_of_the_operating_system_is_disconnected() {
    let server = TestServer::start(Limits { write_timeout: Duration::from_secs(1), ..limits() });
    let mut raw = Raw::connect_with_little_buffer(server.address);
    raw.send(&get("/40-kib"));
    let count = |state| server.state().connections.iter().find(|(name, _)| *name == state).unwrap().1;
    // For the server it is sent, and the connection is idle.
    let ((), took) =
        timed(|| eventually(PATIENCE, || (count("idle") == 1 && raw.stream.peek(&mut [0]).is_ok()).then_some(())));
    assert!(took < Duration::from_secs(1), "{took:?}");
    eventually(PATIENCE, || (count("idle") == 0).then_some(()));
}

#[test]
fn a_client_that_sends_but_reads_nothing_is_disconnected() {
    let server = TestServer::start(Limits { write_timeout: SHORT, ..limits() });
    let mut raw = server.connect();
    raw.send(&get("/large"));
    let started = Instant::now();
    while started.elapsed() < SHORT * 6 {
        raw.send(b"G");
        thread::sleep(Duration::from_millis(20));
    }
    let received = raw.count_rest();
    assert!(received < 8 * 1024 * 1024, "{received} bytes");
}

#[test]
fn a_slow_reader_that_makes_progress_gets_the_whole_response() {
    let server = TestServer::start(Limits { write_timeout: Duration::from_secs(1), ..limits() });
    let mut raw = server.connect();
    raw.send(&get("/large"));
    let started = Instant::now();
    // So little at a time that no write event reaches the server within the timeout; not less, since on loopback a receiver
    // announces window space in steps of 64 KiB.
    while started.elapsed() < Duration::from_secs(4) {
        let mut little = [0; 8192];
        assert!(raw.stream.read(&mut little).unwrap() > 0);
        thread::sleep(Duration::from_millis(50));
    }
    let mut received = 0;
    while received < 7 * 1024 * 1024 {
        let read = raw.read();
        assert!(read > 0, "disconnected after {received} bytes");
        received += read;
    }
}

#[test]
fn a_client_that_reads_more_slowly_than_the_lowest_rate_is_disconnected() {
    let second = Duration::from_secs(1);
    for (bytes_per_second, is_served) in [(4 * 1024 * 1024, false), (256 * 1024, true)] {
        let limits = Limits { write_timeout: second, min_response_rate: bytes_per_second, ..limits() };
        let server = TestServer::start(limits);
        let mut raw = server.connect();
        raw.send(&get("/large"));
        let (started, mut received) = (Instant::now(), 0);
        // One MiB a second, so that the server writes at least twice within the write timeout.
        while started.elapsed() < 4 * second {
            received += raw.stream.read(&mut [0; 64 * 1024]).unwrap_or(0);
            thread::sleep(Duration::from_millis(60));
        }
        while received < 8 * 1024 * 1024 {
            match raw.read() {
                0 => break,
                read => received += read,
            }
        }
        assert_eq!(received >= 8 * 1024 * 1024, is_served, "{received} bytes at {bytes_per_second} a second");
    }
}

#[test]
fn a_response_that_races_its_timeout_is_sent_once() {
    let server = TestServer::start(Limits { workers: 8, request_timeout: Duration::from_millis(100), ..limits() });
    let address = server.address;
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(move || {
                for _ in 0..10 {
                    let mut raw = Raw::connect(address);
                    let answer = raw.ask(b"GET /slow HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
                    assert!(matches!(answer.status, 200 | 504), "{}", answer.status);
                    assert_eq!(raw.read(), 0, "{}: data after the response", answer.status);
                }
            });
        }
    });
}

#[test]
fn refuse_head_is_bounded_by_the_request_timeout() {
    let server = TestServer::start(Limits { workers: 1, request_timeout: SHORT, ..limits() });
    let mut raw = server.connect();
    raw.send(b"POST /wait HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n");
    assert_eq!(server.connect().ask(GET).status, 200, "another worker replaces the blocked one");
    assert_eq!(raw.answer().status, 504);
    server.gate().open();
}

#[test]
fn an_empty_line_after_a_body_does_not_start_the_head_timeout() {
    let server = TestServer::start(Limits { head_timeout: SHORT, ..limits() });
    let mut raw = server.connect();
    let post = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab\r\n";
    assert_eq!(raw.ask(post).status, 200);
    thread::sleep(SHORT * 2);
    assert_eq!(raw.ask(GET).status, 200);
}

#[test]
fn a_request_that_exceeds_its_timeout_gets_504_and_its_worker_is_replaced() {
    let server = TestServer::start(Limits { workers: 2, request_timeout: SHORT, head_timeout: 3 * SHORT, ..limits() });
    let mut stuck: Vec<Raw> = (0..2).map(|_| server.connect()).collect();
    stuck.iter_mut().for_each(|raw| raw.send(WAIT));
    // No worker is available until these requests exceed their timeout.
    let (answer, took) = timed(|| server.connect().ask(GET));
    assert_eq!(answer.status, 200);
    assert_took(took, SHORT);
    for raw in &mut stuck {
        let answer = raw.answer();
        assert_eq!((answer.status, answer.header("Connection")), (504, Some("close")));
        raw.assert_closed();
    }
    // Each worker is replaced once: with the replacements blocked too, a waiting request gets 503.
    let mut stuck: Vec<Raw> = (0..2).map(|_| server.connect()).collect();
    stuck.iter_mut().for_each(|raw| raw.send(WAIT));
    stuck.iter_mut().for_each(|raw| assert_eq!(raw.answer().status, 504));
    let mut waiting = server.connect();
    assert_eq!(waiting.ask(GET).status, 503);
    // The late responses are discarded, and their workers continue.
    server.gate().open();
    eventually(PATIENCE, || (server.connect().ask(GET).status == 200).then_some(()));
    for _ in 0..20 {
        assert_eq!(server.connect().ask(GET).status, 200);
    }
}

#[test]
fn a_stream_without_data_for_the_request_timeout_is_closed() {
    let server = TestServer::start(Limits { workers: 1, request_timeout: SHORT, ..limits() });
    let chunks = server.stream();
    let mut raw = server.connect();
    chunks.send(b"one".to_vec()).unwrap();
    raw.send(&get("/stream"));
    raw.head_answer();
    assert_eq!(raw.chunk(), b"one");
    raw.assert_closed();
    assert_eq!(server.connect().ask(GET).status, 200, "another worker replaces the blocked one");
    drop(chunks);
}

#[test]
fn a_request_that_waits_too_long_for_a_worker_gets_503() {
    let server = TestServer::start(Limits { workers: 1, head_timeout: SHORT, ..limits() });
    server.connect().send(WAIT);
    server.wait_until_blocked(1);
    let mut waiting = server.connect();
    waiting.send(GET);
    let (answer, took) = timed(|| waiting.answer());
    assert_eq!(answer.status, 503);
    assert_took(took, SHORT);
    waiting.assert_closed();
    server.gate().open();
    eventually(PATIENCE, || (server.connect().ask(GET).status == 200).then_some(()));
    assert_eq!(
        server.received().iter().filter(|request| *request == "GET /").count(),
        1,
        "the request is answered once"
    );
}
