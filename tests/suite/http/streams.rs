//! Responses that are sent piece by piece: they hold no worker, they are bounded, and a slow client delays only itself.

use std::collections::HashMap;
use std::io::Read;
use std::thread;
use std::time::Duration;

use rouille::Response;
use safespace::http::{Limits, MAX_BUFFERED_BYTES, SendError, StreamSender};

use crate::support::raw::Raw;
use crate::support::requests::{DEFERRED, GET, WAIT};
use crate::support::server::{TestServer, limits};
use crate::support::timing::PATIENCE;
use crate::support::{SHORT, assert_took, eventually, timed};

const HEAD: &[u8] = b"HEAD /deferred HTTP/1.1\r\nHost: x\r\n\r\n";
const DEFERRED_1_0: &[u8] = b"GET /deferred HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";

/// Sends a request and begins to stream its response; the client has received the head.
#[track_caller]
fn begin(server: &TestServer, raw: &mut Raw) -> StreamSender {
    let sender = server.send_deferred(raw).stream(Response::text("not sent"));
    let head = raw.head();
    assert_eq!(
        (head.status, head.header("Transfer-Encoding"), head.header("Content-Length")),
        (200, Some("chunked"), None)
    );
    sender
}

/// The server learns of an end, and closes the socket, a moment before or after it closes the sender.
#[track_caller]
fn assert_is_closed(sender: &StreamSender) {
    eventually(PATIENCE, || (sender.send(b"a piece") == Err(SendError::Closed)).then_some(()));
}

/// Sends pieces until the client's buffers are full, and returns how many bytes were accepted.
#[track_caller]
fn fill(sender: &StreamSender) -> usize {
    let piece = vec![b'x'; 16 * 1024];
    let mut accepted = 0;
    // The socket's buffers have taken all they take once the stream stays full.
    let mut failed_attempts = 0;
    eventually(PATIENCE, || {
        while sender.send(&piece).is_ok() {
            (accepted, failed_attempts) = (accepted + piece.len(), 0);
        }
        failed_attempts += 1;
        (failed_attempts > 20).then_some(())
    });
    assert_eq!(sender.send(b"one more"), Err(SendError::Full));
    accepted
}

#[test]
fn each_piece_arrives_before_the_next_is_sent_and_the_connection_is_reused() {
    let server = TestServer::start(limits());
    let mut raw = server.connect();
    for _ in 0..3 {
        let sender = begin(&server, &mut raw);
        for piece in ["one", "two", "three"] {
            sender.send(piece.as_bytes()).unwrap();
            assert_eq!(raw.chunk(), piece.as_bytes());
        }
        sender.finish(b"the last");
        assert_eq!((raw.chunk(), raw.chunk()), (b"the last".to_vec(), Vec::new()));
    }
    assert_eq!(raw.ask(GET).status, 200);
}

#[test]
fn an_empty_piece_does_not_end_a_stream_and_a_stream_may_have_no_piece() {
    let server = TestServer::start(limits());
    let mut raw = server.connect();
    let sender = begin(&server, &mut raw);
    sender.send(b"").unwrap();
    sender.send(b"a piece").unwrap();
    assert_eq!(raw.chunk(), b"a piece");
    sender.finish(b"");
    assert_eq!(raw.chunk(), b"");
    begin(&server, &mut raw).finish(b"");
    assert_eq!(raw.chunk(), b"");
    assert_eq!(raw.ask(GET).status, 200);
}

#[test]
fn pieces_sent_before_the_handler_returns_or_by_many_threads_arrive_in_order() {
    let server = TestServer::start(Limits { workers: 2, ..limits() });
    let mut clients: Vec<Raw> = (0..64).map(|_| server.connect()).collect();
    let senders: Vec<StreamSender> = clients.iter_mut().map(|raw| begin(&server, raw)).collect();
    let mut senders: HashMap<usize, StreamSender> = senders.into_iter().enumerate().collect();
    thread::scope(|scope| {
        for thread in 0..8 {
            let own: Vec<_> = (0..8).map(|index| thread * 8 + index).collect();
            let own: Vec<_> = own.into_iter().map(|client| (client, senders.remove(&client).unwrap())).collect();
            scope.spawn(move || {
                for number in 0..50 {
                    own.iter()
                        .for_each(|(client, sender)| sender.send(format!("{client}/{number} ").as_bytes()).unwrap());
                }
                own.into_iter().for_each(|(_, sender)| sender.finish(b"end"));
            });
        }
    });
    for (client, raw) in clients.iter_mut().enumerate() {
        let expected: String = (0..50).map(|number| format!("{client}/{number} ")).collect::<String>() + "end";
        let mut received = Vec::new();
        loop {
            match raw.chunk() {
                chunk if chunk.is_empty() => break,
                chunk => received.extend(chunk),
            }
        }
        assert_eq!(String::from_utf8(received).unwrap(), expected, "client {client}");
    }
}

