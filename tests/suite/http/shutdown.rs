//! Stopping the server: requests in progress, idle connections, the grace period.

use std::io::{self, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use rouille::Response;
use safespace::http::SendError;

use crate::support::raw::Raw;
use crate::support::requests::{GET, WAIT, get};
use crate::support::server::{TestServer, limits};
use crate::support::timing::PATIENCE;
use crate::support::{SHORT, assert_took, eventually, timed};

#[test]
fn stop_answers_requests_in_progress_and_closes_idle_connections() {
    let mut server = TestServer::start(limits());
    let mut idle = server.connect();
    assert_eq!(idle.ask(GET).status, 200);
    let mut fresh = server.connect();
    let mut working = server.connect();
    working.send(WAIT);
    server.wait_until_blocked(1);
    let mut begun = server.connect();
    begun.send(&GET[..10]);
    let mut half = server.connect();
    half.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhel");
    let (address, gate) = (server.address, server.gate());
    thread::scope(|scope| {
        let stopped = scope.spawn(|| timed(|| server.stop(Duration::from_secs(10))));
        idle.assert_closed();
        fresh.assert_closed();
        eventually(PATIENCE, || TcpStream::connect(address).is_err().then_some(()));
        begun.send(&GET[10..]);
        half.send(b"lo");
        for raw in [&mut begun, &mut half] {
            let answer = raw.answer();
            assert_eq!((answer.status, answer.header("Connection")), (200, Some("close")));
            raw.assert_closed();
        }
        assert!(!stopped.is_finished());
        gate.open();
        assert_eq!(working.answer().status, 200);
        let (answered, took) = stopped.join().unwrap();
        assert!(answered && took < Duration::from_secs(10));
    });
}

#[test]
fn stop_returns_at_the_end_of_the_grace_period() {
    let mut server = TestServer::start(limits());
    let mut raw = server.connect();
    raw.send(WAIT);
    server.wait_until_blocked(1);
    let (answered, took) = timed(|| server.stop(SHORT));
    assert!(!answered);
    assert_took(took, SHORT);
    raw.assert_closed();
    server.gate().open();
}

#[test]
fn stop_under_load_is_quick_and_truncates_no_response() {
    let mut server = TestServer::start(limits());
    let address = server.address;
    thread::scope(|scope| {
        let clients: Vec<_> = (0..32)
            .map(|_| {
                let mut raw = Raw::connect(address);
                scope.spawn(move || {
                    loop {
                        raw.send(GET);
                        // A request that the server has read is answered in full; another one is not answered at all.
                        if raw.read() == 0 {
                            return;
                        }
                        let answer = raw.answer();
                        assert_eq!(answer.status, 200);
                        if answer.header("Connection") == Some("close") {
                            return raw.assert_closed();
                        }
                    }
                })
            })
            .collect();
        eventually(PATIENCE, || (server.received().len() > 100).then_some(()));
        let (answered, took) = timed(|| server.stop(Duration::from_secs(10)));
        assert!(answered);
        assert!(took < Duration::from_secs(2), "{took:?}");
        clients.into_iter().for_each(|client| client.join().unwrap());
    });
}

#[test]
fn a_server_that_is_dropped_while_its_workers_serve_and_none_polls_closes_everything() {
    for _ in 0..20 {
        let server = TestServer::start(limits());
        let address = server.address;
        let requests = get("/quick").repeat(64);
        thread::scope(|scope| {
            for _ in 0..2 {
                let sender = server.connect().stream;
                sender.set_write_timeout(Some(PATIENCE)).unwrap();
                let receiver = sender.try_clone().unwrap();
                let requests = &requests;
                scope.spawn(move || while (&sender).write_all(requests).is_ok() {});
                scope.spawn(move || io::copy(&mut &receiver, &mut io::sink()));
            }
            let mut served = 0;
            eventually(PATIENCE, || {
                served += server.received().len();
                (served > 200).then_some(())
            });
            drop(server);
            eventually(PATIENCE, || TcpStream::connect(address).is_err().then_some(()));
        });
    }
}

#[test]
fn a_server_that_is_dropped_while_pieces_of_a_stream_are_sent_ends_the_stream() {
    for _ in 0..20 {
        let server = TestServer::start(limits());
        let address = server.address;
        let mut raw = server.connect();
        let sender = server.send_deferred(&mut raw).stream(Response::text(""));
        let send = || sender.send(b"a piece") != Err(SendError::Closed);
        thread::scope(|scope| {
            scope.spawn(|| io::copy(&mut &raw.stream, &mut io::sink()));
            (0..100).for_each(|_| assert!(send()));
            scope.spawn(|| drop(server));
            eventually(PATIENCE, || (0..1000).any(|_| !send()).then_some(()));
        });
        eventually(PATIENCE, || TcpStream::connect(address).is_err().then_some(()));
    }
}
