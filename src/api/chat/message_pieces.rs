//! The messages of a conversation as pieces of a response, made at the pace at which the client reads, so that no client keeps more
//! of them in memory than a piece.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::api::problem::Problem;
use crate::http::{Piece, PieceResponder};
use crate::message::Message;
use crate::sealing::{OpenError, SealingKey};
use crate::session_id::SessionId;
use crate::store::{Error, Row, Store};

/// Bytes after which a piece ends. Its last message adds up to 97 KiB: 16,384 characters that JSON escapes as six bytes each.
const PIECE_BYTES: usize = 64 * 1024;

/// How a message is written.
#[derive(Clone, Copy)]
pub(in crate::api) struct MessageFormat {
    pub(in crate::api) write: fn(SessionId, Message) -> Vec<u8>,
    /// Between two messages.
    pub(in crate::api) separator: &'static str,
}

/// Messages that are being sent.
pub(in crate::api) struct MessagePieces {
    pub(super) store: Arc<Store>,
    pub(super) key: SealingKey,
    pub(super) session_id: SessionId,
    /// Position of the first message to send.
    pub(super) first: i32,
    /// Position of the last one; below `first` where there is none.
    pub(super) last: i32,
    pub(super) format: MessageFormat,
    /// Position of the next one. Between two pieces no messages are kept: the server bounds the memory of pieces alone, and many
    /// clients may read slowly.
    next: Mutex<i32>,
}

impl MessagePieces {
    /// The messages at these positions of a session.
    pub(in crate::api) fn new(
        store: Arc<Store>,
        key: SealingKey,
        session_id: SessionId,
        (first, last): (i32, i32),
        format: MessageFormat,
    ) -> MessagePieces {
        MessagePieces { store, key, session_id, first, last, format, next: Mutex::new(first) }
    }

    /// Whether all messages are written.
    pub(in crate::api) fn is_done(&self) -> bool {
        *self.next.lock() > self.last
    }

    /// Reads messages for the next piece, and sends what `frame` makes of them.
    pub(in crate::api) fn send(
        self: &Arc<MessagePieces>,
        piece: PieceResponder,
        frame: impl FnOnce(Vec<u8>) -> Piece + Send + 'static,
    ) {
        let (from, messages) = (*self.next.lock(), self.clone());
        let send = move |rows: Result<Vec<Row>, Error>| match rows {
            // Without its end the client does not take what it has for the whole: the session was erased.
            Ok(rows) if rows.is_empty() => {}
            Ok(rows) => piece.send_with(move || {
                let written = messages.write(rows, PIECE_BYTES).map_err(|error| log_failure(error.into()));
                written.map(frame).ok()
            }),
            Err(error) => log_failure(error.into()),
        };
        self.store.messages.read(self.key.lookup(), from, self.last, Box::new(send));
    }

    /// Writes these messages, until there are `enough` bytes.
    pub(super) fn write(&self, rows: Vec<Row>, enough: usize) -> Result<Vec<u8>, OpenError> {
        let mut next = self.next.lock();
        let mut bytes = Vec::new();
        for Row { position, id, sealed, .. } in rows {
            if bytes.len() >= enough {
                break;
            }
            let message = Message::open(&self.key, id, position, &sealed)?;
            if position > self.first {
                bytes.extend_from_slice(self.format.separator.as_bytes());
            }
            bytes.extend((self.format.write)(self.session_id.clone(), message));
            *next = position + 1;
        }
        Ok(bytes)
    }
}

/// Logs why a response breaks off, since the request was logged when it began.
#[expect(clippy::needless_pass_by_value, reason = "made for it")]
pub(in crate::api) fn log_failure(problem: Problem) {
    if let Some(cause) = problem.cause.as_deref() {
        log::error!(cause; "A response failed while it was sent");
    }
}
