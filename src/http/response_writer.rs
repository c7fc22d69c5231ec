//! Writes a response: its head, then its body as it is read or as its pieces arrive (RFC 9112, section 7).

use std::io::{self, Read};

use rouille::Response;

use super::budget::MAX_PIECE_BYTES;
use super::budget::{QueueEntry, Reservation, counted};
use super::read_rate::ReadRate;
use super::reply::{AskForPiece, End, Piece, StreamReceiver};
use super::response_head::{self, ClientCapabilities, DateClock, Framing};
use crate::peers::PeerKey;

/// Bytes that are read from a body of known length and written at once. A shorter body goes out with its head in one
/// write, and a client that reads slowly costs no more memory than this.
const PIECE_BYTES: usize = 64 * 1024;

/// Bytes that one read takes from a body of unknown length. Each read is sent before the next.
const CHUNK_BYTES: usize = 16 * 1024;

/// The bytes of a response that are not written yet, and where more of them come from.
pub(super) struct ResponseWriter {
    bytes: Vec<u8>,
    pub(super) written: usize,
    source: Option<Source>,
    framing: Framing,
    /// For [`ResponseWriter::bytes`], or for the piece that is being made.
    memory: Option<Reservation>,
    /// How fast the client reads it.
    pub(super) rate: ReadRate,
    /// Another request may follow when everything is written.
    pub(super) keep_alive: bool,
}

/// Where the part of a body comes from that is not written yet.
pub(super) enum Source {
    /// The application's code, which may block.
    Reader(Box<dyn Read + Send>),
    /// Pieces that the application sends from any thread.
    Stream(StreamReceiver),
    /// Pieces that the application makes when it is asked, from any thread.
    Pull(Box<Pull>),
}

/// A body whose pieces the application is asked for.
pub(super) struct Pull {
    ask: AskForPiece,
    /// Whose share of the memory the pieces take.
    client: Option<PeerKey>,
    /// There was memory for the first piece.
    has_begun: bool,
    state: PullState,
}

impl Pull {
    pub(super) fn new(ask: AskForPiece, client: Option<PeerKey>) -> Pull {
        Pull { ask, client, has_begun: false, state: PullState::Needed }
    }
}

/// Where the next piece is.
enum PullState {
    /// It is needed.
    Needed,
    /// It waits for memory.
    AwaitsMemory(#[expect(dead_code, reason = "dropped, it is removed")] QueueEntry),
    /// There is memory for it.
    Reserved,
    /// The application makes it.
    Asked,
}

/// What a response needs next.
pub(super) enum Next {
    /// [`ResponseWriter::unwritten`] is to be written.
    Write,
    /// [`ResponseWriter::read_body`] is to be called.
    ReadBody,
    /// [`ResponseWriter::ask_for_piece`] is to be called.
    AskForPiece,
    /// The application has to send the next piece.
    AwaitPiece,
    /// Everything is written.
    Finished,
    /// The body ended without its end, so the connection is to be closed.
    Aborted,
}

impl ResponseWriter {
    /// Bytes that are sent as they are, and no request after them.
    pub(super) fn raw(bytes: impl Into<Vec<u8>>) -> ResponseWriter {
        ResponseWriter::with(bytes.into(), Framing::None, false)
    }

    fn with(bytes: Vec<u8>, framing: Framing, keep_alive: bool) -> ResponseWriter {
        let rate = ReadRate::default();
        ResponseWriter { bytes, written: 0, source: None, framing, memory: None, rate, keep_alive }
    }

