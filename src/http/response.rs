//! The response on its way out: its head, and how its body is framed (RFC 9112, sections 4, 6 and 7).

use std::io::{self, Read};
use std::time::{SystemTime, UNIX_EPOCH};

use chrono::DateTime;
use rouille::Response;

use super::body::is_token;
use super::status::reason;

/// What is read from a body and written at once: a body of known length that is no longer goes out with its head in
/// one write, and no more than this is held in memory for a client that reads slowly.
const PIECE_BYTES: usize = 64 * 1024;

/// What is read at once from a body of unknown length. What one read gives is sent before the next.
const CHUNK_BYTES: usize = 16 * 1024;

/// Fields that are the server's own business; the application's are left out, as rouille documents.
const OWN_FIELDS: [&str; 6] = ["Connection", "Content-Length", "Date", "Transfer-Encoding", "Trailer", "Upgrade"];

/// What a response must know of its request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Recipient {
    /// Whether the client speaks HTTP/1.1, so that it understands chunks.
    pub(super) is_1_1: bool,
    /// Whether it asked for the head only.
    pub(super) head_only: bool,
    /// Whether another request may follow on this connection.
    pub(super) keep_alive: bool,
}

/// Bytes to be written, and where more of them come from.
pub(super) struct Output {
    bytes: Vec<u8>,
    written: usize,
    rest: Option<Rest>,
    /// Whether the connection is of use when everything is written.
    pub(super) keep_alive: bool,
}

/// The part of a body that was not read yet.
struct Rest {
    source: Box<dyn Read + Send>,
    framing: Framing,
}

#[derive(Clone, Copy)]
enum Framing {
    /// This many bytes are to come.
    Bytes(usize),
    /// Each read is a chunk.
    Chunks,
    /// The end of the connection is the end of the body.
    UntilClose,
}

/// A response that cannot be sent: it would not be HTTP, or its body is not what it says.
#[derive(Debug, thiserror::Error)]
#[error("the response cannot be sent: {0}")]
pub(super) struct Unsendable(pub(super) &'static str);

impl Output {
    /// Bytes that are to go out as they are.
    pub(super) fn of(bytes: impl Into<Vec<u8>>) -> Output {
        Output { bytes: bytes.into(), written: 0, rest: None, keep_alive: true }
    }

    /// A response as bytes; its body is read as far as it goes out at once.
    ///
    /// # Errors
    /// For a status that is not final, for a field that would split the response (CR, LF, NUL), for a body that ends
    /// before its length.
    pub(super) fn new(response: Response, recipient: Recipient, clock: &mut Clock) -> Result<Output, Unsendable> {
        let status = response.status_code;
        if !(200..=999).contains(&status) {
            return Err(Unsendable("its status is not one"));
        }
        let (source, length) = response.data.into_reader_and_size();
        // These have no body whatever was given (RFC 9110, sections 15.3.5, 15.3.6 and 15.4.5).
        let bodiless = matches!(status, 204 | 205 | 304);
        let framing = match length {
            _ if bodiless => Framing::Bytes(0),
            Some(length) => Framing::Bytes(length),
            None if recipient.is_1_1 => Framing::Chunks,
            None => Framing::UntilClose,
        };
        let keep_alive = recipient.keep_alive && !matches!(framing, Framing::UntilClose);

        let mut bytes = Vec::with_capacity(512);
        // Piece by piece: formatting costs more than all the rest.
        let mut line = |parts: [&str; 4]| parts.iter().for_each(|part| bytes.extend_from_slice(part.as_bytes()));
        line(["HTTP/1.1 ", &status.to_string(), " ", reason(status)]);
        line(["\r\n", "Date: ", clock.date(), "\r\n"]);
        for (name, value) in &response.headers {
            if OWN_FIELDS.iter().any(|own| own.eq_ignore_ascii_case(name)) {
                continue;
            }
            if !is_token(name.as_bytes()) || value.bytes().any(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
                return Err(Unsendable("a header would split it"));
            }
            line([name, ": ", value, "\r\n"]);
        }
        match framing {
            _ if matches!(status, 204 | 304) => {}
            Framing::Bytes(length) => line(["Content-Length", ": ", &length.to_string(), "\r\n"]),
            Framing::Chunks => line(["Transfer-Encoding", ": ", "chunked", "\r\n"]),
            Framing::UntilClose => {}
        }
        if !keep_alive {
            line(["Connection", ": ", "close", "\r\n"]);
        } else if !recipient.is_1_1 {
            line(["Connection", ": ", "keep-alive", "\r\n"]);
        }
        bytes.extend_from_slice(b"\r\n");

        let mut output = Output { bytes, written: 0, rest: None, keep_alive };
        if !recipient.head_only && !bodiless {
            output.rest = Some(Rest { source, framing });
            if let Framing::Bytes(_) = framing {
                output.read_on().map_err(|_| Unsendable("its body ended before its length"))?;
            }
        }
        Ok(output)
    }

    /// What is left of the bytes at hand.
    pub(super) fn unwritten(&self) -> &[u8] {
        &self.bytes[self.written..]
    }

    /// Notes that this many of them were written.
    pub(super) fn advance(&mut self, written: usize) {
        self.written += written;
    }

    /// Whether nothing is left, neither at hand nor in the body.
    pub(super) fn is_finished(&self) -> bool {
        self.unwritten().is_empty() && self.rest.is_none()
    }

    /// Reads the next bytes of the body, which may take as long as the application likes.
    ///
    /// # Errors
    /// When the body fails or ends before its length: what is left is to cut the connection, so that the client does
    /// not take what it has for the whole.
    pub(super) fn read_on(&mut self) -> io::Result<()> {
        if self.written == self.bytes.len() {
            self.bytes.clear();
            self.written = 0;
        }
        let Some(Rest { mut source, framing }) = self.rest.take() else { return Ok(()) };
        let next = match framing {
            Framing::Bytes(left) => {
                let wanted = left.min(PIECE_BYTES);
                if source.by_ref().take(wanted as u64).read_to_end(&mut self.bytes)? < wanted {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                (left > wanted).then_some(Framing::Bytes(left - wanted))
            }
            Framing::Chunks => {
                // Room for the size, which is written once it is known.
                const SIZE: usize = "0000\r\n".len();
                let start = self.bytes.len() + SIZE;
                let read = self.read_once(&mut source, start)?;
                let size = format!("{read:04x}\r\n");
                self.bytes[start - SIZE..start].copy_from_slice(size.as_bytes());
                self.bytes.extend_from_slice(b"\r\n");
                // Of nothing, this was the last chunk: a size of zero, and the empty line behind the trailers.
                (read > 0).then_some(framing)
            }
            Framing::UntilClose => {
                let start = self.bytes.len();
                (self.read_once(&mut source, start)? > 0).then_some(framing)
            }
        };
        self.rest = next.map(|framing| Rest { source, framing });
        Ok(())
    }

    /// Reads once, to this place and onwards.
    fn read_once(&mut self, source: &mut dyn Read, start: usize) -> io::Result<usize> {
        self.bytes.resize(start + CHUNK_BYTES, 0);
        let read = loop {
            match source.read(&mut self.bytes[start..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => break result?,
            }
        };
        self.bytes.truncate(start + read);
        Ok(read)
    }
}

/// Writes the time of `Date`, which changes once a second, once a second.
#[derive(Default)]
pub(super) struct Clock {
    second: u64,
    date: String,
}

impl Clock {
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
