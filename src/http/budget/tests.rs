//! Who has room, who waits, and that nothing is lost.

use std::net::IpAddr;
use std::thread;
use std::time::{Duration, Instant};

use mio::Poll;

use super::*;
use crate::peers::{Distinct, Peers};

fn budget(max: usize) -> (Arc<MemoryBudget>, Poll) {
    let poll = Poll::new().expect("there is epoll");
    let waker = Waker::new(poll.registry(), mio::Token(0)).expect("it can be woken");
    (MemoryBudget::new(max, Arc::new(waker)), poll)
}

fn token(key: usize) -> Token {
    Token { key, generation: 1 }
}

fn peers<const COUNT: usize>() -> [Option<PeerKey>; COUNT] {
    let peers = Peers::new(Distinct::All);
    std::array::from_fn(|number| peers.key(IpAddr::from([10, 0, u8::try_from(number).unwrap_or(0), 1])))
}

fn granted(budget: &Arc<MemoryBudget>) -> (Vec<usize>, Vec<Reservation>) {
    budget.grant().into_iter().map(|(token, reservation)| (token.key, reservation)).unzip()
}

#[test]
fn waiters_with_nothing_are_granted_memory_in_order_of_arrival() {
    let (budget, _poll) = budget(100);
    let [one, two, three] = peers();
    let first = budget.reserve(token(1), one, 60, false).ok();
    let large = budget.reserve(token(2), two, 50, false).err();
    // It would fit, but not before the one that waits.
    let small = budget.reserve(token(3), three, 10, false).err();
    assert!(first.is_some() && large.is_some() && small.is_some());
    assert!(!budget.may_grant() && granted(&budget).0.is_empty());
    drop(first);
    assert!(budget.may_grant());
    let (keys, reservations) = granted(&budget);
    assert_eq!((keys, budget.reserved()), (vec![2, 3], 60));
    drop((large, small, reservations));
    assert_eq!(budget.reserved(), 0);
}

#[test]
fn a_client_with_less_memory_is_next_whenever_it_arrived() {
    let (budget, _poll) = budget(100);
    let [greedy, other, newcomer] = peers();
    let [held, most] = [(greedy, 10), (other, 85)].map(|(peer, bytes)| budget.reserve(token(0), peer, bytes, false));
    let earlier = budget.reserve(token(1), greedy, 10, false).err();
    let later = budget.reserve(token(2), newcomer, 10, false).err();
    assert!(held.is_ok() && most.is_ok() && earlier.is_some() && later.is_some());
    drop(most);
    let (keys, reservations) = granted(&budget);
    assert_eq!(keys, [2, 1]);
    drop((reservations, earlier, later));
}

#[test]
fn a_waiter_that_leaves_the_queue_lets_those_behind_it_have_memory() {
    let (budget, _poll) = budget(100);
    let [one, two, three] = peers();
    let _first = budget.reserve(token(1), one, 60, false);
    let large = budget.reserve(token(2), two, 50, false).err();
    let _small = budget.reserve(token(3), three, 10, false).err();
    drop(large);
    assert!(budget.may_grant());
    assert_eq!(granted(&budget).0, [3]);
}

#[test]
fn a_peer_has_a_quarter_and_does_not_block_others() {
    let (budget, _poll) = budget(100);
    let [one, other] = peers();
    let first = budget.reserve(token(1), one, 20, false);
    let waiting = [budget.reserve(token(2), one, 20, false), budget.reserve(token(3), one, 20, false)];
    assert!(first.is_ok() && waiting.iter().all(Result::is_err));
    let others = [budget.reserve(token(4), other, 20, false), budget.reserve(token(5), None, 30, false)];
    assert!(others.iter().all(Result::is_ok));
    assert!(!budget.empty(one).can_grow(10) && budget.empty(other).can_grow(5));
    drop(first);
    let (keys, reservations) = granted(&budget);
    assert_eq!(keys, [2]);
    drop((reservations, others, waiting));
    assert_eq!((budget.reserved(), budget.state.lock().clients.len()), (0, 0));
}

#[test]
fn a_reservation_grows_only_into_what_is_free_and_small_buffers_are_not_counted() {
    let (budget, _poll) = budget(10_000);
    let mut reservation = budget.empty(None);
    assert!(reservation.grow(3000) && !reservation.grow(3000) && reservation.can_grow(2000));
    // What is in memory already counts even if there is no room for it.
    let mut forced = budget.empty(None);
    forced.set(9000);
    assert_eq!(budget.reserved(), 12_000);
    forced.set(UNCOUNTED_BYTES);
    let moved = reservation.take();
    drop(reservation);
    assert_eq!(budget.reserved(), 3000);
    drop(moved);
    // Larger than the budget, but alone.
    assert!(budget.reserve(token(1), None, 20_000, false).is_ok());
    assert_eq!(budget.reserved(), 0);
}