    /// A response. Up to [`PIECE_BYTES`] of a body of known length are read here. With `pieces`, what `response` has as its
    /// body is ignored. Fails as [`response_head::format`], and for a body that ends before its length.
    pub(super) fn new(
        response: Response,
        pieces: Option<Source>,
        client: ClientCapabilities,
        clock: &mut DateClock,
    ) -> Result<ResponseWriter, &'static str> {
        let (reader, length) = response.data.into_reader_and_size();
        let (source, length) = match pieces {
            Some(pieces) => (pieces, None),
            None => (Source::Reader(reader), length),
        };
        let (bytes, framing, keep_alive) =
            response_head::format(response.status_code, &response.headers, length, client, clock)?;
        let mut writer = ResponseWriter::with(bytes, framing, keep_alive);
        writer.source = Some(source).filter(|_| !matches!(framing, Framing::None));
        if let Framing::Bytes(_) = framing {
            writer.read_body().map_err(|_| "its body ended before its length")?;
        }
        Ok(writer)
    }

    /// The unwritten bytes.
    pub(super) fn unwritten(&self) -> &[u8] {
        &self.bytes[self.written..]
    }

    /// What the response needs next. Pieces of a stream are taken here.
    pub(super) fn next(&mut self) -> Next {
        if !self.unwritten().is_empty() {
            return Next::Write;
        }
        let (pieces, memory, end) = match &self.source {
            None => return Next::Finished,
            Some(Source::Reader(_)) => return Next::ReadBody,
            Some(Source::Pull(pull)) => match pull.state {
                PullState::Needed | PullState::Reserved => return Next::AskForPiece,
                PullState::AwaitsMemory(_) | PullState::Asked => return Next::AwaitPiece,
            },
            Some(Source::Stream(pieces)) => pieces.take(),
        };
        let needed = match end {
            End::Open if pieces.is_empty() => Some(Next::AwaitPiece),
            End::Aborted if pieces.is_empty() => Some(Next::Aborted),
            End::Open | End::Aborted | End::Finished => None,
        };
        // The buffer of the pieces before is freed also while there is none.
        self.send_piece(pieces, end == End::Finished);
        self.memory = Some(memory);
        if let Some(needed) = needed {
            return needed;
        }
        if self.bytes.is_empty() { Next::Finished } else { Next::Write }
    }

    /// Whether the application has pieces of the body to send.
    pub(super) fn awaits_pieces(&self) -> bool {
        matches!(self.source, Some(Source::Stream(_) | Source::Pull(_)))
    }

    /// Reserves memory for a response that is longer than [`PIECE_BYTES`], if there is any: the part of its body that is not
    /// read yet counts too, since the application has made the body as a whole. With `is_at_hand`, one that is longer than a piece
    /// of [`MAX_PIECE_BYTES`] is taken to be static. Memory for the others follows with [`ResponseWriter::reserve_unwritten`].
    pub(super) fn reserve(&mut self, mut memory: Reservation, is_at_hand: bool) -> bool {
        let unread = if let Framing::Bytes(unread) = self.framing { unread } else { 0 };
        let is_static = is_at_hand && unread > MAX_PIECE_BYTES;
        let is_reserved = unread == 0 || is_static || memory.grow(self.bytes.len() + unread);
        self.memory = Some(memory);
        is_reserved
    }

    /// Reserves memory for what the socket does not take, if there is any and that is not done. Mostly the socket takes a
    /// whole response at once, which therefore has room whatever others have reserved.
    pub(super) fn reserve_unwritten(&mut self) -> bool {
        let length = counted(self.bytes.len());
        self.memory.as_mut().is_none_or(|memory| !memory.is_empty() || memory.grow(length))
    }

    /// Reserves memory for the next piece with `reserve`, unless that is done. If there is none,
    /// [`ResponseWriter::receive_memory`] follows.
    pub(super) fn reserve_piece(
        &mut self,
        reserve: impl FnOnce(Option<PeerKey>, bool) -> Result<Reservation, QueueEntry>,
    ) -> bool {
        let Some(Source::Pull(pull)) = &mut self.source else { return true };
        if !matches!(pull.state, PullState::Needed) {
            return true;
        }
        // The piece before is written.
        (self.bytes, self.written, self.memory) = (Vec::new(), 0, None);
        match reserve(pull.client, pull.has_begun) {
            Ok(memory) => self.receive_memory(memory),
            Err(entry) => pull.state = PullState::AwaitsMemory(entry),
        }
        self.memory.is_some()
    }

