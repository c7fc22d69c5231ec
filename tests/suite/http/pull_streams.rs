//! Responses whose pieces are made when the client has read those before: they hold no worker, and a client that does not
//! read asks for nothing.

use std::io::Read;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use rouille::Response;
use safespace::http::{Limits, Piece, PieceResponder, Responder};

use crate::support::raw::Raw;
use crate::support::requests::GET;
use crate::support::server::{TestServer, limits};
use crate::support::timing::PATIENCE;
use crate::support::{SHORT, assert_took, eventually, timed};

const LARGE: usize = 256 * 1024;

fn piece(bytes: impl AsRef<[u8]>, is_last: bool) -> Option<Piece> {
    Some(Piece { bytes: bytes.as_ref().to_vec(), is_last })
}

/// Answers with a stream, and returns what arrives whenever it asks for a piece.
fn stream(responder: Responder) -> Receiver<PieceResponder> {
    let (asked, pieces) = mpsc::channel();
    responder.stream_from(Response::text("not sent"), move |piece| asked.send(piece).unwrap());
    pieces
}

/// Sends a request and begins to stream its response; the client has received the head.
#[track_caller]
fn begin(server: &TestServer, raw: &mut Raw) -> Receiver<PieceResponder> {
    let pieces = stream(server.send_deferred(raw));
    let head = raw.head();
    assert_eq!(
        (head.status, head.header("Transfer-Encoding"), head.header("Content-Length")),
        (200, Some("chunked"), None)
    );
    pieces
}

#[track_caller]
fn next(pieces: &Receiver<PieceResponder>) -> PieceResponder {
    pieces.recv_timeout(PATIENCE).expect("the stream asks for a piece")
}

/// The stream is dropped, with what it asks for pieces.
#[track_caller]
fn assert_is_dropped(pieces: &Receiver<PieceResponder>) {
    assert_eq!(pieces.recv_timeout(PATIENCE).err(), Some(mpsc::RecvTimeoutError::Disconnected));
}

#[test]
fn each_piece_is_asked_for_after_the_one_before_and_the_connection_is_reused() {
    let server = TestServer::start(Limits { workers: 1, ..limits() });
    let mut raw = server.connect();
    for _ in 0..3 {
        let pieces = begin(&server, &mut raw);
        for text in ["one", "", "two"] {
            next(&pieces).send_with(move || piece(text, false));
            if !text.is_empty() {
                assert_eq!(raw.chunk(), text.as_bytes());
            }
        }
        next(&pieces).send_with(|| piece("the last", true));
        assert_eq!((raw.chunk(), raw.chunk()), (b"the last".to_vec(), Vec::new()));
        assert_is_dropped(&pieces);
    }
    next(&begin(&server, &mut raw)).send_with(|| piece("", true));
    assert_eq!(raw.chunk(), b"");
    assert_eq!(raw.ask(GET).status, 200);
}

#[test]
fn a_piece_is_made_by_a_worker_whether_it_is_sent_during_the_call_or_by_another_thread() {
    let server = TestServer::start(limits());
    for is_during_call in [true, false] {
        let mut raw = server.connect();
        let name = || piece(thread::current().name().unwrap_or_default(), true);
        server.send_deferred(&mut raw).stream_from(Response::text(""), move |piece| {
            if is_during_call {
                piece.send_with(name);
            } else {
                thread::spawn(move || piece.send_with(name));
            }
        });
        assert_eq!(raw.answer().text(), "worker", "during the call: {is_during_call}");
    }
}

#[test]
fn streams_that_wait_for_their_pieces_hold_no_worker() {
    let server = TestServer::start(Limits { workers: 1, ..limits() });
    let mut clients: Vec<Raw> = (0..50).map(|_| server.connect()).collect();
    let streams: Vec<_> = clients.iter_mut().map(|raw| begin(&server, raw)).collect();
    let asked: Vec<PieceResponder> = streams.iter().map(next).collect();
    assert_eq!(server.connect().ask(GET).status, 200);
    asked.into_iter().for_each(|responder| responder.send_with(|| piece("a piece", true)));
    clients.iter_mut().for_each(|raw| assert_eq!((raw.chunk(), raw.chunk()), (b"a piece".to_vec(), Vec::new())));
}

#[test]
fn a_client_that_does_not_read_asks_for_no_further_piece() {
    let server = TestServer::start(Limits { workers: 1, ..limits() });
    let mut raw = server.connect();
    let pieces = begin(&server, &mut raw);
    let mut sent = 0;
    // The sockets' buffers take some.
    while let Ok(responder) = pieces.recv_timeout(SHORT) {
        responder.send_with(|| piece(vec![b'x'; LARGE], false));
        sent += 1;
        assert!(sent < 200, "the stream asks without end");
    }
    assert_eq!(server.connect().ask(GET).status, 200);
    for _ in 0..sent {
        assert_eq!(raw.chunk().len(), LARGE);
    }
    next(&pieces).send_with(|| piece("the last", true));
    assert_eq!((raw.chunk(), raw.chunk()), (b"the last".to_vec(), Vec::new()));
}

