//! Reads the body of a request.

use std::io::Read;

use rouille::Request;
use serde_json::{Map, Value};

use super::Context;
use super::problem::Problem;

/// Refuses a body by its head alone, on any route.
///
/// # Errors
/// 413 for one that says it is too large, 415 for one that does not say it is JSON.
pub(super) fn check_head(context: &Context, request: &Request) -> Result<(), Problem> {
    let length = request.header("Content-Length").and_then(|length| length.parse::<u64>().ok()).unwrap_or(0);
    if length > context.max_body_bytes as u64 {
        return Err(Problem::body_too_large(context.max_body_bytes));
    }
    // A chunked body may turn out to be empty, and an empty one needs no media type.
    if length > 0 && !says_json(request) {
        return Err(Problem::not_json_media_type());
    }
    Ok(())
}

fn says_json(request: &Request) -> bool {
    let media_type = request.header("Content-Type").unwrap_or_default();
    media_type.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json")
}

/// The JSON object in the body, or an empty one where there is no body.
///
/// # Errors
/// 413 for a body that turns out too large, 415 for one that does not say it is JSON, 422 for one that is not an object.
pub(super) fn json_object(context: &Context, request: &Request) -> Result<Map<String, Value>, Problem> {
    let max = context.max_body_bytes;
    let mut body = Vec::new();
    if let Some(data) = request.data() {
        // One byte more than allowed tells a body that is too long from one that just fits.
        let read = data.take(max as u64 + 1).read_to_end(&mut body);
        read.map_err(|_| Problem::invalid("body", "must be complete"))?;
    }
    if body.len() > max {
        return Err(Problem::body_too_large(max));
    }
    if body.is_empty() {
        return Ok(Map::new());
    }
    if !says_json(request) {
        return Err(Problem::not_json_media_type());
    }
    match serde_json::from_slice(&body) {
        Ok(Value::Object(object)) => Ok(object),
        _ => Err(Problem::invalid("body", "must be a JSON object in UTF-8")),
    }
}
