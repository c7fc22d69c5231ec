//! Edge-triggered readiness: no event may get lost between the poller and the workers.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use rouille::Response;
use safespace::http::Limits;

use crate::support::raw::Raw;
use crate::support::requests::{DEFERRED, GET, WAIT, get};
use crate::support::server::{TestServer, limits};

/// The size of the server's read buffer.
const READ_BYTES: usize = 8 * 1024;

/// A request of exactly this many bytes.
fn request_of(bytes: usize) -> Vec<u8> {
    let head = |length: usize| format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {length:08}\r\n\r\n");
    let length = bytes - head(0).len();
    let mut request = head(length).into_bytes();
    request.resize(bytes, b'x');
    request
}

/// Sizes just below, at and above those that fill one, two and four reads.
fn sizes() -> impl Iterator<Item = usize> {
    [1, 2, 4].into_iter().flat_map(|reads| (READ_BYTES * reads - 1)..=(READ_BYTES * reads + 1))
}

#[test]
fn a_pipelined_request_after_one_that_fills_the_read_buffer_is_answered() {
    let server = TestServer::start(limits());
    for size in sizes() {
        let mut raw = server.connect();
        for _ in 0..3 {
            raw.send(&[&request_of(size), GET].concat());
            assert_eq!(raw.answer().status, 200, "{size}");
            assert_eq!(raw.answer().status, 200, "behind {size}");
            assert_eq!(raw.ask(GET).status, 200, "after {size}");
        }
    }
}

#[test]
fn a_half_closed_connection_is_answered_and_closed_immediately() {
    // The end of the input is one readiness event; none follows after the response.
    let server = TestServer::start(Limits { idle_timeout: Duration::from_secs(75), ..limits() });
    for size in sizes().chain([GET.len(), 100]) {
        for together in [true, false] {
            let mut raw = server.connect();
            let request = if size == GET.len() { GET.to_vec() } else { request_of(size) };
            raw.send(&request);
            if together {
                raw.end();
                assert_eq!(raw.answer().status, 200, "{size}");
            } else {
                assert_eq!(raw.answer().status, 200, "{size}");
                raw.end();
            }
            raw.assert_closed();
        }
    }
}

#[test]
fn a_half_closed_connection_with_a_deferred_response_is_answered_and_closed_immediately() {
    let server = TestServer::start(Limits { idle_timeout: Duration::from_secs(75), ..limits() });
    for is_received_first in [true, false] {
        let mut raw = server.connect();
        raw.send(DEFERRED);
        if !is_received_first {
            raw.end();
        }
        let responder = server.wait_for_responders(1).remove(0);
        if is_received_first {
            raw.end();
            // The poller handles events in order, so this response follows the end of the input.
            assert_eq!(server.connect().ask(GET).status, 200);
        }
        responder.respond_with(|| Response::text("the last"));
        assert_eq!(raw.answer().text(), "the last");
        raw.assert_closed();
    }
}

#[test]
fn blocked_workers_do_not_stop_the_polling() {
    // Each blocked request occupies a worker; a remaining one polls, and the last one is still woken.
    let server = TestServer::start(Limits { workers: 8, ..limits() });
    let mut blocked: Vec<Raw> = Vec::new();
    for _ in 0..7 {
        let mut raw = server.connect();
        raw.send(WAIT);
        blocked.push(raw);
        assert_eq!(server.connect().ask(GET).status, 200);
    }
    let mut raw = server.connect();
    for _ in 0..100 {
        assert_eq!(raw.ask(GET).status, 200);
    }
    server.gate().open();
    blocked.iter_mut().for_each(|raw| assert_eq!(raw.answer().text(), "went on"));
}

