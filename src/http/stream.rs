//! A response body that is sent piece by piece: a bounded buffer between the thread that makes the pieces and the worker
//! that writes them.

use std::mem;
use std::sync::Arc;

use parking_lot::Mutex;

/// Bytes that a stream buffers while its client does not read. Above this limit [`StreamSender::send`](super::StreamSender)
/// accepts no more.
pub const MAX_BUFFERED_BYTES: usize = 64 * 1024;

/// Why a piece was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// [`MAX_BUFFERED_BYTES`] wait for the client to read. A later attempt may succeed.
    #[error("the client reads too slowly")]
    Full,
    /// The connection is closed, or the response has no body (`HEAD`).
    #[error("nobody receives the stream")]
    Closed,
}

/// The pieces of one response that are not written yet.
#[derive(Debug, Default)]
pub(super) struct StreamBuffer(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    bytes: Vec<u8>,
    end: End,
    /// The connection found no piece, and waits to be notified of the next one.
    is_awaited: bool,
    /// The connection is gone.
    is_closed: bool,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum End {
    #[default]
    Open,
    Finished,
    /// The sender was dropped: the response must not look complete.
    Aborted,
}

/// What a connection finds in the buffer.
pub(super) enum Pieces {
    /// Bytes, and whether they are the last ones; these may be none.
    Some { bytes: Vec<u8>, is_last: bool },
    /// None yet.
    Pending,
    /// The stream ends without its end.
    Aborted,
}

impl StreamBuffer {
    /// Whether a piece would be accepted, or its sender learn that the client is gone.
    pub(super) fn has_room(&self) -> bool {
        let state = self.0.lock();
        state.is_closed || state.bytes.len() < MAX_BUFFERED_BYTES
    }

    /// Adds a piece, and says whether the connection is to be notified.
    pub(super) fn send(&self, piece: &[u8]) -> Result<bool, SendError> {
        let mut state = self.0.lock();
        if state.is_closed {
            return Err(SendError::Closed);
        }
        if state.bytes.len() >= MAX_BUFFERED_BYTES {
            return Err(SendError::Full);
        }
        state.bytes.extend_from_slice(piece);
        Ok(mem::take(&mut state.is_awaited))
    }

    /// Adds the last piece without a bound, and says whether the connection is to be notified.
    pub(super) fn finish(&self, piece: &[u8]) -> bool {
        let mut state = self.0.lock();
        if !state.is_closed {
            state.bytes.extend_from_slice(piece);
        }
        state.end = End::Finished;
        mem::take(&mut state.is_awaited)
    }

    /// Ends the stream without its end, and says whether the connection is to be notified.
    pub(super) fn abort(&self) -> bool {
        let mut state = self.0.lock();
        state.end = End::Aborted;
        mem::take(&mut state.is_awaited)
    }
}

/// The connection's end of a stream. Dropped, it refuses further pieces: nobody receives them.
pub(super) struct StreamReceiver(pub(super) Arc<StreamBuffer>);

impl StreamReceiver {
    /// Takes all pieces. After [`Pieces::Pending`] the connection is notified of the next one.
    pub(super) fn take(&self) -> Pieces {
        let mut state = self.0.0.lock();
        match state.end {
            End::Open if state.bytes.is_empty() => {
                state.is_awaited = true;
                Pieces::Pending
            }
            End::Aborted if state.bytes.is_empty() => Pieces::Aborted,
            end => Pieces::Some { bytes: mem::take(&mut state.bytes), is_last: end == End::Finished },
        }
    }
}

impl Drop for StreamReceiver {
    fn drop(&mut self) {
        let mut state = self.0.0.lock();
        state.is_closed = true;
        state.bytes = Vec::new();
    }
}
