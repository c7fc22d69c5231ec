//! What the application replies to a request: a response, or a body piece by piece through a bounded buffer between the
//! thread that makes the pieces and the worker that writes them.

use std::mem;
use std::sync::Arc;

use parking_lot::Mutex;
use rouille::Response;

use super::budget::{Reservation, counted};
use crate::peers::PeerKey;

/// Bytes that a stream buffers while its client does not read. Above this limit [`StreamSender::send`](super::StreamSender)
/// accepts no more.
pub const MAX_BUFFERED_BYTES: usize = 64 * 1024;

/// The reply to one request, on its way to the worker that writes it.
pub(super) enum Reply {
    /// A response, and the client whose share of the memory it takes.
    Ready(Response, Option<PeerKey>),
    /// What makes the response; a worker calls it.
    Deferred(Box<dyn FnOnce() -> Response + Send>, Option<PeerKey>),
    /// The head of a response, and where the pieces of its body arrive.
    Stream(Response, StreamReceiver, Option<PeerKey>),
    /// The head of a response, and what asks the application for the next piece of its body.
    Pull(Response, AskForPiece, Option<PeerKey>),
    /// What makes the piece of a body that was asked for; a worker calls it.
    Piece(Box<dyn FnOnce() -> Option<Piece> + Send>),
    /// Memory for the next piece, which the response waited for.
    Memory(Reservation),
    /// The responder was dropped unused.
    Dropped,
}

/// Asks the application for the next piece of a body. It replies with [`Reply::Piece`].
pub(super) type AskForPiece = Box<dyn FnMut() + Send>;

/// A part of the body of a response.
pub struct Piece {
    /// Its bytes, [`MAX_PIECE_BYTES`](super::MAX_PIECE_BYTES) at most.
    pub bytes: Vec<u8>,
    /// Whether the body ends with it.
    pub is_last: bool,
}

/// Why a piece was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// [`MAX_BUFFERED_BYTES`] wait for the client to read. A later attempt may succeed.
    #[error("the client reads too slowly")]
    Full,
    /// The connection is closed, or the response has no body (`HEAD`).
    #[error("the client is gone")]
    Closed,
}

/// The pieces of one response that are not written yet.
pub(super) struct StreamBuffer(Mutex<State>);

struct State {
    bytes: Vec<u8>,
    memory: Reservation,
    end: End,
    /// The connection found no piece, and waits to be notified of the next one.
    is_awaited: bool,
    /// The connection is gone.
    is_closed: bool,
}

/// What follows the pieces of a stream.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// Further pieces.
    Open,
    Finished,
    /// The sender was dropped: the response must not look complete.
    Aborted,
}

impl StreamBuffer {
    /// A buffer without a piece, and without memory reserved yet.
    pub(super) fn new(memory: Reservation) -> StreamBuffer {
        let (bytes, end) = (Vec::new(), End::Open);
        StreamBuffer(Mutex::new(State { bytes, memory, end, is_awaited: false, is_closed: false }))
    }

    /// Whether a piece would be accepted and there is memory for one, or its sender would learn that the client is gone.
    pub(super) fn has_room(&self) -> bool {
        let state = self.0.lock();
        let has_memory = || counted(state.bytes.len()) == 0 || state.memory.can_grow(1);
        state.is_closed || state.bytes.len() < MAX_BUFFERED_BYTES && has_memory()
    }

    /// Adds a piece, the last one without a bound, and says whether the connection is to be notified.
    pub(super) fn send(&self, piece: &[u8], end: End) -> Result<bool, SendError> {
        let mut state = self.0.lock();
        if state.is_closed {
            return Err(SendError::Closed);
        }
        if end == End::Open && state.bytes.len() >= MAX_BUFFERED_BYTES {
            return Err(SendError::Full);
        }
        let state = &mut *state;
        state.bytes.extend_from_slice(piece);
        state.memory.set(state.bytes.len());
        state.end = end;
        Ok(mem::take(&mut state.is_awaited))
    }
}

/// The connection's end of a stream. Dropped, it refuses further pieces.
pub(super) struct StreamReceiver(pub(super) Arc<StreamBuffer>);

impl StreamReceiver {
    /// Takes all pieces. If there are none and the end is open, the connection is notified of the next one.
    pub(super) fn take(&self) -> (Vec<u8>, Reservation, End) {
        let mut state = self.0.0.lock();
        state.is_awaited = state.bytes.is_empty() && state.end == End::Open;
        (mem::take(&mut state.bytes), state.memory.take(), state.end)
    }
}

impl Drop for StreamReceiver {
    fn drop(&mut self) {
        let mut state = self.0.0.lock();
        state.is_closed = true;
        state.bytes = Vec::new();
        state.memory.set(0);
    }
}