    /// Takes the memory for the next piece.
    pub(super) fn receive_memory(&mut self, memory: Reservation) {
        if let Some(Source::Pull(pull)) = &mut self.source {
            self.memory = Some(memory);
            (pull.state, pull.has_begun) = (PullState::Reserved, true);
        }
    }

    /// What asks the application for the next piece; [`ResponseWriter::receive_piece`] follows.
    pub(super) fn ask_for_piece(&mut self) -> Option<&mut AskForPiece> {
        let Some(Source::Pull(pull)) = &mut self.source else { return None };
        pull.state = PullState::Asked;
        Some(&mut pull.ask)
    }

    /// Takes the piece that the application was asked for.
    pub(super) fn receive_piece(&mut self, piece: Piece) {
        if let Some(Source::Pull(pull)) = &mut self.source {
            pull.state = PullState::Needed;
            self.send_piece(piece.bytes, piece.is_last);
            let length = self.bytes.len();
            self.memory.iter_mut().for_each(|memory| memory.set(length));
        }
    }

    /// Sends a piece when all before it is written. It is not copied, since it may be large.
    fn send_piece(&mut self, piece: Vec<u8>, is_last: bool) {
        (self.bytes, self.written) = (piece, 0);
        if matches!(self.framing, Framing::Chunks) {
            // An empty chunk would be the last one.
            if !self.bytes.is_empty() {
                let size = format!("{:x}\r\n", self.bytes.len());
                self.bytes.splice(..0, size.into_bytes());
                self.bytes.extend_from_slice(b"\r\n");
            }
            if is_last {
                self.bytes.extend_from_slice(b"0\r\n\r\n");
            }
        }
        if is_last {
            self.source = None;
        }
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.written = 0;
    }

    /// Reads the next bytes of the body, which runs the application's code. Fails when the body fails or ends before
    /// its length. The connection is then to be closed, so that the client does not take what it has for the whole.
    pub(super) fn read_body(&mut self) -> io::Result<()> {
        if self.unwritten().is_empty() {
            self.clear();
        }
        let Some(Source::Reader(mut reader)) = self.source.take() else { return Ok(()) };
        let is_last = match self.framing {
            Framing::None => true,
            Framing::Bytes(left) => {
                let (start, wanted) = (self.bytes.len(), left.min(PIECE_BYTES));
                self.bytes.resize(start + wanted, 0);
                reader.read_exact(&mut self.bytes[start..])?;
                self.framing = Framing::Bytes(left - wanted);
                left == wanted
            }
            Framing::Chunks => {
                // Room for the size, which is written once it is known.
                const SIZE: usize = "0000\r\n".len();
                let start = self.bytes.len() + SIZE;
                let read = self.read_once(&mut reader, start)?;
                let size = format!("{read:04x}\r\n");
                self.bytes[start - SIZE..start].copy_from_slice(size.as_bytes());
                self.bytes.extend_from_slice(b"\r\n");
                // The empty chunk is the last one: a size of zero, and the empty line behind the trailers.
                read == 0
            }
            Framing::UntilClose => self.read_once(&mut reader, self.bytes.len())? == 0,
        };
        self.source = (!is_last).then_some(Source::Reader(reader));
        Ok(())
    }

    /// Reads once, to `start` and onwards.
    fn read_once(&mut self, reader: &mut dyn Read, start: usize) -> io::Result<usize> {
        self.bytes.resize(start + CHUNK_BYTES, 0);
        let read = loop {
            match reader.read(&mut self.bytes[start..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => break result?,
            }
        };
        self.bytes.truncate(start + read);
        Ok(read)
    }
}
