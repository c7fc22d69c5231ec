//! Deferred responses, given after the handler has returned: which client gets them, when, and that they hold no worker.

use std::net::TcpStream;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rouille::Response;
use safespace::http::{Limits, Responder};

use crate::support::raw::Raw;
use crate::support::requests::{DEFERRED, GET, WAIT, get};
use crate::support::server::{TestServer, limits};
use crate::support::timing::PATIENCE;
use crate::support::{SHORT, assert_took, eventually};

fn text(text: impl Into<String>) -> impl FnOnce() -> Response + Send + 'static {
    let text = text.into();
    || Response::text(text)
}

#[test]
fn a_response_given_on_another_thread_is_built_and_sent_by_a_worker() {
    let server = TestServer::start(limits());
    let mut raw = server.connect();
    let started = Instant::now();
    for _ in 0..20 {
        let responder = server.send_deferred(&mut raw);
        let make = || Response::text(thread::current().name().unwrap_or_default());
        thread::spawn(move || responder.respond_with(make)).join().unwrap();
        let answer = raw.answer();
        assert_eq!((answer.status, answer.text()), (200, "worker".to_owned()));
    }
    assert_eq!(raw.ask(GET).status, 200);
    // Each response wakes a worker; without that it would wait until deadlines are checked, every 500 ms.
    assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
}

#[test]
fn a_response_given_before_the_handler_returns_is_sent() {
    let server = TestServer::start(Limits { workers: 1, ..limits() });
    let mut raw = server.connect();
    for _ in 0..20 {
        let answer = raw.ask(&get("/deferred-at-once"));
        assert_eq!((answer.status, answer.text()), (200, "deferred, at once".to_owned()));
        assert_eq!(raw.ask(GET).status, 200);
    }
}

#[test]
fn responses_given_in_any_order_on_many_threads_reach_their_own_clients() {
    let server = TestServer::start(limits());
    let mut clients: Vec<Raw> = (0..64).map(|_| server.connect()).collect();
    for round in 0..3 {
        let mut responders: Vec<_> = clients.iter_mut().map(|raw| Some(server.send_deferred(raw))).collect();
        thread::scope(|scope| {
            // 29 and 64 are coprime, so this is a permutation.
            let order: Vec<usize> = (0..64).map(|step| (step * 29 + round) % 64).collect();
            for some in order.chunks(16) {
                let responders: Vec<_> =
                    some.iter().map(|client| (*client, responders[*client].take().unwrap())).collect();
                scope.spawn(move || {
                    responders
                        .into_iter()
                        .for_each(|(client, responder)| responder.respond_with(text(format!("{round}/{client}"))));
                });
            }
        });
        for (client, raw) in clients.iter_mut().enumerate() {
            assert_eq!(raw.answer().text(), format!("{round}/{client}"));
        }
    }
}

#[test]
fn a_dropped_responder_or_a_panic_while_building_the_response_gives_500() {
    let server = TestServer::start(Limits { workers: 1, ..limits() });
    for round in 0..6 {
        let mut raw = server.connect();
        let responder = server.send_deferred(&mut raw);
        if round % 2 == 0 {
            drop(responder);
        } else {
            responder.respond_with(|| panic!("requested by the test"));
        }
        let answer = raw.answer();
        assert_eq!((answer.status, answer.header("Connection")), (500, Some("close")));
        raw.assert_closed();
    }
    assert_eq!(server.connect().ask(GET).status, 200);
}

#[test]
fn a_third_request_that_arrives_while_two_are_pending_is_answered() {
    let server = TestServer::start(limits());
    let mut raw = server.connect();
    raw.send(&[DEFERRED, GET].concat());
    let mut responders = server.wait_for_responders(1);
    raw.send(GET);
    // The poller handles events in order, so this response follows that request.
    assert_eq!(server.connect().ask(GET).status, 200);
    responders.remove(0).respond_with(|| Response::text("deferred"));
    assert_eq!(raw.answer().text(), "deferred");
    assert_eq!(raw.answer().status, 200);
    assert_eq!(raw.answer().status, 200);
}