#[test]
fn head_asks_for_no_piece() {
    let server = TestServer::start(limits());
    let mut raw = server.connect();
    raw.send(b"HEAD /deferred HTTP/1.1\r\nHost: x\r\n\r\n");
    let pieces = stream(server.wait_for_responders(1).remove(0));
    let head = raw.head_answer();
    assert_eq!((head.status, head.header("Transfer-Encoding")), (200, Some("chunked")));
    assert_is_dropped(&pieces);
    assert_eq!(raw.ask(GET).status, 200);
}

#[test]
fn a_client_of_http_1_0_gets_pieces_until_the_connection_closes() {
    let server = TestServer::start(limits());
    let mut raw = server.connect();
    raw.send(b"GET /deferred HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    let pieces = stream(server.wait_for_responders(1).remove(0));
    let head = raw.head();
    assert_eq!((head.header("Transfer-Encoding"), head.header("Connection")), (None, Some("close")));
    for (text, is_last) in [("one ", false), ("", false), ("two", true)] {
        next(&pieces).send_with(move || piece(text, is_last));
    }
    assert_eq!(raw.body(head).text(), "one two");
}

#[test]
fn a_piece_that_is_not_sent_closes_the_connection_without_the_end_of_the_body() {
    let server = TestServer::start(Limits { workers: 1, ..limits() });
    let later: fn(PieceResponder) = |responder| drop(thread::spawn(move || drop(responder)).join());
    let panics: fn(PieceResponder) = |responder| responder.send_with(|| panic!("requested by the test"));
    for (case, fail) in [("dropped", drop as fn(PieceResponder)), ("on another thread", later), ("panics", panics)] {
        let mut raw = server.connect();
        let pieces = begin(&server, &mut raw);
        next(&pieces).send_with(|| piece("a piece", false));
        assert_eq!(raw.chunk(), b"a piece");
        fail(next(&pieces));
        raw.assert_closed();
        assert_is_dropped(&pieces);
        assert_eq!(server.connect().ask(GET).status, 200, "{case}");
    }
    let mut raw = server.connect();
    server.send_deferred(&mut raw).stream_from(Response::text(""), |_| panic!("requested by the test"));
    assert_eq!(raw.head().status, 200);
    raw.assert_closed();
    assert_eq!(server.connect().ask(GET).status, 200);
}

#[test]
fn a_piece_that_does_not_come_within_the_request_timeout_closes_the_connection() {
    let timeout = Duration::from_secs(1);
    let server = TestServer::start(Limits { request_timeout: timeout, ..limits() });
    let mut raw = server.connect();
    let pieces = begin(&server, &mut raw);
    // Each piece has the full time.
    for _ in 0..3 {
        let responder = next(&pieces);
        thread::sleep(timeout * 4 / 10);
        responder.send_with(|| piece("a piece", false));
        assert_eq!(raw.chunk(), b"a piece");
    }
    let late = next(&pieces);
    let ((), took) = timed(|| raw.assert_closed());
    assert_took(took, timeout);
    late.send_with(|| panic!("the piece for a client that is gone is made"));
    assert_is_dropped(&pieces);
    assert_eq!(server.connect().ask(GET).status, 200);
}

#[test]
fn a_stream_whose_client_is_gone_is_dropped() {
    let server = TestServer::start(limits());
    let mut raw = server.connect();
    let pieces = begin(&server, &mut raw);
    let first = next(&pieces);
    drop(raw);
    first.send_with(|| piece("a piece", false));
    eventually(PATIENCE, || match pieces.try_recv() {
        Err(mpsc::TryRecvError::Disconnected) => Some(()),
        Err(mpsc::TryRecvError::Empty) => None,
        Ok(responder) => {
            responder.send_with(|| piece("a piece", false));
            None
        }
    });
}

#[test]
fn an_invalid_head_is_a_500_and_no_piece_is_asked_for() {
    let server = TestServer::start(limits());
    let mut raw = server.connect();
    let (asked, pieces) = mpsc::channel();
    let invalid = Response::text("").with_additional_header("X", "a\r\nInjected: b");
    server.send_deferred(&mut raw).stream_from(invalid, move |piece| asked.send(piece).unwrap());
    assert_eq!(raw.answer().status, 500);
    assert_is_dropped(&pieces);
}

#[test]
fn a_stop_waits_for_the_pieces_until_the_grace_period_ends() {
    for finishes in [true, false] {
        let mut server = TestServer::start(limits());
        let mut raw = server.connect();
        let pieces = begin(&server, &mut raw);
        let responder = next(&pieces);
        let stopping = thread::spawn(move || server.stop(if finishes { PATIENCE } else { SHORT }));
        let mut rest = Vec::new();
        if finishes {
            responder.send_with(|| piece("the last", true));
            assert_eq!((raw.chunk(), raw.chunk()), (b"the last".to_vec(), Vec::new()));
        } else {
            let _ = raw.stream.read_to_end(&mut rest);
            assert!(rest.is_empty(), "{rest:?}");
        }
        assert_eq!(stopping.join().unwrap(), finishes, "finishes: {finishes}");
    }
}
