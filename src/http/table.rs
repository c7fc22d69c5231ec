//! Every open connection in a slot, and in the run queue if a worker can serve it. It is generic over what it holds,
//! so it knows neither sockets' bytes nor threads. The server keeps it behind one lock.

use std::collections::BTreeSet;
use std::mem;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Instant;

use super::deadlines::{Deadlines, Phase};
use super::limits::{Limits, MAX_LINGERING};
use super::peer_connections::PeerConnections;
use super::refusal::Refusal;
use super::run_queue::{Lane, RunQueue};
use super::slot::{Expired, Holder, Readiness, Removed, ResponseState, Slot, Token};
use crate::peers::PeerKey;

/// The connections of a server.
pub(super) struct Table<C, R> {
    pub(super) slots: Vec<Slot<C, R>>,
    free: Vec<usize>,
    pub(super) deadlines: Deadlines,
    pub(super) queue: RunQueue,
    pub(super) peers: PeerConnections,
    /// Incomplete requests that the poller has to refuse, since their peers have too many.
    pub(super) giving_way: Vec<Token>,
    /// Connections whose client has shut its side while the application works on their response.
    pub(super) half_closed: BTreeSet<usize>,
    /// Of the last request or connection.
    pub(super) generation: u64,
}

impl<C, R> Table<C, R> {
    pub(super) fn new(limits: &Limits) -> Table<C, R> {
        Table {
            slots: Vec::new(),
            free: Vec::new(),
            deadlines: Deadlines::new(limits),
            queue: RunQueue::new(limits.max_queued),
            peers: PeerConnections::new(limits),
            giving_way: Vec::new(),
            half_closed: BTreeSet::new(),
            generation: 0,
        }
    }

    /// Connections that count towards [`Limits::max_connections`].
    pub(super) fn count(&self) -> usize {
        self.slots.len() - self.free.len() - self.deadlines.count(Phase::Lingering)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.slots.len() == self.free.len()
    }

    pub(super) fn keys(&self) -> Vec<usize> {
        (0..self.slots.len()).filter(|key| self.slots[*key].stream.is_some()).collect()
    }

    /// Whether the request is still the current one. Its slot may have been cleared while a worker was stuck on it.
    pub(super) fn is_current(&self, token: Token) -> bool {
        self.slots[token.key].generation == token.generation && self.slots[token.key].stream.is_some()
    }

    /// Takes in a new connection, idle and held by the poller, and returns its key.
    pub(super) fn insert(
        &mut self,
        stream: Arc<TcpStream>,
        peer: Option<PeerKey>,
        connection: Box<C>,
        now: Instant,
    ) -> usize {
        self.generation += 1;
        let key = self.free.pop().unwrap_or(self.slots.len());
        let slot = Slot {
            generation: self.generation,
            stream: Some(stream),
            peer,
            connection: Some(connection),
            reply: None,
            has_piece: false,
            holder: Holder::Poller,
            lane: Lane::New,
            response: ResponseState::default(),
            is_last_write: false,
            number: self.peers.connect(peer, key),
            incomplete_since: None,
            readiness: Readiness::default(),
            on_disconnect: None,
        };
        if key == self.slots.len() {
            self.slots.push(slot);
        } else {
            self.slots[key] = slot;
        }
        self.deadlines.insert(key, now);
        key
    }

    /// Removes a connection.
    pub(super) fn remove(&mut self, key: usize) -> Option<Removed<C, R>> {
        self.slots[key].stream.as_ref()?;
        let stream = self.withdraw(key)?;
        self.slots[key].stream = None;
        self.forget_peer(key);
        self.deadlines.remove(key);
        self.free.push(key);
        let slot = &mut self.slots[key];
        let (connection, reply, on_disconnect) = (slot.connection.take(), slot.reply.take(), slot.on_disconnect.take());
        Some(Removed { stream, connection, reply, on_disconnect })
    }

    /// A connection does not count for its peer any more.
    fn forget_peer(&mut self, key: usize) {
        self.end_incomplete(key);
        let slot = &mut self.slots[key];
        self.peers.disconnect(slot.peer.take(), slot.number);
    }

    /// The request of a connection lacks a part. If its peer has too many such requests, the oldest one gives way.
    fn begin_incomplete(&mut self, key: usize, began: Instant) {
        let slot = &mut self.slots[key];
        if slot.incomplete_since.is_some() {
            return;
        }
        slot.incomplete_since = Some(began);
        self.peers.insert_incomplete(slot.peer, began, key);
        let Some(incomplete) = self.peers.too_many_incomplete(slot.peer) else { return };
        if let Some(oldest) = self.oldest_incomplete(incomplete) {
            self.giving_way.push(Token { key: oldest, generation: self.slots[oldest].generation });
            self.end_incomplete(oldest);
        }
    }

