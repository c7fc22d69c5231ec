//! The request of OpenAI's chat completions API as JSON.

use serde::Serialize;

use super::interface::ChatMessage;
use super::request_options::{LengthField, MAX_TOKENS, RequestOptions};
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
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_completion_tokens: Option<usize>,
}

#[derive(Serialize)]
struct PromptMessage {
    role: &'static str,
    content: String,
}

/// What a probe asks: the same for all installations, and nothing of a conversation.
const PROBE: &str = "Hello.";

/// The request as JSON: the system prompt, then the end of the conversation.
pub(super) fn request(
    settings: &ModelSettings,
    options: RequestOptions,
    prompt: &str,
    conversation: &[ChatMessage],
) -> Vec<u8> {
    let role = if options.has_system_role { "system" } else { "user" };
    let mut messages = vec![PromptMessage { role, content: prompt.to_owned() }];
    let length: usize = conversation.iter().map(|message| message.text.chars().count()).sum();
    let max_chars = settings.context_chars.min(length) / options.context_divisor;
    for message in last_messages(conversation, max_chars) {
        let role = if message.role == Role::User { "user" } else { "assistant" };
        match messages.last_mut() {
            // A turn without an answer leaves two messages of the user in a row. The chat templates of several open
            // models (Gemma, Mistral) require that the roles alternate.
            Some(last) if last.role == role => last.content.extend(["\n\n", &message.text]),
            _ => messages.push(PromptMessage { role, content: message.text.clone() }),
        }
    }
    to_json(settings, options, messages)
}

/// The request of a probe as JSON.
pub(super) fn probe(settings: &ModelSettings, options: RequestOptions) -> Vec<u8> {
    to_json(settings, options, vec![PromptMessage { role: "user", content: PROBE.to_owned() }])
}

/// Always asks for a stream: its first piece shows that the model answers, however long the rest takes.
fn to_json(settings: &ModelSettings, options: RequestOptions, messages: Vec<PromptMessage>) -> Vec<u8> {
    let bound = |field| (options.length == field).then_some(MAX_TOKENS);
    let request = CompletionRequest {
        model: &settings.model,
        messages,
        stream: true,
        store: options.sends_store.then_some(false),
        max_tokens: bound(LengthField::MaxTokens),
        max_completion_tokens: bound(LengthField::MaxCompletionTokens),
    };
    serde_json::to_vec(&request).expect("strings, numbers and booleans serialize")
}

/// The longest end of the conversation that has at most `max_chars` and begins with a message of the user, as the same
/// templates require. The last message is always included.
fn last_messages(conversation: &[ChatMessage], max_chars: usize) -> &[ChatMessage] {
    let mut chars = 0;
    let fits = conversation.iter().rev().take_while(|message| {
        chars += message.text.chars().count();
        chars <= max_chars
    });
    let messages = &conversation[conversation.len().saturating_sub(fits.count().max(1))..];
    let first_of_user = messages.iter().position(|message| message.role == Role::User).unwrap_or(0);
    &messages[first_of_user..]
}
