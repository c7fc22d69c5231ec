//! The head of a response, and how its body is framed (RFC 9112, sections 4 and 6).

use std::borrow::Cow;
use std::time::{SystemTime, UNIX_EPOCH};

use chrono::DateTime;
use http::StatusCode;

use super::body::is_token;

/// Fields that belong to the server. Those of the application are left out, as rouille documents.
const SERVER_FIELDS: [&str; 6] = ["Connection", "Content-Length", "Date", "Transfer-Encoding", "Trailer", "Upgrade"];

/// What a response depends on in its request.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct ClientCapabilities {
    /// The client speaks HTTP/1.1, so it understands chunks.
    pub(super) is_1_1: bool,
    /// The request was `HEAD`.
    pub(super) head_only: bool,
    /// Another request may follow on the connection.
    pub(super) keep_alive: bool,
}

/// How the client finds the end of a body.
#[derive(Debug, Clone, Copy)]
pub(super) enum Framing {
    /// There is no body: none of this status, or of the answer to `HEAD`.
    None,
    /// This many bytes are left (`Content-Length`).
    Bytes(usize),
    /// Each piece is a chunk.
    Chunks,
    /// The end of the connection is the end of the body.
    UntilClose,
}

/// Formats a head for a body of this length, if that is known. Returns its bytes, the framing of the body, and whether
/// another request may follow on the connection. Fails for a status that is not final, and for a field that would split
/// the response (CR, LF, NUL).
pub(super) fn format(
    status: u16,
    fields: &[(Cow<'static, str>, Cow<'static, str>)],
    length: Option<usize>,
    client: ClientCapabilities,
    clock: &mut DateClock,
) -> Result<(Vec<u8>, Framing, bool), &'static str> {
    if !(200..=999).contains(&status) {
        return Err("its status is not one");
    }
    // These have no body whatever the application gave (RFC 9110, sections 15.3.5, 15.3.6 and 15.4.5).
    let has_no_body = matches!(status, 204 | 205 | 304);
    let framing = match length {
        _ if has_no_body => Framing::Bytes(0),
        Some(length) => Framing::Bytes(length),
        None if client.is_1_1 => Framing::Chunks,
        None => Framing::UntilClose,
    };
    let keep_alive = client.keep_alive && !matches!(framing, Framing::UntilClose);
    // Room for a short body too, which follows.
    let mut bytes = Vec::with_capacity(1024);
    // Appended part by part: the formatting macros would cost more than all the rest.
    let mut line = |parts: [&str; 4]| parts.iter().for_each(|part| bytes.extend_from_slice(part.as_bytes()));
    line(["HTTP/1.1 ", &status.to_string(), " ", reason(status)]);
    line(["\r\n", "Date: ", clock.date(), "\r\n"]);
    for (name, value) in fields {
        if SERVER_FIELDS.iter().any(|field| field.eq_ignore_ascii_case(name)) {
            continue;
        }
        // Without an early exit, which would keep the compiler from comparing many bytes at once.
        let splits = value.bytes().fold(false, |splits, byte| splits | matches!(byte, b'\r' | b'\n' | 0));
        if splits || !is_token(name.as_bytes()) {
            return Err("a header would split it");
        }
        line([name, ": ", value, "\r\n"]);
    }
    match framing {
        _ if matches!(status, 204 | 304) => {}
        Framing::Bytes(length) => line(["Content-Length", ": ", &length.to_string(), "\r\n"]),
        Framing::Chunks => line(["Transfer-Encoding", ": ", "chunked", "\r\n"]),
        Framing::UntilClose | Framing::None => {}
    }
    if !keep_alive {
        line(["Connection", ": ", "close", "\r\n"]);
    } else if !client.is_1_1 {
        line(["Connection", ": ", "keep-alive", "\r\n"]);
    }
    bytes.extend_from_slice(b"\r\n");
    let framing = if client.head_only || has_no_body { Framing::None } else { framing };
    Ok((bytes, framing, keep_alive))
}

/// The name of a status (RFC 9110, section 15, and RFC 6585), or an empty text for one without: a reason phrase may be empty
/// (RFC 9112, section 4).
#[must_use]
pub fn reason(status: u16) -> &'static str {
    match status {
        // The crate has the names of RFC 7231.
        413 => "Content Too Large",
        422 => "Unprocessable Content",
        _ => StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or(""),
    }
}

/// Formats the `Date` field once a second.
#[derive(Default, Clone)]
pub(super) struct DateClock {
    second: u64,
    date: String,
}

impl DateClock {
    /// The time as RFC 9110, section 5.6.7, has it.
    fn date(&mut self) -> &str {
        let second = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        if second != self.second || self.date.is_empty() {
            self.second = second;
            let time = DateTime::from_timestamp(second.cast_signed(), 0).unwrap_or_default();
            self.date = time.format("%a, %d %b %Y %H:%M:%S GMT").to_string();
        }
        &self.date
    }
}
