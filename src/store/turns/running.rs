//! The turns that run at this instance, those that are over, and the callers that wait for turns of other instances: what the claims'
//! thread works on, and when.

use std::collections::HashMap;
use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use uuid::Uuid;

use crate::sealing::Lookup;
use crate::store::batcher::Callback;
use crate::store::error::Error;

/// The time from one look at the sessions to the next. A turn ends so long, and the time of one statement, after its session was erased
/// elsewhere.
const INTERVAL: Duration = Duration::from_millis(200);

/// The same after a failure.
const INTERVAL_OF_FAILURES: Duration = Duration::from_secs(1);

/// How long after a look the text of an answer is sent: longer than it takes to the next look, unless the database is slow or away. So
/// an answer is not shown for longer than this after its session was erased elsewhere, whatever happens to the database.
const MAX_AGE_OF_LOOK: Duration = Duration::from_millis(250);

/// Callers that wait for the ends of turns of other instances. Further ones get [`Error::Unavailable`].
const MAX_WAITING: usize = 4096;

/// Stops that are asked for between two looks at the sessions, each by a statement of its own.
const MAX_STOPS: usize = 64;

/// How long a service that stops waits for the last round.
const MAX_CLOSE_TIME: Duration = Duration::from_secs(1);

/// What became of a turn's session at another instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClaimEvent {
    /// The session was erased.
    Erased,
    /// A client stopped the turn.
    Stopped,
    /// Another turn has the claim: this one did not renew it in time.
    TakenOver,
}

/// Called on the claims' thread, possibly several times; must not block.
pub(super) type EventHandler = Arc<dyn Fn(ClaimEvent) + Send + Sync>;

/// A turn that runs here.
#[derive(Clone)]
pub(super) struct Running {
    pub(super) session: Lookup,
    /// Of its claim; `None` for a turn without one, whose session is watched only.
    pub(super) position: Option<i32>,
    pub(super) on_event: EventHandler,
    /// When its session was known to exist before the first look.
    pub(super) since: Instant,
}

/// A claim to delete.
pub(super) struct Released {
    pub(super) session: Lookup,
    pub(super) claim: Uuid,
    /// Whether it was passed over once, since its row was locked.
    pub(super) is_second_try: bool,
    pub(super) callback: Option<Callback<()>>,
}

/// A caller that waits for the end of a turn, whichever instance runs it.
pub(super) struct Waiting {
    pub(super) session: Lookup,
    /// The claim of the turn; `None` until it is seen.
    pub(super) claim: Option<Uuid>,
    /// Whether a message waits, to be answered after that turn; otherwise a stop.
    pub(super) is_message: bool,
    pub(super) callback: Callback<bool>,
}

/// Shared by the claims' thread and all others.
#[derive(Default)]
pub(super) struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    over: Condvar,
}

#[derive(Default)]
struct State {
    /// By claim.
    running: HashMap<Uuid, Running>,
    released: Vec<Released>,
    /// Turns to stop, wherever they run.
    stops: Vec<Waiting>,
    waiting: Vec<Waiting>,
    /// The beginning of the last look that succeeded.
    looked_at: Option<Instant>,
    /// Whether somebody waits for the next round.
    is_urgent: bool,
    /// Whether no message may wait any more.
    refuses_messages: bool,
    is_closed: bool,
    /// Whether the thread has done its last round.
    is_over: bool,
}

/// The work of one round.
pub(super) struct Round {
    pub(super) released: Vec<Released>,
    pub(super) stops: Vec<Waiting>,
    /// What is looked at in this round; `None` in a round between two looks.
    pub(super) look: Option<Look>,
}

/// The turns and the callers whose sessions are looked at.
pub(super) struct Look {
    pub(super) running: HashMap<Uuid, Running>,
    pub(super) waiting: Vec<Waiting>,
}

impl Shared {
    pub(super) fn run(&self, claim: Uuid, running: Running) {
        self.state.lock().running.insert(claim, running);
        self.changed.notify_one();
    }

    /// Ends what [`Shared::run`] began.
    pub(super) fn end(&self, claim: &Uuid) {
        let ended = self.state.lock().running.remove(claim);
        // After the lock: what the handler has captured may take other locks when it is dropped.
        drop(ended);
    }

