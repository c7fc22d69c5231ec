//! Reads the response of a chat completions endpoint: whole, or as a stream of chunks. The first bytes tell which it is,
//! since the labels of servers and proxies are not reliable.

use std::io::{BufRead, Read};

use serde_json::Deserializer;
use serde_json::value::RawValue;

use super::answer_text::AnswerText;
use super::chunk::{Chunk, FinishReason};
use super::decoding;
use super::event_stream::{EventStream, MAX_STREAM_BYTES, StreamError};
use super::interface::{Finish, Unavailable};
use super::lenient_json::{array, repaired};

/// Bytes of a response that is not streamed.
const MAX_BODY_BYTES: usize = 1024 * 1024;

/// The longest text that a `message` in a stream is compared with, to find out whether it repeats it.
const MAX_COMPARED_BYTES: usize = 128 * 1024;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    #[error(transparent)]
    Transport(#[from] ureq::Error),
}

impl From<StreamError> for ReadError {
    fn from(error: StreamError) -> ReadError {
        match error {
            StreamError::TooLong => Unavailable::MalformedReply.into(),
            StreamError::Io(error) => ureq::Error::from(error).into(),
        }
    }
}

impl From<std::io::Error> for ReadError {
    fn from(error: std::io::Error) -> ReadError {
        ureq::Error::from(error).into()
    }
}

/// Passes the answer in a body on. `on_finish` is called when the server says that the answer is finished, and again with each
/// piece behind that.
///
/// # Errors
/// Why there is no answer. Once there are words, only a content filter takes them back: whatever else ends the answer early
/// makes it one that is cut.
pub(super) fn read(body: impl Read, answer: &mut AnswerText<'_>, on_finish: &dyn Fn()) -> Result<Finish, ReadError> {
    let mut completion = Completion {
        answer,
        on_finish,
        finish: None,
        is_filtered: false,
        error: None,
        has_completions: false,
        has_others: false,
        has_unreadable: false,
        said: Vec::new(),
        choice: None,
        has_words_behind_finish: false,
    };
    let end = decoding::decoded(body).map_err(ReadError::from).and_then(|text| read_text(text, &mut completion));
    completion.conclude(end)
}

fn read_text(mut reader: impl BufRead, completion: &mut Completion<'_, '_>) -> Result<(), ReadError> {
    match skip_blank(&mut reader)? {
        None => Err(Unavailable::Interrupted.into()),
        Some(b'{' | b'[') => read_whole(reader, completion),
        Some(_) => read_stream(EventStream::new(reader), completion),
    }
}

/// Skips byte order marks and white space, which some servers send to keep the connection open. Returns the next byte.
fn skip_blank(reader: &mut impl BufRead) -> Result<Option<u8>, ReadError> {
    let mut mark = [0xef, 0xbb, 0xbf].into_iter().cycle().peekable();
    for _ in 0..MAX_STREAM_BYTES {
        match reader.fill_buf()?.first().copied() {
            Some(b' ' | b'\t' | b'\r' | b'\n') => {}
            Some(byte) if mark.next_if_eq(&byte).is_some() => {}
            next => return Ok(next),
        }
        reader.consume(1);
    }
    Err(Unavailable::MalformedReply.into())
}

/// Reads JSON: a completion, or several one after another. What follows them, such as `data: [DONE]`, is ignored.
fn read_whole(reader: impl BufRead, completion: &mut Completion<'_, '_>) -> Result<(), ReadError> {
    let mut bytes = Vec::new();
    let end = reader.take(MAX_BODY_BYTES as u64 + 1).read_to_end(&mut bytes);
    if bytes.len() > MAX_BODY_BYTES {
        return Err(Unavailable::MalformedReply.into());
    }
    let mut text = String::from_utf8_lossy(&bytes);
    if matches!(Deserializer::from_str(&text).into_iter::<&RawValue>().next(), Some(Err(_))) {
        text = repaired(&text).into();
    }
    let mut values = Deserializer::from_str(&text).into_iter::<&RawValue>();
    while let Some(Ok(value)) = values.next() {
        // Google sends errors in a list.
        for value in array(value).unwrap_or_else(|| vec![value]) {
            completion.add(value.get(), false);
        }
    }
    end?;
    if completion.has_completions { Ok(()) } else { Err(Unavailable::MalformedReply.into()) }
}

fn read_stream(mut events: EventStream<impl BufRead>, completion: &mut Completion<'_, '_>) -> Result<(), ReadError> {
    while !completion.is_over() {
        let Some(event) = events.next_event()? else {
            let makes_sense = events.has_fields() && !completion.has_unreadable;
            return Err(if makes_sense { Unavailable::Interrupted } else { Unavailable::MalformedReply }.into());
        };
        let data = event.data.trim();
        if data.trim_matches(['"', '[', ']']).eq_ignore_ascii_case("DONE") {
            break;
        }
        if data.is_empty() || completion.add(data, event.is_error) || completion.add_lines(data, event.is_error) {
            continue;
        }
        completion.has_unreadable |= !event.is_truncated;
        if (data.starts_with('{') || data.contains("\"choices\"")) && completion.finish.is_none() {
            // It may have had words, and without them the words behind it could mean something else.
            let reason = if event.is_truncated { Unavailable::Interrupted } else { Unavailable::MalformedReply };
            return Err(reason.into());
        }
    }
    Ok(())
}

