//! Answers the user's messages, with a script or through a language model. It knows nothing of sessions, HTTP requests or
//! PostgreSQL.
//!
//! - `interface`: the trait and its types.
//! - `script`: prewritten replies, selected by the words of the last message.
//! - `model`: a language model behind an OpenAI-compatible endpoint, with one retry and a circuit breaker.
//! - `files`: the script and the system prompt in files.
//! - `ask`: the question of `safespace check --ask`.
//! - `endpoint`: one HTTP exchange with that endpoint; `connector` opens its connections (allowed addresses, TLS).
//! - `completion_request`, `request_options`, `refusal`: the request, and what a refusal changes in it.
//! - `completion_reader`: how a response is read, with `decoding`, `event_stream`, `chunk` and `lenient_json`; `answer_text`,
//!   `thoughts` and `end_token` make the text of it.

mod answer_text;
mod ask;
mod chunk;
mod circuit_breaker;
mod completion_reader;
mod completion_request;
mod connector;
mod decoding;
mod end_token;
mod endpoint;
mod event_stream;
mod files;
mod interface;
mod lenient_json;
mod model;
mod refusal;
mod request_options;
mod script;
mod thoughts;

use std::path::PathBuf;

pub use answer_text::MAX_ANSWER_CHARS;
pub use ask::ask;
pub use endpoint::EndpointError;
pub use files::FileError;
pub use interface::{Call, ChatMessage, Companion, Finish, Unavailable};
pub use script::ScriptError;

use crate::config::{CompanionSettings, Kind};

/// Why the companion cannot be made. The text names the variable to change and holds no secret.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A file cannot be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// The file of `COMPANION_SCRIPT` is not a valid script.
    #[error("COMPANION_SCRIPT: {}: {reason}", .path.display())]
    Script {
        /// The file.
        path: PathBuf,
        /// What is wrong, and in which line.
        reason: ScriptError,
    },
    /// The settings of the model cannot be used.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
}

/// Descriptors that all calls need at the same time: a socket each, and what the host's name is resolved with.
#[must_use]
pub fn max_descriptors(settings: &CompanionSettings) -> usize {
    settings.concurrency * 2
}

/// Reads the files that the settings name and makes the companion. Opens no connection, but resolves the host of a model
/// whose addresses must be local.
///
/// # Errors
/// When a file, the script in it, or the model's settings cannot be used.
pub fn build(settings: &CompanionSettings) -> Result<Box<dyn Companion>, BuildError> {
    match &settings.kind {
        Kind::Script { path } => {
            let text = files::read("COMPANION_SCRIPT", path.as_deref(), include_str!("script.toml"))?;
            let path = path.clone().unwrap_or_default();
            Ok(Box::new(script::Script::parse(&text).map_err(|reason| BuildError::Script { path, reason })?))
        }
        Kind::Model(model) => {
            Ok(Box::new(model::Model::new(model.clone(), files::system_prompt(model)?, settings.timeout)?))
        }
    }
}
