//! One chunk of a streamed completion, or a whole one, of servers that have OpenAI's API. Nothing is required of it: what
//! is missing, null or of another type is passed over.

use serde_json::value::RawValue;

use super::interface::Unavailable;
use super::lenient_json::{Object, array, is_something, object, string, without_infinities};

/// What is read of a chunk.
#[derive(Default)]
pub(super) struct Chunk {
    /// Whether it has a member `choices`, also an empty one.
    pub(super) is_completion: bool,
    /// The next piece of the answer, in WTF-8; may be empty.
    pub(super) piece: Vec<u8>,
    /// The text of a `message` without a piece beside it. In a stream, it may repeat what was said before.
    pub(super) message: Vec<u8>,
    /// Whether a `delta` stands beside the message.
    pub(super) has_delta: bool,
    /// Whether the model thinks, which is not a part of the answer.
    pub(super) has_thoughts: bool,
    pub(super) finish: Option<FinishReason>,
    /// Why there is no answer, or no more of it.
    pub(super) error: Option<Unavailable>,
}

/// Why the server ends the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FinishReason {
    /// The model has said all.
    Stop,
    /// The bound of the request or of the model is reached.
    Length,
    /// A content filter withholds the answer.
    Filter,
    /// The server cannot go on.
    Failure,
}

/// The text in a content, and whether thoughts are beside it.
#[derive(Default)]
struct Words {
    text: Vec<u8>,
    has_thoughts: bool,
}

impl Chunk {
    /// Reads a chunk; `None` if it is not JSON. `is_error`: the server calls the whole an error.
    pub(super) fn parse(json: &str, is_error: bool) -> Option<Chunk> {
        let json = without_infinities(json);
        let json: &RawValue = serde_json::from_str(&json).ok()?;
        Some(object(json).map(|chunk| Chunk::read(&chunk, is_error)).unwrap_or_default())
    }

    fn read(chunk: &Object<'_>, is_error: bool) -> Chunk {
        let choices = chunk.get("choices");
        let error = error(chunk, is_error);
        // One answer is asked for. A server that sends several choices has it in the first.
        let choice = choices.and_then(|choices| {
            let list = array(choices).unwrap_or_else(|| vec![choices]);
            list.into_iter().find_map(object)
        });
        let mut read = Chunk { is_completion: choices.is_some(), error, ..Chunk::default() };
        let Some(choice) = choice else { return read };
        read.finish = choice.get("finish_reason").and_then(|reason| finish_reason(reason));
        let delta = choice.get("delta").copied().filter(|delta| !matches!(delta.get(), "null" | "{}"));
        read.has_delta = delta.is_some();
        let message = choice.get("message").copied();
        for content in [delta, message].into_iter().flatten() {
            let Some(fields) = object(content) else { continue };
            let reasoning = ["reasoning_content", "reasoning"].iter().filter_map(|name| fields.get(*name));
            read.has_thoughts |= reasoning.into_iter().any(|thoughts| is_something(thoughts));
            if fields.get("refusal").and_then(|refusal| string(refusal)).is_some_and(|text| !text.is_empty()) {
                read.finish = Some(FinishReason::Filter);
            }
        }
        // A delta of some servers is the text itself; the older completions API has `text` in its place.
        let delta = delta.or(choice.get("text").copied()).map(said).unwrap_or_default();
        read.piece = delta.text;
        let message = message.map(said).unwrap_or_default();
        read.has_thoughts |= delta.has_thoughts || message.has_thoughts;
        if read.piece.is_empty() {
            read.message = message.text;
        }
        read
    }
}

/// The words of a delta or a message.
fn said(message: &RawValue) -> Words {
    match object(message) {
        Some(fields) => fields.get("content").map(|content| words(content)).unwrap_or_default(),
        None => words(message),
    }
}

/// The words of a content: a string, a part with a type, or a list of both.
fn words(content: &RawValue) -> Words {
    let mut words = Words::default();
    for part in array(content).unwrap_or_else(|| vec![content]) {
        if let Some(part) = object(part) {
            let kind = part.get("type").and_then(|kind| string(kind)).unwrap_or_default();
            match kind.as_slice() {
                b"" | b"text" | b"output_text" => words.text.extend(text_of_part(&part).unwrap_or_default()),
                b"thinking" | b"reasoning" => words.has_thoughts = true,
                _ => {}
            }
        } else {
            words.text.extend(string(part).unwrap_or_default());
        }
    }
    words
}

fn text_of_part(part: &Object<'_>) -> Option<Vec<u8>> {
    let text = part.get("text")?;
    string(text).or_else(|| object(text)?.get("value").and_then(|value| string(value)))
}

/// The values of `finish_reason` that servers have; any other word ends the answer like `stop`.
fn finish_reason(reason: &RawValue) -> Option<FinishReason> {
    let reason = string(reason)?.to_ascii_lowercase();
    match reason.as_slice() {
        b"" | b"null" => None,
        b"length" | b"max_tokens" | b"model_length" => Some(FinishReason::Length),
        b"content_filter"
        | b"safety"
        | b"prohibited_content"
        | b"blocklist"
        | b"spii"
        | b"recitation"
        | b"sensitive" => Some(FinishReason::Filter),
        b"error" | b"network_error" | b"abort" | b"cancel" | b"insufficient_system_resource" => {
            Some(FinishReason::Failure)
        }
        _ => Some(FinishReason::Stop),
    }
}

/// The error that a chunk is or has, if it says something.
fn error(chunk: &Object<'_>, is_error: bool) -> Option<Unavailable> {
    if let Some(error) = chunk.get("error").filter(|error| is_something(error)) {
        return Some(object(error).map_or(Unavailable::MalformedReply, |error| reason(&error)));
    }
    let is = |name: &str, value: &[u8]| chunk.get(name).and_then(|json| string(json)).is_some_and(|text| text == value);
    let has_message = chunk.get("error_message").is_some_and(|message| is_something(message));
    if is_error || is("object", b"error") || is("type", b"error") || has_message {
        return Some(reason(chunk));
    }
    // Groq says here that a stream stopped early.
    let groq = chunk.get("x_groq").and_then(|groq| object(groq));
    groq.and_then(|groq| groq.get("error").copied())
        .filter(|error| is_something(error))
        .map(|_| Unavailable::Interrupted)
}

/// What an error in place of an answer means: the status that the response would have had, where it names one.
fn reason(error: &Object<'_>) -> Unavailable {
    let names = ["code", "status", "status_code", "http_code", "type"];
    let values = names.iter().filter_map(|name| error.get(*name)).map(|value| value.get().trim_matches('"'));
    for value in values {
        match value.parse() {
            Ok(status @ 400..=599) => return Unavailable::Refused(status),
            _ if value == "content_filter" => return Unavailable::Filtered,
            _ => {}
        }
    }
    Unavailable::MalformedReply
}
