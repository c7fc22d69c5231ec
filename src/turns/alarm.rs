//! Does something at a given time, unless it is over before.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

type Deed = Box<dyn FnOnce() + Send>;

/// The alarms that are set, and the one thread that keeps them, which is there from the first alarm until nobody can set
/// another.
#[derive(Clone, Default)]
pub(super) struct Alarms(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// Told when there is an alarm that is due sooner than all others.
    sooner: Condvar,
}

#[derive(Default)]
struct State {
    alarms: BTreeMap<(Instant, u64), Deed>,
    count: u64,
    has_thread: bool,
    closed: bool,
}

/// An alarm that is set until this is dropped.
pub(super) struct Alarm {
    shared: Arc<Shared>,
    key: (Instant, u64),
}

impl Alarms {
    /// Has `deed` done at a time, on another thread. It has to be short.
    pub(super) fn set(&self, time: Instant, deed: impl FnOnce() + Send + 'static) -> Alarm {
        let mut state = self.0.state();
        state.count += 1;
        let key = (time, state.count);
        let is_first = state.alarms.keys().next().is_none_or(|first| key < *first);
        state.alarms.insert(key, Box::new(deed));
        if !state.has_thread {
            let shared = self.0.clone();
            let thread = thread::Builder::new().name("alarms".to_owned()).spawn(move || shared.keep());
            state.has_thread = thread.is_ok();
        }
        drop(state);
        if is_first {
            self.0.sooner.notify_one();
        }
        Alarm { shared: self.0.clone(), key }
    }

    /// Ends the thread. Alarms that are set then are not kept.
    pub(super) fn close(&self) {
        self.0.state().closed = true;
        self.0.sooner.notify_one();
    }
}

impl Shared {
    fn keep(&self) {
        let mut state = self.state();
        while !state.closed {
            let next = state.alarms.keys().next().map(|(time, _)| *time);
            let wait = next.map(|time| time.saturating_duration_since(Instant::now()));
            state = match wait {
                Some(wait) if wait.is_zero() => {
                    let due = state.alarms.pop_first();
                    drop(state);
                    if let Some((_, deed)) = due {
                        // Nobody would be told in time any more if it ended this thread.
                        let _ = catch_unwind(AssertUnwindSafe(deed));
                    }
                    self.state()
                }
                Some(wait) => self.sooner.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner).0,
                None => self.sooner.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        // What it would have done is dropped without the lock.
        let deed = self.shared.state().alarms.remove(&self.key);
        drop(deed);
    }
}
