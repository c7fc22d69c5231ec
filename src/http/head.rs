//! The head of a request: finds its end and parses it (RFC 9112, sections 2 to 6).

use std::mem::MaybeUninit;
use std::sync::Arc;

use super::limits::Limits;
use super::refusal::{Refusal, RefusedFields};

/// The highest value of [`Limits::max_head_fields`]: the parser keeps the fields on the stack.
pub const MAX_FIELDS: usize = 256;

/// The longest origin has `https://`, a name of 254 characters and a port.
const MAX_ORIGIN_BYTES: usize = 300;

/// Browsers send less than 200 bytes in `Accept`, and some tens in `Accept-Language`.
const MAX_ACCEPTED_BYTES: usize = 300;

/// The head of one request, and what it means for the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) method: String,
    /// The target in origin form, or `*`.
    pub(super) target: String,
    /// Names and values in their order. Bytes of a value that are not UTF-8 become U+FFFD.
    pub(super) fields: Vec<(String, String)>,
    /// What a refusal of the request can depend on.
    pub(super) refused_fields: RefusedFields,
    pub(super) length: Length,
    /// The client speaks HTTP/1.1, and not 1.0.
    pub(super) is_1_1: bool,
    /// The client may send further requests on this connection.
    pub(super) keep_alive: bool,
    /// The client waits for `100 Continue` before it sends the body.
    pub(super) expects_continue: bool,
}

/// How the end of a body is found (RFC 9112, section 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Length {
    /// `Content-Length`, or no body: then 0.
    Known(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
}

/// Finds the end of a head in the input received so far. It looks at each byte once and refuses as early as possible.
#[derive(Debug, Default)]
pub(super) struct HeadScanner {
    /// Where the request line begins: after one empty line, which some clients send after a body.
    start: usize,
    /// Bytes that were scanned.
    examined: usize,
    /// Where the line of the next byte begins.
    line: usize,
}

impl HeadScanner {
    /// The range of a complete head in `input`, which is the input of the call before with more bytes appended. Fails
    /// with 414 and 431 for a head above its bounds; 400 for a line end other than CR LF, a folded line or a control
    /// character.
    pub(super) fn find(&mut self, input: &[u8], limits: &Limits) -> Result<Option<std::ops::Range<usize>>, Refusal> {
        let (max_line, max_head) = (limits.max_request_line_bytes, limits.max_head_bytes);
        if self.examined < 2 && input.starts_with(b"\r\n") {
            *self = HeadScanner { start: 2, examined: 2, line: 2 };
        }
        let mut previous = if self.examined > self.start { input[self.examined - 1] } else { 0 };
        for (at, &byte) in input.iter().enumerate().skip(self.examined) {
            if byte > b' ' && byte != 0x7f && previous != b'\r' {
                previous = byte;
                continue;
            }
            match byte {
                b'\n' if previous != b'\r' => return Err(Refusal::Malformed("a line ends without CR")),
                b'\n' => {
                    let (is_request_line, is_empty) = (self.line == self.start, at - 1 == self.line);
                    self.line = at + 1;
                    match (is_request_line, is_empty) {
                        (true, true) => return Err(Refusal::Malformed("there is no request line")),
                        (true, false) => check_length(at - 1 - self.start, max_line, Refusal::RequestLineTooLong)?,
                        (false, true) => {
                            check_length(at + 1 - self.start, max_head, Refusal::HeadTooLarge)?;
                            return Ok(Some(self.start..at + 1));
                        }
                        (false, false) => {}
                    }
                }
                _ if previous == b'\r' => return Err(Refusal::Malformed("a CR does not end a line")),
                b' ' | b'\t' if at == self.line => return Err(Refusal::Malformed("a line begins with white space")),
                b'\r' | b'\t' | b' ' => {}
                _ => return Err(Refusal::Malformed("there is a control character in the head")),
            }
            previous = byte;
        }
        self.examined = input.len();
        if self.line == self.start {
            let length = self.examined - self.start - usize::from(previous == b'\r');
            check_length(length, max_line, Refusal::RequestLineTooLong)?;
        }
        // At least a line end is still to come.
        check_length(self.examined - self.start + 1, max_head, Refusal::HeadTooLarge)?;
        Ok(None)
    }
}

