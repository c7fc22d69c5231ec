//! One chunk of a streamed completion, or a whole one, of servers that have OpenAI's API. Nothing is required of it: what
//! is missing, null or of another type is passed over.

use serde_json::value::RawValue;

use super::interface::Unavailable;
use super::lenient_json::{self, Object, array, is_something, object, string};

/// What is read of a chunk.
#[derive(Default)]
pub(super) struct Chunk {
    /// Whether it has a member `choices`, also an empty one.
    pub(super) is_completion: bool,
    /// Whether it has a choice, and the index of that.
    is_choice: bool,
    pub(super) index: Option<u64>,
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

/// The text of a content, and whether thoughts are beside it.
#[derive(Default)]
struct Content {
    text: Vec<u8>,
    has_thoughts: bool,
}

impl Chunk {
    /// Reads a chunk; `None` if it is not JSON. `is_error`: the server calls the whole an error. `choice`: the index of the
    /// choice that the answer is read from, where there were words before.
    pub(super) fn parse(json: &str, is_error: bool, choice: Option<u64>) -> Option<Chunk> {
        let repaired;
        let mut json: &RawValue = match serde_json::from_str(json) {
            Ok(json) => json,
            Err(_) => {
                repaired = lenient_json::repaired(json);
                serde_json::from_str(&repaired).ok()?
            }
        };
        // Some proxies send the chunk as a string.
        let inner = string(json).map(|text| String::from_utf8_lossy(&text).into_owned()).unwrap_or_default();
        if inner.starts_with('{') {
            json = serde_json::from_str(&inner).ok()?;
        }
        Some(object(json).map(|chunk| Chunk::read(&chunk, is_error, choice)).unwrap_or_default())
    }

    fn read(chunk: &Object<'_>, is_error: bool, chosen: Option<u64>) -> Chunk {
        let choices = chunk.get("choices").copied();
        let list = choices.map(|choices| array(choices).unwrap_or_else(|| vec![choices])).unwrap_or_default();
        let is_chosen = |choice: &Object<'_>| match (chosen, index(choice)) {
            (Some(chosen), Some(index)) => chosen == index,
            _ => true,
        };
        // One answer is asked for. Of several, it is the one that has the first words.
        let mut read = Chunk::default();
        for choice in list.into_iter().filter_map(object).filter(is_chosen) {
            let next = Chunk::of_choice(&choice);
            if next.has_text() {
                read = next;
                break;
            }
            if !read.is_choice {
                read = next;
            }
        }
        Chunk { is_completion: choices.is_some(), error: error(chunk, is_error), ..read }
    }

    fn of_choice(choice: &Object<'_>) -> Chunk {
        let mut read = Chunk { is_choice: true, ..Chunk::default() };
        read.index = index(choice);
        read.finish = choice.get("finish_reason").and_then(|reason| finish_reason(reason));
        let delta = choice.get("delta").copied().filter(|delta| !matches!(delta.get(), "null" | "{}"));
        read.has_delta = delta.is_some();
        let message = choice.get("message").copied();
        for content in [delta, message].into_iter().flatten() {
            let Some(fields) = object(content) else { continue };
            let reasoning = ["reasoning_content", "reasoning"].iter().filter_map(|name| fields.get(*name));
            read.has_thoughts |= reasoning.into_iter().any(|thoughts| is_something(thoughts));
            if fields.get("refusal").and_then(|refusal| string(refusal)).is_some_and(|text| is_refusal(&text)) {
                read.finish = Some(FinishReason::Filter);
            }
        }
        // A delta of some servers is the text itself; the older completions API has `text` in its place.
        let mut delta = delta.map(content_of).unwrap_or_default();
        if delta.text.is_empty() {
            delta.text = choice.get("text").copied().map(content_of).unwrap_or_default().text;
        }
        read.piece = delta.text;
        let message = message.map(content_of).unwrap_or_default();
        read.has_thoughts |= delta.has_thoughts || message.has_thoughts;
        if read.piece.is_empty() {
            read.message = message.text;
        }
        read
    }

    /// Whether it has a part of the answer.
    pub(super) fn has_text(&self) -> bool {
        !self.piece.is_empty() || !self.message.is_empty()
    }
}

fn index(choice: &Object<'_>) -> Option<u64> {
    choice.get("index")?.get().parse().ok()
}

/// Whether a `refusal` says something: some servers write the words of Python for null.
fn is_refusal(text: &[u8]) -> bool {
    !["", "none", "null"].iter().any(|nothing| text.eq_ignore_ascii_case(nothing.as_bytes()))
}

/// The content of a delta or a message.
fn content_of(message: &RawValue) -> Content {
    let Some(fields) = object(message) else { return content(message) };
    let google = fields.get("extra_content").and_then(|extra| object(object(extra)?.get("google")?));
    if google.is_some_and(|google| is_thought(&google)) {
        return Content { has_thoughts: true, ..Content::default() };
    }
    let found = fields.get("content").map(|json| content(json)).unwrap_or_default();
    match fields.get("text") {
        Some(text) if found.text.is_empty() => content(text),
        _ => found,
    }
}

/// Whether Google marks a part as a thought.
fn is_thought(part: &Object<'_>) -> bool {
    part.get("thought").is_some_and(|thought| thought.get() == "true")
}

/// The words of a content: a string, a part with a type, or a list of them.
fn content(json: &RawValue) -> Content {
    let mut content = Content::default();
    content.add(json, 0);
    content
}

impl Content {
    /// Lists in lists deeper than this are no content.
    const MAX_DEPTH: usize = 4;

    fn add(&mut self, json: &RawValue, depth: usize) {
        if let Some(parts) = array(json).filter(|_| depth < Content::MAX_DEPTH) {
            parts.into_iter().for_each(|part| self.add(part, depth + 1));
        } else if let Some(part) = object(json) {
            let kind = part.get("type").and_then(|kind| string(kind)).unwrap_or_default().to_ascii_lowercase();
            let has = |name: &str| kind.windows(name.len()).any(|window| window == name.as_bytes());
            if has("think") || has("reason") || is_thought(&part) {
                self.has_thoughts = true;
            } else if kind.is_empty() || has("text") {
                self.text.extend(text_of_part(&part).unwrap_or_default());
            }
        } else {
            self.text.extend(string(json).unwrap_or_default());
        }
    }
}

fn text_of_part(part: &Object<'_>) -> Option<Vec<u8>> {
    let text = part.get("text")?;
    let text = object(text).and_then(|text| text.get("value").copied()).unwrap_or(text);
    Some(content(text).text)
}

/// The values of `finish_reason` that servers have; any other word ends the answer like `stop`.
fn finish_reason(reason: &RawValue) -> Option<FinishReason> {
    let reason = string(reason)?.to_ascii_lowercase();
    match reason.as_slice() {
        b"" | b"null" | b"none" | b"in_progress" => None,
        reason if reason.ends_with(b"unspecified") => None,
        b"length"
        | b"incomplete"
        | b"max_length"
        | b"max_output_tokens"
        | b"max_tokens"
        | b"model_context_window_exceeded"
        | b"model_length"
        | b"token_limit" => Some(FinishReason::Length),
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
    if let Some(error) = chunk.get("error").filter(|error| is_something(error) && !is_success(error)) {
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

/// Whether an `error` says that there is none.
fn is_success(error: &RawValue) -> bool {
    let code = object(error).and_then(|error| error.get("code").copied());
    code.is_some_and(|code| matches!(code.get().trim_matches('"'), "0" | "200" | "success" | "ok"))
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
