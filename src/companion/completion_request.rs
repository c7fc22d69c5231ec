//! The body of a request to OpenAI's chat completions API.

use serde::Serialize;

use super::interface::ChatMessage;
use crate::config::ModelSettings;
use crate::message::Role;

/// It has no field that identifies a user or a session.
#[derive(Serialize)]
struct CompletionRequest<'a> {
    model: &'a str,
    messages: Vec<PromptMessage>,
    stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    store: Option<bool>,
}

#[derive(Serialize)]
struct PromptMessage {
    role: &'static str,
    content: String,
}

/// The request as JSON: the system prompt, then the end of the conversation.
pub(super) fn to_json(settings: &ModelSettings, prompt: &str, conversation: &[ChatMessage], stream: bool) -> Vec<u8> {
    let mut messages = vec![PromptMessage { role: "system", content: prompt.to_owned() }];
    for message in last_messages(conversation, settings.context_chars) {
        let role = if message.role == Role::User { "user" } else { "assistant" };
        match messages.last_mut() {
            // A turn without an answer leaves two messages of the user in a row. The chat templates of several open
            // models (Gemma, Mistral) require that the roles alternate.
            Some(last) if last.role == role => last.content.extend(["\n\n", &message.text]),
            _ => messages.push(PromptMessage { role, content: message.text.clone() }),
        }
    }
    let store = settings.sends_store.then_some(false);
    let request = CompletionRequest { model: &settings.model, messages, stream, store };
    serde_json::to_vec(&request).expect("strings and booleans serialize")
}

/// The longest end of the conversation that has at most `max_chars` and begins with a message of the user, as the same
/// templates require. The last message is always included.
fn last_messages(conversation: &[ChatMessage], max_chars: usize) -> &[ChatMessage] {
    let Some((last, before)) = conversation.split_last() else { return conversation };
    let mut chars_left = max_chars.saturating_sub(last.text.chars().count());
    let mut start = before.len();
    for message in before.iter().rev() {
        match chars_left.checked_sub(message.text.chars().count()) {
            Some(left) => chars_left = left,
            None => break,
        }
        start -= 1;
    }
    let messages = &conversation[start..];
    let first_of_user = messages.iter().position(|message| message.role == Role::User).unwrap_or(0);
    &messages[first_of_user..]
}
