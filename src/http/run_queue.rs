//! The run queue: the connections that the next free worker takes. Each kind of work has a lane of its own, so that what one
//! client can repeat without end delays others little, and refuses none of them.

use std::collections::{HashMap, VecDeque};

use crate::peers::PeerKey;

/// New requests that wait, besides a few for each free worker, while the beginning of a further one is not looked at: it is
/// served soon, whatever it is, and to look at it is a system call. The busy workers may take long.
const MAX_UNEXAMINED: usize = 16;
const MAX_UNEXAMINED_OF_WORKER: usize = 4;

/// A kind of work, which waits for workers in its order of arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    /// A response is to be written on, which only frees memory.
    Response,
    /// A new request that is never refused. The connections themselves are its bound.
    Urgent,
    /// A new request. No others are refused because of the queue.
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

    /// Whether so few new requests wait, with so many workers free, that it does not matter which of them are urgent.
    pub(super) fn is_short(&self, free_workers: usize) -> bool {
        self.counts[Lane::New as usize]
            < (MAX_UNEXAMINED + MAX_UNEXAMINED_OF_WORKER * free_workers).min(self.max_queued)
    }

    /// Whether there is room for a new request that is not urgent. From half of its lane on, a peer may have an eighth.
    pub(super) fn has_room(&self, peer: Option<PeerKey>) -> bool {
        let count = self.counts[Lane::New as usize];
        let of_peer = peer.and_then(|peer| self.peers.get(&peer)).copied().unwrap_or(0);
        let has_share = count < self.max_queued / 2 || of_peer < (self.max_queued / 8).max(1);
        count < self.max_queued && has_share
    }

    pub(super) fn push(&mut self, key: usize, lane: Lane, peer: Option<PeerKey>) {
        self.lanes[lane as usize].push_back(key);
        self.counts[lane as usize] += 1;
        if let Some(peer) = peer.filter(|_| lane == Lane::New) {
            *self.peers.entry(peer).or_default() += 1;
        }
    }

    /// The next key and its lane; the connection may have been withdrawn.
    pub(super) fn pop(&mut self) -> Option<(usize, Lane)> {
        let of_turn = TURNS[self.turn];
        self.turn = (self.turn + 1) % TURNS.len();
        let pop = |lane: Lane| Some((self.lanes[lane as usize].pop_front()?, lane));
        [of_turn].into_iter().chain(TURNS).find_map(pop)
    }

    /// A connection is not queued any more.
    pub(super) fn leave(&mut self, lane: Lane, peer: Option<PeerKey>) {
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

#[cfg(test)]
mod tests;
