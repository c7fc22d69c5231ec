//! Reads server-sent events, within bounds.

use std::io::{self, BufRead, Read};

/// Bytes a line may have.
pub const MOST_LINE_BYTES: usize = 64 * 1024;

/// Bytes a whole stream may have.
pub const MOST_STREAM_BYTES: usize = 8 * 1024 * 1024;

/// The events of a stream, of which only the data matters here.
pub(super) struct Events<R> {
    stream: R,
    bytes: usize,
}

/// Why there is no further event.
pub(super) enum Stop {
    /// The stream ended.
    End,
    /// A line, or all of it, is too long.
    TooLong,
    /// Reading failed.
    Io(io::Error),
}

impl<R: BufRead> Events<R> {
    pub(super) fn new(stream: R) -> Events<R> {
        Events { stream, bytes: 0 }
    }

    /// The data of the next event that has any; several lines of it are joined as the standard says.
    ///
    /// # Errors
    /// When there is none. An event that the end cut short is none; one that only lacks the empty line after it is.
    pub(super) fn next(&mut self) -> Result<Vec<u8>, Stop> {
        let mut data: Option<Vec<u8>> = None;
        let mut line = Vec::new();
        loop {
            match self.read_line(&mut line) {
                Ok(()) => {}
                Err(Stop::End) => return data.ok_or(Stop::End),
                Err(stop) => return Err(stop),
            }
            if line.is_empty() {
                match data.take() {
                    Some(data) => return Ok(data),
                    None => continue,
                }
            }
            if let Some(value) = value_of_data(&line) {
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

    /// One line without its end.
    fn read_line(&mut self, line: &mut Vec<u8>) -> Result<(), Stop> {
        line.clear();
        let mut bounded = self.stream.by_ref().take(MOST_LINE_BYTES as u64 + 1);
        let count = bounded.read_until(b'\n', line).map_err(Stop::Io)?;
        self.bytes += count;
        if count > MOST_LINE_BYTES || self.bytes > MOST_STREAM_BYTES {
            return Err(Stop::TooLong);
        }
        let is_whole = line.pop_if(|last| *last == b'\n').is_some();
        line.pop_if(|last| *last == b'\r');
        // Whether a line without an end is all of one shows for the mark of the end alone.
        if is_whole || line.ends_with(b"[DONE]") { Ok(()) } else { Err(Stop::End) }
    }
}

/// What follows `data:`, less the one space that may stand there; nothing for comments and other fields.
fn value_of_data(line: &[u8]) -> Option<&[u8]> {
    let value = line.strip_prefix(b"data:")?;
    Some(value.strip_prefix(b" ").unwrap_or(value))
}
