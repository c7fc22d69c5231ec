//! The question of `safespace check --ask`: whether the companion answers, and in which words it refuses.

use std::time::Instant;

use super::answer_text::is_allowed;
use super::interface::{Call, ChatMessage, Unavailable};
use super::script_or_model::Companion;
use super::{model, system_prompt};
use crate::config::CompanionSettings;
use crate::message::Role;
use crate::sync::CancellationToken;

/// The same for all installations.
const QUESTION: &str = "Hello.";

/// Characters of an answer or a refusal that are shown.
const MAX_CHARS: usize = 400;

/// Sends a fixed sentence to the companion and returns the beginning of its answer, without control characters.
///
/// # Errors
/// Why it does not answer within `COMPANION_TIMEOUT`. If the model's server refused, it is asked once more for its words.
pub fn ask(settings: &CompanionSettings, companion: &Companion) -> Result<String, String> {
    let question = [ChatMessage { role: Role::User, text: QUESTION.to_owned() }];
    let call = || Call {
        deadline: Instant::now() + settings.timeout,
        has_full_time: true,
        cancellation: CancellationToken::default(),
    };
    let mut answer = String::new();
    match companion.answer(&question, &call(), &mut |text| answer.push_str(text)) {
        Ok(_) => Ok(printable(&answer)),
        Err(reason @ Unavailable::Refused(_)) => Err(match quote(settings, &question, &call()) {
            Some(words) => format!("{reason}: {words}"),
            None => reason.to_string(),
        }),
        Err(reason) => Err(reason.to_string()),
    }
}

/// What the server says, where it refuses the question once more.
fn quote(settings: &CompanionSettings, question: &[ChatMessage], call: &Call) -> Option<String> {
    let model = settings.model.as_ref()?;
    let body = model::refusal_of(model, &system_prompt(model).ok()?, question, call)?;
    let key = model.api_key.as_ref().map_or("", |key| key.expose());
    let body = if key.is_empty() { body } else { body.replace(key, "\u{2026}") };
    Some(printable(&body))
}

/// One line of text, without the characters that could change what a terminal shows.
fn printable(text: &str) -> String {
    let words: Vec<&str> =
        text.split(|it: char| it.is_whitespace() || !is_allowed(it)).filter(|it| !it.is_empty()).collect();
    words.join(" ").chars().take(MAX_CHARS).collect()
}
