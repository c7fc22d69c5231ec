//! The history of a conversation, or a page of it: made piece by piece at the pace at which the client reads, so that no
//! client keeps more of it in memory than a piece.

use std::mem;
use std::sync::Arc;

use parking_lot::Mutex;

use super::wire;
use crate::api::problem::Problem;
use crate::api::respond;
use crate::api::responder::Responder;
use crate::http::{Piece, PieceResponder};
use crate::message::Message;
use crate::sealing::{OpenError, SealingKey};
use crate::session_id::SessionId;
use crate::store::{Error, Page, Row, Store};

/// Bytes of JSON after which a piece ends. Its last message adds up to 97 KiB: 16,384 characters that JSON escapes as six
/// bytes each.
const PIECE_BYTES: usize = 64 * 1024;

/// Sealed bytes up to which a page is one response with a `Content-Length`, of any number of bytes: JSON has at most six
/// times as many, 144 KiB.
const MAX_WHOLE_BYTES: usize = 24 * 1024;

/// A history that is being sent.
pub(super) struct HistoryStream {
    store: Arc<Store>,
    key: SealingKey,
    session_id: SessionId,
    /// Position of the last message to send.
    last: i32,
    /// Whether there are messages before the page; `None` in the history of a whole conversation.
    has_more: Option<bool>,
    cursor: Mutex<Cursor>,
}

/// How far the history is sent. Between two pieces it keeps no messages: the server bounds the memory of pieces alone, and
/// many clients may read slowly.
struct Cursor {
    /// Position of the next message to send.
    next: i32,
    /// JSON that comes before the next message.
    prefix: &'static str,
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
        let cursor = Mutex::new(Cursor { next: page.first, prefix: "" });
        HistoryStream { store, key, session_id, last: page.last, has_more, cursor }
    }

    /// Sends it, in one response if `rows`, its first messages, are all and few; for `HEAD` the status alone.
    pub(super) fn send(self, rows: Vec<Row>, responder: Responder, is_head: bool) {
        if !is_head && self.is_short(&rows) {
            return responder.respond_with(move || {
                Ok(respond::with_body(200, "application/json", self.next_piece(rows, usize::MAX)?.bytes))
            });
        }
        // The first piece reads `rows` again, when there is room for it.
        drop(rows);
        let history = Arc::new(self);
        let head = respond::with_body(200, "application/json", [].as_slice());
        responder.stream_from(head, move |piece| history.clone().send_piece(piece));
    }

    fn is_short(&self, rows: &[Row]) -> bool {
        let bytes: usize = rows.iter().map(|row| row.sealed.len()).sum();
        let are_all = rows.last().is_none_or(|row| row.position >= self.last);
        are_all && bytes <= MAX_WHOLE_BYTES
    }

    /// Reads messages for the next piece, and sends it.
    fn send_piece(self: Arc<HistoryStream>, piece: PieceResponder) {
        let from = self.cursor.lock().next;
        let (store, session, last) = (self.store.clone(), self.key.lookup(), self.last);
        let send = move |rows: Result<Vec<Row>, Error>| match rows {
            // Without its end the client does not take what it has for the whole: the session was erased.
            Ok(rows) if rows.is_empty() => {}
            Ok(rows) => piece.send_with(move || self.try_next_piece(rows)),
            Err(error) => log_failure(error.into()),
        };
        store.messages.read(session, from, last, Box::new(send));
    }

    fn try_next_piece(&self, rows: Vec<Row>) -> Option<Piece> {
        self.next_piece(rows, PIECE_BYTES).map_err(|error| log_failure(error.into())).ok()
    }

    /// The JSON of these messages, until it has `enough` bytes.
    fn next_piece(&self, rows: Vec<Row>, enough: usize) -> Result<Piece, OpenError> {
        let mut cursor = self.cursor.lock();
        let mut bytes = Vec::new();
        if cursor.prefix.is_empty() {
            bytes = format!("{{\"session_id\":\"{}\",\"messages\":[", self.session_id.expose()).into_bytes();
        }
        for Row { position, id, sealed, .. } in rows {
            if bytes.len() >= enough {
                break;
            }
            let message = Message::open(&self.key, id, position, &sealed)?;
            bytes.extend_from_slice(mem::replace(&mut cursor.prefix, ",").as_bytes());
            bytes.extend(respond::to_json(&wire::Message::new(self.session_id, message)));
            cursor.next = position + 1;
        }
        let is_last = cursor.next > self.last;
        if is_last {
            bytes.extend_from_slice(b"]");
            if let Some(has_more) = self.has_more {
                bytes.extend_from_slice(format!(",\"has_more\":{has_more}").as_bytes());
            }
            bytes.extend_from_slice(b"}");
        }
        Ok(Piece { bytes, is_last })
    }
}

/// Logs why a history breaks off, since the request was logged when it began.
#[expect(clippy::needless_pass_by_value, reason = "made for it")]
fn log_failure(problem: Problem) {
    if let Some(cause) = problem.cause.as_deref() {
        log::error!(cause; "A history failed while it was sent");
    }
}
