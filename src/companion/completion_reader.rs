//! Reads the response of a chat completions endpoint, complete or streamed, within size limits.

use std::io::{BufRead, BufReader, Read};

use ureq::Body;
use ureq::http::header::CONTENT_TYPE;
use ureq::http::{Response, StatusCode};

use super::completion;
use super::event_stream::{EventStream, EventStreamError};
use super::interface::{MAX_ANSWER_CHARS, Unavailable};

/// Bytes of a response that is not streamed.
const MAX_BODY_BYTES: usize = 1024 * 1024;

/// Why reading failed.
pub(super) enum ReadError {
    /// The response gives no answer.
    Unavailable(Unavailable),
    /// The transport failed.
    Transport(ureq::Error),
}

impl From<Unavailable> for ReadError {
    fn from(reason: Unavailable) -> ReadError {
        ReadError::Unavailable(reason)
    }
}

/// Passes the pieces of an answer on and cuts it off after [`MAX_ANSWER_CHARS`].
pub(super) struct AnswerLimiter<'a> {
    on_delta: &'a mut dyn FnMut(&str),
    chars_left: usize,
    has_text: bool,
    has_visible_text: bool,
}

impl AnswerLimiter<'_> {
    pub(super) fn new(on_delta: &mut dyn FnMut(&str)) -> AnswerLimiter<'_> {
        AnswerLimiter { on_delta, chars_left: MAX_ANSWER_CHARS, has_text: false, has_visible_text: false }
    }

    /// Whether any piece was passed on, so that a retry would repeat it.
    pub(super) fn has_text(&self) -> bool {
        self.has_text
    }

    fn push(&mut self, text: &str) {
        let end = text.char_indices().nth(self.chars_left).map_or(text.len(), |(index, _)| index);
        let text = &text[..end];
        if text.is_empty() {
            return;
        }
        self.chars_left -= text.chars().count();
        self.has_text = true;
        self.has_visible_text |= !text.trim().is_empty();
        (self.on_delta)(text);
    }
}

/// Passes the answer in a response on. The response's media type decides how it is read: some servers ignore the `stream`
/// of the request.
///
/// # Errors
/// Every status other than 200, an answer without text, and whatever breaks HTTP, the format or a limit.
pub(super) fn read(response: Response<Body>, answer: &mut AnswerLimiter<'_>) -> Result<(), ReadError> {
    if response.status() != StatusCode::OK {
        return Err(Unavailable::Refused(response.status().as_u16()).into());
    }
    let media_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = media_type.split(';').next().unwrap_or_default().trim();
    let is_event_stream = media_type.eq_ignore_ascii_case("text/event-stream");
    let body = response.into_body().into_reader();
    if is_event_stream {
        read_stream(EventStream::new(BufReader::new(body)), answer)
    } else {
        read_complete(body, answer)
    }
}

fn read_complete(body: impl Read, answer: &mut AnswerLimiter<'_>) -> Result<(), ReadError> {
    let mut json = Vec::new();
    body.take(MAX_BODY_BYTES as u64 + 1).read_to_end(&mut json).map_err(|error| ReadError::Transport(error.into()))?;
    if json.len() > MAX_BODY_BYTES {
        return Err(Unavailable::MalformedReply.into());
    }
    answer.push(&completion::parse(&json)?);
    Ok(())
}

fn read_stream(mut events: EventStream<impl BufRead>, answer: &mut AnswerLimiter<'_>) -> Result<(), ReadError> {
    let mut has_finished = false;
    while answer.chars_left > 0 {
        let data = match events.next_data() {
            Ok(data) if data == b"[DONE]" => break,
            Ok(data) => data,
            // Some servers omit `[DONE]`; the `finish_reason` marks the end as well.
            Err(EventStreamError::End | EventStreamError::Io(_)) if has_finished => break,
            Err(EventStreamError::End) => return Err(Unavailable::Interrupted.into()),
            Err(EventStreamError::TooLong) => return Err(Unavailable::MalformedReply.into()),
            Err(EventStreamError::Io(error)) => return Err(ReadError::Transport(error.into())),
        };
        let delta = completion::parse_chunk(&data)?;
        answer.push(&delta.text);
        has_finished |= delta.is_last;
    }
    if answer.has_visible_text { Ok(()) } else { Err(Unavailable::Empty.into()) }
}

#[cfg(test)]
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
}
