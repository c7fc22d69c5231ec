//! The share of a peer in the connections and the incomplete requests: its own oldest ones give way to its new ones.

use rouille::Response;
use safespace::http::{Limits, Responder};
use safespace::peers::Distinct;

use crate::support::eventually;
use crate::support::raw::Raw;
use crate::support::requests::{DEFERRED, GET};
use crate::support::server::{TestServer, limits};
use crate::support::timing::PATIENCE;

const DELETE: &[u8] = b"DELETE / HTTP/1.1\r\nHost: x\r\n\r\n";
const HALF_BODY: &[u8] = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf";
const HALF_HEAD: &[u8] = b"GET / HTTP/1.1\r\nHo";

/// A server of which a peer has 64 connections and 16 incomplete requests.
fn start() -> TestServer {
    TestServer::start_with(Limits { max_connections: 512, ..limits() }, Distinct::All)
}

/// A connection of the one peer.
#[track_caller]
fn connect(server: &TestServer) -> Raw {
    Raw::connect_from([127, 0, 1, 1], server.address)
}

#[track_caller]
fn connect_other(server: &TestServer) -> Raw {
    Raw::connect_from([127, 0, 2, 1], server.address)
}

#[track_caller]
fn wait_until(server: &TestServer, phase: &str, expected: usize) {
    eventually(PATIENCE, || server.state().connections.contains(&(phase, expected)).then_some(()));
}

/// Sends a part of a request, after which as many are incomplete.
#[track_caller]
fn send_part(server: &TestServer, raw: &mut Raw, part: &[u8], expected: usize) {
    raw.send(part);
    wait_until(server, if part == HALF_BODY { "body" } else { "head" }, expected);
}

#[track_caller]
fn assert_stays(raw: &Raw) {
    raw.stream.set_nonblocking(true).unwrap();
    assert!(raw.stream.peek(&mut [0]).is_err(), "it is answered or closed");
    raw.stream.set_nonblocking(false).unwrap();
}

#[test]
fn a_peer_that_has_its_share_of_connections_is_answered_and_its_oldest_idle_ones_are_closed() {
    let server = start();
    let mut other = connect_other(&server);
    assert_eq!(other.ask(GET).status, 200);
    let mut raws: Vec<Raw> = (0..64).map(|_| connect(&server)).collect();
    raws.iter_mut().for_each(|raw| assert_eq!(raw.ask(GET).status, 200));
    wait_until(&server, "idle", 65);
    let mut new: Vec<Raw> = [DELETE, GET, DELETE]
        .into_iter()
        .map(|request| {
            let mut raw = connect(&server);
            assert_eq!(raw.ask(request).status, 200);
            raw
        })
        .collect();
    raws[..3].iter_mut().for_each(Raw::assert_closed);
    for raw in raws[3..].iter_mut().chain(&mut new).chain([&mut other]) {
        assert_eq!(raw.ask(GET).status, 200);
    }
}

#[test]
fn a_peer_that_has_its_share_of_unread_responses_is_answered_and_its_oldest_one_is_closed() {
    let server = start();
    let mut raws: Vec<Raw> = (0..64).map(|_| connect(&server)).collect();
    let large = 4 * 1024 * 1024;
    // One after the other, so that the first is the oldest.
    for (number, raw) in (1..).zip(&mut raws) {
        server.send_deferred(raw).stream(Response::text("")).finish(&vec![b'x'; large]);
        wait_until(&server, "writing", number);
    }
    eventually(PATIENCE, || (connect(&server).ask(DELETE).status == 200).then_some(()));
    assert!(raws[0].count_rest() < large);
    assert_eq!(connect_other(&server).ask(GET).status, 200);
}

#[test]
fn a_peer_whose_connections_are_all_being_answered_is_refused_and_another_is_not() {
    let server = start();
    let mut raws: Vec<Raw> = (0..64).map(|_| connect(&server)).collect();
    raws.iter_mut().for_each(|raw| raw.send(DEFERRED));
    let responders: Vec<Responder> = server.wait_for_responders(64);
    wait_until(&server, "answering", 64);
    let mut refused = connect(&server);
    assert_eq!(refused.ask(DELETE).status, 503);
    refused.assert_closed();
    let state = server.state();
    assert_eq!((state.refused_of_peers, state.refused_busy), (1, 0));
    assert_eq!(connect_other(&server).ask(DELETE).status, 200);
    responders.into_iter().for_each(|responder| responder.respond(Response::text("")));
    raws.iter_mut().for_each(|raw| assert_eq!(raw.answer().status, 200));
}

#[test]
fn above_its_share_of_incomplete_requests_the_oldest_one_of_a_peer_gives_way() {
    for part in [HALF_BODY, HALF_HEAD] {
        let server = start();
        let mut other = connect_other(&server);
        send_part(&server, &mut other, part, 1);
        let mut half: Vec<Raw> = (0..16).map(|_| connect(&server)).collect();
        for (count, raw) in half.iter_mut().enumerate() {
            send_part(&server, raw, part, count + 2);
        }
        let mut new: Vec<Raw> = (0..3).map(|_| connect(&server)).collect();
        for (raw, oldest) in new.iter_mut().zip(&mut half) {
            raw.send(part);
            let answer = oldest.answer();
            assert_eq!((answer.status, answer.header("Connection")), (503, Some("close")));
            oldest.assert_closed();
            wait_until(&server, if part == HALF_BODY { "body" } else { "head" }, 17);
        }
        // Whole requests of the same peer are served, and one that is completed makes room.
        assert_eq!(connect(&server).ask(DELETE).status, 200);
        let mut completed = half.pop().unwrap();
        completed.send(if part == HALF_BODY { b"whole." } else { b"st: x\r\n\r\n" });
        assert_eq!(completed.answer().status, 200);
        let mut another = connect(&server);
        send_part(&server, &mut another, part, 17);
        half[3..].iter().chain(&new).chain([&another, &other]).for_each(assert_stays);
    }
}
