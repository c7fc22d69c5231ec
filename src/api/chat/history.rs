//! The history of a conversation, or a page of it.

use std::mem;
use std::sync::Arc;

use parking_lot::Mutex;

use super::message_pieces::{MessageFormat, MessagePieces};
use super::wire;
use crate::api::respond;
use crate::api::responder::Responder;
use crate::http::Piece;
use crate::sealing::SealingKey;
use crate::session_id::SessionId;
use crate::store::{Page, Row, Store};

/// Sealed bytes up to which a page is one response with a `Content-Length`, of any number of bytes: JSON has at most six
/// times as many, 144 KiB.
const MAX_WHOLE_BYTES: usize = 24 * 1024;

const JSON: MessageFormat = MessageFormat {
    write: |session_id, message| respond::to_json(&wire::Message::new(session_id, message)),
    separator: ",",
};

/// A history that is being sent.
pub(super) struct HistoryStream {
    messages: Arc<MessagePieces>,
    /// Whether there are messages before the page; `None` in the history of a whole conversation.
    has_more: Option<bool>,
    has_begun: Mutex<bool>,
}

impl HistoryStream {
    /// The history of a page.
    pub(super) fn new(
        store: Arc<Store>,
        key: SealingKey,
        session_id: SessionId,
        page: &Page,
        has_more: Option<bool>,
    ) -> HistoryStream {
        let messages = MessagePieces::new(store, key, session_id, (page.first, page.last), JSON);
        HistoryStream { messages: Arc::new(messages), has_more, has_begun: Mutex::new(false) }
    }

    /// Sends it, in one response if `rows`, its last messages, are all and few; for `HEAD` the status alone.
    pub(super) fn send(self, rows: Vec<Row>, responder: Responder, is_head: bool) {
        if !is_head && self.is_short(&rows) {
            return responder.respond_with(move || {
                let messages = self.messages.write(rows, usize::MAX)?;
                Ok(respond::with_body(200, "application/json", self.frame(messages).bytes))
            });
        }
        // The pieces read `rows` again, when there is room for them.
        drop(rows);
        let history = Arc::new(self);
        let head = respond::with_body(200, "application/json", [].as_slice());
        responder.stream_from(head, move |piece| {
            let framed = history.clone();
            history.messages.send(piece, move |messages| framed.frame(messages));
        });
    }

    fn is_short(&self, rows: &[Row]) -> bool {
        let bytes: usize = rows.iter().map(|row| row.sealed.len()).sum();
        let are_all = rows.first().is_none_or(|row| row.position <= self.messages.first);
        are_all && bytes <= MAX_WHOLE_BYTES
    }

    /// A piece of the JSON with these messages.
    fn frame(&self, messages: Vec<u8>) -> Piece {
        let mut bytes = messages;
        if !mem::replace(&mut *self.has_begun.lock(), true) {
            let session_id = self.messages.session_id.expose();
            bytes.splice(..0, format!("{{\"session_id\":\"{session_id}\",\"messages\":[").into_bytes());
        }
        let is_last = self.messages.is_done();
        if is_last {
            bytes.extend_from_slice(b"]");
            if let Some(has_more) = self.has_more {
                bytes.extend_from_slice(format!(",\"has_more\":{has_more}").as_bytes());
            }
            bytes.extend_from_slice(b"}");
        }
        Piece { bytes, is_last }
    }
}