    /// After the events of a look that began then.
    pub(super) fn note_look(&self, began_at: Instant) {
        self.state.lock().looked_at = Some(began_at);
    }

    /// Whether the session of a turn is known to have existed a moment ago.
    pub(super) fn is_session_known(&self, claim: &Uuid) -> bool {
        let state = self.state.lock();
        let known_at = state.running.get(claim).map(|running| Some(running.since).max(state.looked_at));
        known_at.flatten().is_some_and(|at| at.elapsed() < MAX_AGE_OF_LOOK)
    }

    pub(super) fn release(&self, released: Released) {
        let mut state = self.state.lock();
        state.is_urgent |= released.callback.is_some();
        if !state.is_closed {
            state.released.push(released);
        }
        drop(state);
        self.changed.notify_one();
    }

    pub(super) fn stop(&self, session: Lookup, callback: Callback<bool>) {
        self.add(Waiting { session, claim: None, is_message: false, callback }, |state| {
            state.is_urgent = true;
            &mut state.stops
        });
    }

    pub(super) fn wait(&self, waiting: Waiting) {
        self.add(waiting, |state| &mut state.waiting);
    }

    fn add(&self, waiting: Waiting, list: impl FnOnce(&mut State) -> &mut Vec<Waiting>) {
        let mut state = self.state.lock();
        if state.is_closed
            || (state.refuses_messages && waiting.is_message)
            || state.stops.len() + state.waiting.len() >= MAX_WAITING
        {
            drop(state);
            return (waiting.callback)(Err(Error::Unavailable));
        }
        list(&mut state).push(waiting);
        drop(state);
        self.changed.notify_one();
    }

    /// Gives the messages that wait [`Error::Unavailable`], and those that would wait later.
    pub(super) fn refuse_messages(&self) {
        let mut state = self.state.lock();
        state.refuses_messages = true;
        let (messages, stops) = mem::take(&mut state.waiting).into_iter().partition(|waiting| waiting.is_message);
        state.waiting = stops;
        drop(state);
        fail(messages);
    }

    /// Ends the thread after a last round, which releases the claims of turns that are over; waits for that, but not for long. Whoever
    /// waits for a turn gets [`Error::Unavailable`].
    pub(super) fn close(&self) {
        let mut state = self.state.lock();
        state.is_closed = true;
        let waiting = mem::take(&mut state.waiting).into_iter().chain(mem::take(&mut state.stops)).collect();
        drop(state);
        self.changed.notify_one();
        fail(waiting);
        self.over.wait_while_for(&mut self.state.lock(), |state| !state.is_over, MAX_CLOSE_TIME);
    }

    /// Notes that the thread is over, or was never started.
    pub(super) fn end_thread(&self) {
        self.state.lock().is_over = true;
        self.over.notify_all();
    }

    /// Waits for work: until the next look is due, if there is anything to look at, or somebody waits; `None` once it is closed and
    /// nothing is left to release.
    pub(super) fn next_round(&self, last_look: Instant, has_failed: bool) -> Option<Round> {
        let next_look = last_look + if has_failed { INTERVAL_OF_FAILURES } else { INTERVAL };
        let mut state = self.state.lock();
        while !state.is_closed {
            let is_idle = state.running.is_empty() && state.released.is_empty() && state.waiting.is_empty();
            let is_due = Instant::now() >= next_look;
            if !state.is_urgent && is_idle {
                self.changed.wait(&mut state);
            } else if !is_due && (has_failed || !state.is_urgent) {
                self.changed.wait_until(&mut state, next_look);
            } else {
                let stops = state.stops.len().min(MAX_STOPS);
                let stops: Vec<Waiting> = state.stops.drain(..stops).collect();
                state.is_urgent = !state.stops.is_empty();
                let released = mem::take(&mut state.released);
                let look =
                    is_due.then(|| Look { running: state.running.clone(), waiting: mem::take(&mut state.waiting) });
                return Some(Round { released, stops, look });
            }
        }
        let released = mem::take(&mut state.released);
        (!released.is_empty()).then(|| Round { released, stops: Vec::new(), look: None })
    }
}

fn fail(waiting: Vec<Waiting>) {
    waiting.into_iter().for_each(|waiting| (waiting.callback)(Err(Error::Unavailable)));
}
