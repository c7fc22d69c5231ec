//! Reads the body of a request.

use std::io::Read;

use rouille::Request;
use serde_json::{Map, Value};

use super::Context;
use super::problem::Problem;

/// The JSON object in the body, or an empty one where there is no body.
///
/// # Errors
/// 413, 415 and 422 as the contract has them.
pub(super) fn json_object(context: &Context, request: &Request) -> Result<Map<String, Value>, Problem> {
    let body = read(request, context.max_body_bytes)?;
    if body.is_empty() {
        return Ok(Map::new());
    }
    let media_type = request.header("Content-Type").unwrap_or_default();
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/json") {
        return Err(Problem::not_json_media_type());
    }
    match serde_json::from_slice(&body) {
        Ok(Value::Object(object)) => Ok(object),
        _ => Err(Problem::invalid("body", "must be a JSON object in UTF-8")),
    }
}

fn read(request: &Request, max: usize) -> Result<Vec<u8>, Problem> {
    let declared = request.header("Content-Length").and_then(|length| length.parse::<u64>().ok()).unwrap_or(0);
    if declared > max as u64 {
        return Err(Problem::body_too_large(max));
    }
    let mut body = Vec::new();
    if let Some(data) = request.data() {
        // One byte more than allowed tells a body that is too long from one that just fits.
        data.take(max as u64 + 1).read_to_end(&mut body).map_err(|_| Problem::body_not_read())?;
    }
    if body.len() > max { Err(Problem::body_too_large(max)) } else { Ok(body) }
}