fn check_length(length: usize, max: usize, refusal: fn(usize) -> Refusal) -> Result<(), Refusal> {
    if length > max { Err(refusal(max)) } else { Ok(()) }
}

const MALFORMED_LINE: Refusal = Refusal::Malformed("the request line is not a method, a target and a version");

/// Parses a complete head, as [`HeadScanner::find`] found it. Fails with 400 for anything that the RFC does not allow;
/// 417, 431, 501 and 505 as [`Refusal`] describes them.
pub(super) fn parse(head: &[u8], limits: &Limits) -> Result<Head, Refusal> {
    let mut places = [const { MaybeUninit::uninit() }; MAX_FIELDS];
    let places = &mut places[..limits.max_head_fields.min(MAX_FIELDS)];
    let mut parsed = httparse::Request::new(&mut []);
    let status = parsed.parse_with_uninit_headers(head, places).map_err(|error| match error {
        httparse::Error::TooManyHeaders => Refusal::TooManyFields(limits.max_head_fields),
        httparse::Error::Version => version_refusal(head),
        httparse::Error::HeaderName => Refusal::Malformed("the name of a field has a wrong character"),
        httparse::Error::HeaderValue => Refusal::Malformed("the value of a field has a wrong character"),
        _ => MALFORMED_LINE,
    })?;
    if status != httparse::Status::Complete(head.len()) {
        return Err(Refusal::Malformed("the head does not end where it seems to"));
    }
    let (Some(method), Some(target)) = (parsed.method, parsed.path) else { return Err(MALFORMED_LINE) };
    let is_1_1 = parsed.version == Some(1);
    let mut fields = Vec::with_capacity(parsed.headers.len());
    let mut host = None;
    let (mut content_length, mut transfer_encoding) = (None, None);
    let (mut close, mut stay, mut expects_continue) = (false, false, false);
    for field in parsed.headers.iter() {
        let value = field.value.trim_ascii();
        if field.name.eq_ignore_ascii_case("Host") {
            if host.replace(fields.len()).is_some() {
                return Err(Refusal::Malformed("Host is there twice"));
            }
            if !value.iter().all(|byte| is_host_byte(*byte)) {
                return Err(Refusal::Malformed("the value of Host is not a host"));
            }
        } else if field.name.eq_ignore_ascii_case("Content-Length") {
            if content_length.replace(number(value)?).is_some() {
                return Err(Refusal::Malformed("Content-Length is there twice"));
            }
        } else if field.name.eq_ignore_ascii_case("Transfer-Encoding") {
            transfer_encoding = Some(transfer_encoding.is_none() && value.eq_ignore_ascii_case(b"chunked"));
        } else if field.name.eq_ignore_ascii_case("Connection") {
            for option in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
                close |= option.eq_ignore_ascii_case(b"close");
                stay |= option.eq_ignore_ascii_case(b"keep-alive");
            }
        } else if field.name.eq_ignore_ascii_case("Expect") && is_1_1 {
            if !value.eq_ignore_ascii_case(b"100-continue") {
                return Err(Refusal::ExpectationUnknown);
            }
            expects_continue = true;
        }
        fields.push((field.name.to_owned(), String::from_utf8_lossy(value).into_owned()));
    }
    if host.is_none() && is_1_1 {
        return Err(Refusal::Malformed("Host is missing"));
    }
    let length = match (content_length, transfer_encoding) {
        (Some(_), Some(_)) => return Err(Refusal::Malformed("both Content-Length and Transfer-Encoding are there")),
        (None, Some(_)) if !is_1_1 => return Err(Refusal::Malformed("HTTP/1.0 has no Transfer-Encoding")),
        (None, Some(true)) => Length::Chunked,
        (None, Some(false)) => return Err(Refusal::TransferCodingUnknown),
        (length, None) => Length::Known(length.unwrap_or(0)),
    };
    let (target, authority) = origin_form(method, target)?;
    if let (Some(authority), Some(host)) = (authority, host) {
        // The target's word counts (RFC 9112, section 3.2.2).
        authority.clone_into(&mut fields[host].1);
    }
    let refused_fields = refused_fields(fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())));
    let (method, keep_alive) = (method.to_owned(), !close && (is_1_1 || stay));
    Ok(Head { method, target, fields, refused_fields, length, is_1_1, keep_alive, expects_continue })
}

