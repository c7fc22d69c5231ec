//! Reads the response of a chat completions endpoint, complete or as server-sent events (WHATWG HTML, section 9.2), within
//! size limits.

use std::io::{BufRead, BufReader, Read};

use ureq::Body;
use ureq::http::header::CONTENT_TYPE;
use ureq::http::{Response, StatusCode};

use super::completion::{self, Delta};
use super::interface::Unavailable;

/// Characters of an answer; the rest is cut off.
pub const MAX_ANSWER_CHARS: usize = 16_384;

/// Bytes of a response that is not streamed.
const MAX_BODY_BYTES: usize = 1024 * 1024;

/// Bytes of a line of a stream, its end included.
const MAX_LINE_BYTES: usize = 64 * 1024;

/// Bytes of a whole stream.
const MAX_STREAM_BYTES: usize = 8 * 1024 * 1024;

/// Why reading failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    #[error(transparent)]
    Transport(#[from] ureq::Error),
}

/// Passes the pieces of an answer on, without control characters, and cuts it off after [`MAX_ANSWER_CHARS`].
pub(super) struct AnswerLimiter<'a> {
    on_delta: &'a mut dyn FnMut(&str),
    chars_left: usize,
    has_visible_text: bool,
    has_begun: bool,
    is_probe: bool,
}

impl AnswerLimiter<'_> {
    pub(super) fn new(on_delta: &mut dyn FnMut(&str)) -> AnswerLimiter<'_> {
        let chars_left = MAX_ANSWER_CHARS;
        AnswerLimiter { on_delta, chars_left, has_visible_text: false, has_begun: false, is_probe: false }
    }

    /// For a probe: the first piece ends the answer.
    pub(super) fn for_probe(on_delta: &mut dyn FnMut(&str)) -> AnswerLimiter<'_> {
        AnswerLimiter { is_probe: true, ..AnswerLimiter::new(on_delta) }
    }

    /// Whether any piece was passed on, so that a retry would repeat it.
    pub(super) fn has_text(&self) -> bool {
        self.chars_left < MAX_ANSWER_CHARS
    }

    /// Whether the first piece has arrived, be it reasoning, which is not passed on.
    pub(super) fn has_begun(&self) -> bool {
        self.has_begun
    }

    fn push(&mut self, piece: &Delta) {
        self.has_begun |= piece.has_reasoning || !piece.text.is_empty();
        let text: String = piece.text.chars().filter(|char| is_allowed(*char)).take(self.chars_left).collect();
        if !text.is_empty() {
            self.chars_left -= text.chars().count();
            self.has_visible_text |= !text.trim().is_empty();
            (self.on_delta)(&text);
        }
    }

    /// Whether a further piece would be ignored.
    fn is_complete(&self) -> bool {
        self.chars_left == 0 || self.is_probe && self.has_begun
    }

    fn finish(&self) -> Result<(), ReadError> {
        if self.has_visible_text { Ok(()) } else { Err(Unavailable::Empty.into()) }
    }
}

/// Whether a character may be in an answer. Control characters (C0 but for tab and line feed, DEL and C1) could steer a
/// terminal or end a string early. Bidirectional embeddings and overrides make a text look like another one; the marks and
/// isolates that Arabic, Hebrew and Persian need stay. U+FEFF is an invisible byte order mark. A CR LF becomes a line feed.
fn is_allowed(char: char) -> bool {
    match char {
        '\n' | '\t' => true,
        '\u{202a}'..='\u{202e}' | '\u{feff}' => false,
        _ => !char.is_control(),
    }
}

/// Passes the answer in a response on. The response's media type decides how it is read: some servers ignore the `stream`
/// of the request.
pub(super) fn read(response: Response<Body>, answer: &mut AnswerLimiter<'_>) -> Result<(), ReadError> {
    if response.status() != StatusCode::OK {
        return Err(Unavailable::Refused(response.status().as_u16()).into());
    }
    let media_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = media_type.split(';').next().unwrap_or_default().trim();
    if media_type.eq_ignore_ascii_case("text/event-stream") {
        read_stream(EventStream::new(BufReader::new(response.into_body().into_reader())), answer)
    } else {
        read_complete(response.into_body().into_reader(), answer)
    }
}

fn read_complete(body: impl Read, answer: &mut AnswerLimiter<'_>) -> Result<(), ReadError> {
    let mut json = Vec::new();
    body.take(MAX_BODY_BYTES as u64 + 1).read_to_end(&mut json).map_err(ureq::Error::from)?;
    if json.len() > MAX_BODY_BYTES {
        return Err(Unavailable::MalformedReply.into());
    }
    answer.push(&completion::parse(&json)?);
    answer.finish()
}

fn read_stream(mut events: EventStream<impl BufRead>, answer: &mut AnswerLimiter<'_>) -> Result<(), ReadError> {
    let mut has_finished = false;
    while !answer.is_complete() {
        let data = match events.next_data() {
            Ok(Some(data)) if data == b"[DONE]" => break,
            Ok(Some(data)) => data,
            // Some servers omit `[DONE]`; the `finish_reason` marks the end as well.
            Ok(None) | Err(ReadError::Transport(_)) if has_finished => break,
            Ok(None) => return Err(Unavailable::Interrupted.into()),
            Err(error) => return Err(error),
        };
        let delta = completion::parse_chunk(&data)?;
        answer.push(&delta);
        has_finished |= delta.is_last;
    }
    answer.finish()
}

