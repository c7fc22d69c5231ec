//! Answers that come later than the application's return: who gets them, when, and what they hold up.

use std::net::TcpStream;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rouille::Response;
use safespace::http::Limits;

use crate::support::eventually;
use crate::support::raw::Raw;
use crate::support::server::{TestServer, limits};

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
const LATER: &[u8] = b"GET /later HTTP/1.1\r\nHost: x\r\n\r\n";
const WAIT: &[u8] = b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n";

/// Short enough to wait for, long enough for everything else to happen within.
const SHORT: Duration = Duration::from_millis(500);

fn text(text: impl Into<String>) -> impl FnOnce() -> Response + Send + 'static {
    let text = text.into();
    || Response::text(text)
}

#[test]
fn a_reply_from_another_thread_is_made_and_sent_by_a_worker() {
    let server = TestServer::start(limits());
    let mut raw = server.connect();
    let started = Instant::now();
    for _ in 0..20 {
        let reply = server.ask_later(&mut raw);
        let make = || Response::text(thread::current().name().unwrap_or_default());
        thread::spawn(move || reply.send(make)).join().unwrap();
        let answer = raw.answer();
        assert_eq!((answer.status, answer.text()), (200, "worker".to_owned()));
    }
    assert_eq!(raw.ask(GET).status, 200);
    // A worker is woken for each, and not only found when the deadlines are looked at, every 500 ms.
    assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
}

