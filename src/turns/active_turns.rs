//! The turns that run, at most one for each session, and their cancellation from other threads.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

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

/// The right to be the only turn of a session. Dropping it (a panic, a rejected job) releases
/// the session too.
pub(super) struct TurnGuard {
    turns: ActiveTurns,
    session: Lookup,
    cancellation: CancellationToken,
    /// Then another turn may have the session.
    is_released: bool,
}

impl ActiveTurns {
    /// Registers a turn; `None` while another turn of the session runs.
    pub(super) fn register(&self, session: Lookup) -> Option<TurnGuard> {
        let mut turns = self.0.lock();
        if turns.contains_key(&session) {
            return None;
        }
        let cancellation = turns.entry(session).or_default().cancellation.clone();
        Some(TurnGuard { turns: self.clone(), session, cancellation, is_released: false })
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
    pub(super) fn cancellation(&self) -> &CancellationToken {
        &self.cancellation
    }

    /// The reason of the cancellation, where there is one.
    pub(super) fn cancel_reason(&self) -> Option<CancelReason> {
        self.turns.0.lock().get(&self.session).and_then(|turn| turn.reason)
    }

    /// Releases the session for the next turn, and reports to the callers of [`ActiveTurns::cancel`] whether it exists.
    pub(super) fn release(mut self, session_exists: &Result<bool, Error>) {
        self.release_with(session_exists);
    }

    fn release_with(&mut self, session_exists: &Result<bool, Error>) {
        self.is_released = true;
        let turn = self.turns.0.lock().remove(&self.session);
        turn.into_iter().flat_map(|turn| turn.on_end).for_each(|on_end| on_end(session_exists.clone()));
    }
}

impl Drop for TurnGuard {
    fn drop(&mut self) {
        if !self.is_released {
            self.release_with(&Err(Error::Refused("the turn panicked".to_owned())));
        }
    }
}
