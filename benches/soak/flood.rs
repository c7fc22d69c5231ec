//! Floods: bursts of requests that nobody needs, from one network, from many, or without an end.

use std::io::Write;
use std::net::{Ipv4Addr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use uuid::Uuid;

use crate::chance;
use crate::ledger::Ledger;
use crate::people::{Person, Session};
use crate::requests::From;
use crate::shared::Shared;
use crate::support::client;
use crate::tally::Kind;
use crate::visitor::Visitor;

/// How long a flood lasts, and its clients.
const DURATION: Duration = Duration::from_secs(4);
const CLIENTS: usize = 64;

/// Connections of the flood of requests without an end.
const HALF_REQUESTS: usize = 2_000;

/// Begins a flood once in each interval, of each kind in turn, until the load is over.
pub(crate) fn run(shared: &Shared, interval: Duration) {
    let mut next = Instant::now() + interval / 2;
    for kind in [create_from_one_network, ask_from_many_networks, begin_requests].into_iter().cycle() {
        if !shared.wait_until(next) {
            return;
        }
        next += interval;
        kind(shared);
    }
}

/// Creates sessions without proof of work. What was created is erased: it is in nobody's hands.
fn create_from_one_network(shared: &Shared) {
    let address = shared.people.new_address();
    let created = each_client(
        |visitor| {
            let request = From { address, session: None }.request("POST", "/api/v1/sessions", "", "");
            let answer = visitor.send(Kind::Flood, &request).filter(|answer| answer.status == 201)?;
            let body: Value = serde_json::from_str(&answer.body).ok()?;
            Session::new(body["session_id"].as_str()?)
        },
        shared,
    );
    let mut visitor = Visitor::new(shared);
    for session in created {
        let ledger = Ledger::default();
        visitor.erase(Person { session, address, ledger, may_be_erased: false });
    }
}

/// Asks for invented sessions, and for the page.
fn ask_from_many_networks(shared: &Shared) {
    each_client(
        |visitor| {
            let (address, id) = (shared.people.new_address(), Uuid::new_v4().to_string());
            let from = From { address, session: Some(&id) };
            let request = match chance::below(3) {
                0 => from.get("/", "text/html"),
                1 => from.message("nobody", "key", false),
                _ => from.get("/api/v1/session/chat", "application/json"),
            };
            visitor.send(Kind::Flood, &request);
            None::<()>
        },
        shared,
    );
}

/// Opens connections that never complete their request.
fn begin_requests(shared: &Shared) {
    let open = || {
        let mut stream = client::open(Ipv4Addr::LOCALHOST, shared.address, None)?;
        stream.write_all(b"POST /api/v1/sessions HTTP/1.1\r\nHost: soak\r\nContent-Length: 10\r\n\r\n{")?;
        Ok::<TcpStream, std::io::Error>(stream)
    };
    let connections: Vec<TcpStream> = (0..HALF_REQUESTS).map_while(|_| open().ok()).collect();
    shared.wait_until(Instant::now() + DURATION);
    drop(connections);
}

/// Repeats something with many clients at once, and returns what they have got.
fn each_client<T: Send>(act: impl Fn(&mut Visitor<'_>) -> Option<T> + Sync, shared: &Shared) -> Vec<T> {
    let until = Instant::now() + DURATION;
    let repeat = || {
        let (mut visitor, mut got) = (Visitor::new(shared), Vec::new());
        while Instant::now() < until && !shared.is_over() {
            got.extend(act(&mut visitor));
            if !visitor.is_connected() {
                visitor.pause();
            }
        }
        got
    };
    thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(repeat)).collect();
        clients.into_iter().filter_map(|client| client.join().ok()).flatten().collect()
    })
}
