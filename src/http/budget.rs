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

/// The part of the memory that the responses of one client may reserve.
const CLIENT_DIVISOR: usize = 4;

/// Bytes of a piece that [`Responder::stream_from`](super::Responder::stream_from) asks for, at most. So much memory is
/// reserved before it is asked for.
pub const MAX_PIECE_BYTES: usize = 256 * 1024;

/// Bytes that the responses of one session may reserve, where that is less: one person reads few of them at once.
const MAX_SESSION_BYTES: usize = 16 * MAX_PIECE_BYTES;

/// Responses that may wait for memory before they begin: more would wait for too long. Above it, each client may have one,
/// up to four times as many together.
const MAX_WAITING: usize = 256;
const MAX_WAITING_CLIENTS: usize = 4 * MAX_WAITING;

/// The part of them that may be one client's, and one session's.
const WAITING_DIVISOR: usize = 4;
const WAITING_SESSION_DIVISOR: usize = 16;

/// A buffer up to this length is not counted, so that refusals, health and the answers to erasures always have room. Mostly
/// the socket takes it at once.
const UNCOUNTED_BYTES: usize = 4096;

/// Bytes that a buffer of a length counts for.
pub(super) fn counted(length: usize) -> usize {
    if length <= UNCOUNTED_BYTES { 0 } else { length }
}

/// The memory of responses.
pub(super) struct MemoryBudget {
    state: Mutex<State>,
    /// The poller has to call [`MemoryBudget::grant`].
    may_grant: AtomicBool,
    /// A response had no room since the last call of [`MemoryBudget::lacks_memory`].
    lacks_memory: AtomicBool,
    poller: Arc<Waker>,
}

struct State {
    max: usize,
    reserved: usize,
    /// The clients that have reserved something, or wait. Responses without a client have one entry together.
    clients: HashMap<Option<PeerKey>, Client>,
    /// The first waiter of each client whose share has room for it: they wait for the budget alone.
    eligible: BTreeMap<Rank, Option<PeerKey>>,
    /// Waiters whose responses have not begun.
    new_waiters: usize,
    last_number: u64,
}

/// Who is next: the client that has reserved the least, of equal ones the first to arrive.
type Rank = (usize, u64);

#[derive(Default)]
struct Client {
    reserved: usize,
    /// In order of arrival.
    waiters: BTreeMap<u64, Waiter>,
    /// Those whose responses have not begun.
    new_waiters: usize,
}

/// A response that waits for memory.
#[derive(Clone, Copy)]
struct Waiter {
    token: Token,
    bytes: usize,
    has_begun: bool,
}

/// A part of the budget. Dropped, it is given back.
pub(super) struct Reservation {
    budget: Arc<MemoryBudget>,
    client: Option<PeerKey>,
    bytes: usize,
}

/// The entry of a waiter in the queue for memory. Dropped, it is removed.
pub(super) struct QueueEntry {
    budget: Arc<MemoryBudget>,
    client: Option<PeerKey>,
    number: u64,
}

impl MemoryBudget {
    pub(super) fn new(max: usize, poller: Arc<Waker>) -> Arc<MemoryBudget> {
        let (clients, eligible) = Default::default();
        let state = State { max, reserved: 0, clients, eligible, new_waiters: 0, last_number: 0 };
        let [may_grant, lacks_memory] = [(); 2].map(|()| AtomicBool::new(false));
        Arc::new(MemoryBudget { state: Mutex::new(state), may_grant, lacks_memory, poller })
    }

    pub(super) fn max(&self) -> usize {
        self.state.lock().max
    }

    /// Bytes that are reserved.
    pub(super) fn reserved(&self) -> usize {
        self.state.lock().reserved
    }

    /// An empty reservation.
    pub(super) fn empty(self: &Arc<MemoryBudget>, client: Option<PeerKey>) -> Reservation {
        Reservation { budget: self.clone(), client, bytes: 0 }
    }

