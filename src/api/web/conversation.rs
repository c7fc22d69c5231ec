//! The newest messages of a session, or those before one, as the page shows them.

use std::sync::Arc;

use uuid::Uuid;

use super::page::Page;
use crate::api::catalogue::Code;
use crate::api::chat;
use crate::api::chat::request::not_a_message;
use crate::api::problem::{ErrorForm, Problem};
use crate::api::responder::Responder;
use crate::api::sessions;
use crate::companion::Safety;
use crate::config::RetentionSettings;
use crate::http::Response;
use crate::message::{Message, Role};
use crate::sealing::SealingKey;
use crate::session_id::SessionId;
use crate::store::{self, Page as StoredPage, PageRequest, Recent, Row, Store};
use crate::web::{Said, Talk, View};

/// Messages that the page shows at once.
const MAX_MESSAGES: usize = 20;

/// Sealed bytes of the newest messages that the page shows: four of the longest messages, or many short ones.
const MAX_SEALED_BYTES: usize = 128 * 1024;

/// A conversation that a form shows when it has done its work.
pub(super) struct Conversation {
    page: Page,
    store: Arc<Store>,
    policy: RetentionSettings,
    session_id: SessionId,
    /// What was found of danger in the message.
    pub(super) safety: Option<Safety>,
    /// What stands in the field for the next message.
    pub(super) draft: String,
    /// The idempotency key of the next message.
    pub(super) key: String,
}

/// The messages that are shown.
#[derive(Default)]
struct Shown {
    messages: Vec<Said>,
    earlier: Option<Uuid>,
    is_newest: bool,
}

impl Conversation {
    /// The conversation with an empty field and a fresh key.
    pub(super) fn new(store: Arc<Store>, policy: RetentionSettings, page: Page, session_id: SessionId) -> Conversation {
        let key = Uuid::new_v4().to_string();
        Conversation { page, store, policy, session_id, safety: None, draft: String::new(), key }
    }

    /// Answers with the newest messages, and with the problem if there is one. It does not block.
    pub(super) fn show_newest(self, problem: Option<Problem>, responder: Responder) {
        let (key, store) = (SealingKey::derive(&self.session_id), self.store.clone());
        let lookup = key.lookup();
        let show = move |recent: Result<Option<Recent>, store::Error>| {
            let shown = self.newest(&key, recent);
            self.show(shown, problem, responder);
        };
        store.messages.recent(lookup, MAX_SEALED_BYTES, Box::new(show));
    }

    fn newest(&self, key: &SealingKey, recent: Result<Option<Recent>, store::Error>) -> Result<Shown, Problem> {
        let Recent { session, mut rows, .. } = recent?.ok_or_else(|| Problem::new(Code::SessionNotFound))?;
        sessions::living(self.policy, key, Ok(Some(session)))?;
        let shown = rows.split_off(rows.len().saturating_sub(MAX_MESSAGES));
        open(key, &shown, true)
    }

    /// Answers with the messages before this one.
    pub(super) fn show_before(self, before: Uuid, responder: Responder) {
        let (key, store, policy) = (SealingKey::derive(&self.session_id), self.store.clone(), self.policy);
        let request = PageRequest { before: Some(before), limit: i32::try_from(MAX_MESSAGES).unwrap_or(i32::MAX) };
        let lookup = key.lookup();
        let show = move |page: Result<Option<StoredPage>, store::Error>| match chat::living(policy, &key, page) {
            Ok(page) if !page.before_exists => responder.respond(Err(not_a_message())),
            Ok(page) => self.read_rest(key, page.rows, page.last, responder),
            Err(problem) => self.show(Err(problem), None, responder),
        };
        store.messages.page(lookup, request, Box::new(show));
    }

    /// Reads up to the last message of a page. One statement reads long messages only in part.
    fn read_rest(self, key: SealingKey, mut rows: Vec<Row>, last: i32, responder: Responder) {
        let next = rows.last().map_or(last, |row| row.position) + 1;
        if next > last {
            let shown = open(&key, &rows, false);
            return self.show(shown, None, responder);
        }
        let (store, lookup) = (self.store.clone(), key.lookup());
        let more = move |more: Result<Vec<Row>, store::Error>| match more {
            // The session was erased meanwhile.
            Ok(more) if more.is_empty() => self.show(Err(Problem::new(Code::SessionNotFound)), None, responder),
            Ok(more) => {
                rows.extend(more);
                self.read_rest(key, rows, last, responder);
            }
            Err(error) => self.show(Err(error.into()), None, responder),
        };
        store.messages.read(lookup, next, last, Box::new(more));
    }

    /// Answers with what was read. Without a session it is the first view; where nothing could be read, the person keeps the
    /// session and the draft.
    fn show(self, shown: Result<Shown, Problem>, problem: Option<Problem>, responder: Responder) {
        let (shown, problem) = match shown {
            Ok(shown) => (shown, problem),
            Err(missing) if missing.code() == Code::SessionNotFound => return responder.respond(Err(missing)),
            Err(failure) => (Shown::default(), problem.or(Some(failure))),
        };
        let Some(problem) = problem else {
            return responder.respond_with(move || Ok(self.response(shown, None)));
        };
        let make = move |problem: &Problem| {
            let words = self.page.words_of(problem);
            self.response(shown, Some(words))
        };
        responder.with_errors(ErrorForm::Page(Box::new(make))).respond_with(move || Err(problem));
    }

    /// The talk view of a conversation without messages.
    pub(super) fn empty(self) -> Response {
        self.response(Shown { is_newest: true, ..Shown::default() }, None)
    }

    fn response(self, shown: Shown, notice: Option<String>) -> Response {
        let Shown { messages, earlier, is_newest } = shown;
        let talk = Talk {
            session_id: Some(self.session_id),
            code: Some(self.session_id.recovery_code()),
            messages,
            earlier,
            is_newest,
            safety: self.page.safety_lines(self.safety),
            draft: self.draft,
            key: self.key,
        };
        self.page.response(View::Talk, notice, talk)
    }
}

fn open(key: &SealingKey, rows: &[Row], is_newest: bool) -> Result<Shown, Problem> {
    let earlier = rows.first().filter(|row| row.position > 1).map(|row| row.id);
    let messages = rows.iter().map(|row| {
        let Message { id, role, text, is_cut, .. } = Message::open(key, row.id, row.position, &row.sealed)?;
        Ok(Said { id, by_user: role == Role::User, text, cut: is_cut })
    });
    Ok(Shown { messages: messages.collect::<Result<_, Problem>>()?, earlier, is_newest })
}
