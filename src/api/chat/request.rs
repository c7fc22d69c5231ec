//! Reads and validates the requests of chat.

use rouille::input::parse_priority_header;
use serde_json::{Map, Value};
use uuid::Uuid;
use uuid::fmt::Hyphenated;

use crate::api::body;
use crate::api::catalogue::FieldCode;
use crate::api::problem::{Problem, both};
use crate::http::Request;

/// Characters that a message may have.
pub(in crate::api) const MAX_CHARS: usize = 4096;

/// Characters that an `Idempotency-Key` may have.
const MAX_KEY_CHARS: usize = 200;

/// Messages on a page at most.
const MAX_ON_PAGE: i32 = 200;

/// The `Idempotency-Key` and the message.
pub(super) fn read(request: &Request) -> Result<(Option<String>, String), Problem> {
    let key = request.header("Idempotency-Key").map(idempotency_key).transpose();
    both(key, body::json_object(request).and_then(text_of).and_then(message))
}

fn text_of(mut body: Map<String, Value>) -> Result<String, Problem> {
    let Some(Value::String(text)) = body.remove("message") else {
        return Err(Problem::invalid(FieldCode::MessageMissing));
    };
    Ok(text)
}

/// The text, if it can be a message.
pub(in crate::api) fn message(text: String) -> Result<String, Problem> {
    if text.chars().count() > MAX_CHARS {
        return Err(Problem::invalid(FieldCode::MessageTooLong));
    }
    if text.chars().all(char::is_whitespace) {
        return Err(Problem::invalid(FieldCode::MessageBlank));
    }
    if text.contains('\0') {
        return Err(Problem::invalid(FieldCode::MessageHasNul));
    }
    Ok(text)
}

/// The text, if it can be an `Idempotency-Key`.
pub(in crate::api) fn idempotency_key(key: &str) -> Result<String, Problem> {
    // Bytes that were not UTF-8 have become the replacement character, and different keys one.
    let is_printable = !key.is_empty() && !key.chars().any(|it| it.is_control() || it == char::REPLACEMENT_CHARACTER);
    if is_printable && key.chars().count() <= MAX_KEY_CHARS {
        Ok(key.to_owned())
    } else {
        Err(Problem::invalid(FieldCode::IdempotencyKeyInvalid))
    }
}

/// Whether the client accepts server-sent events: whether it names them, whatever it prefers.
pub(super) fn accepts_events(request: &Request) -> bool {
    parse_priority_header(request.header("Accept").unwrap_or_default())
        .any(|(media_type, weight)| media_type.eq_ignore_ascii_case("text/event-stream") && weight > 0.0)
}

/// The parameter `limit`.
pub(super) fn page_length(request: &Request) -> Result<Option<i32>, Problem> {
    let Some(limit) = request.get_param("limit") else { return Ok(None) };
    let limit = limit.parse().ok().filter(|limit| (1..=MAX_ON_PAGE).contains(limit));
    limit.map(Some).ok_or_else(|| Problem::invalid(FieldCode::LimitInvalid))
}

/// The parameter `before`: the message that the page ends before.
pub(super) fn page_end(request: &Request) -> Result<Option<Uuid>, Problem> {
    request.get_param("before").map(|before| message_id(&before)).transpose()
}

/// The text, if it can be the id of a message.
pub(in crate::api) fn message_id(text: &str) -> Result<Uuid, Problem> {
    text.parse::<Hyphenated>().map(Hyphenated::into_uuid).map_err(|_| not_a_message())
}

/// The parameter `before` names no message of the session.
pub(in crate::api) fn not_a_message() -> Problem {
    Problem::invalid(FieldCode::BeforeInvalid)
}