/// Reads the `data` fields of a stream and ignores comments and other fields.
struct EventStream<R> {
    reader: R,
    bytes_read: usize,
}

impl<R: BufRead> EventStream<R> {
    fn new(reader: R) -> EventStream<R> {
        EventStream { reader, bytes_read: 0 }
    }

    /// The data of the next event that has any, `None` at the end; its `data` fields are joined with a line feed. An event
    /// that lacks only the empty line after it is complete, unlike in the standard: some servers close the connection before
    /// that line.
    fn next_data(&mut self) -> Result<Option<Vec<u8>>, ReadError> {
        let mut values = Vec::new();
        let mut line = Vec::new();
        while self.read_line(&mut line)? {
            if line.is_empty() && !values.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix(b"data:") {
                // Without the one space that may precede it.
                values.push(value.strip_prefix(b" ").unwrap_or(value).to_vec());
            }
        }
        Ok((!values.is_empty()).then(|| values.join(&b'\n')))
    }

    /// Reads one line without its end; false if there is none.
    fn read_line(&mut self, line: &mut Vec<u8>) -> Result<bool, ReadError> {
        line.clear();
        let mut limited = self.reader.by_ref().take(MAX_LINE_BYTES as u64 + 1);
        let count = limited.read_until(b'\n', line).map_err(ureq::Error::from)?;
        self.bytes_read += count;
        if count > MAX_LINE_BYTES || self.bytes_read > MAX_STREAM_BYTES {
            return Err(Unavailable::MalformedReply.into());
        }
        let is_terminated = line.pop_if(|last| *last == b'\n').is_some();
        line.pop_if(|last| *last == b'\r');
        // A line without an end may be truncated, except for the known marker.
        Ok(is_terminated || line.ends_with(b"[DONE]"))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]
mod tests {
    use super::*;

    #[test]
    fn a_complete_body_of_the_maximum_size_is_read_and_a_larger_one_is_malformed() {
        let completion = r#"{"choices":[{"message":{"content":"a"}}]}"#;
        for (bytes, is_read) in [(MAX_BODY_BYTES, true), (MAX_BODY_BYTES + 1, false)] {
            let body = completion.to_owned() + &" ".repeat(bytes - completion.len());
            let result = read_complete(body.as_bytes(), &mut AnswerLimiter::new(&mut |_| {}));
            match result {
                Ok(()) => assert!(is_read, "{bytes} bytes"),
                Err(ReadError::Unavailable(reason)) => {
                    assert_eq!((is_read, reason), (false, Unavailable::MalformedReply), "{bytes} bytes");
                }
                Err(ReadError::Transport(error)) => panic!("{bytes} bytes: {error}"),
            }
        }
    }

    #[test]
    fn control_characters_are_taken_out_also_across_pieces() {
        let all = |ranges: &[(u32, u32)]| -> String {
            ranges.iter().flat_map(|(first, last)| *first..=*last).map(|code| char::from_u32(code).unwrap()).collect()
        };
        let c0 = all(&[(0, 8), (0xb, 0x1f)]);
        let removed = c0 + &all(&[(0x7f, 0x9f), (0x202a, 0x202e)]);
        let marks = all(&[(0x61b, 0x61c), (0x200d, 0x200f), (0x2028, 0x2029), (0x2065, 0x206a)]);
        let kept = format!("\t\n \u{a0}\u{ad}é{marks}\u{1f9ed}");
        let pieces = [format!("a{removed}\u{feff}b\r"), removed.clone(), format!("\n{kept}\u{1b}[2J")];
        let mut received = Vec::new();
        let mut on_delta = |text: &str| received.push(text.to_owned());
        let mut answer = AnswerLimiter::new(&mut on_delta);
        for text in pieces {
            answer.push(&Delta { text, ..Delta::default() });
        }
        assert_eq!(received, ["ab".to_owned(), format!("\n{kept}[2J")]);
        let mut nothing = |text: &str| panic!("{text:?} was passed on");
        let mut answer = AnswerLimiter::new(&mut nothing);
        answer.push(&Delta { text: removed, ..Delta::default() });
        assert!(answer.has_begun() && !answer.has_text() && answer.finish().is_err());
    }

    fn next_data(stream: &[u8]) -> Result<usize, ReadError> {
        EventStream::new(stream).next_data().map(|data| data.unwrap().len())
    }

    #[test]
    fn a_line_of_the_maximum_length_is_read_and_a_longer_one_is_too_long() {
        let value_bytes = MAX_LINE_BYTES - "data:\n".len();
        let line = |value_bytes: usize| format!("data:{}\n\n", "a".repeat(value_bytes));
        assert_eq!(next_data(line(value_bytes).as_bytes()).unwrap(), value_bytes);
        let error = next_data(line(value_bytes + 1).as_bytes()).unwrap_err();
        assert!(matches!(error, ReadError::Unavailable(Unavailable::MalformedReply)), "{error:?}");
    }

    #[test]
    fn a_stream_of_the_maximum_length_is_read_and_a_longer_one_is_too_long() {
        let event = "data:a\n\n";
        let stream = |bytes: usize| ":\n".repeat((bytes - event.len()) / 2) + event;
        assert_eq!(next_data(stream(MAX_STREAM_BYTES).as_bytes()).unwrap(), 1);
        let error = next_data(stream(MAX_STREAM_BYTES + 2).as_bytes()).unwrap_err();
        assert!(matches!(error, ReadError::Unavailable(Unavailable::MalformedReply)), "{error:?}");
    }
}
