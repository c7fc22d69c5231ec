//! Reads the body of a request.

use std::borrow::Cow;
use std::io::Read;

use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

use super::catalogue::{Code, FieldCode};
use super::problem::Problem;
use crate::http::{Refusal, Request};
use crate::session_id::SessionId;

/// What some editors and libraries write before a text.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Bytes of a form: an id and an address, and what a browser writes around them.
pub(super) const MAX_FORM_BYTES: usize = 1024;

/// Refuses a body by its head alone, on any route.
///
/// # Errors
/// 415 for one that is compressed, or does not say it is JSON. An empty one needs no media type.
pub(super) fn check_head(request: &Request) -> Result<(), Problem> {
    // Where the body is still to come, it may be in chunks.
    if length(request) == 0 && request.header("Transfer-Encoding").is_none() {
        return Ok(());
    }
    check_encoding(request)?;
    check_media_type(request, "application/json")
}

/// Refuses the body of a form by its head, or by its length where that is known only now.
///
/// # Errors
/// 415 for one that is compressed, 413 above [`MAX_FORM_BYTES`].
pub(super) fn check_form_head(request: &Request) -> Result<(), Problem> {
    check_encoding(request)?;
    check_length(request, MAX_FORM_BYTES)
}

/// Refuses the body of a form of the page, which only browsers send, in the same way.
///
/// # Errors
/// 415 for one that is compressed or not URL-encoded, 413 above `max_bytes`.
pub(super) fn check_page_form_head(request: &Request, max_bytes: usize) -> Result<(), Problem> {
    check_encoding(request)?;
    if length(request) > 0 {
        check_media_type(request, "application/x-www-form-urlencoded")?;
    }
    check_length(request, max_bytes)
}

fn check_media_type(request: &Request, expected: &str) -> Result<(), Problem> {
    let media_type = request.header("Content-Type").unwrap_or_default().split(';').next().unwrap_or_default();
    let is_it = media_type.trim().eq_ignore_ascii_case(expected);
    if is_it { Ok(()) } else { Err(Problem::new(Code::MediaTypeUnsupported)) }
}

fn check_length(request: &Request, max_bytes: usize) -> Result<(), Problem> {
    if length(request) <= max_bytes { Ok(()) } else { Err(Refusal::BodyTooLarge(max_bytes).into()) }
}

fn check_encoding(request: &Request) -> Result<(), Problem> {
    let mut encodings = request.header("Content-Encoding").unwrap_or_default().split(',').map(str::trim);
    if !encodings.all(|encoding| encoding.is_empty() || encoding.eq_ignore_ascii_case("identity")) {
        let problem = Problem::new(Code::ContentEncodingUnsupported);
        return Err(problem.header("Accept-Encoding", "identity".to_owned()));
    }
    Ok(())
}

/// Bytes of the body; 0 of one in chunks that is still to come.
pub(super) fn length(request: &Request) -> usize {
    request.header("Content-Length").and_then(|length| length.parse().ok()).unwrap_or(0)
}

/// The JSON object in the body, or an empty one where there is no body.
///
/// # Errors
/// 422 for a body that is not an object, with the position where it is wrong.
pub(super) fn json_object(request: &Request) -> Result<Map<String, Value>, Problem> {
    let mut body = read(request)?;
    if body.is_empty() {
        return Ok(Map::new());
    }
    let skipped = if body.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 };
    let json = &mut body[skipped..];
    if let Err(error) = str::from_utf8(json) {
        return Err(Problem::invalid_at(FieldCode::BodyNotUtf8, skipped + error.valid_up_to() + 1));
    }
    replace_lone_surrogates(json);
    match serde_json::from_slice(json) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(Problem::invalid(FieldCode::BodyNotObject)),
        Err(error) => {
            // serde_json has no other way to tell this error from the others.
            let is_too_deep = error.to_string().starts_with("recursion limit exceeded");
            let code = if is_too_deep { FieldCode::BodyTooDeep } else { FieldCode::BodyNotJson };
            Err(Problem::invalid_at(code, skipped + position(json, &error)))
        }
    }
}