#[test]
fn a_reply_sent_before_the_application_returned_is_sent_too() {
    let server = TestServer::start(Limits { workers: 1, ..limits() });
    let mut raw = server.connect();
    for _ in 0..20 {
        let answer = raw.ask(b"GET /later-at-once HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_eq!((answer.status, answer.text()), (200, "later, at once".to_owned()));
        assert_eq!(raw.ask(GET).status, 200);
    }
}

#[test]
fn replies_in_any_order_and_from_many_threads_each_reach_their_own_client() {
    let server = TestServer::start(limits());
    let mut clients: Vec<Raw> = (0..64).map(|_| server.connect()).collect();
    for round in 0..3 {
        let mut replies: Vec<_> = clients.iter_mut().map(|raw| Some(server.ask_later(raw))).collect();
        thread::scope(|scope| {
            // 29 and 64 have no divisor in common, so each has its turn.
            let order: Vec<usize> = (0..64).map(|step| (step * 29 + round) % 64).collect();
            for some in order.chunks(16) {
                let replies: Vec<_> = some.iter().map(|client| (*client, replies[*client].take().unwrap())).collect();
                scope.spawn(move || {
                    replies.into_iter().for_each(|(client, reply)| reply.send(text(format!("{round}/{client}"))));
                });
            }
        });
        for (client, raw) in clients.iter_mut().enumerate() {
            assert_eq!(raw.answer().text(), format!("{round}/{client}"));
        }
    }
}

#[test]
fn a_reply_that_is_dropped_or_cannot_be_made_is_a_500() {
    let server = TestServer::start(Limits { workers: 1, ..limits() });
    for round in 0..6 {
        let mut raw = server.connect();
        let reply = server.ask_later(&mut raw);
        if round % 2 == 0 {
            drop(reply);
        } else {
            reply.send(|| panic!("as asked"));
        }
        let answer = raw.answer();
        assert_eq!((answer.status, answer.header("Connection")), (500, Some("close")));
        raw.assert_closed();
    }
    assert_eq!(server.connect().ask(GET).status, 200);
}

#[test]
fn a_third_request_that_comes_while_two_are_there_is_answered_too() {
    let server = TestServer::start(limits());
    let mut raw = server.connect();
    raw.send(&[LATER, GET].concat());
    let mut replies = server.wait_for_replies(1);
    raw.send(GET);
    // It is served after the poller has told of that.
    assert_eq!(server.connect().ask(GET).status, 200);
    replies.remove(0).send(|| Response::text("later"));
    assert_eq!(raw.answer().text(), "later");
    assert_eq!(raw.answer().status, 200);
    assert_eq!(raw.answer().status, 200);
}

#[test]
fn a_reply_beside_an_answer_is_not_taken_for_the_answer_to_the_next_request() {
    let server = TestServer::start(limits());
    for is_sent in [true, false] {
        let mut raw = server.connect();
        assert_eq!(raw.ask(b"GET /later-and-now HTTP/1.1\r\nHost: x\r\n\r\n").text(), "now");
        let reply_beside = server.wait_for_replies(1).remove(0);
        let reply = server.ask_later(&mut raw);
        if is_sent {
            reply_beside.send(text("to the request before"));
        } else {
            drop(reply_beside);
        }
        reply.send(text("its own"));
        assert_eq!(raw.answer().text(), "its own");
    }
}

#[test]
fn requests_that_wait_for_their_replies_hold_up_no_worker() {
    let server = TestServer::start(Limits { workers: 1, ..limits() });
    let mut waiting: Vec<Raw> = (0..50).map(|_| server.connect()).collect();
    waiting.iter_mut().for_each(|raw| raw.send(LATER));
    let replies = server.wait_for_replies(50);
    for _ in 0..3 {
        assert_eq!(server.connect().ask(GET).status, 200);
    }
    replies.into_iter().for_each(|reply| reply.send(text("")));
    waiting.iter_mut().for_each(|raw| assert_eq!(raw.answer().status, 200));
}

#[test]
fn replies_past_their_time_are_504s_and_go_nowhere_and_no_worker_comes_or_goes() {
    let server = TestServer::start(Limits { workers: 1, max_queued: 200, request_timeout: SHORT, ..limits() });
    let mut waiting: Vec<Raw> = (0..100).map(|_| server.connect()).collect();
    let started = Instant::now();
    waiting.iter_mut().for_each(|raw| raw.send(LATER));
    let late = server.wait_for_replies(100);
    assert_eq!(server.connect().ask(GET).status, 200);
    for raw in &mut waiting {
        let answer = raw.answer();
        assert_eq!((answer.status, answer.header("Connection")), (504, Some("close")));
        raw.assert_closed();
    }
    let took = started.elapsed();
    assert!(took > SHORT.mul_f32(0.9) && took < SHORT + Duration::from_secs(3), "{took:?}");
    // Whoever has their places now gets nothing of what was meant for them, whose responses are not even made.
    let mut others: Vec<Raw> = (0..100).map(|_| server.connect()).collect();
    others.iter_mut().for_each(|raw| raw.send(LATER));
    let replies = server.wait_for_replies(100);
    for reply in late {
        let kept = Arc::new(());
        let held = kept.clone();
        reply.send(move || panic!("{held:?} is not made"));
        assert_eq!(Arc::strong_count(&kept), 1, "it is dropped at once");
    }
    replies.into_iter().for_each(|reply| reply.send(text("in time")));
    others.iter_mut().for_each(|raw| assert_eq!(raw.answer().text(), "in time"));
}

#[test]
fn after_replies_past_their_time_there_are_as_many_workers_as_before() {
    let server = TestServer::start(Limits { workers: 1, max_queued: 1, request_timeout: SHORT, ..limits() });
    for _ in 0..3 {
        let mut raw = server.connect();
        let _late = server.ask_later(&mut raw);
        assert_eq!(raw.answer().status, 504);
    }
    // The one worker is busy, one request waits, and the next is one too many. Another worker would take them.
    let (mut busy, mut waiting) = (server.connect(), server.connect());
    server.seen();
    busy.send(WAIT);
    eventually(SHORT, || (!server.seen().is_empty()).then_some(()));
    waiting.send(GET);
    assert_eq!(server.connect().ask(GET).status, 503);
    server.gate().open();
    assert_eq!(busy.answer().status, 200);
    assert_eq!(waiting.answer().status, 200);
}

#[test]
fn a_request_sent_while_one_waits_for_its_reply_is_answered_after_it() {
    let server = TestServer::start(limits());
    let mut raw = server.connect();
    for sent_at_once in [true, false] {
        server.seen();
        if sent_at_once {
            raw.send(&[LATER, GET].concat());
        } else {
            raw.send(LATER);
        }
        let reply = server.wait_for_replies(1).remove(0);
        if !sent_at_once {
            raw.send(GET);
        }
        // The poller tells of things in their order, so it has told of that request too.
        assert_eq!(server.connect().ask(b"GET /between HTTP/1.1\r\nHost: x\r\n\r\n").status, 200);
        assert_eq!(server.seen(), ["GET /later", "GET /between"]);
        reply.send(text("the first"));
        assert_eq!(raw.answer().text(), "the first");
        assert_eq!(raw.answer().json()["target"], "/");
    }
}

#[test]
fn a_client_that_goes_while_it_waits_makes_room_with_its_reply() {
    let server = TestServer::start(Limits { max_connections: 1, ..limits() });
    let mut raw = server.connect();
    let reply = server.ask_later(&mut raw);
    drop(raw);
    assert_eq!(server.connect().ask(GET).status, 503);
    reply.send(text("to nobody"));
    eventually(Duration::from_secs(5), || (server.connect().ask(GET).status == 200).then_some(()));
}

#[test]
fn later_answers_keep_to_what_the_request_says_of_the_body_and_the_connection() {
    let server = TestServer::start(limits());
    for (line, field, has_body, is_kept) in [
        ("GET /later HTTP/1.1", "X: y", true, true),
        ("HEAD /later HTTP/1.1", "X: y", false, true),
        ("GET /later HTTP/1.1", "Connection: close", true, false),
        ("HEAD /later HTTP/1.1", "Connection: close", false, false),
        ("GET /later HTTP/1.0", "X: y", true, false),
        ("GET /later HTTP/1.0", "Connection: keep-alive", true, true),
    ] {
        let mut raw = server.connect();
        raw.send(format!("{line}\r\nHost: x\r\n{field}\r\n\r\n").as_bytes());
        server.wait_for_replies(1).remove(0).send(text("twelve bytes"));
        let answer = if has_body { raw.answer() } else { raw.head_answer() };
        assert_eq!((answer.status, answer.header("Content-Length")), (200, Some("12")), "{line}, {field}");
        assert_eq!(answer.text(), if has_body { "twelve bytes" } else { "" });
        if is_kept {
            assert_eq!(raw.ask(GET).status, 200, "{line}, {field}");
        } else {
            raw.assert_closed();
        }
    }
}

#[test]
fn stopping_waits_for_replies() {
    let mut server = TestServer::start(limits());
    let (mut raw, address) = (server.connect(), server.address);
    let reply = server.ask_later(&mut raw);
    let stop = thread::spawn(move || server.stop(Duration::from_secs(10)));
    eventually(Duration::from_secs(5), || TcpStream::connect(address).is_err().then_some(()));
    assert!(!stop.is_finished());
    reply.send(text("the last"));
    let answer = raw.answer();
    assert_eq!((answer.text(), answer.header("Connection")), ("the last".to_owned(), Some("close")));
    raw.assert_closed();
    drop(raw);
    assert!(stop.join().unwrap(), "all were answered");
}

#[test]
fn stopping_waits_for_replies_no_longer_than_it_was_told_to() {
    let mut server = TestServer::start(limits());
    let mut raw = server.connect();
    let reply = server.ask_later(&mut raw);
    let started = Instant::now();
    assert!(!server.stop(SHORT), "one was not answered");
    let took = started.elapsed();
    assert!(took > SHORT.mul_f32(0.9) && took < SHORT + Duration::from_secs(3), "{took:?}");
    raw.assert_closed();
    reply.send(text("too late"));
}
