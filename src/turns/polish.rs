//! Has the companion's model rewrite a text of a session, as a turn does: one at a time in a session, under a permit. A message of
//! the session takes its place.

use std::sync::Arc;
use std::time::Instant;

use super::active_turns::{TurnGuard, Work};
use super::event::{ClientKey, Failure};
use super::turns::Turns;
use crate::companion::Call;
use crate::peers::PeerKey;
use crate::sealing::Lookup;
use crate::store::ClaimEvent;
use crate::sync::CancellationToken;

/// A text to rewrite.
pub struct Polish {
    /// The session that it is of.
    pub session: Lookup,
    /// The client's network, where its address tells it apart from others.
    pub peer: Option<PeerKey>,
    /// Cancelled when the client is gone.
    pub disconnect: CancellationToken,
    /// When the request arrived; the companion has returned `COMPANION_TIMEOUT` later.
    pub received_at: Instant,
    /// What the model is asked to do. It takes the place of the system prompt.
    pub instruction: String,
    /// The text.
    pub text: String,
}

/// Called once with the model's words, which nobody has checked; with `None` where there are none.
pub type PolishCallback = Box<dyn FnOnce(Option<String>) + Send>;

impl Turns {
    /// Has the model rewrite a text. There are no words without a model, while a turn of the session runs, while the companion
    /// is overloaded, after a failure, and where a message of the session arrives, it is erased or its turn stopped meanwhile. It stores nothing. The
    /// callback is called on the caller's thread or on a turn's, within `COMPANION_TIMEOUT`; the session can have its next turn
    /// then.
    pub fn polish(self: &Arc<Turns>, polish: Polish, callback: PolishCallback) {
        let Some(open) = self.open().filter(|_| self.resources.companion.has_model()) else { return callback(None) };
        let Ok(peer_turn) = self.peer_turns.begin(polish.peer) else { return callback(None) };
        let client = ClientKey::new(polish.peer, polish.session);
        let Some(guard) = self.active.register(polish.session, client, &polish.disconnect, Work::Polish) else {
            return callback(None);
        };
        // It would wait for a thread longer than the client waits.
        if self.resources.threads.is_saturated() {
            drop(guard);
            return callback(None);
        }
        // Dropped by a pool that rejects the job, it still calls back.
        let mut callback = CallbackGuard(Some(callback));
        let turns = self.clone();
        let job = move || {
            let (mut guard, _held) = (guard, (peer_turn, open));
            let cancel = guard.canceller();
            // It stores nothing, so a turn at another instance does not matter to it.
            let _watched = turns.resources.store.claims.watch(polish.session, move |event| {
                if event == ClaimEvent::Erased {
                    cancel(Failure::NoSession);
                }
            });
            let words = turns.rewrite(&polish, &guard);
            guard.session_exists = Ok(guard.failure() != Some(Failure::NoSession));
            drop(guard);
            callback.call(words);
        };
        let _ = self.resources.threads.execute(job);
    }

    fn rewrite(&self, polish: &Polish, guard: &TurnGuard) -> Option<String> {
        let resources = &self.resources;
        let deadline = polish.received_at + resources.timeout * 15 / 16;
        let left = deadline.saturating_duration_since(Instant::now());
        let _permit = resources.permits.acquire(guard, left.min(resources.timeout / 4))?;
        let has_full_time = deadline.saturating_duration_since(Instant::now()) >= resources.timeout * 14 / 16;
        let _gauge = resources.metrics.turn_with_companion();
        let call = Call { deadline, has_full_time, cancellation: guard.cancellation.clone() };
        let words = resources.companion.rewrite(&polish.instruction, &polish.text, &call);
        words.ok().flatten().filter(|_| guard.failure().is_none())
    }
}

/// Calls back without words when it is dropped unused, by a panic for example.
struct CallbackGuard(Option<PolishCallback>);

impl CallbackGuard {
    fn call(&mut self, words: Option<String>) {
        if let Some(callback) = self.0.take() {
            callback(words);
        }
    }
}

impl Drop for CallbackGuard {
    fn drop(&mut self) {
        self.call(None);
    }
}