/// What the refusal of a request can depend on, in a head that may be incomplete or wrong. A line counts once its end has come.
pub(super) fn find_refused_fields(input: &[u8]) -> RefusedFields {
    let input = input.strip_prefix(b"\r\n").unwrap_or(input);
    let lines = input.split_inclusive(|byte| *byte == b'\n').take_while(|line| line.ends_with(b"\n"));
    let lines = lines.skip(1).map(<[u8]>::trim_ascii_end).take_while(|line| !line.is_empty());
    refused_fields(lines.filter_map(|line| {
        let (name, value) = line.split_at_checked(line.iter().position(|byte| *byte == b':')?)?;
        Some((name, value[1..].trim_ascii()))
    }))
}

/// A value that is too long or not UTF-8 is as none.
fn refused_fields<'a>(fields: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> RefusedFields {
    let (mut origin, mut accept, mut accept_language, mut origins) = (None, None, None, 0);
    for (name, value) in fields {
        let text = |max: usize| str::from_utf8(value).ok().filter(|text| text.len() <= max).map(Arc::from);
        if name.eq_ignore_ascii_case(b"Origin") {
            origins += 1;
            origin = text(MAX_ORIGIN_BYTES).filter(|_| origins == 1);
        } else if accept_language.is_none() && name.eq_ignore_ascii_case(b"Accept-Language") {
            accept_language = text(MAX_ACCEPTED_BYTES);
        } else if accept.is_none() && name.eq_ignore_ascii_case(b"Accept") {
            accept = text(MAX_ACCEPTED_BYTES);
        }
    }
    RefusedFields { origin, accept, accept_language }
}

/// The target without scheme and host, and the host where it had one (RFC 9112, section 3.2).
fn origin_form<'a>(method: &str, target: &'a str) -> Result<(String, Option<&'a str>), Refusal> {
    if !target.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#') {
        return Err(Refusal::Malformed("the target has a wrong character"));
    }
    if method == "CONNECT" {
        return Err(Refusal::Malformed("CONNECT is for proxies"));
    }
    if target.starts_with('/') || (target == "*" && method == "OPTIONS") {
        return Ok((target.to_owned(), None));
    }
    let (scheme, rest) = target.split_once("://").unwrap_or_default();
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let is_http = scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
    let has_host = !authority.is_empty() && !authority.starts_with(':');
    if !is_http || !has_host || !authority.bytes().all(is_host_byte) {
        return Err(Refusal::Malformed("the target is neither a path nor an http URL"));
    }
    let slash = if path.starts_with('/') { "" } else { "/" };
    Ok((format!("{slash}{path}"), Some(authority)))
}

/// A byte of a host, with or without a port: a name, an address, an address in brackets (RFC 3986, section 3.2.2).
fn is_host_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:[]%".contains(&byte)
}

/// The value of `Content-Length`: digits and nothing else (RFC 9110, section 8.6).
fn number(value: &[u8]) -> Result<u64, Refusal> {
    let digits = std::str::from_utf8(value).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let number = digits.and_then(|digits| digits.parse().ok());
    number.ok_or(Refusal::Malformed("Content-Length is not a number of bytes"))
}

/// The refusal of a request line whose version httparse does not know: 505, or 400 if it has no version at all.
fn version_refusal(head: &[u8]) -> Refusal {
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    match line.split(|byte| *byte == b' ').collect::<Vec<_>>()[..] {
        [_, _, [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            Refusal::VersionUnknown
        }
        _ => MALFORMED_LINE,
    }
}
