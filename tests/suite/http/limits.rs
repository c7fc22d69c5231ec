//! The server's limits on workers, queued requests and connections, and how clients above them are refused.

use std::collections::VecDeque;
use std::io::Write;
use std::thread;
use std::time::Duration;

use safespace::http::Limits;

use crate::support::raw::Raw;
use crate::support::requests::{GET, WAIT};
use crate::support::server::{TestServer, limits};
use crate::support::timing::PATIENCE;
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
    eventually(PATIENCE, || {
        let still_open = refused.iter_mut().filter_map(|raw| raw.stream.write_all(b"x").ok()).count();
        (still_open <= 64).then_some(())
    });
}

#[test]
fn requests_above_the_queue_limit_get_503_immediately() {
    let server = TestServer::start(Limits { workers: 1, max_queued: 3, ..limits() });
    let mut busy = server.connect();
    busy.send(WAIT);
    server.wait_until_blocked(1);
    let mut queued: Vec<Raw> = (0..3).map(|_| server.connect()).collect();
    for (count, raw) in queued.iter_mut().enumerate() {
        raw.send(GET);
        wait_until_queued(&server, count + 1);
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
    eventually(PATIENCE, || (server.connect().ask(GET).status == 200).then_some(()));
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

#[track_caller]
fn wait_until_queued(server: &TestServer, expected: usize) {
    eventually(PATIENCE, || (server.state().queued == expected).then_some(()));
}

/// A request whose body does not come.
const HALF: &[u8] = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf";

#[track_caller]
fn wait_until_incomplete(server: &TestServer, expected: usize) {
    eventually(PATIENCE, || {
        let states = server.state().connections;
        let incomplete = states.iter().filter(|(state, _)| matches!(*state, "head" | "body")).map(|(_, count)| count);
        (incomplete.sum::<usize>() == expected).then_some(())
    });
}

#[test]
fn in_a_full_table_the_oldest_incomplete_request_gives_way_and_others_are_answered() {
    for part in [HALF, b"GET / HTTP/1.1\r\nHo".as_slice()] {
        let server = TestServer::start(Limits { max_connections: 64, ..limits() });
        let mut half: VecDeque<Raw> = (0..64).map(|_| server.connect()).collect();
        for (count, raw) in half.iter_mut().enumerate() {
            raw.send(part);
            // One after the other, so that the order of arrival is certain.
            wait_until_incomplete(&server, count + 1);
        }
        for _ in 0..10 {
            for method in ["GET", "DELETE"] {
                let request = format!("{method} / HTTP/1.1\r\nHost: x\r\n\r\n");
                let mut probe = server.connect();
                assert_eq!(probe.ask(request.as_bytes()).status, 200);
                // An idle connection would be the one to give way.
                probe.send(part);
                wait_until_incomplete(&server, 64);
                half.push_back(probe);
                let mut oldest = half.pop_front().unwrap();
                let answer = oldest.answer();
                assert_eq!((answer.status, answer.header("Connection")), (503, Some("close")));
                oldest.assert_closed();
            }
        }
    }
}

#[test]
fn in_a_full_table_a_new_connection_outlasts_incomplete_requests() {
    let server = TestServer::start(Limits { max_connections: 32, ..limits() });
    let mut half: Vec<Raw> = (0..32).map(|_| server.connect()).collect();
    half.iter_mut().for_each(|raw| raw.send(HALF));
    let incomplete = || server.state().connections.contains(&("body", 32));
    eventually(PATIENCE, || incomplete().then_some(()));
    // Their requests come after the connections of all others.
    let mut new: Vec<Raw> = (0..16).map(|_| server.connect()).collect();
    for raw in &mut new {
        assert_eq!(raw.ask(GET).status, 200);
    }
}

#[test]
fn in_a_full_table_of_responses_that_nobody_reads_one_is_closed() {
    let server = TestServer::start(Limits { max_connections: 4, ..limits() });
    let mut unread: Vec<Raw> = (0..4).map(|_| server.connect()).collect();
    unread.iter_mut().for_each(|raw| raw.send(b"GET /large HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"));
    eventually(PATIENCE, || server.state().connections.contains(&("writing", 4)).then_some(()));
    // While workers still write, none waits for its client.
    eventually(PATIENCE, || (server.connect().ask(GET).status == 200).then_some(()));
    let received: Vec<usize> = unread.iter_mut().map(Raw::count_rest).collect();
    assert_eq!(received.iter().filter(|received| **received < 8 * 1024 * 1024).count(), 1, "{received:?}");
}

#[test]
fn a_request_that_is_never_refused_has_room_in_a_full_queue_however_many_there_are() {
    let server = TestServer::start(Limits { workers: 1, max_queued: 3, ..limits() });
    let mut busy = server.connect();
    busy.send(WAIT);
    server.wait_until_blocked(1);
    let mut queued: Vec<Raw> = (0..20).map(|_| server.connect()).collect();
    for (count, raw) in queued.iter_mut().enumerate() {
        raw.send(if count < 3 { GET } else { b"DELETE / HTTP/1.1\r\nHost: x\r\n\r\n" });
        wait_until_queued(&server, count + 1);
    }
    assert_eq!(server.connect().ask(GET).status, 503);
    server.gate().open();
    assert_eq!(busy.answer().status, 200);
    queued.iter_mut().for_each(|raw| assert_eq!(raw.answer().status, 200));
}

#[test]
fn an_urgent_request_passes_the_new_ones_while_no_worker_is_free() {
    let server = TestServer::start(Limits { workers: 1, ..limits() });
    let mut raws = vec![server.connect()];
    raws[0].send(WAIT);
    server.wait_until_blocked(1);
    for count in 1..=21 {
        let mut raw = server.connect();
        raw.send(if count <= 20 { GET } else { b"DELETE / HTTP/1.1\r\nHost: x\r\n\r\n" });
        wait_until_queued(&server, count);
        raws.push(raw);
    }
    server.gate().open();
    raws.iter_mut().for_each(|raw| assert_eq!(raw.answer().status, 200));
    let place = server.received().iter().position(|request| request == "DELETE /");
    assert!(place.unwrap() < 5, "{place:?}");
}
