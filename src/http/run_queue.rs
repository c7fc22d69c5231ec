//! The run queue: the connections that the next free worker takes. Each kind of work has a lane of its own, so that what one
//! client can repeat without end delays others little, and refuses none of them.

use std::collections::{HashMap, VecDeque};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Instant;

use super::deadlines::Phase;
use super::slot::{Assignment, Dispatch, Holder, Readiness, Token};
use super::table::Table;
use crate::peers::PeerKey;

/// New requests that wait while the beginning of a further one is not looked at: it is served soon, whatever it is.
const MAX_UNEXAMINED: usize = 16;

/// A kind of work, which waits for workers in its order of arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    /// A response is to be written on, which only frees memory.
    Response,
    /// A new request that is never refused.
    Urgent,
    /// A new request. No others than these two are refused because of the queue.
    New,
    /// More has come of an incomplete request.
    Incomplete,
    /// A request that was here when the response before it was written. The connections themselves are its bound.
    Pipelined,
}

/// The lanes in the order in which workers take from them. Where the lane whose turn it is is empty, they take from the
/// first that is not.
const TURNS: [Lane; 5] = [Lane::Response, Lane::Urgent, Lane::New, Lane::Incomplete, Lane::Pipelined];

/// Keys of connections in lanes. A connection that was withdrawn leaves its key behind.
pub(super) struct RunQueue {
    lanes: [VecDeque<usize>; TURNS.len()],
    /// Connections in each lane, without those that were withdrawn.
    counts: [usize; TURNS.len()],
    /// New requests of each peer.
    peers: HashMap<PeerKey, usize>,
    turn: usize,
    max_queued: usize,
}

impl RunQueue {
    pub(super) fn new(max_queued: usize) -> RunQueue {
        let (lanes, counts, peers) = Default::default();
        RunQueue { lanes, counts, peers, turn: 0, max_queued }
    }

    pub(super) fn len(&self) -> usize {
        self.counts.iter().sum()
    }

    /// Whether so few new requests wait that it does not matter which of them are urgent.
    fn is_short(&self) -> bool {
        self.counts[Lane::New as usize] < MAX_UNEXAMINED.min(self.max_queued)
    }

    /// Whether a lane has room for a request. From half of it on, a peer may have an eighth.
    fn has_room(&self, lane: Lane, peer: Option<PeerKey>) -> bool {
        let count = self.counts[lane as usize];
        let of_peer = peer.and_then(|peer| self.peers.get(&peer)).copied().unwrap_or(0);
        let has_share = lane != Lane::New || count < self.max_queued / 2 || of_peer < (self.max_queued / 8).max(1);
        count < self.max_queued && has_share
    }

    fn push(&mut self, key: usize, lane: Lane, peer: Option<PeerKey>) {
        self.lanes[lane as usize].push_back(key);
        self.counts[lane as usize] += 1;
        if let Some(peer) = peer.filter(|_| lane == Lane::New) {
            *self.peers.entry(peer).or_default() += 1;
        }
    }

    /// The next key and its lane; the connection may have been withdrawn.
    fn pop(&mut self) -> Option<(usize, Lane)> {
        let of_turn = TURNS[self.turn];
        self.turn = (self.turn + 1) % TURNS.len();
        let pop = |lane: Lane| Some((self.lanes[lane as usize].pop_front()?, lane));
        [of_turn].into_iter().chain(TURNS).find_map(pop)
    }

    /// A connection is not queued any more.
    fn leave(&mut self, lane: Lane, peer: Option<PeerKey>) {
        self.counts[lane as usize] -= 1;
        let Some(peer) = peer.filter(|_| lane == Lane::New) else { return };
        if let Some(count) = self.peers.get_mut(&peer) {
            *count -= 1;
            if *count == 0 {
                self.peers.remove(&peer);
            }
        }
    }
}

impl<C, R> Table<C, R> {
    /// The poller reports that a socket is ready. `None` if it is queued, held by another, or waits for something else.
    pub(super) fn ready(&mut self, key: usize, readiness: Readiness, now: Instant) -> Option<Dispatch> {
        let slot = self.slots.get_mut(key)?;
        slot.readiness.readable |= readiness.readable;
        slot.readiness.writable |= readiness.writable;
        slot.readiness.ended |= readiness.ended;
        slot.readiness.failed |= readiness.failed;
        if slot.stream.is_none() || slot.holder != Holder::Poller {
            return None;
        }
        let stream = |table: &Table<C, R>| table.slots[key].stream.clone();
        match self.deadlines.phase(key) {
            Phase::Lingering => return stream(self).map(Dispatch::Drain),
            // A client that sends more and does not read its response gains nothing.
            Phase::Writing if !readiness.writable => return None,
            Phase::Writing => {}
            _ if !readiness.readable => return None,
            Phase::Idle if self.queue.is_short() && self.enqueue_new(key, false, now) => return None,
            Phase::Idle => return stream(self).map(Dispatch::Examine),
            _ => {}
        }
        self.enqueue(key, now);
        None
    }

    /// Makes an idle connection ready, whose request is new, unless its lane of the queue is full.
    pub(super) fn enqueue_new(&mut self, key: usize, is_urgent: bool, now: Instant) -> bool {
        let lane = if is_urgent { Lane::Urgent } else { Lane::New };
        let has_room = self.queue.has_room(lane, self.slots[key].peer);
        if has_room {
            self.deadlines.enter(key, Phase::Head, now);
            self.push(key, lane);
        }
        has_room
    }

    /// Makes a connection ready for the next free worker that has been served before. A new request has come in behind the
    /// one before it.
    pub(super) fn enqueue(&mut self, key: usize, now: Instant) {
        let lane = match self.deadlines.phase(key) {
            Phase::Writing => Lane::Response,
            Phase::Idle => Lane::Pipelined,
            _ => Lane::Incomplete,
        };
        if lane == Lane::Pipelined {
            self.deadlines.enter(key, Phase::Head, now);
        }
        self.push(key, lane);
    }

    fn push(&mut self, key: usize, lane: Lane) {
        let slot = &mut self.slots[key];
        (slot.holder, slot.lane) = (Holder::Queue, lane);
        self.half_closed.remove(&key);
        self.queue.push(key, lane, slot.peer);
    }

    /// Gives the next connection of the queue to a worker.
    pub(super) fn take(&mut self) -> Option<Assignment<C, R>> {
        loop {
            let (key, lane) = self.queue.pop()?;
            let slot = &mut self.slots[key];
            if slot.stream.is_none() || slot.holder != Holder::Queue || slot.lane != lane {
                continue;
            }
            slot.holder = Holder::Worker;
            self.queue.leave(lane, slot.peer);
            slot.readiness.writable = false;
            // A worker that writes does not read first, and the end of the input is found behind all that came before it.
            slot.readiness.readable &= slot.readiness.ended || lane == Lane::Response;
            let connection = slot.connection.take().expect("a queued connection is in its slot");
            let token = Token { key, generation: slot.generation };
            return Some(Assignment { token, connection, reply: slot.reply.take() });
        }
    }

    /// Gives the poller a connection, which may be queued, to refuse its request or to close it.
    pub(super) fn withdraw(&mut self, key: usize) -> Option<Arc<TcpStream>> {
        let slot = &mut self.slots[key];
        if slot.holder == Holder::Queue {
            self.queue.leave(slot.lane, slot.peer);
        }
        slot.holder = Holder::Poller;
        self.half_closed.remove(&key);
        slot.stream.clone()
    }
}

#[cfg(test)]
mod tests;