/// What was read of a completion so far.
struct Completion<'a, 'b> {
    answer: &'a mut AnswerText<'b>,
    on_finish: &'a dyn Fn(),
    /// How the server says that the answer ends.
    finish: Option<Finish>,
    is_filtered: bool,
    /// Why the server says that it cannot answer, or not go on.
    error: Option<Unavailable>,
    has_completions: bool,
    /// Whether there was JSON that is no completion.
    has_others: bool,
    has_unreadable: bool,
    /// The pieces so far, in WTF-8.
    said: Vec<u8>,
    /// The index of the choice that is read, once there are words.
    choice: Option<u64>,
    has_words_behind_finish: bool,
}

impl Completion<'_, '_> {
    /// Adds a chunk or a whole completion; false if it cannot be read. Behind a `finish_reason`, words still count, because
    /// some servers have one in each chunk; whatever else follows changes nothing.
    fn add(&mut self, json: &str, is_error: bool) -> bool {
        let Some(chunk) = Chunk::parse(json, is_error, self.choice) else { return false };
        self.has_completions |= chunk.is_completion;
        self.has_others |= !chunk.is_completion;
        if chunk.has_thoughts {
            self.answer.think();
        }
        if chunk.has_text() && self.choice.is_none() {
            self.choice = chunk.index;
        }
        let had_finish = self.finish.is_some();
        let piece = if chunk.piece.is_empty() { self.new_part(&chunk) } else { &chunk.piece };
        self.answer.push(piece);
        self.has_words_behind_finish |= had_finish && !piece.is_empty();
        let goes_on = !piece.is_empty() || chunk.has_thoughts;
        if self.said.len() + piece.len() <= MAX_COMPARED_BYTES {
            self.said.extend_from_slice(piece);
        }
        self.error = self.error.or(chunk.error);
        self.is_filtered |= !had_finish && chunk.error == Some(Unavailable::Filtered);
        match chunk.finish {
            Some(FinishReason::Filter) => self.is_filtered |= !had_finish,
            Some(FinishReason::Failure) => self.error = self.error.or(Some(Unavailable::Interrupted)),
            Some(FinishReason::Stop) => self.finish = Some(Finish::Complete),
            Some(FinishReason::Length) => self.finish = Some(Finish::Cut),
            None => {}
        }
        // Without words, they may still come. With some, the rest is waited for as long as it comes.
        if self.finish.is_some() && self.answer.has_words() && (goes_on || !had_finish) {
            (self.on_finish)();
        }
        true
    }

    /// Adds the lines of an event each for itself: some servers leave the empty line between two events out, or write the name of
    /// the field twice. Returns false if one of them cannot be read.
    fn add_lines(&mut self, data: &str, is_error: bool) -> bool {
        let lines = data.lines().map(|line| line.trim().trim_start_matches("data:").trim());
        let lines: Vec<&str> = lines.filter(|line| !line.is_empty() && *line != "[DONE]").collect();
        lines.iter().all(|line| line.starts_with('{')) && lines.iter().all(|line| self.add(line, is_error))
    }

    /// What the message of a chunk adds. Some servers repeat in it all that was said, with the next piece beside it or at the end.
    fn new_part<'c>(&self, chunk: &'c Chunk) -> &'c [u8] {
        // Without the thoughts, which stand before the pieces.
        if chunk.message.trim_ascii() == self.answer.said().trim().as_bytes() {
            return &[];
        }
        match chunk.message.strip_prefix(self.said.as_slice()) {
            Some(rest) => rest,
            None if chunk.has_delta => &[],
            None => &chunk.message,
        }
    }

    /// Whether nothing that follows can matter.
    fn is_over(&self) -> bool {
        self.answer.is_full() || self.is_filtered || self.finish.is_none() && self.error.is_some()
    }

    /// The outcome. `end`: how reading ended.
    fn conclude(self, end: Result<(), ReadError>) -> Result<Finish, ReadError> {
        if self.is_filtered {
            // What is held back is withdrawn with the rest.
            return Err(Unavailable::Filtered.into());
        }
        self.answer.finish();
        if self.answer.has_words() {
            let is_early = self.error.is_some() || end.is_err() || self.answer.is_full();
            return Ok(match self.finish {
                _ if self.answer.is_cut_off() => Finish::Cut,
                // The server was wrong about its end, and this may not be the end either.
                Some(_) if self.has_words_behind_finish && end.is_err() => Finish::Cut,
                Some(finish) => finish,
                None if is_early => Finish::Cut,
                None => Finish::Complete,
            });
        }
        if let Some(error) = self.error {
            return Err(error.into());
        }
        if self.finish.is_none() {
            end?;
        }
        let makes_sense = !self.has_unreadable && (self.has_completions || !self.has_others);
        Err(if makes_sense { Unavailable::Empty } else { Unavailable::MalformedReply }.into())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]
mod tests {
    use super::*;

    #[test]
    fn a_whole_body_of_the_maximum_size_is_read_and_a_larger_one_is_malformed() {
        let completion = r#"{"choices":[{"message":{"content":"a"}}]}"#;
        for (bytes, is_read) in [(MAX_BODY_BYTES, true), (MAX_BODY_BYTES + 1, false)] {
            let body = completion.to_owned() + &" ".repeat(bytes - completion.len());
            match read(body.as_bytes(), &mut AnswerText::new(&mut |_| {}), &|| {}) {
                Ok(_) => assert!(is_read, "{bytes} bytes"),
                Err(ReadError::Unavailable(reason)) => {
                    assert_eq!((is_read, reason), (false, Unavailable::MalformedReply), "{bytes} bytes");
                }
                Err(ReadError::Transport(error)) => panic!("{bytes} bytes: {error}"),
            }
        }
    }
}