#[test]
fn a_sender_that_is_dropped_closes_the_connection_without_the_end_of_the_body() {
    let server = TestServer::start(limits());
    for panics in [false, true] {
        let mut raw = server.connect();
        let sender = begin(&server, &mut raw);
        sender.send(b"a piece").unwrap();
        assert_eq!(raw.chunk(), b"a piece");
        let dropped = thread::spawn(move || {
            let _sender = sender;
            assert!(!panics, "requested by the test");
        });
        assert_eq!(dropped.join().is_err(), panics, "panics: {panics}");
        raw.assert_closed();
    }
}

#[test]
fn head_of_a_stream_has_its_fields_and_no_body_and_the_sender_learns_it() {
    let server = TestServer::start(limits());
    let mut raw = server.connect();
    raw.send(HEAD);
    let sender = server.wait_for_responders(1).remove(0).stream(Response::text(""));
    let head = raw.head_answer();
    assert_eq!((head.status, head.header("Transfer-Encoding")), (200, Some("chunked")));
    assert_is_closed(&sender);
    assert_eq!(raw.ask(GET).status, 200);
    sender.finish(b"unwanted too");
    assert_eq!(raw.ask(GET).status, 200);
}

#[test]
fn a_client_of_http_1_0_gets_a_stream_that_ends_with_its_connection() {
    let server = TestServer::start(limits());
    let mut raw = server.connect();
    raw.send(DEFERRED_1_0);
    let sender = server.wait_for_responders(1).remove(0).stream(Response::text(""));
    let head = raw.head();
    assert_eq!((head.header("Transfer-Encoding"), head.header("Connection")), (None, Some("close")));
    sender.send(b"one ").unwrap();
    sender.finish(b"two");
    assert_eq!(raw.body(head).text(), "one two");
}

#[test]
fn an_invalid_head_of_a_stream_is_a_500_and_its_sender_is_closed() {
    let server = TestServer::start(limits());
    for (case, invalid) in [
        ("a split header", Response::text("").with_additional_header("X", "a\r\nInjected: b")),
        ("an informational status", Response { status_code: 100, ..Response::text("") }),
    ] {
        let mut raw = server.connect();
        let sender = server.send_deferred(&mut raw).stream(invalid);
        assert_eq!(raw.answer().status, 500, "{case}");
        assert_is_closed(&sender);
    }
}

#[test]
fn a_client_that_does_not_read_fills_a_bounded_buffer_and_delays_no_other() {
    let server = TestServer::start(Limits { workers: 1, ..limits() });
    let mut slow = server.connect();
    let slow_sender = begin(&server, &mut slow);
    let mut accepted = fill(&slow_sender);
    // What the buffer takes beside those of the two sockets, whose sizes the operating system chooses.
    assert!(accepted >= MAX_BUFFERED_BYTES, "{accepted}");
    for _ in 0..10 {
        assert_eq!(server.connect().ask(GET).status, 200);
        let mut other = server.connect();
        let sender = begin(&server, &mut other);
        sender.send(b"a piece").unwrap();
        assert_eq!(other.chunk(), b"a piece");
        sender.finish(b"");
    }
    // Once it reads, its stream goes on, and the last piece is accepted even while the buffer is full.
    let mut received = 0;
    while received < accepted {
        received += slow.chunk().len();
    }
    eventually(PATIENCE, || slow_sender.send(b"again").is_ok().then_some(()));
    assert_eq!(slow.chunk(), b"again");
    accepted = fill(&slow_sender);
    slow_sender.finish(b"the last");
    let mut rest = Vec::new();
    loop {
        match slow.chunk() {
            chunk if chunk.is_empty() => break,
            chunk => rest.extend(chunk),
        }
    }
    assert_eq!(rest.len(), accepted + b"the last".len());
    assert!(rest.ends_with(b"xthe last"));
}

#[test]
fn a_client_that_never_reads_is_closed_after_the_write_timeout() {
    let server = TestServer::start(Limits { write_timeout: SHORT, ..limits() });
    let mut raw = server.connect();
    let sender = begin(&server, &mut raw);
    fill(&sender);
    assert_is_closed(&sender);
    let mut rest = Vec::new();
    let _ = raw.stream.read_to_end(&mut rest);
    assert!(!rest.ends_with(b"0\r\n\r\n"), "the body seems to be complete");
}

#[test]
fn a_stream_without_a_piece_for_the_request_timeout_is_closed() {
    let timeout = Duration::from_secs(2);
    let server = TestServer::start(Limits { request_timeout: timeout, ..limits() });
    let mut raw = server.connect();
    let sender = begin(&server, &mut raw);
    // Each piece has the full time.
    for _ in 0..3 {
        thread::sleep(timeout * 4 / 10);
        sender.send(b"a piece").unwrap();
        assert_eq!(raw.chunk(), b"a piece");
    }
    let ((), took) = timed(|| {
        sender.send(b"the last").unwrap();
        assert_eq!(raw.chunk(), b"the last");
        raw.assert_closed();
    });
    assert_took(took, timeout);
    assert_is_closed(&sender);
}

