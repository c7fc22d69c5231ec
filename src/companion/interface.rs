//! What a companion is given, and why it gives no answer.

use std::time::{Duration, Instant};

use crate::message::Role;
use crate::peers::Location;
use crate::sync::CancellationToken;

/// How an answer ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    /// It is complete.
    Complete,
    /// A limit of its length, the deadline or a failure ended it: its end is missing.
    Cut,
}

/// A message of a conversation. It has no `Debug` and no `Display`, so that it cannot be printed by accident.
pub struct ChatMessage {
    /// Who wrote it.
    pub role: Role,
    /// The text.
    pub text: String,
}

/// The host to which conversations are sent, and what it gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelHost {
    /// Its name or address, without the brackets of an IPv6 address.
    pub name: String,
    /// Where it is, as far as that is certain: a name may lead to any address that `COMPANION_EGRESS` allows.
    pub location: Location,
    /// Whether the connection is encrypted (https).
    pub is_encrypted: bool,
    /// Characters of a conversation that it gets at most.
    pub max_chars: usize,
    /// Whether requests ask it not to keep conversations (`"store": false`). A server that refuses that field is not asked again.
    pub asks_not_to_store: bool,
}

/// The bounds of one call to a companion.
pub struct Call {
    /// When it must have returned.
    pub deadline: Instant,
    /// Whether the call has about all the time that an answer may take. One that had to wait before has less, so its deadline
    /// says nothing about a model.
    pub has_full_time: bool,
    /// Ends the call before its deadline.
    pub cancellation: CancellationToken,
}

/// Why there is no answer. The text is safe to log: it holds nothing of the conversation and nothing of the server's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// No connection to the model's server was established.
    #[error("it was not reached")]
    NotReached,
    /// The server answered with a status other than 200, or with an error that names one.
    #[error("it refused with status {0}")]
    Refused(u16),
    /// The same with 429 or 503, where the server says how long it wants no further request (`Retry-After`).
    #[error("it refused with status {status} and wants no request for {} s", .delay.as_secs())]
    RetryAfter {
        /// The status.
        status: u16,
        /// From now on, an hour at most.
        delay: Duration,
    },
    /// The answer had no text, or only white space.
    #[error("it said nothing")]
    Empty,
    /// The provider's content filter withheld the answer.
    #[error("its words were withheld")]
    Filtered,
    /// The deadline passed.
    #[error("it took too long")]
    TimedOut,
    /// The connection closed before the end of the answer.
    #[error("it broke off")]
    Interrupted,
    /// The reply violates HTTP, the format of chat completions, or a size limit.
    #[error("it did not make sense")]
    MalformedReply,
    /// The circuit breaker is open for this much longer; no request was sent.
    #[error("it is not asked for {} s", .0.as_secs())]
    CircuitOpen(Duration),
    /// The call was cancelled.
    #[error("it was cut")]
    Cancelled,
}