    /// The request of a connection lacks nothing any more.
    pub(super) fn end_incomplete(&mut self, key: usize) {
        let slot = &mut self.slots[key];
        if let Some(began) = slot.incomplete_since.take() {
            self.peers.remove_incomplete(slot.peer, began, key);
        }
    }

    /// Takes back a connection that waits for its client. In the same phase and without progress it keeps its deadline.
    pub(super) fn park(&mut self, token: Token, connection: Box<C>, phase: Phase, progress: bool, now: Instant) {
        // The phase of a head, which a body continues, began with the request.
        let began = self.deadlines.entered(token.key);
        let slot = &mut self.slots[token.key];
        slot.is_last_write &= phase == Phase::Writing && !progress;
        if self.deadlines.phase(token.key) != phase || progress {
            self.deadlines.enter(token.key, phase, now);
        }
        (slot.connection, slot.holder) = (Some(connection), Holder::Poller);
        let is_ready = if phase == Phase::Writing { slot.readiness.writable } else { slot.readiness.readable };
        match phase {
            Phase::Head | Phase::Body => self.begin_incomplete(token.key, began),
            _ => self.end_incomplete(token.key),
        }
        if phase == Phase::Idle {
            self.end_request(token.key);
        }
        if is_ready {
            self.enqueue(token.key, now);
        }
    }

    /// What was noted of the request by its token does not concern the next one.
    fn end_request(&mut self, key: usize) {
        self.generation += 1;
        self.slots[key].generation = self.generation;
    }

    /// Takes back a connection whose next request is here already, behind those that are queued.
    pub(super) fn requeue(&mut self, token: Token, connection: Box<C>, now: Instant) {
        self.deadlines.enter(token.key, Phase::Idle, now);
        self.end_incomplete(token.key);
        self.end_request(token.key);
        self.slots[token.key].connection = Some(connection);
        self.enqueue(token.key, now);
    }

    /// Lets a connection linger. Above [`MAX_LINGERING`] the one that has lingered for the longest time is removed.
    pub(super) fn linger(&mut self, key: usize, now: Instant) -> Option<Removed<C, R>> {
        self.deadlines.enter(key, Phase::Lingering, now);
        self.forget_peer(key);
        self.slots[key].holder = Holder::Poller;
        if self.deadlines.count(Phase::Lingering) <= MAX_LINGERING {
            return None;
        }
        let oldest = self.deadlines.keys(Phase::Lingering).next()?;
        self.remove(oldest)
    }

    /// Ends the phase of up to `max` connections whose deadline has passed, but of none that a worker serves: it soon gives
    /// them back. Afterwards no worker takes what was queued, and a late response has no connection.
    pub(super) fn expire(&mut self, now: Instant, max: usize) -> Vec<Expired<C, R>> {
        let is_due = |key: &usize| match (self.deadlines.phase(*key), self.slots[*key].holder) {
            (phase, Holder::Worker) => phase == Phase::Answering,
            state => state != (Phase::Writing, Holder::Queue),
        };
        let keys: Vec<usize> = self.deadlines.expired(now).filter(is_due).take(max).collect();
        keys.into_iter().filter_map(|key| self.expire_one(key, now)).collect()
    }

    fn expire_one(&mut self, key: usize, now: Instant) -> Option<Expired<C, R>> {
        let (phase, slot) = (self.deadlines.phase(key), &mut self.slots[key]);
        let (holder, response, duration) = (slot.holder, mem::take(&mut slot.response), self.deadlines.duration(phase));
        let refusal = match (phase, holder) {
            (Phase::Answering, _) => {
                let is_worker_stuck = holder == Holder::Worker;
                return Some(Expired::Abandon { removed: self.remove(key)?, response, is_worker_stuck });
            }
            (_, Holder::Queue) if slot.incomplete_since.is_none() => Refusal::Busy,
            (Phase::Head, _) => Refusal::HeadTooSlow(duration),
            (Phase::Body, _) => Refusal::BodyTooSlow(duration),
            // epoll reports only a third of the send buffer as free space: a slow client may have read less than that.
            (Phase::Writing, _) if !slot.is_last_write => {
                slot.is_last_write = true;
                self.enqueue(key, now);
                return Some(Expired::Queued);
            }
            (Phase::Idle | Phase::Writing | Phase::Lingering, _) => return self.remove(key).map(Expired::Close),
        };
        self.withdraw(key).map(|stream| Expired::Refuse(key, stream, refusal))
    }
}
