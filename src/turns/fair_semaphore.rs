//! The permits for calls to the companion: a counting semaphore that is fair among clients and takes permits back from turns
//! whose client is gone.
//!
//! - A client may hold at most as many permits as are free. So a client alone has half of them, `n` busy clients have
//!   `1/(n+1)` each, and a newcomer finds a free one (the dynamic threshold of Choudhury and Hahne, 1998, with the factor 1).
//! - A permit goes to the client that has used the companion least in the last minutes (least attained service), where
//!   little use is like none; among those to the one that holds the fewest, and among those to the turn that has waited longest.
//! - An eighth of the permits is for clients that have used the companion little, so that they need not wait for the end of
//!   long answers of others.
//! - A limited number of turns waits. Above it, one leaves the queue: of the client that would be the last.
//! - While a turn waits whose client is there, one whose client is gone gives way: if it waits too, at once; if it holds a
//!   permit, then one for each waiting turn. It is stopped as by its client, so that what was said is kept.
//!
//! With n turns that wait, granting a permit costs O(log n). Only while the client of one is gone, all are looked at; there
//! are never more than threads for turns.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::active_turns::TurnGuard;
use super::companion_usage::{CompanionUsage, Rank};
use super::event::{ClientKey, Failure};

/// This part of the permits goes only to clients that have used the companion little.
const RESERVE_DIVISOR: usize = 8;

type Stop = Box<dyn FnOnce() + Send>;

/// A counting semaphore.
pub(super) struct FairSemaphore(Arc<Mutex<State>>);

struct State {
    permits: usize,
    free_permits: usize,
    max_waiting: usize,
    /// The turns that wait or hold a permit, by the number of their arrival.
    turns: BTreeMap<u64, Entry>,
    /// The turns whose client is gone.
    abandoned: usize,
    /// The clients that hold a permit or wait.
    clients: HashMap<ClientKey, Client>,
    /// The clients that wait. A permit goes to the first that may have one more.
    queue: BTreeMap<QueueKey, ClientKey>,
    usage: CompanionUsage,
    next_number: u64,
}

/// What a client has used, the permits that it holds, and the first of its turns that wait.
type QueueKey = (Rank, usize, u64);

#[derive(Default)]
struct Client {
    held: usize,
    waiting: BTreeSet<u64>,
    /// Where it is in the queue.
    key: Option<QueueKey>,
}

struct Entry {
    client: ClientKey,
    /// Wakes the turn's thread. `None` once the turn holds a permit.
    wake: Option<Sender<()>>,
    granted_at: Option<Instant>,
    is_abandoned: bool,
    /// Stops the turn. `None` once it is called: the turn ends soon.
    stop: Option<Stop>,
}

/// One permit. Dropping it returns it.
#[must_use]
pub(super) struct Permit {
    state: Arc<Mutex<State>>,
    number: u64,
}

impl FairSemaphore {
    /// A semaphore with this many permits, for which so many turns may wait. Holding permits for `little_use` in the last
    /// minutes makes no difference.
    pub(super) fn new(permits: usize, max_waiting: usize, little_use: Duration) -> FairSemaphore {
        FairSemaphore(Arc::new(Mutex::new(State {
            permits,
            free_permits: permits,
            max_waiting,
            turns: BTreeMap::new(),
            abandoned: 0,
            clients: HashMap::new(),
            queue: BTreeMap::new(),
            usage: CompanionUsage::new(little_use, Instant::now()),
            next_number: 0,
        })))
    }

    /// Takes a permit for a turn. Waits for one until the timeout or the cancellation, and then returns `None`, also where too
    /// many turns wait.
    pub(super) fn acquire(&self, guard: &TurnGuard, timeout: Duration) -> Option<Permit> {
        let (wake, woken) = mpsc::channel();
        let mut state = self.0.lock();
        let number = state.add(guard, wake.clone());
        let displaced = state.displace();
        drop(state);
        // After the lock: the captures of its callback may take other locks when they are dropped.
        drop(displaced);
        let shared = self.0.clone();
        guard.disconnect.on_cancel(move || {
            let stops = shared.lock().abandon(number);
            stops.into_iter().for_each(|stop| stop());
        });
        if self.0.lock().is_waiting(number) {
            // After the callback above: a turn that is abandoned already displaces no other.
            let stops = self.0.lock().take_stops();
            stops.into_iter().for_each(|stop| stop());
            guard.cancellation.on_cancel(move || _ = wake.send(()));
            let _ = woken.recv_timeout(timeout);
        }
        let mut state = self.0.lock();
        if state.is_waiting(number) {
            let turn = state.remove(number);
            drop(state);
            // After the lock, as above.
            drop(turn);
            return None;
        }
        if !state.turns.contains_key(&number) {
            // Displaced.
            return None;
        }
        drop(state);
        // Granted, perhaps at the moment of the timeout or the cancellation.
        Some(Permit { state: self.0.clone(), number }).filter(|_| !guard.cancellation.is_cancelled())
    }
}

impl State {
    fn add(&mut self, guard: &TurnGuard, wake: Sender<()>) -> u64 {
        let number = self.next_number;
        self.next_number += 1;
        let cancel = guard.canceller();
        let stop: Stop = Box::new(move || cancel(Failure::Stopped));
        let (client, wake) = (guard.client, Some(wake));
        self.turns.insert(number, Entry { client, wake, granted_at: None, is_abandoned: false, stop: Some(stop) });
        self.update(client, |client| _ = client.waiting.insert(number));
        self.grant();
        number
    }

