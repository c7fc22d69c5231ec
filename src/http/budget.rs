//! The memory that the responses of all clients may take together, given out by reservation. What is reserved is given back
//! when the [`Reservation`] is dropped, wherever that happens, so nothing is lost when a connection ends.

use std::collections::{BTreeMap, HashMap};
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mio::Waker;
use parking_lot::Mutex;

use super::slot::Token;
use crate::peers::PeerKey;

/// What one peer may reserve, as a part of the whole.
const PEER_DIVISOR: usize = 4;

/// Responses that may wait for memory before they begin, and a [`PEER_DIVISOR`]th of that of one peer. Whatever the
/// application has prepared for them is not counted, and more would wait for too long.
const MAX_WAITING: usize = 256;

/// A buffer up to this length is not counted, so that errors, health and the answer to `DELETE` always have room. Mostly
/// the socket takes it at once.
const UNCOUNTED_BYTES: usize = 4096;

/// Bytes that a buffer of a length counts for.
pub(super) fn counted(length: usize) -> usize {
    if length <= UNCOUNTED_BYTES { 0 } else { length }
}

/// The memory of responses.
pub(super) struct MemoryBudget {
    max: usize,
    state: Mutex<State>,
    /// The poller has to call [`MemoryBudget::grant`].
    may_grant: AtomicBool,
    poller: Arc<Waker>,
}

#[derive(Default)]
struct State {
    reserved: usize,
    /// Without those who have reserved nothing.
    of_peers: HashMap<PeerKey, usize>,
    /// In order of arrival.
    waiting: BTreeMap<u64, Waiter>,
    last_number: u64,
}

/// A response that waits for memory.
#[derive(Clone, Copy)]
struct Waiter {
    token: Token,
    peer: Option<PeerKey>,
    bytes: usize,
}

/// A part of the budget. Dropped, it is given back.
pub(super) struct Reservation {
    budget: Arc<MemoryBudget>,
    peer: Option<PeerKey>,
    bytes: usize,
}

/// A place in the queue for memory. Dropped, it is left.
pub(super) struct Place {
    budget: Arc<MemoryBudget>,
    number: u64,
}

impl MemoryBudget {
    pub(super) fn new(max: usize, poller: Arc<Waker>) -> Arc<MemoryBudget> {
        let (state, may_grant) = (Mutex::default(), AtomicBool::new(false));
        Arc::new(MemoryBudget { max, state, may_grant, poller })
    }

    pub(super) fn max(&self) -> usize {
        self.max
    }

    /// Bytes that are reserved.
    pub(super) fn reserved(&self) -> usize {
        self.state.lock().reserved
    }

    /// An empty reservation.
    pub(super) fn empty(self: &Arc<MemoryBudget>, peer: Option<PeerKey>) -> Reservation {
        Reservation { budget: self.clone(), peer, bytes: 0 }
    }

    /// Whether so many responses wait for memory that no further one should begin.
    pub(super) fn is_crowded(&self, peer: Option<PeerKey>) -> bool {
        let state = self.state.lock();
        let of_peer = || state.waiting.values().filter(|waiter| waiter.peer == peer).count();
        state.waiting.len() >= MAX_WAITING || peer.is_some() && of_peer() >= MAX_WAITING / PEER_DIVISOR
    }

    /// Reserves memory for the request of this token, or waits behind the others who wait. The poller delivers it then.
    pub(super) fn reserve(
        self: &Arc<MemoryBudget>,
        token: Token,
        peer: Option<PeerKey>,
        bytes: usize,
    ) -> Result<Reservation, Place> {
        let mut state = self.state.lock();
        // Those who wait for their own peer alone are no reason to wait.
        let is_queue = state.waiting.values().any(|first| state.peer_has_room(first.peer, first.bytes, self.max));
        if !is_queue && state.reserve(peer, bytes, self.max) {
            return Ok(Reservation { budget: self.clone(), peer, bytes });
        }
        state.last_number += 1;
        let number = state.last_number;
        state.waiting.insert(number, Waiter { token, peer, bytes });
        Err(Place { budget: self.clone(), number })
    }

