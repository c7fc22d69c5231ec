//! Hears what a model's server answers, whole or as a stream, within bounds.

use std::io::{BufReader, Read};

use ureq::Body;
use ureq::http::header::CONTENT_TYPE;
use ureq::http::{Response, StatusCode};

use super::chat_completions::{chunk, whole};
use super::events::{Events, Stop};
use super::{MOST_ANSWER_CHARS, Unavailable};

/// Bytes the body of a whole answer may have.
pub const MOST_BODY_BYTES: usize = 1024 * 1024;

/// Why there is no answer.
pub(super) enum Failure {
    /// For this reason.
    Known(Unavailable),
    /// Something happened on the way.
    Http(ureq::Error),
}

impl From<Unavailable> for Failure {
    fn from(reason: Unavailable) -> Failure {
        Failure::Known(reason)
    }
}

/// Says what a model says, up to [`MOST_ANSWER_CHARS`].
pub(super) struct Voice<'a> {
    say: &'a mut dyn FnMut(&str),
    left: usize,
    has_spoken: bool,
    /// Whether anything of it was more than white space.
    has_words: bool,
}

impl Voice<'_> {
    pub(super) fn new(say: &mut dyn FnMut(&str)) -> Voice<'_> {
        Voice { say, left: MOST_ANSWER_CHARS, has_spoken: false, has_words: false }
    }

    /// Whether anything was said.
    pub(super) fn has_spoken(&self) -> bool {
        self.has_spoken
    }

    /// Says a piece, or what of it there is room for. Afterwards `left` may be 0.
    fn say(&mut self, text: &str) {
        let end = text.char_indices().nth(self.left).map_or(text.len(), |(place, _)| place);
        let text = &text[..end];
        if text.is_empty() {
            return;
        }
        self.left -= text.chars().count();
        self.has_spoken = true;
        self.has_words |= !text.trim().is_empty();
        (self.say)(text);
    }
}

/// Says what is in an answer. What kind it is, is the server's to say: some stream though nobody asked, some do not
/// though somebody did.
pub(super) fn answer(response: Response<Body>, voice: &mut Voice<'_>) -> Result<(), Failure> {
    if response.status() != StatusCode::OK {
        return Err(Unavailable::Refused(response.status().as_u16()).into());
    }
    let media_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = media_type.split(';').next().unwrap_or_default().trim();
    let is_stream = media_type.eq_ignore_ascii_case("text/event-stream");
    let body = response.into_body().into_reader();
    if is_stream { stream(Events::new(BufReader::new(body)), voice) } else { at_once(body, voice) }
}

fn at_once(body: impl Read, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let mut json = Vec::new();
    body.take(MOST_BODY_BYTES as u64 + 1).read_to_end(&mut json).map_err(|error| Failure::Http(error.into()))?;
    if json.len() > MOST_BODY_BYTES {
        return Err(Unavailable::Nonsense.into());
    }
    voice.say(&whole(&json)?);
    Ok(())
}

fn stream(mut events: Events<impl std::io::BufRead>, voice: &mut Voice<'_>) -> Result<(), Failure> {
    let mut has_finished = false;
    while voice.left > 0 {
        let data = match events.next() {
            Ok(data) if data == b"[DONE]" => break,
            Ok(data) => data,
            // Some never say that a stream is done, only that the model is.
            Err(Stop::End | Stop::Io(_)) if has_finished => break,
            Err(Stop::End) => return Err(Unavailable::BrokeOff.into()),
            Err(Stop::TooLong) => return Err(Unavailable::Nonsense.into()),
            Err(Stop::Io(error)) => return Err(Failure::Http(error.into())),
        };
        let piece = chunk(&data)?;
        voice.say(&piece.text);
        has_finished |= piece.is_last;
    }
    if voice.has_words { Ok(()) } else { Err(Unavailable::Empty.into()) }
}
