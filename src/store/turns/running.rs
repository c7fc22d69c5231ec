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

/// The same after several failures in a row; after the first one the next look is at once, with a new connection.
const INTERVAL_OF_FAILURES: Duration = Duration::from_secs(1);

/// How long after a look the text of an answer is sent: longer than it takes to the next look, unless the database is slow or away. So
/// an answer is not shown for longer than this after its session was erased elsewhere, whatever happens to the database.
const MAX_AGE_OF_LOOK: Duration = Duration::from_millis(250);

/// The time from one renewal of a claim to the next. A claim holds for 5 s, as `sql/turns/claim.sql` and the other statements that take
/// or renew one say.
pub(super) const RENEWAL_INTERVAL: Duration = Duration::from_secs(1);

/// Callers that wait for the ends of turns of other instances. Further ones get [`Error::Unavailable`].
const MAX_WAITING: usize = 4096;

/// Stops that no round has taken yet; one takes them all. Further ones get [`Error::Unavailable`].
const MAX_STOPS: usize = 4096;

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
    /// Before the statement that took its claim: its `ends_at` counts from the beginning of that.
    pub(super) claimed_at: Instant,
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
    /// Whether the turn is to be stopped.
    pub(super) is_stop: bool,
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
    /// Those of turns to stop that no round has taken yet.
    stops: Vec<Waiting>,
    waiting: Vec<Waiting>,
    /// The beginning of the last look that succeeded.
    looked_at: Option<Instant>,
    /// Whether somebody waits for the next round.
    is_urgent: bool,
    /// Whether a claim is to be renewed at once.
    is_renewal_late: bool,
    /// Whether nobody but stops may wait.
    is_draining: bool,
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
    /// When the next look is due.
    pub(super) deadline: Instant,
}

/// The turns and the callers whose sessions are looked at.
pub(super) struct Look {
    pub(super) running: HashMap<Uuid, Running>,
    pub(super) waiting: Vec<Waiting>,
    /// Before this list of turns was made. The look says nothing of turns that began later.
    pub(super) began_at: Instant,
}

impl Shared {
    pub(super) fn run(&self, claim: Uuid, running: Running) {
        let mut state = self.state.lock();
        // The statement waited, for a lock or for its commit: the claim is soon over, or is.
        state.is_renewal_late |= running.position.is_some() && running.claimed_at.elapsed() >= RENEWAL_INTERVAL;
        state.running.insert(claim, running);
        drop(state);
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

    /// Calls back, and has a claim that is not deleted tried once more: its row was locked, or has another claim.
    pub(super) fn finish_release(&self, mut released: Released, is_deleted: Result<bool, Error>) {
        let needs_second_try = is_deleted != Ok(true) && !released.is_second_try;
        if let Some(callback) = released.callback.take() {
            callback(is_deleted.map(|_| ()));
        }
        if needs_second_try {
            self.release(Released { is_second_try: true, ..released });
        }
    }

    /// Takes back what a round has not done that failed. The callers that wait go on, so that a broken connection and a failover end no
    /// wait; their clients have timeouts.
    pub(super) fn give_back(&self, round: Round, error: &Error) {
        let waiting = round.look.into_iter().flat_map(|look| look.waiting);
        waiting.chain(round.stops).for_each(|waiting| self.wait(waiting));
        round.released.into_iter().for_each(|released| self.finish_release(released, Err(error.clone())));
    }

    pub(super) fn stop(&self, session: Lookup, callback: Callback<bool>) {
        let stop = Waiting { session, claim: None, is_stop: true, callback };
        let mut state = self.state.lock();
        if state.is_closed || state.stops.len() >= MAX_STOPS {
            drop(state);
            return (stop.callback)(Err(Error::Unavailable));
        }
        state.stops.push(stop);
        state.is_urgent = true;
        drop(state);
        self.changed.notify_one();
    }

    pub(super) fn wait(&self, waiting: Waiting) {
        let mut state = self.state.lock();
        let is_refused = state.is_closed || state.is_draining && !waiting.is_stop;
        if is_refused || state.waiting.len() >= MAX_WAITING {
            drop(state);
            return (waiting.callback)(Err(Error::Unavailable));
        }
        state.waiting.push(waiting);
        drop(state);
        self.changed.notify_one();
    }

    /// Ends the waiting of all but stops with [`Error::Unavailable`], from now on.
    pub(super) fn end_waiting(&self) {
        let mut state = self.state.lock();
        state.is_draining = true;
        let ended: Vec<Waiting> = state.waiting.extract_if(.., |waiting| !waiting.is_stop).collect();
        drop(state);
        fail(ended);
    }

    /// Ends the thread after a last round, which releases the claims of turns that are over; waits for that, but not for long. The
    /// callers that still wait get [`Error::Unavailable`].
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
    /// `failures`: how many rounds have failed since the last success.
    pub(super) fn next_round(&self, last_look: Instant, failures: u32) -> Option<Round> {
        let is_delayed = failures > 1;
        let next_look = match failures {
            0 => last_look + INTERVAL,
            1 => last_look,
            _ => last_look + INTERVAL_OF_FAILURES,
        };
        let mut state = self.state.lock();
        while !state.is_closed {
            let is_idle = state.running.is_empty() && state.released.is_empty() && state.waiting.is_empty();
            let is_due = Instant::now() >= next_look || state.is_renewal_late && !is_delayed;
            if !state.is_urgent && is_idle {
                self.changed.wait(&mut state);
            } else if !is_due && (is_delayed || !state.is_urgent) {
                self.changed.wait_until(&mut state, next_look);
            } else {
                state.is_urgent = false;
                let (released, stops) = (mem::take(&mut state.released), mem::take(&mut state.stops));
                if !is_due {
                    return Some(Round { released, stops, look: None, deadline: next_look });
                }
                state.is_renewal_late = false;
                let (began_at, waiting) = (Instant::now(), mem::take(&mut state.waiting));
                let look = Look { running: state.running.clone(), waiting, began_at };
                return Some(Round { released, stops, look: Some(look), deadline: began_at + INTERVAL });
            }
        }
        let released = mem::take(&mut state.released);
        let deadline = Instant::now() + MAX_CLOSE_TIME;
        (!released.is_empty()).then(|| Round { released, stops: Vec::new(), look: None, deadline })
    }
}

fn fail(waiting: Vec<Waiting>) {
    waiting.into_iter().for_each(|waiting| (waiting.callback)(Err(Error::Unavailable)));
}
