//! The memory that responses may take together: what waits for it, what is refused without it, and that all of it is given
//! back.

use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use rouille::Response;
use safespace::http::{Limits, MAX_PIECE_BYTES, Piece, PieceResponder};
use safespace::peers::{Distinct, PeerKey, Peers};
use safespace::session_id::SessionId;

use crate::support::raw::Raw;
use crate::support::requests::{DEFERRED, GET, get};
use crate::support::server::{TestServer, limits};
use crate::support::timing::PATIENCE;
use crate::support::{SHORT, eventually};

/// Begins a response whose pieces are asked for through the returned channel.
#[track_caller]
fn begin(server: &TestServer, raw: &mut Raw) -> Receiver<PieceResponder> {
    let (asked, pieces) = mpsc::channel();
    server.send_deferred(raw).stream_from(Response::text(""), move |piece| asked.send(piece).unwrap());
    assert_eq!(raw.head().status, 200);
    pieces
}

/// Connections in a phase.
fn count(server: &TestServer, phase: &str) -> usize {
    server.state().connections.iter().find(|(name, _)| *name == phase).unwrap().1
}

/// The keys of these sessions, as an application names them.
fn session_keys(count: usize) -> Vec<Option<PeerKey>> {
    let peers = Peers::new(Distinct::None);
    (0..count).map(|_| Some(peers.session_key(SessionId::random().expose().as_bytes()))).collect()
}

/// Begins a response of a client, which may not begin.
fn begin_of(server: &TestServer, raw: &mut Raw, client: Option<PeerKey>) -> (u16, Receiver<PieceResponder>) {
    let (asked, pieces) = mpsc::channel();
    let mut responder = server.send_deferred(raw);
    responder.set_client(client);
    responder.stream_from(Response::text(""), move |piece| asked.send(piece).unwrap());
    (raw.head().status, pieces)
}

#[track_caller]
fn next(pieces: &Receiver<PieceResponder>) -> PieceResponder {
    pieces.recv_timeout(PATIENCE).expect("the stream asks for a piece")
}

#[track_caller]
fn assert_is_not_asked(pieces: &Receiver<PieceResponder>) {
    assert_eq!(pieces.recv_timeout(Duration::from_millis(100)).err(), Some(mpsc::RecvTimeoutError::Timeout));
}

fn send(piece: PieceResponder, bytes: Vec<u8>, is_last: bool) {
    piece.send_with(move || Some(Piece { bytes, is_last }));
}

#[track_caller]
fn assert_all_is_given_back(server: &TestServer) {
    eventually(PATIENCE, || (server.state().answer_bytes == 0).then_some(()));
}

#[test]
fn pieces_wait_for_memory_in_order_of_arrival_and_hold_no_worker() {
    let server = TestServer::start(Limits { workers: 1, max_answer_bytes: 2 * MAX_PIECE_BYTES, ..limits() });
    let mut raws: Vec<Raw> = (0..4).map(|_| server.connect()).collect();
    let clients = session_keys(raws.len());
    let streams: Vec<_> = raws.iter_mut().zip(clients).map(|(raw, client)| begin_of(&server, raw, client).1).collect();
    let (first, second) = (next(&streams[0]), next(&streams[1]));
    assert_eq!(server.state().answer_bytes, 2 * MAX_PIECE_BYTES);
    streams[2..].iter().for_each(assert_is_not_asked);
    assert_eq!(server.connect().ask(GET).status, 200);
    send(second, b"second".to_vec(), true);
    let third = next(&streams[2]);
    assert_is_not_asked(&streams[3]);
    // A stream that goes on waits behind those that wait already.
    send(first, b"first".to_vec(), false);
    let fourth = next(&streams[3]);
    assert_is_not_asked(&streams[0]);
    send(third, b"third".to_vec(), true);
    send(next(&streams[0]), b"the last".to_vec(), true);
    send(fourth, b"fourth".to_vec(), true);
    for (raw, expected) in raws.iter_mut().zip([&["first", "the last"][..], &["second"], &["third"], &["fourth"]]) {
        expected.iter().for_each(|piece| assert_eq!(raw.chunk(), piece.as_bytes()));
        assert_eq!(raw.chunk(), b"");
    }
    assert_all_is_given_back(&server);
}

