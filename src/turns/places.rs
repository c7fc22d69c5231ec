//! The places of those who are with the companion at once: first come, first served, and nobody waits for long.

use std::collections::VecDeque;
use std::sync::mpsc::{self, SyncSender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::companion::Cut;

/// A bounded number of places.
pub(super) struct Places(Arc<Mutex<State>>);

struct State {
    free: usize,
    /// Those who wait, the first to have come at the front.
    waiting: VecDeque<Waiting>,
    count: u64,
}

struct Waiting {
    number: u64,
    wake: SyncSender<Wake>,
}

/// What ends a wait.
enum Wake {
    Place,
    Cut,
}

/// Somebody's place, handed on when it is dropped.
pub(super) struct Place(Arc<Mutex<State>>);

impl Places {
    pub(super) fn new(count: usize) -> Places {
        Places(Arc::new(Mutex::new(State { free: count, waiting: VecDeque::new(), count: 0 })))
    }

    /// Takes a place, waiting for one until `limit` is over or the call is cut; `None` in these cases.
    pub(super) fn take(&self, limit: Duration, cut: &Cut) -> Option<Place> {
        let mut state = lock(&self.0);
        if state.free > 0 {
            state.free -= 1;
            return Some(Place(self.0.clone()));
        }
        // Room for both, so that neither who hands on a place nor who cuts has to wait.
        let (wake, woken) = mpsc::sync_channel(2);
        state.count += 1;
        let number = state.count;
        state.waiting.push_back(Waiting { number, wake: wake.clone() });
        drop(state);
        cut.interrupt_with(move || _ = wake.try_send(Wake::Cut));
        let outcome = woken.recv_timeout(limit);
        let mut state = lock(&self.0);
        let before = state.waiting.len();
        state.waiting.retain(|waiting| waiting.number != number);
        // Who waits no longer was called to a place, perhaps in the very moment of giving up.
        let has_place = state.waiting.len() == before;
        drop(state);
        let place = has_place.then(|| Place(self.0.clone()));
        if matches!(outcome, Ok(Wake::Cut)) { None } else { place }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = lock(&self.0);
        match state.waiting.pop_front() {
            Some(next) => _ = next.wake.try_send(Wake::Place),
            None => state.free += 1,
        }
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
