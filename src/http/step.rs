//! What a connection needs next, and what becomes of it.

use rouille::Request;

use super::deadlines::Phase;
use super::refusal::Refusal;

/// What a connection needs next.
pub(super) enum Step {
    /// The application answers this request: `Connection::respond` follows.
    Answer(Request),
    /// The application checks the head of this request: `Connection::read_body` or `Connection::respond` follows.
    CheckHead(Request),
    /// `ResponseWriter::read_body` follows.
    ReadResponseBody,
    /// The application makes a piece of the body: `ResponseWriter::ask_for_piece` follows.
    AskForPiece,
    /// `Connection::refuse` follows.
    Refuse(Refusal),
    /// The connection is given back.
    Done(Disposition),
}

/// What becomes of a connection that a worker gives back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Disposition {
    /// It waits for its client, to send or, in [`Phase::Writing`], to read; `progress` says that the client has just read.
    AwaitClient {
        phase: Phase,
        progress: bool,
    },
    /// It waits for the reply to its request, or for the next piece of a stream.
    AwaitApplication,
    /// Its next request is here already.
    Requeue,
    Linger,
    Close,
}

impl From<Refusal> for Step {
    fn from(refusal: Refusal) -> Step {
        Step::Refuse(refusal)
    }
}