#[test]
fn a_piece_counts_with_its_own_size_until_the_client_has_read_it() {
    let server = TestServer::start(limits());
    let mut raw = server.connect();
    let pieces = begin(&server, &mut raw);
    let mut sent = 0;
    // The sockets' buffers take some.
    while let Ok(piece) = pieces.recv_timeout(SHORT) {
        send(piece, vec![b'x'; 100_000], false);
        sent += 1;
    }
    // The frame of the chunk counts, too.
    let reserved = server.state().answer_bytes;
    assert!((100_000..100_020).contains(&reserved), "{reserved}");
    (0..sent).for_each(|_| assert_eq!(raw.chunk().len(), 100_000));
    send(next(&pieces), Vec::new(), true);
    assert_eq!(raw.chunk(), b"");
    assert_all_is_given_back(&server);
}

#[test]
fn without_memory_a_response_of_more_than_64_kib_is_503_and_a_shorter_one_is_sent() {
    let server = TestServer::start(Limits { max_answer_bytes: MAX_PIECE_BYTES, ..limits() });
    let mut raw = server.connect();
    let pieces = begin(&server, &mut raw);
    let piece = next(&pieces);
    let respond = |raw: &mut Raw, bytes| {
        server.send_deferred(raw).respond(Response::from_data("text/plain", vec![b'x'; bytes]));
        raw.answer()
    };
    let mut refused = server.connect();
    let answer = respond(&mut refused, 100_000);
    assert_eq!((answer.status, answer.header("Connection")), (503, Some("close")));
    refused.assert_closed();
    assert_eq!(server.state().refused_busy, 1);
    assert_eq!(respond(&mut server.connect(), 60_000).status, 200);
    assert_eq!(server.connect().ask(GET).status, 200);
    send(piece, Vec::new(), true);
    assert_eq!(raw.chunk(), b"");
    assert_all_is_given_back(&server);
    assert_eq!(respond(&mut server.connect(), 100_000).status, 200);
}

#[test]
fn without_memory_a_client_that_does_not_read_its_responses_is_closed() {
    let server = TestServer::start(Limits { max_answer_bytes: MAX_PIECE_BYTES, ..limits() });
    let mut other = server.connect();
    let pieces = begin(&server, &mut other);
    let _piece = next(&pieces);
    let mut raw = server.connect();
    raw.send(&get("/40-kib").repeat(200));
    // The socket takes the first ones.
    eventually(PATIENCE, || (count(&server, "writing") + count(&server, "idle") == 0).then_some(()));
    assert!(raw.count_rest() < 200 * 40 * 1024);
}

#[test]
fn a_client_that_reads_nothing_for_six_seconds_gives_its_memory_to_one_that_waits() {
    let server = TestServer::start(Limits { max_answer_bytes: MAX_PIECE_BYTES, ..limits() });
    let (keys, mut slow) = (session_keys(2), server.connect());
    let (_, pieces) = begin_of(&server, &mut slow, keys[0]);
    // The sockets' buffers take some.
    while let Ok(piece) = pieces.recv_timeout(SHORT) {
        send(piece, vec![b'x'; 200_000], false);
    }
    let mut waiting = server.connect();
    let (_, pieces) = begin_of(&server, &mut waiting, keys[1]);
    send(next(&pieces), b"piece".to_vec(), true);
    assert_eq!(waiting.chunk(), b"piece");
    assert_all_is_given_back(&server);
}

#[test]
fn without_memory_a_stream_that_is_not_read_has_no_room_and_accepts_its_last_piece() {
    const BYTES: usize = 16 * 1024;
    let server = TestServer::start(Limits { max_answer_bytes: MAX_PIECE_BYTES + BYTES, ..limits() });
    let mut other = server.connect();
    let pieces = begin(&server, &mut other);
    let piece = next(&pieces);
    let mut slow = server.connect();
    let sender = server.send_deferred(&mut slow).stream(Response::text(""));
    let mut sent = 0;
    // Until the sockets' buffers are full, and a piece stays with the server.
    eventually(PATIENCE, || {
        sender.send(&[b'x'; BYTES]).unwrap();
        sent += BYTES;
        thread::sleep(Duration::from_millis(50));
        (server.state().answer_bytes >= MAX_PIECE_BYTES + BYTES).then_some(())
    });
    // A worker has taken the piece before to write it, and does not take this one.
    sender.send(&[b'x'; BYTES]).unwrap();
    assert!(!sender.has_room());
    send(piece, Vec::new(), true);
    eventually(PATIENCE, || sender.has_room().then_some(()));
    sender.finish(b"the last");
    let head = slow.head();
    let received = slow.body(head).body;
    assert!(received.ends_with(b"xthe last"));
    assert_eq!(received.len(), sent + BYTES + b"the last".len());
    assert_all_is_given_back(&server);
}