#[test]
fn a_responder_that_is_dropped_is_a_500_and_closes_the_connection() {
    let server = TestServer::start(limits());
    let drop_there: fn(Responder) = |responder| drop(thread::spawn(move || drop(responder)).join());
    for (place, is_deferred, drop_it) in [
        ("in the handler", false, drop as fn(Responder)),
        ("later", true, drop),
        ("on another thread", true, drop_there),
    ] {
        let mut raw = server.connect();
        if is_deferred {
            drop_it(server.send_deferred(&mut raw));
        } else {
            raw.send(&get("/dropped"));
        }
        let answer = raw.answer();
        assert_eq!((answer.status, answer.header("Connection")), (500, Some("close")), "{place}");
        raw.assert_closed();
    }
}

#[test]
fn a_late_response_reaches_no_later_request_and_is_not_made() {
    let server = TestServer::start(Limits { request_timeout: SHORT, max_connections: 1, ..limits() });
    let mut first = server.connect();
    let late = server.send_deferred(&mut first);
    assert_eq!(first.answer().status, 504);
    first.assert_closed();
    let mut second = server.connect();
    let responder = server.send_deferred(&mut second);
    late.respond_with(|| panic!("the response to a client that is gone is made"));
    responder.respond_with(text("its own"));
    assert_eq!(second.answer().text(), "its own");
}

#[test]
fn deferred_requests_hold_no_worker() {
    let server = TestServer::start(Limits { workers: 1, ..limits() });
    let mut waiting: Vec<Raw> = (0..50).map(|_| server.connect()).collect();
    waiting.iter_mut().for_each(|raw| raw.send(DEFERRED));
    let responders = server.wait_for_responders(50);
    for _ in 0..3 {
        assert_eq!(server.connect().ask(GET).status, 200);
    }
    responders.into_iter().for_each(|responder| responder.respond_with(text("")));
    waiting.iter_mut().for_each(|raw| assert_eq!(raw.answer().status, 200));
}

#[test]
fn a_response_after_the_request_timeout_is_discarded_and_the_client_gets_504() {
    let server = TestServer::start(Limits { workers: 1, max_queued: 200, request_timeout: SHORT, ..limits() });
    let mut waiting: Vec<Raw> = (0..100).map(|_| server.connect()).collect();
    let started = Instant::now();
    waiting.iter_mut().for_each(|raw| raw.send(DEFERRED));
    let late = server.wait_for_responders(100);
    assert_eq!(server.connect().ask(GET).status, 200);
    for raw in &mut waiting {
        let answer = raw.answer();
        assert_eq!((answer.status, answer.header("Connection")), (504, Some("close")));
        raw.assert_closed();
    }
    assert_took(started.elapsed(), SHORT);
    // The new connections in their slots get none of the late responses, which are not even built.
    let mut others: Vec<Raw> = (0..100).map(|_| server.connect()).collect();
    others.iter_mut().for_each(|raw| raw.send(DEFERRED));
    let responders = server.wait_for_responders(100);
    for responder in late {
        let kept = Arc::new(());
        let held = kept.clone();
        responder.respond_with(move || panic!("{held:?} is not built"));
        assert_eq!(Arc::strong_count(&kept), 1, "the closure is dropped at once");
    }
    responders.into_iter().for_each(|responder| responder.respond_with(text("in time")));
    others.iter_mut().for_each(|raw| assert_eq!(raw.answer().text(), "in time"));
}

#[test]
fn deferred_requests_that_exceed_the_timeout_do_not_change_the_number_of_workers() {
    let server = TestServer::start(Limits { workers: 1, max_queued: 1, request_timeout: SHORT, ..limits() });
    for _ in 0..3 {
        let mut raw = server.connect();
        let _late = server.send_deferred(&mut raw);
        assert_eq!(raw.answer().status, 504);
    }
    // The one worker is blocked, one request is queued, and the next is above the limit. A second worker would take them.
    let (mut busy, mut waiting) = (server.connect(), server.connect());
    server.received();
    busy.send(WAIT);
    eventually(SHORT, || (!server.received().is_empty()).then_some(()));
    waiting.send(GET);
    assert_eq!(server.connect().ask(GET).status, 503);
    server.gate().open();
    assert_eq!(busy.answer().status, 200);
    assert_eq!(waiting.answer().status, 200);
}