    /// Whether so many responses wait for memory before they begin that no further one should.
    pub(super) fn is_overloaded(&self, client: Option<PeerKey>) -> bool {
        let state = self.state.lock();
        let max_of_client = match client {
            _ if state.new_waiters >= MAX_WAITING => 1,
            None => MAX_WAITING,
            Some(client) if client.is_session() => MAX_WAITING / WAITING_SESSION_DIVISOR,
            Some(_) => MAX_WAITING / WAITING_DIVISOR,
        };
        let of_client = state.clients.get(&client).map_or(0, |client| client.new_waiters);
        state.new_waiters >= MAX_WAITING_CLIENTS || of_client >= max_of_client
    }

    /// Reserves memory for the response of this token, or queues it behind the waiters. The poller delivers it then.
    /// `has_begun` says whether the response had memory before.
    pub(super) fn reserve(
        self: &Arc<MemoryBudget>,
        token: Token,
        client: Option<PeerKey>,
        bytes: usize,
        has_begun: bool,
    ) -> Result<Reservation, QueueEntry> {
        let mut state = self.state.lock();
        if state.is_next(client) && state.reserve(client, bytes) {
            return Ok(Reservation { budget: self.clone(), client, bytes });
        }
        state.last_number += 1;
        let number = state.last_number;
        state.insert(client, number, Waiter { token, bytes, has_begun });
        Err(QueueEntry { budget: self.clone(), client, number })
    }

    /// Whether [`MemoryBudget::grant`] has something to do.
    pub(super) fn may_grant(&self) -> bool {
        self.may_grant.swap(false, Ordering::Relaxed)
    }

    /// Reserves memory for the waiters, the client with the least first, as far as there is any.
    pub(super) fn grant(self: &Arc<MemoryBudget>) -> Vec<(Token, Reservation)> {
        let mut granted = Vec::new();
        let mut state = self.state.lock();
        // If there is no room for the first one, none overtakes it: all pieces are equally long, and the others have more.
        while let Some(((_, number), client)) = state.eligible.first_key_value().map(|(rank, client)| (*rank, *client))
            && let Some(Waiter { token, bytes, .. }) = state.waiter(client, number)
            && state.has_room(client, bytes)
        {
            state.remove(client, number);
            state.add(client, bytes);
            granted.push((token, Reservation { budget: self.clone(), client, bytes }));
        }
        granted
    }

    /// Whether responses wait for memory that others have.
    pub(super) fn has_waiters(&self) -> bool {
        !self.state.lock().eligible.is_empty()
    }

    /// Whether responses wait for memory that others have, or one had no room since the last call.
    pub(super) fn lacks_memory(&self) -> bool {
        self.lacks_memory.swap(false, Ordering::Relaxed) || self.has_waiters()
    }

    /// Has the poller look for waiters that can be granted memory.
    fn wake_poller(&self, state: &State) {
        // Once is enough until it looks.
        if !state.eligible.is_empty() && !self.may_grant.swap(true, Ordering::Relaxed) {
            let _ = self.poller.wake();
        }
    }
}

impl Client {
    fn has_room(&self, bytes: usize, share: usize) -> bool {
        self.reserved == 0 || self.reserved + bytes <= share
    }

    /// The first waiter, if the share has room for it.
    fn eligible(&self, share: usize) -> Option<Rank> {
        let (number, first) = self.waiters.first_key_value()?;
        self.has_room(first.bytes, share).then_some((self.reserved, *number))
    }
}

impl State {
    fn share(&self, client: Option<PeerKey>) -> usize {
        match client {
            None => self.max,
            Some(client) if client.is_session() => MAX_SESSION_BYTES.min(self.max / CLIENT_DIVISOR),
            Some(_) => self.max / CLIENT_DIVISOR,
        }
    }

    fn waiter(&self, client: Option<PeerKey>, number: u64) -> Option<Waiter> {
        self.clients.get(&client)?.waiters.get(&number).copied()
    }

    /// A client may reserve at most as much as is free then. So one alone has half of the memory, `n` have a part of `n + 1`
    /// each, and there is room for another one.
    fn has_room(&self, client: Option<PeerKey>, bytes: usize) -> bool {
        let of_client = self.clients.get(&client).map_or(0, |client| client.reserved);
        let free = self.max.saturating_sub(self.reserved);
        let has_share = || of_client == 0 || of_client + bytes <= self.share(client).min(free - bytes);
        // Alone, any response has room: one that is larger than the budget must not wait for ever.
        bytes == 0 || self.reserved == 0 || bytes <= free && has_share()
    }

