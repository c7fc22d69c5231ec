//! What a client says, and what it wants to know: read strictly.

use rouille::Request;
use serde_json::{Map, Value};
use uuid::Uuid;
use uuid::fmt::Hyphenated;

use crate::api::problem::Problem;

/// Characters that a message may have.
const MOST_CHARS: usize = 4096;

/// Characters that an `Idempotency-Key` may have.
const MOST_KEY_CHARS: usize = 200;

/// Messages on a page at most.
const MOST_ON_PAGE: i32 = 200;

/// The words in the body.
pub(super) fn message(mut body: Map<String, Value>) -> Result<String, Problem> {
    let invalid = |message| Problem::invalid("message", message);
    let Some(Value::String(text)) = body.remove("message") else {
        return Err(invalid("must be a text of 1 to 4,096 characters"));
    };
    if text.chars().count() > MOST_CHARS {
        return Err(invalid("must have 4,096 characters at most"));
    }
    if text.chars().all(char::is_whitespace) {
        return Err(invalid("must have something in it besides white space"));
    }
    if text.contains('\0') {
        return Err(invalid("must not have the character NUL in it"));
    }
    Ok(text)
}

/// What the client calls the request, if anything.
pub(super) fn idempotency_key(request: &Request) -> Result<Option<String>, Problem> {
    let Some(key) = request.header("Idempotency-Key") else { return Ok(None) };
    // Bytes that were not UTF-8 have become the replacement character, and different keys one.
    let is_printable = !key.is_empty() && !key.chars().any(|it| it.is_control() || it == char::REPLACEMENT_CHARACTER);
    if is_printable && key.chars().count() <= MOST_KEY_CHARS {
        Ok(Some(key.to_owned()))
    } else {
        Err(Problem::invalid("Idempotency-Key", "must have 1 to 200 printable characters, in UTF-8"))
    }
}

/// Whether the answer is to come as events.
pub(super) fn wants_events(request: &Request) -> bool {
    let accepted = request.header("Accept").unwrap_or_default();
    let mut media_types = accepted.split(',').map(|part| part.split(';').next().unwrap_or_default().trim());
    media_types.any(|media_type| media_type.eq_ignore_ascii_case("text/event-stream"))
}

/// How many messages the page may have, if a page is asked for by that.
pub(super) fn page_length(request: &Request) -> Result<Option<i32>, Problem> {
    let Some(limit) = request.get_param("limit") else { return Ok(None) };
    let limit = limit.parse().ok().filter(|limit| (1..=MOST_ON_PAGE).contains(limit));
    limit.map(Some).ok_or_else(|| Problem::invalid("limit", "must be a whole number from 1 to 200"))
}

/// The message that the page ends before, if there is to be one.
pub(super) fn page_end(request: &Request) -> Result<Option<Uuid>, Problem> {
    let Some(before) = request.get_param("before") else { return Ok(None) };
    before.parse::<Hyphenated>().map(|id| Some(id.into_uuid())).map_err(|_| not_a_message())
}

/// There is no such message to end before.
pub(super) fn not_a_message() -> Problem {
    Problem::invalid("before", "must be the id of a message of this session")
}
