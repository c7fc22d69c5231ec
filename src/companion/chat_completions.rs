//! The words of OpenAI's chat completions: what is sent, and what comes back.

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::{Said, Speaker, Unavailable};

/// What is sent. There is no field for who asks, nor for anything else that could tell one person from another.
#[derive(Serialize)]
struct Request<'a> {
    model: &'a str,
    messages: Vec<Message>,
    stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    store: Option<bool>,
}

#[derive(Serialize)]
struct Message {
    role: &'static str,
    content: String,
}

/// What of the request is the same for every conversation.
pub(super) struct Form<'a> {
    pub(super) model: &'a str,
    pub(super) prompt: &'a str,
    pub(super) context_chars: usize,
    pub(super) sends_store: bool,
}

impl Form<'_> {
    /// The body of a request.
    pub(super) fn fill(&self, conversation: &[Said], is_streamed: bool) -> Vec<u8> {
        let mut messages = vec![Message { role: "system", content: self.prompt.to_owned() }];
        for said in fitting(conversation, self.context_chars) {
            let role = match said.speaker {
                Speaker::Person => "user",
                Speaker::Companion => "assistant",
            };
            match messages.last_mut() {
                // After a turn that got no answer the same person speaks again. The templates of several open models
                // (Gemma, Mistral) refuse a conversation whose roles do not take turns.
                Some(last) if last.role == role => last.content.extend(["\n\n", &said.text]),
                _ => messages.push(Message { role, content: said.text.clone() }),
            }
        }
        let store = self.sends_store.then_some(false);
        let request = Request { model: self.model, messages, stream: is_streamed, store };
        serde_json::to_vec(&request).expect("texts and booleans are JSON")
    }
}

/// The last turns that fit, from one of the person's on, for the same templates want the person to begin. The very last
/// is always there, whatever its length.
fn fitting(conversation: &[Said], context_chars: usize) -> &[Said] {
    let mut left = context_chars;
    let mut from = conversation.len();
    for (place, said) in conversation.iter().enumerate().rev() {
        let chars = said.text.chars().count();
        let is_last = place + 1 == conversation.len();
        if chars > left && !is_last {
            break;
        }
        left = left.saturating_sub(chars);
        from = place;
    }
    let turns = &conversation[from..];
    let begin = turns.iter().position(|said| said.speaker == Speaker::Person).unwrap_or(0);
    &turns[begin..]
}

/// A whole answer, or a chunk of one.
#[derive(Deserialize)]
struct Answer {
    choices: Option<Vec<Choice>>,
    error: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Choice {
    /// In a whole answer.
    message: Option<Words>,
    /// In a chunk.
    delta: Option<Words>,
    finish_reason: Option<String>,
}

#[derive(Default, Deserialize)]
struct Words {
    content: Option<String>,
    refusal: Option<String>,
}

/// What one answer, or one chunk of it, says.
#[derive(Default)]
pub(super) struct Piece {
    pub(super) text: String,
    /// Whether the model has finished.
    pub(super) is_last: bool,
}

/// The words of a whole answer.
///
/// # Errors
/// `Nonsense`, `Filtered` or `Empty`.
pub(super) fn whole(json: &[u8]) -> Result<String, Unavailable> {
    let piece = read(json, |choice| choice.message)?;
    if piece.text.trim().is_empty() { Err(Unavailable::Empty) } else { Ok(piece.text) }
}

/// The words of a chunk, which may be none.
///
/// # Errors
/// `Nonsense` or `Filtered`.
pub(super) fn chunk(json: &[u8]) -> Result<Piece, Unavailable> {
    read(json, |choice| choice.delta)
}

fn read(json: &[u8], words: fn(Choice) -> Option<Words>) -> Result<Piece, Unavailable> {
    let answer: Answer = serde_json::from_slice(json).map_err(|_| Unavailable::Nonsense)?;
    let (None, Some(choices)) = (answer.error, answer.choices) else { return Err(Unavailable::Nonsense) };
    // Some send a chunk without a choice, with the count of tokens or the verdict of a filter.
    let Some(mut choice) = choices.into_iter().next() else { return Ok(Piece::default()) };
    let finish_reason = choice.finish_reason.take().unwrap_or_default();
    let words = words(choice).unwrap_or_default();
    if finish_reason == "content_filter" || words.refusal.is_some_and(|refusal| !refusal.is_empty()) {
        return Err(Unavailable::Filtered);
    }
    Ok(Piece { text: words.content.unwrap_or_default(), is_last: !finish_reason.is_empty() })
}