    /// Whether [`MemoryBudget::grant`] has something to do.
    pub(super) fn may_grant(&self) -> bool {
        self.may_grant.swap(false, Ordering::Relaxed)
    }

    /// Reserves memory for those who have waited for the longest time, as far as there is any.
    pub(super) fn grant(self: &Arc<MemoryBudget>) -> Vec<(Token, Reservation)> {
        let (mut granted, mut from) = (Vec::new(), 0);
        let state = &mut *self.state.lock();
        while let Some((number, waiter)) = state.waiting.range(from..).next() {
            let (number, Waiter { token, peer, bytes }) = (*number, *waiter);
            from = number + 1;
            if state.reserve(peer, bytes, self.max) {
                state.waiting.remove(&number);
                granted.push((token, Reservation { budget: self.clone(), peer, bytes }));
            } else if state.peer_has_room(peer, bytes, self.max) {
                // The budget is used up, and nobody overtakes this one.
                break;
            }
        }
        granted
    }

    /// Has the poller look for those who can be granted memory.
    fn wake_poller(&self, state: &State) {
        if !state.waiting.is_empty() {
            // Once is enough until it looks.
            if !self.may_grant.swap(true, Ordering::Relaxed) {
                let _ = self.poller.wake();
            }
        }
    }
}

impl State {
    fn peer_has_room(&self, peer: Option<PeerKey>, bytes: usize, max: usize) -> bool {
        let reserved = peer.and_then(|peer| self.of_peers.get(&peer)).copied().unwrap_or(0);
        peer.is_none() || reserved == 0 || reserved + bytes <= max / PEER_DIVISOR
    }

    fn has_room(&self, peer: Option<PeerKey>, bytes: usize, max: usize) -> bool {
        // Alone, any response has room: one that is larger than the budget must not wait for ever.
        (self.reserved == 0 || self.reserved + bytes <= max) && self.peer_has_room(peer, bytes, max)
    }

    fn reserve(&mut self, peer: Option<PeerKey>, bytes: usize, max: usize) -> bool {
        let is_reserved = self.has_room(peer, bytes, max);
        if is_reserved {
            self.add(peer, bytes);
        }
        is_reserved
    }

    fn add(&mut self, peer: Option<PeerKey>, bytes: usize) {
        self.reserved += bytes;
        if let Some(peer) = peer.filter(|_| bytes > 0) {
            *self.of_peers.entry(peer).or_default() += bytes;
        }
    }

    fn remove(&mut self, peer: Option<PeerKey>, bytes: usize) {
        self.reserved -= bytes;
        if let Some(peer) = peer.filter(|_| bytes > 0) {
            let reserved = self.of_peers.entry(peer).or_default();
            *reserved -= bytes;
            if *reserved == 0 {
                self.of_peers.remove(&peer);
            }
        }
    }
}

impl Reservation {
    /// Whether [`Reservation::grow`] would succeed.
    pub(super) fn can_grow(&self, bytes: usize) -> bool {
        self.budget.state.lock().has_room(self.peer, bytes, self.budget.max)
    }

    /// Reserves more, if there is room.
    pub(super) fn grow(&mut self, bytes: usize) -> bool {
        let is_reserved = self.budget.state.lock().reserve(self.peer, bytes, self.budget.max);
        self.bytes += if is_reserved { bytes } else { 0 };
        is_reserved
    }

    /// Moves what is reserved into a reservation of its own.
    pub(super) fn take(&mut self) -> Reservation {
        Reservation { budget: self.budget.clone(), peer: self.peer, bytes: mem::take(&mut self.bytes) }
    }

