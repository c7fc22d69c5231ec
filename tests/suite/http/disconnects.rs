//! The application is called when the client of a request is gone, once, and only while it works on the response.

use std::net::Shutdown;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};

use rouille::Response;
use safespace::http::{Limits, Piece, Responder};

use crate::support::raw::Raw;
use crate::support::requests::GET;
use crate::support::server::{TestServer, limits};
use crate::support::timing::PATIENCE;
use crate::support::{SHORT, eventually};

/// Counts the calls of a callback, of which the responder has a clone.
fn observe(responder: &Responder) -> Arc<AtomicUsize> {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    responder.on_disconnect(Box::new(move || {
        counted.fetch_add(1, Ordering::Relaxed);
    }));
    calls
}

#[track_caller]
fn assert_is_called(calls: &AtomicUsize) {
    eventually(PATIENCE, || (calls.load(Ordering::Relaxed) == 1).then_some(()));
}

/// The callback is dropped and was not called.
#[track_caller]
fn assert_is_dropped(calls: &Arc<AtomicUsize>) {
    eventually(PATIENCE, || (Arc::strong_count(calls) == 1).then_some(()));
    assert_eq!(calls.load(Ordering::Relaxed), 0);
}

fn close(raw: Raw) -> Option<Raw> {
    drop(raw);
    None
}

fn shut(raw: Raw) -> Option<Raw> {
    raw.stream.shutdown(Shutdown::Write).unwrap();
    Some(raw)
}

#[test]
fn a_client_that_leaves_before_the_response_is_reported_once() {
    let server = TestServer::start(limits());
    for (case, leave) in [("closed", close as fn(Raw) -> Option<Raw>), ("shut", shut)] {
        let mut raw = server.connect();
        let responder = server.send_deferred(&mut raw);
        let calls = observe(&responder);
        let _kept = leave(raw);
        assert_is_called(&calls);
        responder.respond(Response::text(""));
        assert_eq!(server.connect().ask(GET).status, 200);
        assert_eq!(calls.load(Ordering::Relaxed), 1, "{case}");
    }
}

#[test]
fn a_client_that_leaves_during_a_stream_is_reported_once() {
    let server = TestServer::start(limits());
    // Data that the client has not read makes its operating system reset the connection.
    for (case, leave, reads) in
        [("closed", close as fn(Raw) -> Option<Raw>, true), ("shut", shut, true), ("reset", close, false)]
    {
        for pulls in [false, true] {
            let mut raw = server.connect();
            let responder = server.send_deferred(&mut raw);
            let calls = observe(&responder);
            let (asked, pieces) = mpsc::channel();
            let mut sender = None;
            if pulls {
                responder.stream_from(Response::text(""), move |piece| asked.send(piece).unwrap());
                let first = || Some(Piece { bytes: b"a piece".to_vec(), is_last: false });
                pieces.recv_timeout(PATIENCE).unwrap().send_with(first);
            } else {
                sender = Some(responder.stream(Response::text("")));
                sender.as_ref().unwrap().send(b"a piece").unwrap();
            }
            let next = pulls.then(|| pieces.recv_timeout(PATIENCE).unwrap());
            raw.stream.peek(&mut [0]).unwrap();
            if reads {
                assert_eq!(raw.head().status, 200);
                assert_eq!(raw.chunk(), b"a piece");
            }
            let _kept = leave(raw);
            assert_is_called(&calls);
            drop((next, sender));
            assert_eq!(server.connect().ask(GET).status, 200);
            assert_eq!(calls.load(Ordering::Relaxed), 1, "{case}, pulls: {pulls}");
        }
    }
}

#[test]
fn a_client_that_was_gone_before_is_reported_at_once() {
    let server = TestServer::start(limits());
    let mut raw = server.connect();
    let responder = server.send_deferred(&mut raw);
    raw.end();
    let first = observe(&responder);
    assert_is_called(&first);
    assert_is_called(&observe(&responder));
}

#[test]
fn a_client_that_stays_until_it_is_answered_is_not_reported() {
    let server = TestServer::start(limits());
    for (case, answer) in [
        ("a response", (|responder: Responder| responder.respond(Response::text(""))) as fn(Responder)),
        ("a deferred one", |responder| responder.respond_with(|| Response::text(""))),
        ("a stream", |responder| responder.stream(Response::text("")).finish(b"a piece")),
        ("a pulled stream", |responder| {
            responder.stream_from(Response::text(""), |piece| {
                piece.send_with(|| Some(Piece { bytes: b"a piece".to_vec(), is_last: true }));
            });
        }),
        ("a dropped responder", drop),
    ] {
        let mut raw = server.connect();
        let responder = server.send_deferred(&mut raw);
        let calls = observe(&responder);
        answer(responder);
        assert!([200, 500].contains(&raw.answer().status), "{case}");
        assert_is_dropped(&calls);
    }
}

#[test]
fn a_client_that_the_server_closes_is_reported() {
    let server = TestServer::start(Limits { request_timeout: SHORT, ..limits() });
    let mut raw = server.connect();
    let late = server.send_deferred(&mut raw);
    let calls = observe(&late);
    assert_eq!(raw.answer().status, 504);
    assert_is_called(&calls);
}

#[test]
fn a_callback_that_panics_ends_no_thread() {
    let server = TestServer::start(Limits { workers: 1, ..limits() });
    for _ in 0..3 {
        let mut raw = server.connect();
        let responder = server.send_deferred(&mut raw);
        let (called, calls) = mpsc::channel();
        responder.on_disconnect(Box::new(move || {
            called.send(()).unwrap();
            panic!("requested by the test");
        }));
        drop(raw);
        calls.recv_timeout(PATIENCE).unwrap();
        assert_eq!(server.connect().ask(GET).status, 200);
    }
}
