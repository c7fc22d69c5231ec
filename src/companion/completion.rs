//! Parses OpenAI's chat completions and the chunks of streamed ones.

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::interface::Unavailable;

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
}

/// The text of one chunk.
#[derive(Default)]
pub(super) struct Delta {
    /// May be empty.
    pub(super) text: String,
    /// Whether the chunk has a `finish_reason`: no text follows.
    pub(super) is_last: bool,
}

/// The text of a complete answer.
///
/// # Errors
/// `MalformedReply`, `Filtered` or `Empty`.
pub(super) fn parse(json: &[u8]) -> Result<String, Unavailable> {
    let text = parse_choice(json, |choice| choice.message)?.text;
    if text.trim().is_empty() { Err(Unavailable::Empty) } else { Ok(text) }
}

/// The text of a chunk.
///
/// # Errors
/// `MalformedReply` or `Filtered`.
pub(super) fn parse_chunk(json: &[u8]) -> Result<Delta, Unavailable> {
    parse_choice(json, |choice| choice.delta)
}

fn parse_choice(json: &[u8], content: fn(Choice) -> Option<Content>) -> Result<Delta, Unavailable> {
    let completion: Completion = serde_json::from_slice(json).map_err(|_| Unavailable::MalformedReply)?;
    let (None, Some(choices)) = (completion.error, completion.choices) else {
        return Err(Unavailable::MalformedReply);
    };
    // Some servers send a chunk without a choice, with the token usage or the result of a content filter.
    let Some(mut choice) = choices.into_iter().next() else { return Ok(Delta::default()) };
    let finish_reason = choice.finish_reason.take().unwrap_or_default();
    let content = content(choice).unwrap_or_default();
    if finish_reason == "content_filter" || content.refusal.is_some_and(|refusal| !refusal.is_empty()) {
        return Err(Unavailable::Filtered);
    }
    Ok(Delta { text: content.content.unwrap_or_default(), is_last: !finish_reason.is_empty() })
}