    /// Whether a new response of a client would be granted memory before all that wait.
    fn is_next(&self, client: Option<PeerKey>) -> bool {
        let Some((first, _)) = self.eligible.first_key_value() else { return true };
        let (reserved, waits) =
            self.clients.get(&client).map_or((0, false), |client| (client.reserved, !client.waiters.is_empty()));
        !waits && reserved < first.0
    }

    fn reserve(&mut self, client: Option<PeerKey>, bytes: usize) -> bool {
        let is_reserved = self.has_room(client, bytes);
        if is_reserved {
            self.add(client, bytes);
        }
        is_reserved
    }

    fn add(&mut self, client: Option<PeerKey>, bytes: usize) {
        self.reserved += bytes;
        self.change(client, |client| client.reserved += bytes);
    }

    fn give_back(&mut self, client: Option<PeerKey>, bytes: usize) {
        self.reserved -= bytes;
        self.change(client, |client| client.reserved -= bytes);
    }

    fn insert(&mut self, client: Option<PeerKey>, number: u64, waiter: Waiter) {
        let new = usize::from(!waiter.has_begun);
        self.new_waiters += new;
        self.change(client, |client| {
            client.waiters.insert(number, waiter);
            client.new_waiters += new;
        });
    }

    /// Removes a waiter, and says whether it was there.
    fn remove(&mut self, client: Option<PeerKey>, number: u64) -> bool {
        let Some(waiter) = self.waiter(client, number) else { return false };
        let new = usize::from(!waiter.has_begun);
        self.new_waiters -= new;
        self.change(client, |client| {
            client.waiters.remove(&number);
            client.new_waiters -= new;
        });
        true
    }

    /// Changes a client, and keeps to [`State::eligible`]. Thus nobody has to look through all waiters.
    fn change(&mut self, key: Option<PeerKey>, change: impl FnOnce(&mut Client)) {
        let share = self.share(key);
        let client = self.clients.entry(key).or_default();
        let before = client.eligible(share);
        change(client);
        let after = client.eligible(share);
        if client.reserved == 0 && client.waiters.is_empty() {
            self.clients.remove(&key);
        }
        if before != after {
            before.and_then(|rank| self.eligible.remove(&rank));
            after.and_then(|rank| self.eligible.insert(rank, key));
        }
    }
}

impl Reservation {
    /// Whether nothing is reserved.
    pub(super) fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Whether [`Reservation::grow`] would succeed.
    pub(super) fn can_grow(&self, bytes: usize) -> bool {
        self.budget.state.lock().has_room(self.client, bytes)
    }

    /// Reserves more, if there is room.
    pub(super) fn grow(&mut self, bytes: usize) -> bool {
        let is_reserved = bytes == 0 || self.budget.state.lock().reserve(self.client, bytes);
        if is_reserved {
            self.bytes += bytes;
        } else {
            self.budget.lacks_memory.store(true, Ordering::Relaxed);
        }
        is_reserved
    }

    /// Moves what is reserved into a reservation of its own.
    pub(super) fn take(&mut self) -> Reservation {
        Reservation { budget: self.budget.clone(), client: self.client, bytes: mem::take(&mut self.bytes) }
    }

    /// Reserves as much as a buffer of this length counts for, even if there is no room: it is in memory already.
    pub(super) fn set(&mut self, length: usize) {
        let bytes = counted(length);
        let before = mem::replace(&mut self.bytes, bytes);
        if before == bytes {
            return;
        }
        let mut state = self.budget.state.lock();
        state.give_back(self.client, before);
        state.add(self.client, bytes);
        if bytes < before {
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

impl Drop for QueueEntry {
    fn drop(&mut self) {
        let mut state = self.budget.state.lock();
        // Others may have waited behind it.
        if state.remove(self.client, self.number) {
            self.budget.wake_poller(&state);
        }
    }
}

#[cfg(test)]
mod tests;
