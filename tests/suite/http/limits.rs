//! The server's limits on workers, queued requests and connections, and how clients above them are refused.

use std::io::Write;
use std::thread;
use std::time::Duration;

use safespace::http::Limits;

use crate::support::raw::Raw;
use crate::support::requests::{GET, WAIT};
use crate::support::server::{TestServer, limits};
use crate::support::{eventually, timed};

#[test]
fn all_workers_run_the_application_concurrently() {
    let server = TestServer::start(Limits { workers: 16, ..limits() });
    let mut raws: Vec<Raw> = (0..16).map(|_| server.connect()).collect();
    raws.iter_mut().for_each(|raw| raw.send(WAIT));
    server.wait_until_blocked(16);
    server.gate().open();
    raws.iter_mut().for_each(|raw| assert_eq!(raw.answer().status, 200));
}

#[test]
fn the_date_of_a_503_is_current() {
    let server = TestServer::start(Limits { workers: 1, max_queued: 1, ..limits() });
    server.connect().send(WAIT);
    server.wait_until_blocked(1);
    let mut queued = server.connect();
    queued.send(GET);
    thread::sleep(Duration::from_millis(2100));
    let answer = server.connect().ask(GET);
    assert_eq!(answer.status, 503);
    assert!((chrono::Utc::now() - answer.date()).num_milliseconds() < 2000);
    server.gate().open();
}

#[test]
fn lingering_connections_are_bounded_and_others_are_served() {
    let server = TestServer::start(limits());
    let mut kept: Vec<Raw> = (0..4).map(|_| server.connect()).collect();
    // The refused clients do not close, so the server drops the oldest lingering connections.
    let mut refused: Vec<Raw> = Vec::new();
    for _ in 0..300 {
        let mut raw = server.connect();
        raw.send(b"X\n\n");
        refused.push(raw);
        for raw in &mut kept {
            assert_eq!(raw.ask(GET).status, 200);
        }
    }
    refused.iter_mut().for_each(|raw| assert_eq!(raw.answer().status, 400));
    // Data on a closed connection provokes a reset, so that a later write fails.
    refused.iter_mut().for_each(|raw| raw.send(b"x"));
    thread::sleep(Duration::from_millis(200));
    let still_open = refused.iter_mut().filter_map(|raw| raw.stream.write_all(b"x").ok()).count();
    assert!(still_open <= 64, "{still_open} linger");
}

#[test]
fn requests_above_the_queue_limit_get_503_immediately() {
    let server = TestServer::start(Limits { workers: 1, max_queued: 3, ..limits() });
    let mut busy = server.connect();
    busy.send(WAIT);
    server.wait_until_blocked(1);
    let mut queued: Vec<Raw> = (0..3).map(|_| server.connect()).collect();
    for raw in &mut queued {
        raw.send(GET);
        // One after the other, so that the order of arrival is certain.
        thread::sleep(Duration::from_millis(20));
    }
    for _ in 0..5 {
        let mut refused = server.connect();
        let (answer, took) = timed(|| refused.ask(GET));
        assert_eq!((answer.status, answer.header("Connection")), (503, Some("close")));
        assert!(took < Duration::from_millis(100), "{took:?}");
        refused.assert_closed();
    }
    server.gate().open();
    assert_eq!(busy.answer().status, 200);
    queued.iter_mut().for_each(|raw| assert_eq!(raw.answer().status, 200));
}

#[test]
fn above_the_connection_limit_the_least_recently_used_idle_connection_is_closed() {
    let server = TestServer::start(Limits { max_connections: 3, ..limits() });
    let mut raws: Vec<Raw> = (0..3).map(|_| server.connect()).collect();
    // A request on the first makes the second the least recently used.
    assert_eq!(raws[0].ask(GET).status, 200);
    let mut fourth = server.connect();
    assert_eq!(fourth.ask(GET).status, 200);
    raws[1].assert_closed();
    assert_eq!(raws[0].ask(GET).status, 200);
    assert_eq!(raws[2].ask(GET).status, 200);
}

#[test]
fn above_the_connection_limit_a_new_connection_gets_503_when_none_is_idle() {
    let server = TestServer::start(Limits { max_connections: 2, ..limits() });
    let mut busy: Vec<Raw> = (0..2).map(|_| server.connect()).collect();
    busy.iter_mut().for_each(|raw| raw.send(WAIT));
    server.wait_until_blocked(2);
    let mut refused = server.connect();
    assert_eq!(refused.ask(GET).status, 503);
    refused.assert_closed();
    server.gate().open();
    for raw in &mut busy {
        assert_eq!(raw.answer().status, 200);
    }
    // A worker may have sent its response and not yet returned the connection to the poller.
    eventually(Duration::from_secs(5), || (server.connect().ask(GET).status == 200).then_some(()));
}

#[test]
fn a_refused_client_that_keeps_sending_receives_the_response() {
    let server = TestServer::start(limits());
    for _ in 0..20 {
        let mut raw = server.connect();
        raw.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\n");
        for _ in 0..20 {
            raw.send(&[b'x'; 10_000]);
            thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(raw.answer().status, 413);
        assert!(!raw.was_refused, "a reset can discard the response in flight");
        raw.assert_closed();
    }
}
