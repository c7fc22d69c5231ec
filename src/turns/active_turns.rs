//! The turns that run, at most one for each session, and their cancellation from other threads.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::event::Failure;
use crate::sealing::Lookup;
use crate::store::{Callback, Error};
use crate::sync::CancellationToken;

/// Why a turn is cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CancelReason {
    /// The client asked for it; the answer so far is kept.
    Stopped,
    /// The session is erased.
    Erased,
}

impl From<CancelReason> for Failure {
    fn from(reason: CancelReason) -> Failure {
        match reason {
            CancelReason::Stopped => Failure::Stopped,
            CancelReason::Erased => Failure::NoSession,
        }
    }
}

/// The running turns by session. All clones share one map.
#[derive(Clone, Default)]
pub(super) struct ActiveTurns(Arc<Mutex<HashMap<Lookup, ActiveTurn>>>);

#[derive(Default)]
struct ActiveTurn {
    cancellation: CancellationToken,
    reason: Option<CancelReason>,
    /// Called at the end of the turn with whether its session exists.
    on_end: Vec<Callback<bool>>,
}

/// The right to be the only turn of a session. Dropping it releases the session for the next turn, and reports to the
/// callers of [`ActiveTurns::cancel`] whether the session exists.
pub(super) struct TurnGuard {
    turns: ActiveTurns,
    session: Lookup,
    pub(super) cancellation: CancellationToken,
    /// An error until the turn is over, which a panic leaves in place.
    pub(super) session_exists: Result<bool, Error>,
}

impl ActiveTurns {
    /// Registers a turn; `None` while another turn of the session runs.
    pub(super) fn register(&self, session: Lookup) -> Option<TurnGuard> {
        let mut turns = self.0.lock();
        if turns.contains_key(&session) {
            return None;
        }
        let cancellation = turns.entry(session).or_default().cancellation.clone();
        let session_exists = Err(Error::Refused("the turn panicked".to_owned()));
        Some(TurnGuard { turns: self.clone(), session, cancellation, session_exists })
    }

    /// Cancels the turn of a session, and calls `on_end` at its end. Returns `on_end` where no turn runs.
    pub(super) fn cancel(
        &self,
        session: Lookup,
        reason: CancelReason,
        on_end: Option<Callback<bool>>,
    ) -> Option<Callback<bool>> {
        let mut turns = self.0.lock();
        let Some(turn) = turns.get_mut(&session) else { return on_end };
        // Erasure is final: a later stop must not store the answer so far.
        if turn.reason != Some(CancelReason::Erased) {
            turn.reason = Some(reason);
        }
        turn.on_end.extend(on_end);
        let cancellation = turn.cancellation.clone();
        drop(turns);
        cancellation.cancel();
        None
    }

    /// Cancels the calls of all turns, for shutdown.
    pub(super) fn cancel_all(&self) {
        let tokens: Vec<CancellationToken> = self.0.lock().values().map(|turn| turn.cancellation.clone()).collect();
        tokens.iter().for_each(CancellationToken::cancel);
    }
}

impl TurnGuard {
    /// The reason of the cancellation, where there is one.
    pub(super) fn cancel_reason(&self) -> Option<CancelReason> {
        self.turns.0.lock().get(&self.session).and_then(|turn| turn.reason)
    }
}

impl Drop for TurnGuard {
    fn drop(&mut self) {
        let turn = self.turns.0.lock().remove(&self.session);
        turn.into_iter().flat_map(|turn| turn.on_end).for_each(|on_end| on_end(self.session_exists.clone()));
    }
}
