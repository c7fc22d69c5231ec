//! Reads the body of a request.

use std::io::Read;

use serde_json::{Map, Value};

use super::problem::Problem;
use crate::http::Request;

/// Refuses a body by its head alone, on any route.
///
/// # Errors
/// 415 for one that does not say it is JSON. An empty one needs no media type.
pub(super) fn check_head(request: &Request) -> Result<(), Problem> {
    // Where the body is still to come, it may be in chunks.
    let is_empty = length(request) == 0 && request.header("Transfer-Encoding").is_none();
    let media_type = request.header("Content-Type").unwrap_or_default().split(';').next().unwrap_or_default();
    if is_empty || media_type.trim().eq_ignore_ascii_case("application/json") {
        Ok(())
    } else {
        Err(Problem::new(415, "A body has to be sent with Content-Type: application/json."))
    }
}

/// Bytes of the body; 0 of one in chunks that is still to come.
pub(super) fn length(request: &Request) -> usize {
    request.header("Content-Length").and_then(|length| length.parse().ok()).unwrap_or(0)
}

/// The JSON object in the body, or an empty one where there is no body.
///
/// # Errors
/// 422 for a body that is not an object.
pub(super) fn json_object(request: &Request) -> Result<Map<String, Value>, Problem> {
    let invalid = || Problem::invalid("body", "must be a JSON object in UTF-8");
    let mut body = Vec::new();
    if let Some(mut data) = request.data() {
        data.read_to_end(&mut body).map_err(|_| invalid())?;
    }
    if body.is_empty() {
        return Ok(Map::new());
    }
    match serde_json::from_slice(&body) {
        Ok(Value::Object(object)) => Ok(object),
        _ => Err(invalid()),
    }
}
