//! Which connection gives way, in tables that no server serves.

use std::net::{IpAddr, TcpListener};

use super::*;
use crate::http::Limits;
use crate::http::slot::Readiness;
use crate::peers::{Distinct, Peers};

type TestTable = Table<(), ()>;

struct Fixture {
    table: TestTable,
    stream: Arc<TcpStream>,
    start: Instant,
}

impl Fixture {
    fn new() -> Fixture {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let stream = TcpStream::connect(listener.local_addr().expect("it is bound")).expect("it listens");
        let limits = Limits { max_connections: 1000, max_queued: 1000, ..Limits::for_tests() };
        Fixture { table: Table::new(&limits), stream: Arc::new(stream), start: Instant::now() }
    }

    fn at(&self, milliseconds: u64) -> Instant {
        self.start + Duration::from_millis(milliseconds)
    }

    fn insert(&mut self, peer: Option<PeerKey>, milliseconds: u64) -> usize {
        let now = self.at(milliseconds);
        self.table.insert(self.stream.clone(), peer, Box::new(()), now)
    }

    /// The client sends something, or reads.
    fn ready(&mut self, key: usize, milliseconds: u64) {
        let readiness = Readiness { readable: true, writable: true, ..Readiness::default() };
        let now = self.at(milliseconds);
        if self.table.ready(key, readiness, 0, now).is_some() {
            assert!(self.table.enqueue_new(key, false, now));
        }
        assert_eq!(self.table.slots[key].holder, Holder::Queue);
    }

    /// A worker has the connection, and gives it back to wait for its client in this phase.
    fn serve(&mut self, key: usize, phase: Phase, milliseconds: u64) {
        let slot = &mut self.table.slots[key];
        slot.holder = Holder::Worker;
        let token = Token { key, generation: slot.generation };
        self.table.park(token, Box::new(()), phase, true, self.at(milliseconds));
    }

    fn victim(&mut self, milliseconds: u64) -> Option<(&'static str, usize)> {
        named(self.table.choose_victim(self.at(milliseconds)))
    }
}

fn named(victim: Option<Victim>) -> Option<(&'static str, usize)> {
    victim.map(|victim| match victim {
        Victim::Close(key) => ("close", key),
        Victim::Refuse(key, _) => ("refuse", key),
    })
}

fn peer() -> PeerKey {
    Peers::new(Distinct::All).key(IpAddr::from([10, 0, 0, 1])).expect("all are distinct")
}

#[test]
fn an_idle_connection_gives_way_before_an_incomplete_request_once_it_is_idle_for_a_second() {
    let mut fixture = Fixture::new();
    let incomplete = fixture.insert(None, 0);
    fixture.serve(incomplete, Phase::Head, 1);
    let idle = fixture.insert(None, 2);
    assert_eq!(fixture.victim(1500), Some(("close", idle)));
    assert_eq!(fixture.victim(500), Some(("refuse", incomplete)));
}

#[test]
fn behind_any_number_of_queued_requests_the_oldest_incomplete_one_gives_way() {
    let mut fixture = Fixture::new();
    let queued: Vec<usize> = (0..200).map(|_| fixture.insert(None, 0)).collect();
    queued.iter().for_each(|key| fixture.ready(*key, 1));
    assert_eq!(fixture.victim(2), None);
    for milliseconds in 3..5 {
        let incomplete = fixture.insert(None, milliseconds);
        fixture.serve(incomplete, Phase::Head, milliseconds);
    }
    assert_eq!(fixture.victim(5), Some(("refuse", 200)));
}

#[test]
fn incomplete_requests_that_are_all_queued_give_way_in_order_and_leave_the_queue() {
    let mut fixture = Fixture::new();
    let keys: Vec<usize> = (0..100).map(|_| fixture.insert(None, 0)).collect();
    keys.iter().for_each(|key| fixture.serve(*key, Phase::Body, 1));
    keys.iter().for_each(|key| fixture.ready(*key, 2));
    for key in 0..100 {
        assert_eq!(fixture.victim(3), Some(("refuse", key)));
        assert_eq!(fixture.table.queue.len(), 99 - key);
        fixture.table.remove(key);
    }
    assert_eq!(fixture.victim(3), None);
}

#[test]
fn behind_many_clients_that_have_just_read_the_oldest_of_them_gives_way() {
    let mut fixture = Fixture::new();
    let keys: Vec<usize> = (0..100).map(|_| fixture.insert(None, 0)).collect();
    keys.iter().for_each(|key| fixture.serve(*key, Phase::Writing, 1));
    keys[..99].iter().for_each(|key| fixture.ready(*key, 2));
    assert_eq!(fixture.victim(3), Some(("close", 0)));
    fixture.table.remove(0);
    (1..99).for_each(|key| drop(fixture.table.remove(key)));
    assert_eq!(fixture.victim(3), Some(("close", 99)));
}

#[test]
fn of_a_peer_the_oldest_connection_gives_way_that_waits_for_its_client_however_many_are_in_use() {
    let (mut fixture, peer) = (Fixture::new(), peer());
    let keys: Vec<usize> = (0..200).map(|_| fixture.insert(Some(peer), 0)).collect();
    let other = fixture.insert(None, 0);
    keys[..150].iter().for_each(|key| fixture.ready(*key, 1));
    keys[150..152].iter().for_each(|key| fixture.serve(*key, Phase::Head, 1));
    let mut victims = (0..5).map(|_| named(fixture.table.choose_victim_of(peer)));
    // Each look is bounded, and goes on where the one before ended.
    let found: Vec<_> = victims.by_ref().collect();
    assert_eq!(found, [None, None, Some(("refuse", 150)), Some(("refuse", 150)), Some(("refuse", 150))]);
    fixture.table.remove(150);
    fixture.table.remove(151);
    assert_eq!(named(fixture.table.choose_victim_of(peer)), Some(("close", 152)));
    assert_eq!(fixture.table.deadlines.phase(other), Phase::Idle);
}

#[test]
fn where_memory_is_short_clients_that_read_nothing_for_six_seconds_give_way_a_few_at_a_time() {
    let mut fixture = Fixture::new();
    let keys: Vec<usize> = (0..10).map(|_| fixture.insert(None, 0)).collect();
    keys[..8].iter().for_each(|key| fixture.serve(*key, Phase::Writing, 1000 + *key as u64));
    fixture.serve(keys[8], Phase::Head, 1000);
    // It reads.
    fixture.ready(keys[0], 6000);
    assert!(fixture.table.stalled(fixture.at(7000)).is_empty());
    assert_eq!(fixture.table.stalled(fixture.at(7002)), [1, 2]);
    assert_eq!(fixture.table.stalled(fixture.at(60_000)), [1, 2, 3, 4]);
}