#[test]
fn a_sender_whose_client_is_gone_is_closed() {
    let server = TestServer::start(limits());
    let mut raw = server.connect();
    let sender = begin(&server, &mut raw);
    drop(raw);
    assert_is_closed(&sender);
    sender.finish(b"");
    assert_eq!(server.connect().ask(GET).status, 200);
}

#[test]
fn a_request_behind_a_stream_is_answered_after_it() {
    let server = TestServer::start(limits());
    let mut raw = server.connect();
    let sender = begin(&server, &mut raw);
    raw.send(GET);
    sender.send(b"a piece").unwrap();
    assert_eq!(raw.chunk(), b"a piece");
    sender.finish(b"the last");
    assert_eq!((raw.chunk(), raw.chunk()), (b"the last".to_vec(), Vec::new()));
    assert_eq!(raw.answer().status, 200);
}

#[test]
fn a_sender_of_one_connection_reaches_no_other_in_its_slot() {
    let server = TestServer::start(Limits { request_timeout: SHORT, max_connections: 1, ..limits() });
    let mut first = server.connect();
    let late = begin(&server, &mut first);
    first.assert_closed();
    let mut second = server.connect();
    let sender = begin(&server, &mut second);
    assert_is_closed(&late);
    drop(late);
    sender.send(b"its own").unwrap();
    assert_eq!(second.chunk(), b"its own");
    sender.finish(b"");
}

#[test]
fn two_thousand_open_streams_hold_no_worker() {
    let _ = safespace::http::raise_limit();
    // All requests can arrive before a worker runs.
    let server = TestServer::start(Limits { workers: 2, max_queued: 2000, ..limits() });
    let mut clients: Vec<Raw> = (0..2000).map(|_| server.connect()).collect();
    clients.iter_mut().for_each(|raw| raw.send(DEFERRED));
    let senders: Vec<StreamSender> =
        server.wait_for_responders(2000).into_iter().map(|responder| responder.stream(Response::text(""))).collect();
    clients.iter_mut().for_each(|raw| assert_eq!(raw.head().status, 200));
    for round in 0..3 {
        let ((), took) = timed(|| assert_eq!(server.connect().ask(GET).status, 200));
        assert!(took < Duration::from_secs(1), "{took:?} in round {round}");
        senders.iter().for_each(|sender| sender.send(b"a piece").unwrap());
        clients.iter_mut().for_each(|raw| assert_eq!(raw.chunk(), b"a piece"));
    }
    senders.into_iter().for_each(|sender| sender.finish(b""));
    clients.iter_mut().for_each(|raw| assert_eq!(raw.chunk(), b""));
}

#[test]
fn a_piece_of_a_stream_reaches_its_client_while_every_worker_is_busy() {
    let server = TestServer::start(Limits { workers: 1, ..limits() });
    let mut raw = server.connect();
    let sender = begin(&server, &mut raw);
    let (gate, mut blocking) = (server.gate(), server.connect());
    blocking.send(WAIT);
    server.wait_until_blocked(1);
    for _ in 0..3 {
        sender.send(b"a piece").unwrap();
        assert_eq!(raw.chunk(), b"a piece");
    }
    gate.open();
    assert_eq!(blocking.answer().status, 200);
    sender.finish(b"");
    assert_eq!(raw.chunk(), b"");
}

#[test]
fn a_stop_waits_for_a_stream_and_closes_it_after_the_grace_period() {
    for finishes in [true, false] {
        let mut server = TestServer::start(limits());
        let mut raw = server.connect();
        let sender = begin(&server, &mut raw);
        let stopping = thread::spawn(move || server.stop(if finishes { PATIENCE } else { SHORT }));
        if finishes {
            sender.finish(b"the last");
            assert_eq!((raw.chunk(), raw.chunk()), (b"the last".to_vec(), Vec::new()));
        } else {
            raw.assert_closed();
            assert_is_closed(&sender);
        }
        assert_eq!(stopping.join().unwrap(), finishes, "finishes: {finishes}");
        raw.assert_closed();
    }
}

#[test]
fn pieces_of_streams_take_no_room_of_requests_in_the_queue() {
    let server = TestServer::start(Limits { workers: 1, max_queued: 2, ..limits() });
    let mut streaming: Vec<Raw> = (0..50).map(|_| server.connect()).collect();
    let senders: Vec<StreamSender> = streaming.iter_mut().map(|raw| begin(&server, raw)).collect();
    let (gate, mut blocking, mut waiting) = (server.gate(), server.connect(), server.connect());
    server.received();
    blocking.send(WAIT);
    server.wait_until_blocked(1);
    senders.iter().for_each(|sender| sender.send(b"a piece").unwrap());
    waiting.send(GET);
    // Without room it would be refused at once.
    waiting.stream.set_read_timeout(Some(SHORT)).unwrap();
    assert!(waiting.stream.peek(&mut [0]).is_err(), "the request is refused");
    waiting.stream.set_read_timeout(Some(PATIENCE)).unwrap();
    gate.open();
    assert_eq!(waiting.answer().status, 200);
    streaming.iter_mut().for_each(|raw| assert_eq!(raw.chunk(), b"a piece"));
}
