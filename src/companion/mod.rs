//! Answers the user's messages, with a script or through a language model. It knows nothing of sessions, HTTP requests or
//! PostgreSQL.
//!
//! - `script_or_model`: the companion; `interface`: what they are given, and why there is no answer.
//! - `script`: prewritten replies, selected by the words of the last message.
//! - `number_filter`: takes invented numbers and links out of a model's answer.
//! - `safety`: which messages speak of danger or self-harm, by the words of the script.
//! - `model`: a language model behind an OpenAI-compatible endpoint, with one retry and a circuit breaker.
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
mod interface;
mod lenient_json;
mod model;
mod number_filter;
mod refusal;
mod request_options;
mod safety;
mod script;
mod script_or_model;
mod thoughts;

pub use answer_text::MAX_ANSWER_CHARS;
pub use connector::tls_config;
pub use endpoint::EndpointError;
pub use interface::{Call, ChatMessage, Finish, ModelHost, Unavailable};
pub use safety::{Level, Risk, Safety, help_lines};
pub use script_or_model::Companion;

use std::sync::Arc;

use crate::config::{CompanionSettings, ModelSettings};
use crate::data_file::{self, FileError};
use crate::resources::{HardCodedValue, Registry};

/// The warning where the script has no words of danger.
pub const CANNOT_CLASSIFY: &str = "COMPANION_SCRIPT: without a topic \"self_harm\" or \"danger\" no answer has help lines; \
                            add them, with words, to the script";

/// Why the companion cannot be made. The text names the variable to change and holds no secret.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A file cannot be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// The settings of the model cannot be used.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
}

/// Numbers of a file of which the operator is warned.
const MAX_WARNINGS: usize = 20;

/// Descriptors that all calls need at the same time: a socket each, and what the host's name is resolved with.
#[must_use]
pub fn max_descriptors(settings: &CompanionSettings) -> usize {
    settings.concurrency * 2
}

/// Reads the files that the settings name and makes the companion. Its script, or the prompt of its model, takes numbers from
/// the registry. Opens no connection, but resolves the host of a model whose addresses must be local.
///
/// # Errors
/// When a file, the script in it, or the model's settings cannot be used.
pub fn build(settings: &CompanionSettings, resources: &Arc<Registry>) -> Result<Companion, BuildError> {
    let (variable, embedded) = ("COMPANION_SCRIPT", include_str!("script.toml"));
    let parse = |text: &str| script::Script::parse(text, resources);
    let script = data_file::load(variable, settings.script.as_deref(), embedded, parse)?;
    let model = settings.model.as_ref().map(|model| -> Result<_, BuildError> {
        Ok(model::Model::new(model.clone(), system_prompt(model, resources)?, settings.timeout)?)
    });
    Ok(Companion::new(script, model.transpose()?, resources.clone()))
}

/// What the operator should know of the files that the settings name although they can be used: the numbers in them, which no
/// verification of a help line covers.
#[must_use]
pub fn warnings(settings: &CompanionSettings, resources: &Registry) -> Vec<String> {
    let prompt = settings.model.as_ref().and_then(|model| model.prompt.as_deref());
    let files = [("COMPANION_SCRIPT", settings.script.as_deref()), ("COMPANION_PROMPT", prompt)];
    let warnings = files.into_iter().flat_map(|(variable, path)| {
        // Without a file there is nothing to warn of, and one that cannot be read is an error of `build`.
        let text = data_file::read(variable, path, "").unwrap_or_default();
        let values = resources.hard_coded_values(&text).into_iter().take(MAX_WARNINGS);
        values.map(move |HardCodedValue { line, text, id }| match id {
            Some(id) => format!("{variable}: line {line}: {text:?} is the value of a help line: write {{resource:{id}}}"),
            None => format!(
                "{variable}: line {line}: {text:?} looks like a number or an address of help: make it a help line in the file \
                 of RESOURCES, and write {{resource:NAME}}"
            ),
        })
    });
    warnings.collect()
}

/// The system prompt: that of the file, or the embedded one.
///
/// # Errors
/// When the file cannot be used.
fn system_prompt(model: &ModelSettings, resources: &Registry) -> Result<String, FileError> {
    data_file::load("COMPANION_PROMPT", model.prompt.as_deref(), include_str!("prompt.md"), |text| {
        resources.expand(text).map_err(|mistake| mistake.in_text(text))
    })
}