fn read(request: &Request) -> Result<Vec<u8>, Problem> {
    let mut body = Vec::new();
    if let Some(mut data) = request.data() {
        data.read_to_end(&mut body).map_err(|_| Problem::internal("the body of a request cannot be read"))?;
    }
    Ok(body)
}

/// The body of a form: its text without a byte order mark and white space around it, with LF at the end of lines.
pub(super) struct Form(String);

impl Form {
    pub(super) fn read(request: &Request) -> Result<Form, Problem> {
        let body = read(request)?;
        let text = String::from_utf8_lossy(body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&body)).replace("\r\n", "\n");
        Ok(Form(text.trim().to_owned()))
    }

    /// A member of a JSON object, or a field of a form: multipart, as plain text with one field a line, or URL-encoded. The body
    /// itself tells which: a page may send any of them as `text/plain`.
    pub(super) fn field(&self, name: &str) -> Option<String> {
        let text = self.0.as_str();
        if text.starts_with('{') {
            return serde_json::from_str::<Value>(text).ok()?[name].as_str().map(ToOwned::to_owned);
        }
        if let Some((_, part)) = text.split_once(&format!(" name=\"{name}\"")) {
            let (_, value) = part.split_once("\n\n")?;
            return value.lines().next().map(ToOwned::to_owned);
        }
        let value = |line: &str| line.strip_prefix(name)?.strip_prefix('=').map(ToOwned::to_owned);
        let plain = text.lines().find_map(value).filter(|_| text.contains('\n'));
        let is_it = |(field, value): (Cow<'_, str>, Cow<'_, str>)| (field == name).then(|| value.into_owned());
        plain.or_else(|| form_urlencoded::parse(text.as_bytes()).find_map(is_it))
    }

    /// The id in the field `session_id`, or where it has none, anywhere in the body: what a page puts around it, such as quotes or
    /// another name, must not keep a session from being erased.
    pub(super) fn session_id(&self) -> Option<SessionId> {
        let decoded = || percent_decode_str(&self.0).decode_utf8_lossy();
        let in_field = self.field("session_id").and_then(|field| first_id(&field));
        in_field.or_else(|| first_id(&self.0)).or_else(|| first_id(&decoded()))
    }
}

/// The whole text, which may be a recovery code with spaces, or the first word in it that is a session's id.
fn first_id(text: &str) -> Option<SessionId> {
    let mut words = text.split(|character: char| !character.is_ascii_alphanumeric() && !"-_".contains(character));
    text.parse().ok().or_else(|| words.find_map(|word| word.parse().ok()))
}

/// Where JSON is wrong, in bytes from 1.
fn position(json: &[u8], error: &serde_json::Error) -> usize {
    let lines = json.split_inclusive(|byte| *byte == b'\n').take(error.line().saturating_sub(1));
    (lines.map(<[u8]>::len).sum::<usize>() + error.column()).max(1)
}

/// Makes U+FFFD of each half of a surrogate pair that has no other half, in place. Keyboards and text fields that cut an emoji
/// in two send them, and a person must not lose a message for that.
fn replace_lone_surrogates(json: &mut [u8]) {
    let mut at = 0;
    while at < json.len() {
        let step = match (json[at], escaped(&json[at..])) {
            (b'\\', Some(0xd800..0xdc00)) if matches!(escaped(&json[at + 6..]), Some(0xdc00..0xe000)) => 12,
            (b'\\', Some(0xd800..0xe000)) => {
                json[at + 2..at + 6].copy_from_slice(b"fffd");
                6
            }
            (b'\\', _) => 2,
            _ => 1,
        };
        at += step;
    }
}

/// The code unit of an escape such as `\ud83d` at the beginning.
fn escaped(json: &[u8]) -> Option<u16> {
    let digits = json.strip_prefix(b"\\u")?.get(..4)?;
    let is_hexadecimal = digits.iter().all(u8::is_ascii_hexdigit);
    str::from_utf8(digits).ok().filter(|_| is_hexadecimal).and_then(|digits| u16::from_str_radix(digits, 16).ok())
}
