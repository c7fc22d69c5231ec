//! The application is called when the client of a request is gone, once, and only while it works on the response.

use std::net::Shutdown;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;

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

fn reset(raw: Raw) -> Option<Raw> {
    raw.reset();
    None
}

fn shut(raw: Raw) -> Option<Raw> {
    raw.stream.shutdown(Shutdown::Write).unwrap();
    Some(raw)
}

#[test]
fn a_client_that_leaves_before_the_response_is_reported_once() {
    let server = TestServer::start(limits());
    for (case, leave) in [("closed", close as fn(Raw) -> Option<Raw>), ("reset", reset), ("shut", shut)] {
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

/// The sender may hold locks of the application, which the callback takes.
#[test]
fn a_client_that_leaves_before_a_piece_is_not_reported_on_the_thread_that_sends_the_piece() {
    let server = TestServer::start(limits());
    for _ in 0..50 {
        let mut raw = server.connect();
        let responder = server.send_deferred(&mut raw);
        let (report, reported) = mpsc::channel();
        responder.on_disconnect(Box::new(move || report.send(thread::current().id()).unwrap()));
        let sender = responder.stream(Response::text(""));
        sender.send(b"a piece").unwrap();
        assert_eq!(raw.head().status, 200);
        assert_eq!(raw.chunk(), b"a piece");
        raw.reset();
        while sender.send(b"another").is_ok() {}
        assert_ne!(reported.recv_timeout(PATIENCE).unwrap(), thread::current().id());
    }
    eventually(PATIENCE, || server.state().connections.iter().all(|(_, count)| *count == 0).then_some(()));
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

/// How many connections wait for the application.
fn answering(server: &TestServer) -> usize {
    server.state().connections.iter().find(|(state, _)| *state == "answering").unwrap().1
}

#[test]
fn clients_that_reset_their_connections_take_no_room_while_the_application_works() {
    let server = TestServer::start(Limits { max_connections: 12, ..limits() });
    let mut responders = Vec::new();
    for _ in 0..4 {
        let mut gone: Vec<Raw> = (0..8).map(|_| server.connect()).collect();
        responders.extend(gone.iter_mut().map(|raw| server.send_deferred(raw)));
        let calls: Vec<_> = responders[responders.len() - 8..].iter().map(observe).collect();
        assert_eq!(answering(&server), 8);
        gone.into_iter().for_each(Raw::reset);
        calls.iter().for_each(|calls| assert_is_called(calls));
        eventually(PATIENCE, || (answering(&server) == 0).then_some(()));
        assert_eq!(server.connect().ask(GET).status, 200);
    }
    // Their responses reach no other client.
    let mut alive: Vec<Raw> = (0..8).map(|_| server.connect()).collect();
    let others: Vec<Responder> = alive.iter_mut().map(|raw| server.send_deferred(raw)).collect();
    responders.into_iter().for_each(|responder| responder.respond(Response::text("late")));
    others.into_iter().for_each(|responder| responder.respond(Response::text("own")));
    alive.iter_mut().for_each(|raw| assert_eq!(raw.answer().body, b"own"));
}

#[test]
fn a_client_that_has_shut_its_side_gets_its_response_unless_a_full_table_needs_its_room() {
    let server = TestServer::start(Limits { max_connections: 3, ..limits() });
    let mut shut: [Raw; 2] = std::array::from_fn(|_| server.connect());
    let [kept, given_up] = shut.each_mut().map(|raw| {
        let responder = server.send_deferred(raw);
        raw.end();
        assert_is_called(&observe(&responder));
        responder
    });
    let mut alive = server.connect();
    let responder = server.send_deferred(&mut alive);
    kept.respond(Response::text("kept"));
    assert_eq!(shut[0].answer().body, b"kept");
    let mut other = server.connect();
    let others = server.send_deferred(&mut other);
    assert_eq!(server.connect().ask(GET).status, 200);
    shut[1].assert_closed();
    given_up.respond(Response::text("late"));
    for (raw, responder) in [(&mut alive, responder), (&mut other, others)] {
        responder.respond(Response::text("own"));
        assert_eq!(raw.answer().body, b"own");
    }
}
