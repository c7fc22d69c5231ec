//! The newest messages of a session, or those before one, as the page shows them.

use std::sync::Arc;

use uuid::Uuid;

use super::page::Page;
use crate::api::catalogue::Code;
use crate::api::chat;
use crate::api::chat::request::not_a_message;
use crate::api::problem::{ErrorBody, Problem};
use crate::api::responder::{Context, Responder};
use crate::companion::Safety;
use crate::config::RetentionSettings;
use crate::http::{Request, Response};
use crate::message::{Message, Role};
use crate::peers::{PeerKey, PeerLimit};
use crate::sealing::{OpenError, SealingKey};
use crate::session_id::SessionId;
use crate::store::{self, Page as StoredPage, PageRequest, Row, Store};
use crate::web::{MessageView, Talk, View};

/// Messages that the page shows at once, at most. Long ones are fewer: one statement reads them.
const MAX_MESSAGES: i32 = 10;

/// Pages of conversations that are read for one network at a time. The batches of these reads take them in their order, so that a
/// network with hundreds would delay everybody else's.
pub const MAX_PAGE_READS_OF_PEER: usize = 16;

/// What conversations are read with, for one client.
pub(super) struct Reader {
    store: Arc<Store>,
    policy: RetentionSettings,
    reads_of_peers: Arc<PeerLimit>,
    peer: Option<PeerKey>,
}

impl Reader {
    pub(super) fn of(context: &Context, request: &Request) -> Reader {
        let (store, reads_of_peers) = (context.store.clone(), context.page_reads.clone());
        Reader { store, policy: context.retention, reads_of_peers, peer: context.admission.client_peer(request) }
    }
}

/// The view of a conversation, in answer to a form.
pub(super) struct Conversation {
    page: Page,
    reader: Reader,
    session_id: SessionId,
    sealing_key: SealingKey,
    /// What was found of danger in the message.
    safety: Option<Safety>,
    /// What stands in the field for the next message.
    draft: String,
    /// The idempotency key of the next message.
    key: String,
    /// The messages, sealed.
    rows: Vec<Row>,
}

impl Conversation {
    /// The conversation with an empty field and a fresh key.
    pub(super) fn new(reader: Reader, page: Page, session_id: SessionId) -> Conversation {
        let (sealing_key, key) = (SealingKey::derive(&session_id), Uuid::new_v4().to_string());
        let (draft, rows) = Default::default();
        Conversation { page, reader, session_id, sealing_key, safety: None, draft, key, rows }
    }

    /// The same with this text in the field, and its idempotency key.
    pub(super) fn with_draft(self, draft: String, key: String) -> Conversation {
        Conversation { draft, key, ..self }
    }

    /// The same with the help lines for what was found in the message.
    pub(super) fn with_safety(self, safety: Option<Safety>) -> Conversation {
        Conversation { safety, ..self }
    }

    /// Answers with the newest messages, or with those before one, and with the problem if there is one. It does not block.
    pub(super) fn show(self, before: Option<Uuid>, problem: Option<Problem>, responder: Responder) {
        if problem.as_ref().is_some_and(|problem| is_of_database(problem.code())) {
            // The person has waited for it already.
            return self.answer(Ok(Vec::new()), problem, responder);
        }
        let Ok(permit) = self.reader.reads_of_peers.begin(self.reader.peer) else {
            return self.answer(Ok(Vec::new()), problem.or(Some(Problem::new(Code::NetworkLimited))), responder);
        };
        let (store, lookup) = (self.reader.store.clone(), self.sealing_key.lookup());
        let answer = move |page: Result<Option<StoredPage>, store::Error>| {
            drop(permit);
            let rows = match chat::living(self.reader.policy, &self.sealing_key, page) {
                Ok(page) if page.before_exists => Ok(page.rows),
                Ok(_) => Err(not_a_message()),
                Err(problem) => Err(problem),
            };
            self.answer(rows, problem, responder);
        };
        store.messages.page_unblocked(lookup, PageRequest { before, limit: MAX_MESSAGES }, Box::new(answer));
    }

    /// Answers with these messages, on a worker. Without a session it is the first view; where nothing could be read, the person keeps the
    /// session and the draft.
    fn answer(mut self, rows: Result<Vec<Row>, Problem>, problem: Option<Problem>, responder: Responder) {
        let problem = match rows {
            Ok(rows) => {
                self.rows = rows;
                problem
            }
            Err(missing) if missing.code() == Code::SessionNotFound => {
                return responder.respond_with(move || Err(missing));
            }
            Err(failure) => problem.or(Some(failure)),
        };
        let conversation = Arc::new(self);
        let failed = conversation.clone();
        let make = move |problem: &Problem| {
            let words = failed.page.words_of(problem, "other");
            failed.response(failed.messages().unwrap_or_default(), Some(words))
        };
        responder.with_errors(ErrorBody::Page(Box::new(make))).respond_with(move || match problem {
            Some(problem) => Err(problem),
            None => Ok(conversation.response(conversation.messages()?, None)),
        });
    }

    /// The view of a conversation without messages.
    pub(super) fn empty(&self) -> Response {
        self.response(Vec::new(), None)
    }

    fn messages(&self) -> Result<Vec<MessageView>, OpenError> {
        let open = |row: &Row| {
            let message = Message::open(&self.sealing_key, row.id, row.position, &row.sealed)?;
            let Message { id, role, text, is_cut, .. } = message;
            Ok(MessageView { id, by_user: role == Role::User, text, cut: is_cut })
        };
        self.rows.iter().map(open).collect()
    }

    fn response(&self, messages: Vec<MessageView>, notice: Option<String>) -> Response {
        let talk = Talk {
            session_id: Some(self.session_id.clone()),
            code: Some(self.session_id.recovery_code()),
            messages,
            earlier: self.rows.first().filter(|row| row.position > 1).map(|row| row.id),
            safety: self.page.safety_lines(self.safety),
            draft: self.draft.clone(),
            key: self.key.clone(),
        };
        self.page.response(View::Talk, notice, talk)
    }
}

/// Whether the database did not answer, or may be the reason why a turn did not.
fn is_of_database(code: Code) -> bool {
    matches!(code, Code::DatabaseUnavailable | Code::DatabaseRefuses | Code::DatabaseTimeout | Code::AnswerTimeout)
}