#[test]
fn a_request_behind_a_deferred_one_is_answered_after_it() {
    let server = TestServer::start(limits());
    let mut raw = server.connect();
    for sent_at_once in [true, false] {
        server.received();
        if sent_at_once {
            raw.send(&[DEFERRED, GET].concat());
        } else {
            raw.send(DEFERRED);
        }
        let responder = server.wait_for_responders(1).remove(0);
        if !sent_at_once {
            raw.send(GET);
        }
        // The poller handles events in order, so this response follows that request.
        assert_eq!(server.connect().ask(&get("/between")).status, 200);
        assert_eq!(server.received(), ["GET /deferred", "GET /between"]);
        responder.respond_with(text("the first"));
        assert_eq!(raw.answer().text(), "the first");
        assert_eq!(raw.answer().json()["target"], "/");
    }
}

#[test]
fn a_client_that_has_left_before_its_response_frees_its_slot() {
    let server = TestServer::start(Limits { max_connections: 1, ..limits() });
    let mut raw = server.connect();
    let responder = server.send_deferred(&mut raw);
    drop(raw);
    assert_eq!(server.connect().ask(GET).status, 200);
    responder.respond_with(text("to a disconnected client"));
    eventually(PATIENCE, || (server.connect().ask(GET).status == 200).then_some(()));
}

#[test]
fn deferred_responses_follow_the_method_and_the_connection_option() {
    let server = TestServer::start(limits());
    for (line, field, has_body, is_kept) in [
        ("GET /deferred HTTP/1.1", "X: y", true, true),
        ("HEAD /deferred HTTP/1.1", "X: y", false, true),
        ("GET /deferred HTTP/1.1", "Connection: close", true, false),
        ("HEAD /deferred HTTP/1.1", "Connection: close", false, false),
        ("GET /deferred HTTP/1.0", "X: y", true, false),
        ("GET /deferred HTTP/1.0", "Connection: keep-alive", true, true),
    ] {
        let mut raw = server.connect();
        raw.send(format!("{line}\r\nHost: x\r\n{field}\r\n\r\n").as_bytes());
        server.wait_for_responders(1).remove(0).respond_with(text("twelve bytes"));
        let answer = if has_body { raw.answer() } else { raw.head_answer() };
        assert_eq!((answer.status, answer.header("Content-Length")), (200, Some("12")), "{line}, {field}");
        assert_eq!(answer.text(), if has_body { "twelve bytes" } else { "" }, "{line}, {field}");
        if is_kept {
            assert_eq!(raw.ask(GET).status, 200, "{line}, {field}");
        } else {
            raw.assert_closed();
        }
    }
}

#[test]
fn stop_waits_for_deferred_responses() {
    let mut server = TestServer::start(limits());
    let (mut raw, address) = (server.connect(), server.address);
    let responder = server.send_deferred(&mut raw);
    let stop = thread::spawn(move || server.stop(Duration::from_secs(10)));
    eventually(PATIENCE, || TcpStream::connect(address).is_err().then_some(()));
    assert!(!stop.is_finished());
    responder.respond_with(text("the last"));
    let answer = raw.answer();
    assert_eq!((answer.text(), answer.header("Connection")), ("the last".to_owned(), Some("close")));
    raw.assert_closed();
    drop(raw);
    assert!(stop.join().unwrap(), "all were answered");
}

#[test]
fn stop_waits_for_deferred_responses_until_the_grace_period_ends() {
    let mut server = TestServer::start(limits());
    let mut raw = server.connect();
    let responder = server.send_deferred(&mut raw);
    let started = Instant::now();
    assert!(!server.stop(SHORT), "one was not answered");
    assert_took(started.elapsed(), SHORT);
    raw.assert_closed();
    responder.respond_with(text("too late"));
}
