//! Who answers a person. One small trait with two implementations, which know nothing of sessions, HTTP or PostgreSQL.
//!
//! - [`Script`]: replies that people wrote, chosen by what was said; no network.
//! - [`Model`]: any model behind an OpenAI-compatible address.

pub mod breaker;
mod chat_completions;
mod connect;
mod cut;
pub mod egress;
mod events;
mod hear;
mod model;
mod open;
mod script;

use std::time::{Duration, Instant};

pub use cut::Cut;
pub use events::{MOST_LINE_BYTES, MOST_STREAM_BYTES};
pub use hear::MOST_BODY_BYTES;
pub use model::{Model, ModelError};
pub use open::{MOST_FILE_BYTES, OpenError, open};
pub use script::{Script, ScriptError};

/// Characters that an answer may have; what a model says beyond that is left out.
pub const MOST_ANSWER_CHARS: usize = 16_384;

/// Answers a person, one conversation at a time on each thread that calls it.
pub trait Companion: Send + Sync + 'static {
    /// Which of the two it is.
    fn source(&self) -> Source;

    /// How many characters of a conversation it can use.
    fn context_chars(&self) -> usize;

    /// Says what it has to say to the last words of a conversation, which are the person's, piece by piece. It returns by
    /// the call's deadline, and soon after the call was cut.
    ///
    /// # Errors
    /// Why there is no answer; what was said before that is not one.
    fn answer(&self, conversation: &[Said], call: &Call, say: &mut dyn FnMut(&str)) -> Result<(), Unavailable>;
}

/// Which companion said something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// A model.
    Companion,
    /// The script.
    Script,
}

/// Words of a conversation. They have no `Debug` and no `Display`, so that they cannot be printed by accident.
pub struct Said {
    /// Whose they are.
    pub speaker: Speaker,
    /// The words.
    pub text: String,
}

/// Who speaks in a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaker {
    /// The person.
    Person,
    /// Whoever answers.
    Companion,
}

/// The bounds of one answer.
pub struct Call {
    /// When it has to be over.
    pub deadline: Instant,
    /// Whether somebody waits for each piece, rather than for the whole.
    pub is_streamed: bool,
    /// Ends it sooner.
    pub cut: Cut,
}

/// Why there is no answer. Its text is safe to log: it holds nothing of what was said, by anyone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// The model's server was not reached.
    #[error("it was not reached")]
    NotReached,
    /// The server answered with another status than 200.
    #[error("it refused with status {0}")]
    Refused(u16),
    /// The answer had no words.
    #[error("it said nothing")]
    Empty,
    /// The provider withheld the answer.
    #[error("its words were withheld")]
    Filtered,
    /// The deadline came first.
    #[error("it took too long")]
    TooSlow,
    /// The answer ended in the middle.
    #[error("it broke off")]
    BrokeOff,
    /// What came was not what an OpenAI-compatible server says.
    #[error("it did not make sense")]
    Nonsense,
    /// It failed too often, and is not asked for a while.
    #[error("it is not asked for {} s, having failed too often", .0.as_secs())]
    Resting(Duration),
    /// The call was cut.
    #[error("it was cut")]
    Cut,
}