#[test]
fn the_memory_of_connections_that_end_is_given_back() {
    let limits = Limits { request_timeout: SHORT, write_timeout: SHORT, max_answer_bytes: MAX_PIECE_BYTES, ..limits() };
    let server = TestServer::start(limits);
    for case in ["timeout", "dropped", "closed", "unread", "waiting"] {
        let mut raw = server.connect();
        let pieces = begin(&server, &mut raw);
        let piece = next(&pieces);
        match case {
            "timeout" => {
                raw.assert_closed();
                drop(piece);
            }
            "dropped" => drop(piece),
            "closed" => {
                drop(raw);
                send(piece, vec![b'x'; 100_000], false);
            }
            "unread" => {
                let mut piece = piece;
                loop {
                    send(piece, vec![b'x'; 200_000], false);
                    match pieces.recv_timeout(PATIENCE) {
                        Ok(next) => piece = next,
                        Err(_) => break,
                    }
                }
            }
            // The second waits until the first one is closed.
            _ => {
                let mut second = server.connect();
                let waiting = begin(&server, &mut second);
                second.assert_closed();
                drop(waiting);
            }
        }
        assert_all_is_given_back(&server);
    }
    let mut raw = server.connect();
    let pieces = begin(&server, &mut raw);
    send(next(&pieces), b"a piece".to_vec(), true);
    assert_eq!(raw.chunk(), b"a piece");
}

#[test]
fn a_peer_has_a_quarter_of_the_memory() {
    let server = TestServer::start_with(Limits { max_answer_bytes: 8 * MAX_PIECE_BYTES, ..limits() }, Distinct::All);
    let connect = |source| Raw::connect_from(source, server.address);
    let mut raws: Vec<Raw> = [1, 2, 3].map(|host| connect([127, 0, 1, host])).into();
    let streams: Vec<_> = raws.iter_mut().map(|raw| begin(&server, raw)).collect();
    let first = next(&streams[0]);
    let _second = next(&streams[1]);
    assert_is_not_asked(&streams[2]);
    let mut other = connect([127, 0, 2, 1]);
    let others = begin(&server, &mut other);
    let _other = next(&others);
    send(first, Vec::new(), true);
    next(&streams[2]);
}

#[test]
fn a_response_in_pieces_is_503_while_many_wait_for_memory_and_few_of_one_peer_are_many() {
    let server = TestServer::start_with(Limits { max_answer_bytes: 4 * MAX_PIECE_BYTES, ..limits() }, Distinct::All);
    let connect = |source| Raw::connect_from(source, server.address);
    let mut raws: Vec<Raw> = (0..64).map(|host| connect([127, 0, 1, host])).collect();
    let _streams: Vec<_> = raws.iter_mut().map(|raw| begin(&server, raw)).collect();
    // One has memory, and the next is the last that may wait. A worker may not have counted it yet.
    let mut waiting = Vec::new();
    let answer = eventually(PATIENCE, || {
        let mut raw = connect([127, 0, 1, 100]);
        server.send_deferred(&mut raw).stream_from(Response::text(""), |_| panic!("it is asked for a piece"));
        let head = raw.head();
        waiting.push(raw);
        (head.status != 200).then_some(head)
    });
    assert_eq!((answer.status, answer.header("Connection")), (503, Some("close")));
    assert!((2..5).contains(&waiting.len()), "{}", waiting.len());
    let mut other = connect([127, 0, 2, 1]);
    next(&begin(&server, &mut other));
}

#[test]
fn many_clients_of_little_memory_all_get_their_pieces() {
    let server = TestServer::start(Limits { workers: 2, max_answer_bytes: 3 * MAX_PIECE_BYTES, ..limits() });
    let mut clients: Vec<Raw> = (0..40).map(|_| server.connect()).collect();
    clients.iter_mut().for_each(|raw| raw.send(DEFERRED));
    for responder in server.wait_for_responders(40) {
        let mut left = 5;
        responder.stream_from(Response::text(""), move |piece| {
            left -= 1;
            thread::spawn(move || send(piece, vec![b'x'; 50_000], left == 0));
        });
    }
    thread::scope(|scope| {
        for raw in &mut clients {
            scope.spawn(|| assert_eq!(raw.answer().body.len(), 250_000));
        }
    });
    assert_all_is_given_back(&server);
}

