//! The permits for calls to the companion: a counting semaphore that is fair among clients and takes permits back from turns
//! whose client is gone.
//!
//! - A client may hold at most as many permits as are free. So a client alone has half of them, `n` busy clients have
//!   `1/(n+1)` each, and a newcomer finds a free one (the dynamic threshold of Choudhury and Hahne, 1998, with the factor 1).
//! - A permit goes to the client that holds the fewest, and among those to the turn that has waited longest.
//! - While a turn waits whose client is there, one whose client is gone gives way: if it waits too, at once; if it holds a
//!   permit, then one for each waiting turn. It is stopped as by its client, so that what was said is kept.
//!
//! Every operation looks at all turns that wait or hold a permit. There are never more than threads for turns.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use std::time::Duration;

use parking_lot::Mutex;

use super::active_turns::TurnGuard;
use super::event::ClientKey;

type Stop = Box<dyn FnOnce() + Send>;

/// A counting semaphore.
pub(super) struct FairSemaphore(Arc<Mutex<State>>);

struct State {
    free_permits: usize,
    /// The turns that wait or hold a permit, by the number of their arrival.
    turns: BTreeMap<u64, Entry>,
    /// The permits of each client that holds any.
    held: HashMap<ClientKey, usize>,
    next_number: u64,
}

struct Entry {
    client: ClientKey,
    /// Wakes the turn's thread. `None` once the turn holds a permit.
    wake: Option<Sender<()>>,
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
    /// A semaphore with this many permits.
    pub(super) fn new(permits: usize) -> FairSemaphore {
        let (turns, held) = (BTreeMap::new(), HashMap::new());
        FairSemaphore(Arc::new(Mutex::new(State { free_permits: permits, turns, held, next_number: 0 })))
    }

    /// Takes a permit for a turn. Waits for one until the timeout or the cancellation, and then returns `None`.
    pub(super) fn acquire(&self, guard: &TurnGuard, timeout: Duration) -> Option<Permit> {
        let (wake, woken) = mpsc::channel();
        let number = self.0.lock().add(guard, wake.clone());
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
            let turn = state.turns.remove(&number);
            drop(state);
            // After the lock: the captures of its callback may take other locks when they are dropped.
            drop(turn);
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
        let stop: Stop = Box::new(guard.stopper());
        let entry = Entry { client: guard.client, wake: Some(wake), is_abandoned: false, stop: Some(stop) };
        self.turns.insert(number, entry);
        self.grant();
        number
    }

    fn is_waiting(&self, number: u64) -> bool {
        self.turns.get(&number).is_some_and(|turn| turn.wake.is_some())
    }

    fn held(&self, client: ClientKey) -> usize {
        self.held.get(&client).copied().unwrap_or_default()
    }

    /// Grants the permits that may be granted.
    fn grant(&mut self) {
        while let Some(number) = self.next_turn() {
            let Some(turn) = self.turns.get_mut(&number) else { return };
            // The thread may have timed out at this moment; then it finds that it has a permit.
            turn.wake.take().map(|wake| wake.send(()));
            *self.held.entry(turn.client).or_default() += 1;
            self.free_permits -= 1;
        }
    }

    /// The waiting turn that gets the next permit, if its client may have one more.
    fn next_turn(&self) -> Option<u64> {
        let waiting = self.turns.iter().filter(|(_, turn)| turn.wake.is_some());
        // Of several minima this is the first, which has waited longest.
        let (number, turn) = waiting.min_by_key(|(_, turn)| self.held(turn.client))?;
        (self.held(turn.client) < self.free_permits).then_some(*number)
    }

    /// The client of a turn is gone. The turns to stop are returned, since stopping locks other parts.
    fn abandon(&mut self, number: u64) -> Vec<Stop> {
        if let Some(turn) = self.turns.get_mut(&number) {
            turn.is_abandoned = true;
        }
        self.take_stops()
    }

    /// What stops the abandoned turns that have to give way.
    fn take_stops(&mut self) -> Vec<Stop> {
        let waiting = self.turns.values().filter(|turn| turn.wake.is_some() && !turn.is_abandoned);
        let (count, clients) = (waiting.clone().count(), waiting.map(|turn| turn.client).collect::<HashSet<_>>());
        if count == 0 {
            return Vec::new();
        }
        let in_queue = self.turns.values_mut().filter(|turn| turn.wake.is_some() && turn.is_abandoned);
        let mut stops: Vec<Stop> = in_queue.filter_map(|turn| turn.stop.take()).collect();
        let ending = self.turns.values().filter(|turn| turn.wake.is_none() && turn.stop.is_none()).count();
        if ending < count {
            // While permits are free, only the own turns of a client keep it from another one.
            let gives_way = |turn: &Entry| {
                let is_abandoned = turn.wake.is_none() && turn.is_abandoned && turn.stop.is_some();
                is_abandoned && (self.free_permits == 0 || clients.contains(&turn.client))
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
        let Some(turn) = state.turns.remove(&self.number) else { return };
        state.free_permits += 1;
        match state.held.get_mut(&turn.client) {
            Some(held) if *held > 1 => *held -= 1,
            _ => _ = state.held.remove(&turn.client),
        }
        state.grant();
        drop(state);
        // After the lock, as above.
        drop(turn);
    }
}

#[cfg(test)]
mod tests;
