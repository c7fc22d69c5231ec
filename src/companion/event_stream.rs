//! The event-stream format (WHATWG HTML, section 9.2.6): lines, fields and events, within size limits.

use std::io::{self, BufRead};

/// Bytes of a line, its end not included. The rest of a longer one is passed over, so that its JSON cannot be read. Some servers
/// send what they have found in documents in one line.
pub(super) const MAX_LINE_BYTES: usize = 1024 * 1024;

/// Bytes of a whole stream.
pub(super) const MAX_STREAM_BYTES: usize = 8 * 1024 * 1024;

/// Why no further event can be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum StreamError {
    #[error("the stream has more than {MAX_STREAM_BYTES} bytes")]
    TooLong,
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// An event that has data.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Event {
    /// The `data` fields, joined with a line feed; bytes that are not UTF-8 are U+FFFD.
    pub(super) data: String,
    /// Whether its type is `error`, which several servers use.
    pub(super) is_error: bool,
    /// Whether the stream ended in a line of it.
    pub(super) is_truncated: bool,
}

/// Reads the events of a stream that begins behind its byte order mark.
pub(super) struct EventStream<R> {
    reader: R,
    bytes_read: usize,
    /// Whether the last line ended with a CR, so that a LF behind it belongs to that end.
    skips_line_feed: bool,
    has_fields: bool,
}

/// How a line ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum LineEnd {
    Break,
    EndOfStream,
}

impl<R: BufRead> EventStream<R> {
    pub(super) fn new(reader: R) -> EventStream<R> {
        EventStream { reader, bytes_read: 0, skips_line_feed: false, has_fields: false }
    }

    /// Whether a comment or a field of the standard was read: whether this is an event stream at all.
    pub(super) fn has_fields(&self) -> bool {
        self.has_fields
    }

    /// The next event with data; `None` at the end. Unlike in the standard, the end of the stream ends an event too: some
    /// servers close the connection before the empty line.
    pub(super) fn next_event(&mut self) -> Result<Option<Event>, StreamError> {
        let mut event = Event::default();
        let mut has_data = false;
        let mut line = Vec::new();
        loop {
            let end = self.read_line(&mut line)?;
            if line.is_empty() && end == LineEnd::Break {
                if has_data {
                    return Ok(Some(event));
                }
                // An event without data does not happen, and its type is forgotten.
                event.is_error = false;
            } else if !line.is_empty() {
                let text = String::from_utf8_lossy(&line);
                // A line without a colon is a field without a value; one that begins with a colon is a comment.
                let (field, value) = text.split_once(':').unwrap_or((&text, ""));
                let value = value.strip_prefix(' ').unwrap_or(value);
                self.has_fields |= matches!(field, "" | "data" | "event" | "id" | "retry");
                // Some servers write a space, a mark or capitals into the name of the field.
                let is_data = field == "data" || !field.is_empty() && value.contains("\"choices\"");
                match field {
                    _ if is_data => {
                        if has_data {
                            event.data.push('\n');
                        }
                        event.data.push_str(value);
                        has_data = true;
                        event.is_truncated = end == LineEnd::EndOfStream;
                    }
                    "event" => event.is_error = value == "error",
                    _ => {}
                }
            }
            if end == LineEnd::EndOfStream {
                return Ok(has_data.then_some(event));
            }
        }
    }

    /// Reads a line without its end, which is a CR, a LF or both, up to [`MAX_LINE_BYTES`].
    fn read_line(&mut self, line: &mut Vec<u8>) -> Result<LineEnd, StreamError> {
        line.clear();
        loop {
            let buffer = match self.reader.fill_buf() {
                Ok(buffer) => buffer,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            };
            if buffer.is_empty() {
                return Ok(LineEnd::EndOfStream);
            }
            if std::mem::take(&mut self.skips_line_feed) && buffer[0] == b'\n' {
                self.consume(1)?;
                continue;
            }
            let at = buffer.iter().position(|byte| matches!(byte, b'\r' | b'\n'));
            let length = at.unwrap_or(buffer.len());
            let room = MAX_LINE_BYTES - line.len();
            line.extend_from_slice(&buffer[..length.min(room)]);
            self.skips_line_feed = at.is_some_and(|at| buffer[at] == b'\r');
            self.consume(length + usize::from(at.is_some()))?;
            if at.is_some() {
                return Ok(LineEnd::Break);
            }
        }
    }

    fn consume(&mut self, bytes: usize) -> Result<(), StreamError> {
        self.reader.consume(bytes);
        self.bytes_read += bytes;
        if self.bytes_read > MAX_STREAM_BYTES { Err(StreamError::TooLong) } else { Ok(()) }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]
mod tests {
    use super::*;