#[test]
fn the_responses_of_one_session_leave_memory_to_others() {
    let server = TestServer::start(limits());
    let keys = session_keys(2);
    let mut raws: Vec<Raw> = (0..18).map(|_| server.connect()).collect();
    let begun: Vec<_> = raws.iter_mut().map(|raw| begin_of(&server, raw, keys[0])).collect();
    let held: Vec<_> = begun[..16].iter().map(|(_, pieces)| next(pieces)).collect();
    assert_eq!(server.state().answer_bytes, 16 * MAX_PIECE_BYTES);
    begun[16..].iter().for_each(|(_, pieces)| assert_is_not_asked(pieces));
    let mut other = server.connect();
    let (status, others) = begin_of(&server, &mut other, keys[1]);
    assert_eq!(status, 200);
    next(&others);
    drop(held);
    next(&begun[16].1);
}

#[test]
fn a_whole_response_takes_the_share_of_the_client_that_the_application_names() {
    let server = TestServer::start(Limits { max_answer_bytes: 4 * MAX_PIECE_BYTES, ..limits() });
    let keys = session_keys(2);
    let mut raws: Vec<Raw> = (0..4).map(|_| server.connect()).collect();
    let (_, pieces) = begin_of(&server, &mut raws[0], keys[0]);
    let _piece = next(&pieces);
    let large = || Response::from_data("text/plain", vec![b'x'; 100_000]);
    for (number, (client, at_once, status)) in
        [(keys[0], true, 503), (keys[0], false, 503), (keys[1], true, 200)].into_iter().enumerate()
    {
        let raw = &mut raws[number + 1];
        let mut responder = server.send_deferred(raw);
        responder.set_client(client);
        if at_once {
            responder.respond(large());
        } else {
            responder.respond_with(large);
        }
        assert_eq!(raw.answer().status, status, "{number}");
    }
}

#[test]
fn few_responses_of_one_session_are_too_many_to_wait_and_head_is_answered_nevertheless() {
    let server = TestServer::start(Limits { max_answer_bytes: 4 * MAX_PIECE_BYTES, ..limits() });
    let keys = session_keys(2);
    let (mut waiting, mut statuses) = (Vec::new(), Vec::new());
    // One has memory and 16 wait. A worker may not have counted the last ones yet.
    eventually(PATIENCE, || {
        let mut raw = server.connect();
        let (status, pieces) = begin_of(&server, &mut raw, keys[0]);
        waiting.push((raw, pieces));
        statuses.push(status);
        (status == 503).then_some(())
    });
    assert!((18..22).contains(&statuses.len()), "{}", statuses.len());
    let mut head = server.connect();
    head.send(b"HEAD /deferred HTTP/1.1\r\nHost: x\r\n\r\n");
    let mut responder = server.wait_for_responders(1).remove(0);
    responder.set_client(keys[0]);
    responder.stream_from(Response::text(""), |_| panic!("it is asked for a piece"));
    assert_eq!(head.head_answer().status, 200);
    let mut other = server.connect();
    assert_eq!(begin_of(&server, &mut other, keys[1]).0, 200);
}

#[test]
fn a_body_that_the_application_made_as_a_whole_counts_with_its_length_and_a_static_one_with_what_is_buffered() {
    for (bytes, is_deferred, counted) in
        [(200_000, false, 200_000), (8 * 1024 * 1024, false, 64 * 1024), (3 * 1024 * 1024, true, 3 * 1024 * 1024)]
    {
        let server = TestServer::start(limits());
        let mut raw = server.connect();
        // Responses that are not read, until the sockets' buffers are full.
        for _ in 0..100 {
            raw.send(DEFERRED);
        }
        let answer = || {
            let make = move || Response::from_data("text/plain", vec![b'x'; bytes]);
            let respond = |responder: safespace::http::Responder| {
                if is_deferred { responder.respond_with(make) } else { responder.respond(make()) }
            };
            server.responders().into_iter().for_each(respond);
            let state = server.state();
            let is_writing = state.connections.contains(&("writing", 1));
            Some(state.answer_bytes).filter(|reserved| is_writing && *reserved > 0)
        };
        let reserved = eventually(PATIENCE, answer);
        assert!((counted..counted + 4096).contains(&reserved), "{reserved}");
    }
}