#[test]
fn no_memory_is_lost_and_no_response_waits_for_ever_among_many_threads() {
    let (budget, _poll) = budget(1000);
    let peers: [Option<PeerKey>; 3] = peers();
    // Delivered reservations by token.
    let delivered: Vec<Mutex<Option<Reservation>>> = (0..8).map(|_| Mutex::default()).collect();
    let (stopped, deadline) = (AtomicBool::new(false), Instant::now() + Duration::from_secs(60));
    thread::scope(|scope| {
        let poller = scope.spawn(|| {
            while !stopped.load(Ordering::Relaxed) {
                if budget.may_grant() {
                    budget.grant().into_iter().for_each(|(token, it)| *delivered[token.key].lock() = Some(it));
                }
                thread::yield_now();
            }
        });
        let clients: Vec<_> = (0..8)
            .map(|key| {
                let (budget, delivered) = (&budget, &delivered);
                let peer = if key < 6 { peers[key % 3] } else { None };
                scope.spawn(move || {
                    for round in 0..2000 {
                        match budget.reserve(token(key), peer, 240, false) {
                            Ok(mut reservation) => reservation.set(round % 240),
                            // Every few rounds the client leaves.
                            Err(entry) if round % 7 == 0 => drop(entry),
                            Err(_entry) => {
                                while delivered[key].lock().take().is_none() {
                                    assert!(Instant::now() < deadline, "the memory is not delivered");
                                    thread::yield_now();
                                }
                            }
                        }
                        // One that left may have been granted memory at the same moment.
                        delivered[key].lock().take();
                    }
                })
            })
            .collect();
        let ended: Vec<_> = clients.into_iter().map(thread::ScopedJoinHandle::join).collect();
        stopped.store(true, Ordering::Relaxed);
        poller.join().expect("the poller does not panic");
        assert!(ended.iter().all(Result::is_ok));
    });
    drop(delivered);
    let state = budget.state.lock();
    assert_eq!((state.reserved, state.clients.len(), state.eligible.len(), state.new_waiters), (0, 0, 0, 0));
}

/// The key of a session.
fn session() -> Option<PeerKey> {
    Some(Peers::new(Distinct::None).session_key(&[7; 16]))
}

#[test]
fn a_session_has_few_pieces_of_a_large_budget_and_a_peer_a_quarter() {
    let (budget, _poll) = budget(1 << 30);
    let (session, [peer]) = (session(), peers());
    assert!(budget.empty(session).can_grow(MAX_SESSION_BYTES) && budget.empty(peer).can_grow(1 << 28));
    let _one = [budget.reserve(token(1), session, 1, true), budget.reserve(token(2), peer, 1, true)];
    assert!(!budget.empty(session).can_grow(MAX_SESSION_BYTES) && !budget.empty(peer).can_grow(1 << 28));
}

#[test]
fn only_responses_that_have_not_begun_are_too_many_to_wait() {
    for (client, max) in [(None, 256), (peers::<1>()[0], 64), (session(), 16)] {
        let (budget, _poll) = budget(100);
        let first = budget.reserve(token(0), client, 100, true);
        let _begun: Vec<_> = (0..1000).map(|key| budget.reserve(token(key), client, 100, true)).collect();
        assert!(!budget.is_overloaded(client));
        let new: Vec<_> = (1..max).map(|key| budget.reserve(token(key), client, 100, false)).collect();
        assert!(!budget.is_overloaded(client));
        let last = budget.reserve(token(max), client, 100, false);
        assert!(budget.is_overloaded(client));
        assert!(!budget.is_overloaded(session()) || client == session(), "one of another client may wait");
        drop(last);
        assert!(!budget.is_overloaded(client));
        drop((first, new));
    }
}

#[test]
fn where_many_wait_each_client_may_have_one_waiter_until_there_are_too_many() {
    let ((budget, _poll), peer_keys) = (budget(100), Peers::new(Distinct::All));
    let key = |number: usize| {
        let net = u16::try_from(number).expect("few peers").to_be_bytes();
        peer_keys.key(IpAddr::from([10, net[0], net[1], 1]))
    };
    let _all = budget.reserve(token(0), None, 100, true);
    let mut waiting = Vec::new();
    for number in 0..MAX_WAITING_CLIENTS {
        assert!(!budget.is_overloaded(key(number)), "{number} wait");
        waiting.push(budget.reserve(token(number), key(number), 100, false));
        assert_eq!(budget.is_overloaded(key(number)), waiting.len() >= MAX_WAITING, "a second one of {number}");
    }
    assert!(budget.is_overloaded(key(MAX_WAITING_CLIENTS)));
}

#[test]
fn clients_that_reserve_all_they_can_leave_as_much_for_another() {
    for count in [1, 2, 9, 30] {
        let (budget, _poll) = budget(100_000);
        let peers: [_; 31] = peers();
        let clients = if count == 1 { &[None] } else { &peers[..count] };
        let (mut held, mut waiting) = (Vec::new(), Vec::new());
        for _ in 0..1000 {
            for client in clients {
                match budget.reserve(token(0), *client, 100, true) {
                    Ok(reservation) => held.push(reservation),
                    Err(entry) => waiting.push(entry),
                }
            }
        }
        let (free, most) = (100_000 - budget.reserved(), budget.reserved() / count);
        assert!(free + 100 * count >= most && !waiting.is_empty(), "{count} clients: {free} free, {most} each");
        let newcomer = budget.reserve(token(1), peers[30], most, false);
        assert!(newcomer.is_ok(), "{count} clients: {free} free, {most} each");
    }
}

#[test]
fn a_small_response_has_room_in_a_budget_that_is_exceeded() {
    let (budget, _poll) = budget(10_000);
    let mut forced = budget.empty(None);
    forced.set(20_000);
    assert!(budget.empty(None).grow(0) && !budget.empty(None).grow(5000));
}
