//! OpenAI's chat completions API as JSON: the request, the complete answer, and the chunks of a streamed one.

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::interface::{ChatMessage, Unavailable};
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

/// What a probe asks: the same for all installations, and nothing of a conversation.
const PROBE: &str = "Hello.";

/// The request as JSON: the system prompt, then the end of the conversation.
pub(super) fn request(settings: &ModelSettings, prompt: &str, conversation: &[ChatMessage]) -> Vec<u8> {
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
    to_json(settings, messages)
}

/// The request of a probe as JSON.
pub(super) fn probe(settings: &ModelSettings) -> Vec<u8> {
    to_json(settings, vec![PromptMessage { role: "user", content: PROBE.to_owned() }])
}

/// Always asks for a stream: its first piece shows that the model answers, however long the rest takes.
fn to_json(settings: &ModelSettings, messages: Vec<PromptMessage>) -> Vec<u8> {
    let store = settings.sends_store.then_some(false);
    serde_json::to_vec(&CompletionRequest { model: &settings.model, messages, stream: true, store })
        .expect("strings and booleans serialize")
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

/// A complete answer or one chunk of it.
#[derive(Deserialize)]
struct Completion {
    choices: Option<Vec<Choice>>,
    error: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Choice {
    /// In a complete answer.
    message: Option<Content>,
    /// In a chunk.
    delta: Option<Content>,
    finish_reason: Option<String>,
}

#[derive(Default, Deserialize)]
struct Content {
    content: Option<String>,
    refusal: Option<String>,
    /// What a reasoning model thinks before it answers (llama.cpp, DeepSeek).
    reasoning_content: Option<Value>,
    /// The same (Ollama, OpenRouter); vLLM has either, depending on its version.
    reasoning: Option<Value>,
}

/// The text of one chunk, or of a complete answer.
#[derive(Default)]
pub(super) struct Delta {
    /// May be empty.
    pub(super) text: String,
    /// Whether the model reasons, which is not a part of the answer.
    pub(super) has_reasoning: bool,
    /// Whether the chunk has a `finish_reason`: no text follows.
    pub(super) is_last: bool,
}

/// The text of a complete answer.
pub(super) fn parse(json: &[u8]) -> Result<Delta, Unavailable> {
    parse_choice(json, |choice| choice.message)
}

/// The text of a chunk.
pub(super) fn parse_chunk(json: &[u8]) -> Result<Delta, Unavailable> {
    parse_choice(json, |choice| choice.delta)
}

fn parse_choice(json: &[u8], content: fn(Choice) -> Option<Content>) -> Result<Delta, Unavailable> {
    let completion: Completion = serde_json::from_slice(json).map_err(|_| Unavailable::MalformedReply)?;
    let (None, Some(choices)) = (completion.error, completion.choices) else { return Err(Unavailable::MalformedReply) };
    // Some servers send a chunk without a choice, with the token usage or the result of a content filter.
    let Some(mut choice) = choices.into_iter().next() else { return Ok(Delta::default()) };
    let finish_reason = choice.finish_reason.take().unwrap_or_default();
    let content = content(choice).unwrap_or_default();
    if finish_reason == "content_filter" || content.refusal.is_some_and(|refusal| !refusal.is_empty()) {
        return Err(Unavailable::Filtered);
    }
    let has_reasoning = content.reasoning_content.or(content.reasoning).is_some_and(|reasoning| reasoning != "");
    Ok(Delta { text: content.content.unwrap_or_default(), has_reasoning, is_last: !finish_reason.is_empty() })
}