    /// Reserves as much as a buffer of this length counts for, even if there is no room: it is in memory already.
    pub(super) fn set(&mut self, length: usize) {
        let bytes = counted(length);
        let mut state = self.budget.state.lock();
        let is_less = bytes < self.bytes;
        state.remove(self.peer, mem::replace(&mut self.bytes, bytes));
        state.add(self.peer, bytes);
        if is_less {
            self.budget.wake_poller(&state);
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.set(0);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.budget.state.lock();
        // Others may have waited behind it.
        if state.waiting.remove(&self.number).is_some() {
            self.budget.wake_poller(&state);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::thread;
    use std::time::Duration;

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
    fn those_who_wait_are_granted_memory_in_order_of_arrival() {
        let (budget, _poll) = budget(100);
        let first = budget.reserve(token(1), None, 60).ok();
        let large = budget.reserve(token(2), None, 50).err();
        // It would fit, but not before the one that waits.
        let small = budget.reserve(token(3), None, 10).err();
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
    fn one_who_leaves_the_queue_lets_those_behind_it_have_memory() {
        let (budget, _poll) = budget(100);
        let _first = budget.reserve(token(1), None, 60);
        let large = budget.reserve(token(2), None, 50).err();
        let _small = budget.reserve(token(3), None, 10).err();
        drop(large);
        assert!(budget.may_grant());
        assert_eq!(granted(&budget).0, [3]);
    }

    #[test]
    fn a_peer_has_a_quarter_and_does_not_block_others() {
        let (budget, _poll) = budget(100);
        let [one, other] = peers();
        let first = budget.reserve(token(1), one, 20);
        let waiting = [budget.reserve(token(2), one, 20), budget.reserve(token(3), one, 20)];
        assert!(first.is_ok() && waiting.iter().all(Result::is_err));
        let others = [budget.reserve(token(4), other, 20), budget.reserve(token(5), None, 40)];
        assert!(others.iter().all(Result::is_ok));
        assert!(!budget.empty(one).can_grow(10) && budget.empty(other).can_grow(5));
        drop(first);
        let (keys, reservations) = granted(&budget);
        assert_eq!(keys, [2]);
        drop((reservations, others, waiting));
        assert_eq!((budget.reserved(), budget.state.lock().of_peers.len()), (0, 0));
    }

    #[test]
    fn a_reservation_grows_only_into_what_is_free_and_small_buffers_are_not_counted() {
        let (budget, _poll) = budget(10_000);
        let mut reservation = budget.empty(None);
        assert!(reservation.grow(8000) && !reservation.grow(8000) && reservation.can_grow(2000));
        // What is in memory already counts even if there is no room for it.
        let mut forced = budget.empty(None);
        forced.set(9000);
        assert_eq!(budget.reserved(), 17_000);
        forced.set(UNCOUNTED_BYTES);
        let moved = reservation.take();
        drop(reservation);
        assert_eq!(budget.reserved(), 8000);
        drop(moved);
        // Larger than the budget, but alone.
        assert!(budget.reserve(token(1), None, 20_000).is_ok());
        assert_eq!(budget.reserved(), 0);
    }

    #[test]
    fn no_memory_is_lost_and_nobody_waits_for_ever_among_many_threads() {
        let (budget, _poll) = budget(1000);
        let peers: [Option<PeerKey>; 3] = peers();
        // Delivered reservations by token.
        let delivered: Vec<Mutex<Option<Reservation>>> = (0..8).map(|_| Mutex::default()).collect();
        let stopped = AtomicBool::new(false);
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
                            match budget.reserve(token(key), peer, 240) {
                                Ok(mut reservation) => reservation.set(round % 240),
                                // Every few rounds the client leaves.
                                Err(place) if round % 7 == 0 => drop(place),
                                Err(_place) => {
                                    while delivered[key].lock().take().is_none() {
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
            clients.into_iter().for_each(|client| client.join().expect("no client panics"));
            thread::sleep(Duration::from_millis(10));
            stopped.store(true, Ordering::Relaxed);
            poller.join().expect("the poller does not panic");
        });
        drop(delivered);
        let state = budget.state.lock();
        assert_eq!((state.reserved, state.of_peers.len(), state.waiting.len()), (0, 0, 0));
    }
}
