//! The turns that run, at most one for each session, and their cancellation from other threads.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use uuid::Uuid;

use super::event::{ClientKey, Failure};
use crate::sealing::Lookup;
use crate::store::{Callback, Error};
use crate::sync::CancellationToken;

/// Callers that wait for the end of one turn: stops, and messages that are sent again. A client that is gone leaves its own behind.
const MAX_CALLERS: usize = 64;

/// The running turns by session. All clones share one map.
#[derive(Clone, Default)]
pub(super) struct ActiveTurns(Arc<Mutex<HashMap<Lookup, ActiveTurn>>>);

#[derive(Default)]
struct ActiveTurn {
    cancellation: CancellationToken,
    /// How a cancelled turn fails: with `Stopped` or, where its session is erased, with `NoSession`.
    failure: Option<Failure>,
    /// Called at the end of the turn with whether its session exists; [`MAX_CALLERS`] at most.
    on_end: Vec<Callback<bool>>,
    work: Work,
}

/// What a turn does.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Work {
    /// It polishes a report. A message takes its place: the person may be in danger, and does not wait.
    #[default]
    Polish,
    /// It answers a message: that of this question, where the message has an `Idempotency-Key`.
    Answer(Option<Uuid>),
}

/// The result of [`ActiveTurns::wait`].
#[derive(PartialEq, Eq)]
pub(super) enum WaitOutcome {
    Waiting,
    NotRunning,
    /// Too many callers wait already.
    TooMany,
}

/// The right to be the only turn of a session. Dropping it releases the session for the next turn, and reports to the
/// callers of [`ActiveTurns::cancel`] whether the session exists.
pub(super) struct TurnGuard {
    turns: ActiveTurns,
    session: Lookup,
    pub(super) client: ClientKey,
    pub(super) cancellation: CancellationToken,
    /// Cancelled when the client is gone.
    pub(super) disconnect: CancellationToken,
    /// An error until the turn is over: a panic, and a thread pool that rejects the turn, leave it in place.
    pub(super) session_exists: Result<bool, Error>,
}

impl ActiveTurns {
    /// Registers a turn; `None` while another one of the session runs. One that answers cancels and replaces one that polishes.
    pub(super) fn register(
        &self,
        session: Lookup,
        client: ClientKey,
        disconnect: &CancellationToken,
        work: Work,
    ) -> Option<TurnGuard> {
        let mut turns = self.0.lock();
        if turns.get(&session).is_some_and(|turn| work == Work::Polish || turn.work != Work::Polish) {
            return None;
        }
        let mut turn = ActiveTurn { work, ..ActiveTurn::default() };
        let cancellation = turn.cancellation.clone();
        let replaced = turns.remove(&session).map(|replaced| {
            // They wait until no turn of the session runs.
            turn.on_end = replaced.on_end;
            replaced.cancellation
        });
        turns.insert(session, turn);
        drop(turns);
        if let Some(replaced) = replaced {
            replaced.cancel();
        }
        Some(TurnGuard {
            turns: self.clone(),
            session,
            client,
            cancellation,
            disconnect: disconnect.clone(),
            session_exists: Err(Error::Unavailable),
        })
    }

    /// Cancels the turn of a session, which then fails so, and calls `on_end` at its end. Returns `on_end` where no turn runs,
    /// or too many callers wait for its end.
    pub(super) fn cancel(
        &self,
        session: Lookup,
        failure: Failure,
        on_end: Option<Callback<bool>>,
    ) -> Option<Callback<bool>> {
        let mut turns = self.0.lock();
        let Some(turn) = turns.get_mut(&session) else { return on_end };
        // Erasure is final: a later stop must not store the answer so far.
        if turn.failure != Some(Failure::NoSession) {
            turn.failure = Some(failure);
        }
        let too_many = if turn.on_end.len() < MAX_CALLERS {
            turn.on_end.extend(on_end);
            None
        } else {
            on_end
        };
        let cancellation = turn.cancellation.clone();
        drop(turns);
        cancellation.cancel();
        too_many
    }

    /// Whether a turn of the session runs that is not the one of this question.
    pub(super) fn runs_another(&self, session: Lookup, question: Uuid) -> bool {
        self.0.lock().get(&session).is_some_and(|turn| turn.work != Work::Answer(Some(question)))
    }

    /// Has `on_end`, which is made only then, called at the end of the session's turn.
    pub(super) fn wait(&self, session: Lookup, on_end: impl FnOnce() -> Callback<bool>) -> WaitOutcome {
        match self.0.lock().get_mut(&session) {
            None => WaitOutcome::NotRunning,
            Some(turn) if turn.on_end.len() >= MAX_CALLERS => WaitOutcome::TooMany,
            Some(turn) => {
                turn.on_end.push(on_end());
                WaitOutcome::Waiting
            }
        }
    }

    /// Cancels the calls of all turns, for shutdown.
    pub(super) fn cancel_all(&self) {
        let tokens: Vec<CancellationToken> = self.0.lock().values().map(|turn| turn.cancellation.clone()).collect();
        tokens.iter().for_each(CancellationToken::cancel);
    }
}

impl TurnGuard {
    /// How the turn fails if it was cancelled.
    pub(super) fn failure(&self) -> Option<Failure> {
        match self.turns.0.lock().get(&self.session) {
            Some(turn) if turn.cancellation.is_same(&self.cancellation) => turn.failure.clone(),
            // Another turn has its place.
            _ => Some(Failure::Stopped),
        }
    }

    /// What cancels this turn, which then fails so, also from another thread. A later turn of the session is not affected.
    pub(super) fn canceller(&self) -> impl Fn(Failure) + Send + Sync + use<> {
        let (turns, session, cancellation) = (self.turns.clone(), self.session, self.cancellation.clone());
        move |failure| {
            let mut active = turns.0.lock();
            if let Some(turn) = active.get_mut(&session).filter(|turn| turn.cancellation.is_same(&cancellation)) {
                if failure == Failure::NoSession {
                    turn.failure = Some(failure);
                } else {
                    turn.failure.get_or_insert(failure);
                }
            }
            drop(active);
            cancellation.cancel();
        }
    }
}

impl Drop for TurnGuard {
    fn drop(&mut self) {
        let mut turns = self.turns.0.lock();
        let is_own = turns.get(&self.session).is_some_and(|turn| turn.cancellation.is_same(&self.cancellation));
        let turn = if is_own { turns.remove(&self.session) } else { None };
        drop(turns);
        turn.into_iter().flat_map(|turn| turn.on_end).for_each(|on_end| on_end(self.session_exists.clone()));
    }
}
