//! Reads server-sent events (WHATWG HTML, section 9.2) within size limits.

use std::io::{self, BufRead, Read};

/// Bytes of a line, its end included.
const MAX_LINE_BYTES: usize = 64 * 1024;

/// Bytes of a whole stream.
const MAX_STREAM_BYTES: usize = 8 * 1024 * 1024;

/// Reads the `data` fields of a stream and ignores comments and other fields.
pub(super) struct EventStream<R> {
    reader: R,
    bytes_read: usize,
}

/// Why there is no further event.
#[derive(Debug)]
pub(super) enum EventStreamError {
    /// The stream ended.
    End,
    /// A line or the whole stream exceeds its limit.
    TooLong,
    /// Reading failed.
    Io(io::Error),
}

impl<R: BufRead> EventStream<R> {
    pub(super) fn new(reader: R) -> EventStream<R> {
        EventStream { reader, bytes_read: 0 }
    }

    /// The data of the next event that has any; its `data` fields are joined with a line feed. An event that lacks only the
    /// empty line after it is complete, unlike in the standard: some servers close the connection before that line.
    ///
    /// # Errors
    /// When the stream ends, exceeds a limit or cannot be read.
    pub(super) fn next_data(&mut self) -> Result<Vec<u8>, EventStreamError> {
        let mut data: Option<Vec<u8>> = None;
        let mut line = Vec::new();
        loop {
            match self.read_line(&mut line) {
                Ok(()) => {}
                Err(EventStreamError::End) => return data.ok_or(EventStreamError::End),
                Err(error) => return Err(error),
            }
            if line.is_empty() {
                match data.take() {
                    Some(data) => return Ok(data),
                    None => continue,
                }
            }
            if let Some(value) = data_value(&line) {
                match &mut data {
                    Some(data) => {
                        data.push(b'\n');
                        data.extend_from_slice(value);
                    }
                    None => data = Some(value.to_vec()),
                }
            }
        }
    }

    /// Reads one line without its end.
    fn read_line(&mut self, line: &mut Vec<u8>) -> Result<(), EventStreamError> {
        line.clear();
        let mut limited = self.reader.by_ref().take(MAX_LINE_BYTES as u64 + 1);
        let count = limited.read_until(b'\n', line).map_err(EventStreamError::Io)?;
        self.bytes_read += count;
        if count > MAX_LINE_BYTES || self.bytes_read > MAX_STREAM_BYTES {
            return Err(EventStreamError::TooLong);
        }
        let is_terminated = line.pop_if(|last| *last == b'\n').is_some();
        line.pop_if(|last| *last == b'\r');
        // A line without an end may be truncated, except for the known marker.
        if is_terminated || line.ends_with(b"[DONE]") { Ok(()) } else { Err(EventStreamError::End) }
    }
}

/// The value of a `data` field, without the one space that may precede it.
fn data_value(line: &[u8]) -> Option<&[u8]> {
    let value = line.strip_prefix(b"data:")?;
    Some(value.strip_prefix(b" ").unwrap_or(value))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]
mod tests {
    use super::*;

    fn next_data(stream: &[u8]) -> Result<usize, EventStreamError> {
        EventStream::new(stream).next_data().map(|data| data.len())
    }

    #[test]
    fn a_line_of_the_maximum_length_is_read_and_a_longer_one_is_too_long() {
        let value_bytes = MAX_LINE_BYTES - "data:\n".len();
        let line = |value_bytes: usize| format!("data:{}\n\n", "a".repeat(value_bytes));
        assert_eq!(next_data(line(value_bytes).as_bytes()).unwrap(), value_bytes);
        let error = next_data(line(value_bytes + 1).as_bytes()).unwrap_err();
        assert!(matches!(error, EventStreamError::TooLong), "{error:?}");
    }

    #[test]
    fn a_stream_of_the_maximum_length_is_read_and_a_longer_one_is_too_long() {
        let event = "data:a\n\n";
        let stream = |bytes: usize| ":\n".repeat((bytes - event.len()) / 2) + event;
        assert_eq!(next_data(stream(MAX_STREAM_BYTES).as_bytes()).unwrap(), 1);
        let error = next_data(stream(MAX_STREAM_BYTES + 2).as_bytes()).unwrap_err();
        assert!(matches!(error, EventStreamError::TooLong), "{error:?}");
    }
}
