//! How the connections of the table enter the run queue and leave it.

use std::net::TcpStream;
use std::sync::Arc;
use std::time::Instant;

use super::deadlines::Phase;
use super::run_queue::Lane;
use super::slot::{Assignment, Dispatch, Holder, Readiness, Token};
use super::table::Table;

impl<C, R> Table<C, R> {
    /// The poller reports that a socket is ready, while so many workers are free. `None` if it is queued, held by another, or
    /// waits for something else.
    pub(super) fn ready(
        &mut self,
        key: usize,
        readiness: Readiness,
        free_workers: usize,
        now: Instant,
    ) -> Option<Dispatch> {
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
            Phase::Idle if self.queue.is_short(free_workers) && self.enqueue_new(key, false, now) => return None,
            Phase::Idle => return stream(self).map(Dispatch::Examine),
            _ => {}
        }
        self.enqueue(key, now);
        None
    }

    /// Makes an idle connection ready, whose request is new, unless it is not urgent and the queue has no room for it.
    pub(super) fn enqueue_new(&mut self, key: usize, is_urgent: bool, now: Instant) -> bool {
        let lane = if is_urgent { Lane::Urgent } else { Lane::New };
        let has_room = is_urgent || self.queue.has_room(self.slots[key].peer);
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
