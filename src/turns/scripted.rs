//! A turn that the script answers: it waits for nothing but the database, so question and answer are made at once and
//! stored together.

use super::turn::{Turn, new_message};
use crate::message::{Message, Role};
use crate::store::{NewExchange, Recent};

/// The messages of a turn that are not stored yet.
pub(super) struct ScriptedTurn {
    pub(super) exchange: NewExchange,
    pub(super) answer: Message,
}

impl Turn<'_> {
    /// Makes the messages of the turn from the newest ones of its session, on any thread. `None` where the turn must run from
    /// top to bottom: where its question is stored already, or cannot be; where the session was last used in an earlier
    /// hour; where another turn of the session runs; where this one was stopped; and where its client was told that it is
    /// late, and sends the words again.
    pub(super) fn scripted(&self, recent: &Recent) -> Option<ScriptedTurn> {
        let guard = self.guard.filter(|_| !recent.is_stale && !self.resources.store.watermark.is_full())?;
        let (history, mut end) = self.open_history(&recent.rows).ok()?;
        // With an idempotency key, the statement finds out whether the question is stored.
        let (ids, is_resent) = self.ids(history.last());
        if is_resent || self.check_room(end, false).is_err() || self.check_time().is_err() {
            return None;
        }
        let conversation = self.conversation(history, ids);
        let text = self.resources.companion.reply(&conversation, self.safety).to_owned();
        let mut question = new_message(ids.question, Role::User, self.question.text.clone());
        let mut answer = new_message(ids.answer, Role::Script, text);
        let (question, row) = (self.row(&mut question, &mut end), self.row(&mut answer, &mut end));
        // Of a turn that is stopped now, the question is stored without an answer.
        guard.failure().is_none().then_some(())?;
        Some(ScriptedTurn { exchange: NewExchange { session: self.session(), question, answer: row }, answer })
    }
}
