//! The body of a request, buffered whole (RFC 9112, sections 6 and 7).

use super::head::Length;
use super::refusal::Refusal;
use crate::memory;

/// Bytes of the line with a chunk's size, extensions included. Clients send none in practice.
const MAX_SIZE_LINE_BYTES: usize = 256;

/// Bytes of all trailer fields together. They are validated and dropped.
const MAX_TRAILER_BYTES: usize = 4096;

/// A body that is being received. It grows with the bytes received, never by the length announced.
#[derive(Debug)]
pub(super) struct Body {
    received: Vec<u8>,
    expected: Expected,
    length: Length,
    max_bytes: usize,
}

/// What the next byte is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    /// One of this many bytes of the body, or of a chunk.
    Bytes(usize),
    /// The size of a chunk.
    ChunkSize,
    /// The line end behind a chunk.
    ChunkEnd,
    /// A trailer field or the empty line behind the last, with this many bytes left for them.
    Trailer(usize),
    /// The next request.
    Nothing,
}

impl Body {
    /// A body of which nothing is received yet. Fails with 413 for an announced length of more than `max_bytes`.
    pub(super) fn new(length: Length, max_bytes: usize) -> Result<Body, Refusal> {
        let expected = match length {
            Length::Chunked => Expected::ChunkSize,
            Length::Known(0) => Expected::Nothing,
            Length::Known(length) => match usize::try_from(length) {
                Ok(length) if length <= max_bytes => Expected::Bytes(length),
                _ => return Err(Refusal::BodyTooLarge(max_bytes)),
            },
        };
        Ok(Body { received: Vec::new(), expected, length, max_bytes })
    }

    /// Bytes that it can get: the announced length, or in chunks as many as it may have.
    pub(super) fn max_length(&self) -> usize {
        match self.expected {
            Expected::Nothing => 0,
            Expected::Bytes(length) => length,
            _ => self.max_bytes,
        }
    }

    /// Takes from the front of `input` what belongs to the body, and returns whether the body is complete. Fails with
    /// 413 as soon as it is too large, 400 for chunks that the RFC does not allow.
    pub(super) fn take(&mut self, input: &mut Vec<u8>) -> Result<bool, Refusal> {
        let mut rest = input.as_slice();
        let result = self.take_from(&mut rest);
        let taken = input.len() - rest.len();
        memory::consume(input, taken);
        result
    }

    /// The bytes, once they are complete.
    #[must_use]
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.received
    }

    fn take_from(&mut self, rest: &mut &[u8]) -> Result<bool, Refusal> {
        loop {
            self.expected = match self.expected {
                Expected::Nothing => return Ok(true),
                _ if rest.is_empty() => return Ok(false),
                Expected::Bytes(left) => {
                    let (bytes, behind) = rest.split_at(left.min(rest.len()));
                    self.received.extend_from_slice(bytes);
                    *rest = behind;
                    match left - bytes.len() {
                        0 if self.length == Length::Chunked => Expected::ChunkEnd,
                        0 => Expected::Nothing,
                        left => Expected::Bytes(left),
                    }
                }
                Expected::ChunkEnd => match rest {
                    [b'\r', b'\n', ..] => {
                        *rest = &rest[2..];
                        Expected::ChunkSize
                    }
                    [b'\r'] => return Ok(false),
                    _ => return Err(Refusal::Malformed("a chunk is longer than its size")),
                },
                Expected::ChunkSize => {
                    let Some(line) = take_line(rest, MAX_SIZE_LINE_BYTES)? else { return Ok(false) };
                    match chunk_size(line)? {
                        0 => Expected::Trailer(MAX_TRAILER_BYTES),
                        size if size > (self.max_bytes - self.received.len()) as u64 => {
                            return Err(Refusal::BodyTooLarge(self.max_bytes));
                        }
                        // It fits, for it is not more than `max_bytes`.
                        size => Expected::Bytes(size as usize),
                    }
                }
                Expected::Trailer(left) => {
                    let Some(line) = take_line(rest, left)? else { return Ok(false) };
                    if line.is_empty() {
                        Expected::Nothing
                    } else if is_field(line) {
                        Expected::Trailer(left.saturating_sub(line.len() + 2))
                    } else {
                        return Err(Refusal::Malformed("a trailer is not a field"));
                    }
                }
            };
        }
    }
}

/// Takes a line off the front, without its end; `None` while it is not complete.
fn take_line<'a>(rest: &mut &'a [u8], max_bytes: usize) -> Result<Option<&'a [u8]>, Refusal> {
    let Some(end) = rest.iter().take(max_bytes + 2).position(|byte| *byte == b'\n') else {
        if rest.len() >= max_bytes + 2 {
            return Err(Refusal::Malformed("a line between the chunks is too long"));
        }
        return Ok(None);
    };
    let Some(line) = rest[..end].strip_suffix(b"\r").filter(|line| !line.contains(&b'\r')) else {
        return Err(Refusal::Malformed("a line between the chunks does not end with CR LF"));
    };
    *rest = &rest[end + 1..];
    Ok(Some(line))
}

/// The size of a chunk, whatever extension follows it (RFC 9112, section 7.1).
fn chunk_size(line: &[u8]) -> Result<u64, Refusal> {
    let malformed = Refusal::Malformed("the size of a chunk is not a hexadecimal number");
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let (digits, rest) = line.split_at(digits);
    let is_extension = rest.trim_ascii_start().starts_with(b";") && rest.iter().all(|byte| is_text(*byte));
    if !rest.is_empty() && !is_extension {
        return Err(malformed);
    }
    std::str::from_utf8(digits).ok().and_then(|digits| u64::from_str_radix(digits, 16).ok()).ok_or(malformed)
}

/// Whether a line is a name, a colon and a value (RFC 9112, section 5).
fn is_field(line: &[u8]) -> bool {
    let Some(colon) = line.iter().position(|byte| *byte == b':') else { return false };
    let (name, value) = line.split_at(colon);
    is_token(name) && value.iter().all(|byte| is_text(*byte))
}

/// Which bytes a token may have. A table, since every name in every response is looked up in it.
const TOKEN_BYTES: [bool; 256] = {
    let bytes = b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let (mut table, mut at) = ([false; 256], 0);
    while at < bytes.len() {
        table[bytes[at] as usize] = true;
        at += 1;
    }
    table
};

/// The name of a field or a method (RFC 9110, section 5.6.2).
pub(super) fn is_token(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|byte| TOKEN_BYTES[usize::from(*byte)])
}

/// A byte that may stand in the value of a field: no control character but the tab (RFC 9110, section 5.5).
fn is_text(byte: u8) -> bool {
    byte == b'\t' || !byte.is_ascii_control()
}