    /// Ends the wait of a turn, or returns its permit.
    fn remove(&mut self, number: u64) -> Option<Entry> {
        let turn = self.turns.remove(&number)?;
        self.abandoned -= usize::from(turn.is_abandoned);
        if let Some(granted_at) = turn.granted_at {
            self.free_permits += 1;
            let now = Instant::now();
            self.usage.add(turn.client, now.saturating_duration_since(granted_at), now);
            self.update(turn.client, |client| client.held -= 1);
        } else {
            self.update(turn.client, |client| _ = client.waiting.remove(&number));
        }
        Some(turn)
    }

    /// Ends the wait of the turn that would be the last, if too many wait.
    fn displace(&mut self) -> Option<Entry> {
        let waiting = self.turns.len() - (self.permits - self.free_permits);
        if waiting <= self.max_waiting {
            return None;
        }
        let (_, client) = self.queue.last_key_value()?;
        let last = *self.clients.get(client)?.waiting.last()?;
        let turn = self.remove(last)?;
        turn.wake.as_ref().map(|wake| wake.send(()));
        Some(turn)
    }

    /// Changes a client, and where it is in the queue.
    fn update(&mut self, key: ClientKey, change: impl FnOnce(&mut Client)) {
        let client = self.clients.entry(key).or_default();
        if let Some(key) = client.key.take() {
            self.queue.remove(&key);
        }
        change(client);
        if let Some(first) = client.waiting.first() {
            let queue_key = (self.usage.rank(key, Instant::now()), client.held, *first);
            client.key = Some(queue_key);
            self.queue.insert(queue_key, key);
        } else if client.held == 0 {
            self.clients.remove(&key);
        }
    }

    fn is_waiting(&self, number: u64) -> bool {
        self.turns.get(&number).is_some_and(|turn| turn.wake.is_some())
    }

    fn held(&self, client: ClientKey) -> usize {
        self.clients.get(&client).map_or(0, |client| client.held)
    }

    /// Grants the permits that may be granted.
    fn grant(&mut self) {
        while let Some(number) = self.next_turn() {
            let Some(turn) = self.turns.get_mut(&number) else { return };
            // The thread may have timed out at this moment; then it finds that it has a permit.
            turn.wake.take().map(|wake| wake.send(()));
            turn.granted_at = Some(Instant::now());
            self.free_permits -= 1;
            let client = turn.client;
            self.update(client, |client| {
                client.waiting.remove(&number);
                client.held += 1;
            });
        }
    }

    /// The waiting turn that gets the next permit.
    fn next_turn(&self) -> Option<u64> {
        if self.free_permits == 0 {
            return None;
        }
        let is_reserved = self.free_permits <= self.reserve();
        let mut allowed = self.queue.keys().take_while(|(rank, _, _)| !is_reserved || rank.is_none());
        allowed.find(|(_, held, _)| *held < self.free_permits).map(|(_, _, number)| *number)
    }

    fn reserve(&self) -> usize {
        self.permits / RESERVE_DIVISOR
    }

    /// The client of a turn is gone. The turns to stop are returned, since stopping locks other parts.
    fn abandon(&mut self, number: u64) -> Vec<Stop> {
        if let Some(turn) = self.turns.get_mut(&number) {
            turn.is_abandoned = true;
            self.abandoned += 1;
        }
        self.take_stops()
    }

    /// What stops the abandoned turns that have to give way.
    fn take_stops(&mut self) -> Vec<Stop> {
        if self.abandoned == 0 {
            return Vec::new();
        }
        let waiting = self.turns.values().filter(|turn| turn.wake.is_some() && !turn.is_abandoned);
        let (count, clients) = (waiting.clone().count(), waiting.map(|turn| turn.client).collect::<HashSet<_>>());
        if count == 0 {
            return Vec::new();
        }
        let in_queue = self.turns.values_mut().filter(|turn| turn.wake.is_some() && turn.is_abandoned);
        let mut stops: Vec<Stop> = in_queue.filter_map(|turn| turn.stop.take()).collect();
        let ending = self.turns.values().filter(|turn| turn.wake.is_none() && turn.stop.is_none()).count();
        if ending < count {
            let (reserve, free_permits) = (self.reserve(), self.free_permits);
            // While permits are free for all, only the own turns of a client keep it from another one.
            let gives_way = |turn: &Entry| {
                let is_abandoned = turn.wake.is_none() && turn.is_abandoned && turn.stop.is_some();
                is_abandoned && (free_permits <= reserve || clients.contains(&turn.client))
            };
            let candidates = self.turns.iter().filter(|(_, turn)| gives_way(turn));
            let number = candidates.max_by_key(|(number, turn)| (self.held(turn.client), Reverse(**number)));
            let number = number.map(|(number, _)| *number);
            stops.extend(number.and_then(|number| self.turns.get_mut(&number)?.stop.take()));
        }
        stops
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut state = self.state.lock();
        let turn = state.remove(self.number);
        state.grant();
        drop(state);
        // After the lock, as above.
        drop(turn);
    }
}

#[cfg(test)]
mod tests;