    /// Gives its bytes one at a time, as a slow network does.
    struct ByteByByte<'a>(&'a [u8]);

    impl io::Read for ByteByByte<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = buffer.len().min(1);
            io::Read::read(&mut self.0, &mut buffer[..count])
        }
    }

    fn events(stream: &[u8]) -> Vec<Event> {
        fn all(reader: impl BufRead) -> Vec<Event> {
            let mut events = EventStream::new(reader);
            std::iter::from_fn(|| events.next_event().unwrap()).collect()
        }
        let whole = all(stream);
        assert_eq!(all(io::BufReader::new(ByteByByte(stream))), whole, "byte by byte");
        whole
    }

    #[test]
    fn a_stream_is_read_by_the_grammar_of_the_standard() {
        // The first four are examples of the standard.
        let cases: [(&[u8], &[&str]); 16] = [
            (b"data: YHOO\ndata: +2\ndata: 10\n\n", &["YHOO\n+2\n10"]),
            (
                b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n",
                &["first event", "second event", " third event"],
            ),
            (b"data\n\ndata\ndata\n\ndata:\n\n", &["", "\n", ""]),
            (b"data:test\n\ndata: test\n\n", &["test", "test"]),
            (b"data: a\r\rdata: b\r\n\r\ndata: c\n\n", &["a", "b", "c"]),
            (b"data: a\r\n\ndata: b\n\r\n", &["a", "b"]),
            (b"data: a\r\ndata: b\r\n\r\n", &["a\nb"]),
            (b"event: x\nretry: 5\n:\n\nother: x\ndata: a\n\n", &["a"]),
            (b" data: a\nDATA: a\ndata : a\ndata: b\n\n", &["b"]),
            (b"data: a:b: c\n\n", &["a:b: c"]),
            (b"data: \xff\xc3\n\n", &["\u{fffd}\u{fffd}"]),
            (b"data: \xc3\xa9\n\n", &["\u{e9}"]),
            (b"\n\n\r\r\n", &[]),
            (b"", &[]),
            (b"data: a\n", &["a"]),
            (b"data: a\n\ndata: b", &["a", "b"]),
        ];
        for (stream, expected) in cases {
            let events = events(stream);
            let data: Vec<&str> = events.iter().map(|event| event.data.as_str()).collect();
            assert_eq!(data, expected, "{}", stream.escape_ascii());
        }
    }

    #[test]
    fn an_event_knows_whether_it_is_an_error_and_whether_it_was_truncated() {
        let event = |data: &str, is_error, is_truncated| Event { data: data.to_owned(), is_error, is_truncated };
        assert_eq!(
            events(b"event: error\ndata: a\n\ndata: b\n\n"),
            [event("a", true, false), event("b", false, false)]
        );
        assert_eq!(events(b"event: error\n\ndata: a\n\n"), [event("a", false, false)]);
        assert_eq!(events(b"data: a\ndata: b"), [event("a\nb", false, true)]);
        assert_eq!(events(b"data: a\n: b"), [event("a", false, false)]);
    }

    #[test]
    fn a_line_of_the_maximum_length_is_read_and_the_rest_of_a_longer_one_is_passed_over() {
        let longest = "a".repeat(MAX_LINE_BYTES - "data:".len());
        for value in [longest.clone(), longest.clone() + "a", longest.clone() + &"a".repeat(300_000)] {
            let events = events(format!("data:{value}\n\ndata: next\n\n").as_bytes());
            let data: Vec<&str> = events.iter().map(|event| event.data.as_str()).collect();
            assert!(data == [&longest, "next"], "{} bytes", value.len());
        }
    }

    #[test]
    fn a_stream_of_the_maximum_length_is_read_and_a_longer_one_is_too_long() {
        let event = "data:a\n\n";
        let stream = |bytes: usize| ":\n".repeat((bytes - event.len()) / 2) + event;
        let next = |bytes| EventStream::new(stream(bytes).as_bytes()).next_event();
        assert_eq!(next(MAX_STREAM_BYTES).unwrap().unwrap().data, "a");
        assert!(matches!(next(MAX_STREAM_BYTES + 2), Err(StreamError::TooLong)));
    }

    #[test]
    fn only_comments_and_fields_of_the_standard_make_an_event_stream() {
        for (stream, has_fields) in [
            (":\n", true),
            ("id: 1\n", true),
            ("<html>\n<a href=\"x: y\">\n", false),
            ("\n\n", false),
            ("no answer", false),
        ] {
            let mut events = EventStream::new(stream.as_bytes());
            assert!(events.next_event().unwrap().is_none(), "{stream}");
            assert_eq!(events.has_fields(), has_fields, "{stream}");
        }
    }
}