/// Sends requests that block their workers, each with a quick one of another connection at once or after a pause, and returns
/// how many of the quick ones were delayed.
fn count_delayed(connections: usize, pause: Option<Duration>) -> usize {
    let server = TestServer::start(Limits { workers: 64, ..limits() });
    let mut quick = server.connect();
    let mut blocked: Vec<Raw> = (0..connections).map(|_| server.connect()).collect();
    let mut delayed = 0;
    for raw in &mut blocked {
        raw.send(WAIT);
        pause.into_iter().for_each(thread::sleep);
        let started = Instant::now();
        assert_eq!(quick.ask(GET).status, 200);
        // A lost event would be found when deadlines are checked, every 500 ms.
        delayed += usize::from(started.elapsed() > Duration::from_millis(250));
    }
    server.gate().open();
    blocked.iter_mut().for_each(|raw| assert_eq!(raw.answer().text(), "went on"));
    delayed
}

#[test]
fn a_request_in_the_same_poll_as_a_slow_one_is_served_without_delay() {
    // Both events must arrive in one poll, which is not certain: hence many rounds.
    let delayed = count_delayed(60, None);
    // One delay may be the machine's.
    assert!(delayed <= 1, "{delayed} of 60 requests were delayed by more than 250 ms");
}

#[test]
fn a_request_that_comes_while_the_last_active_worker_is_blocked_is_served_without_delay() {
    // With so few connections the worker that stands by watches the poller, and nobody polls.
    for pause in [None, Some(Duration::from_millis(5))] {
        let delayed = count_delayed(30, pause);
        assert!(delayed <= 1, "{delayed} of 30 requests were delayed by more than 250 ms");
    }
}

#[test]
fn sequential_requests_are_served_by_few_threads() {
    let server = TestServer::start(Limits { workers: 16, ..limits() });
    let mut raw = server.connect();
    let threads: HashSet<String> = (0..200).map(|_| raw.ask(&get("/thread")).text()).collect();
    assert!(threads.len() <= 8, "{} of 17 threads", threads.len());
}

#[test]
fn every_request_of_concurrent_mixed_clients_is_answered() {
    for workers in [1, 2, 8] {
        let server = TestServer::start(Limits { workers, ..limits() });
        let address = server.address;
        let clients: Vec<_> =
            (0..16).map(|client| thread::spawn(move || send_mixed_requests(address, client))).collect();
        while !clients.iter().all(thread::JoinHandle::is_finished) {
            server.responders().into_iter().for_each(|responder| responder.respond_with(|| Response::text("deferred")));
            thread::yield_now();
        }
        clients.into_iter().for_each(|client| client.join().unwrap());
        // Who sleeps and who was woken is still known.
        assert_late_responses_are_sent_without_delay(&server);
    }
}

fn assert_late_responses_are_sent_without_delay(server: &TestServer) {
    let (mut raw, mut delayed) = (server.connect(), 0);
    for _ in 0..10 {
        raw.send(DEFERRED);
        let responder = server.wait_for_responders(1).remove(0);
        let started = Instant::now();
        responder.respond_with(|| Response::text("late"));
        assert_eq!(raw.answer().text(), "late");
        delayed += usize::from(started.elapsed() > Duration::from_millis(250));
    }
    assert!(delayed <= 1, "{delayed} of 10 responses were delayed by more than 250 ms");
}

/// Sends all kinds of requests in turn; each client begins with another kind.
fn send_mixed_requests(address: SocketAddr, client: usize) {
    let mut raw = Raw::connect(address);
    for round in 0..60 {
        match (client + round) % 4 {
            0 => assert_eq!(raw.ask(GET).status, 200),
            1 => assert_eq!(raw.ask(DEFERRED).text(), "deferred"),
            2 => {
                raw.send(&[DEFERRED, GET].concat());
                assert_eq!(raw.answer().text(), "deferred");
                assert_eq!(raw.answer().status, 200);
            }
            _ => assert_eq!(raw.ask(&request_of(READ_BYTES)).status, 200),
        }
    }
    raw.end();
    raw.assert_closed();
}
