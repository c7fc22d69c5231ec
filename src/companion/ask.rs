//! The question of `safespace check --ask`: whether the companion answers, and in which words it refuses.

use std::time::{Duration, Instant};

use super::answer_text::is_allowed;
use super::interface::{Call, ChatMessage, Unavailable};
use super::script_or_model::Companion;
use crate::message::Role;
use crate::sync::CancellationToken;

/// The same for all installations.
const QUESTION: &str = "Hello.";

/// Characters of an answer or a refusal that are shown.
const MAX_CHARS: usize = 400;

impl Companion {
    /// Sends a fixed sentence to the companion and returns the beginning of its answer, without control characters.
    ///
    /// # Errors
    /// Why it does not answer within this time. If the model's server refused, it is asked once more for its words.
    pub fn ask(&self, timeout: Duration) -> Result<String, String> {
        let question = [ChatMessage { role: Role::User, text: QUESTION.to_owned() }];
        let call = || Call {
            deadline: Instant::now() + timeout,
            has_full_time: true,
            cancellation: CancellationToken::default(),
        };
        let mut answer = String::new();
        match self.answer(&question, None, &call(), &mut |text| answer.push_str(text)) {
            Ok(_) => Ok(printable(&answer)),
            Err(reason @ Unavailable::Refused(_)) => {
                let words = self.model.as_ref().and_then(|model| model.refusal_of(&question, &call()));
                Err(words.map_or(reason.to_string(), |words| format!("{reason}: {}", printable(&words))))
            }
            Err(reason) => Err(reason.to_string()),
        }
    }
}

/// One line of text, without the characters that could change what a terminal shows.
fn printable(text: &str) -> String {
    let words: Vec<&str> =
        text.split(|it: char| it.is_whitespace() || !is_allowed(it)).filter(|it| !it.is_empty()).collect();
    words.join(" ").chars().take(MAX_CHARS).collect()
}
