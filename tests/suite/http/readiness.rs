//! The server is told of each thing once: nothing of it may get lost between the poller and the workers.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use rouille::Response;
use safespace::http::Limits;

use crate::support::raw::Raw;
use crate::support::server::{TestServer, limits};

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
const LATER: &[u8] = b"GET /later HTTP/1.1\r\nHost: x\r\n\r\n";

/// What the server reads at once.
const READ_BYTES: usize = 8 * 1024;

/// A request of exactly so many bytes.
fn request_of(bytes: usize) -> Vec<u8> {
    let head = |length: usize| format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {length:08}\r\n\r\n");
    let length = bytes - head(0).len();
    let mut request = head(length).into_bytes();
    request.resize(bytes, b'x');
    request
}

/// Sizes around those that fill one read, or several.
fn sizes() -> impl Iterator<Item = usize> {
    [1, 2, 4].into_iter().flat_map(|reads| (READ_BYTES * reads - 1)..=(READ_BYTES * reads + 1))
}

#[test]
fn a_request_behind_one_that_fills_a_read_is_answered() {
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
fn a_client_that_has_sent_everything_is_answered_and_closed_at_once() {
    // The end is told of once, and not again when the answer is out.
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
fn a_client_that_has_sent_everything_and_waits_for_a_reply_is_answered_and_closed_at_once() {
    let server = TestServer::start(Limits { idle_timeout: Duration::from_secs(75), ..limits() });
    for is_seen_first in [true, false] {
        let mut raw = server.connect();
        raw.send(LATER);
        if !is_seen_first {
            raw.end();
        }
        let reply = server.wait_for_replies(1).remove(0);
        if is_seen_first {
            raw.end();
            // The poller tells of things in their order, so it has told of the end too.
            assert_eq!(server.connect().ask(GET).status, 200);
        }
        reply.send(|| Response::text("the last"));
        assert_eq!(raw.answer().text(), "the last");
        raw.assert_closed();
    }
}

#[test]
fn a_client_that_waits_for_its_application_keeps_no_other_from_being_heard() {
    // Each of the held ones takes a worker, and whoever polls goes on polling: also the last worker is woken.
    let server = TestServer::start(Limits { workers: 8, ..limits() });
    let mut held: Vec<Raw> = Vec::new();
    for _ in 0..7 {
        let mut raw = server.connect();
        raw.send(b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n");
        held.push(raw);
        assert_eq!(server.connect().ask(GET).status, 200);
    }
    let mut raw = server.connect();
    for _ in 0..100 {
        assert_eq!(raw.ask(GET).status, 200);
    }
    server.gate().open();
    held.iter_mut().for_each(|raw| assert_eq!(raw.answer().text(), "went on"));
}

#[test]
fn a_request_that_comes_together_with_one_that_takes_long_does_not_wait_for_anything() {
    // The poller has to be told of the two in one turn, and that is not always so: hence many rounds.
    let server = TestServer::start(Limits { workers: 64, ..limits() });
    let mut quick = server.connect();
    let mut held: Vec<Raw> = (0..60).map(|_| server.connect()).collect();
    let mut delayed = 0;
    for raw in &mut held {
        let started = Instant::now();
        raw.send(b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_eq!(quick.ask(GET).status, 200);
        // The poller finds what was left lying every 500 ms.
        delayed += usize::from(started.elapsed() > Duration::from_millis(250));
    }
    server.gate().open();
    held.iter_mut().for_each(|raw| assert_eq!(raw.answer().text(), "went on"));
    // One may be the machine's fault.
    assert!(delayed <= 1, "{delayed} of 60 were not seen to for hundreds of milliseconds");
}

#[test]
fn sequential_requests_are_served_by_the_few_threads_that_are_at_hand() {
    let server = TestServer::start(Limits { workers: 16, ..limits() });
    let mut raw = server.connect();
    let threads: HashSet<String> =
        (0..200).map(|_| raw.ask(b"GET /thread HTTP/1.1\r\nHost: x\r\n\r\n").text()).collect();
    assert!(threads.len() <= 8, "{} of 17 threads", threads.len());
}

#[test]
fn no_request_of_a_mixed_crowd_is_forgotten() {
    for workers in [1, 2, 8] {
        let server = TestServer::start(Limits { workers, ..limits() });
        let address = server.address;
        let clients: Vec<_> =
            (0..16).map(|client| thread::spawn(move || ask_for_everything(address, client))).collect();
        while !clients.iter().all(thread::JoinHandle::is_finished) {
            server.replies().into_iter().for_each(|reply| reply.send(|| Response::text("later")));
            thread::yield_now();
        }
        clients.into_iter().for_each(|client| client.join().unwrap());
    }
}

/// One of a crowd: each begins with another kind of request.
fn ask_for_everything(address: SocketAddr, client: usize) {
    let mut raw = Raw::connect(address);
    for round in 0..60 {
        match (client + round) % 4 {
            0 => assert_eq!(raw.ask(GET).status, 200),
            1 => assert_eq!(raw.ask(LATER).text(), "later"),
            2 => {
                raw.send(&[LATER, GET].concat());
                assert_eq!(raw.answer().text(), "later");
                assert_eq!(raw.answer().status, 200);
            }
            _ => assert_eq!(raw.ask(&request_of(READ_BYTES)).status, 200),
        }
    }
    raw.end();
    raw.assert_closed();
}
