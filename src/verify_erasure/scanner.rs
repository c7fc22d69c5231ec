//! Reads a stream in pieces of constant size and reports what is found, also across the border of two pieces.

use std::io::{self, Read};

use super::findings::Trace;
use super::needles::{Needles, PROBED_BYTES};
use super::page::PAGE_BYTES;

/// Bytes that are read and searched at once.
const PIECE_BYTES: usize = 1 << 20;

/// Something that was found.
pub(super) struct Hit<'a> {
    pub(super) trace: Trace,
    /// The bytes around it, and its place in them. In a stream of pages they begin with a page, and have the whole of the page in
    /// which the hit begins.
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
}

/// Searches streams, one after the other. The memory it takes depends on the longest pattern only.
pub(super) struct Scanner<'a> {
    needles: &'a Needles,
    buffer: Vec<u8>,
    /// The end of what was searched is kept in front, as long as the longest pattern; whole pages, so that pages stay aligned.
    overlap: usize,
    /// Bytes in front that were searched before.
    carried: usize,
    /// The offset of the first byte of the buffer.
    offset: u64,
    /// The offset from which sealed bytes can begin that were not looked at.
    sealed_from: u64,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(needles: &'a Needles) -> Scanner<'a> {
        let overlap = needles.max_bytes().max(PROBED_BYTES).next_multiple_of(PAGE_BYTES);
        Scanner { needles, buffer: vec![0; overlap + PIECE_BYTES], overlap, carried: 0, offset: 0, sealed_from: 0 }
    }

    /// Begins a new stream, which does not continue the last one.
    pub(super) fn begin(&mut self) {
        (self.carried, self.offset, self.sealed_from) = (0, 0, 0);
    }

    /// Reads to the end. What continues the stream can follow with another call.
    ///
    /// # Errors
    /// That of the reader. What was read before it was searched.
    pub(super) fn scan(&mut self, reader: &mut dyn Read, on_hit: &mut dyn FnMut(&Hit<'_>)) -> io::Result<()> {
        loop {
            let mut length = self.carried;
            let mut outcome = Ok(());
            while length < self.buffer.len() {
                match reader.read(&mut self.buffer[length..]) {
                    Ok(0) => break,
                    Ok(read) => length += read,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => {
                        outcome = Err(error);
                        break;
                    }
                }
            }
            let is_last = length < self.buffer.len();
            self.search(length, is_last, on_hit);
            let kept = self.overlap.min(length);
            self.buffer.copy_within(length - kept..length, 0);
            self.offset += (length - kept) as u64;
            self.carried = kept;
            if is_last {
                return outcome;
            }
        }
    }

    fn search(&mut self, length: usize, is_last: bool, on_hit: &mut dyn FnMut(&Hit<'_>)) {
        let bytes = &self.buffer[..length];
        let mut report = |trace, at| on_hit(&Hit { trace, bytes, at });
        for (trace, start, end) in self.needles.find(bytes) {
            if end > self.carried {
                report(trace, start);
            }
        }
        // Sealed bytes that begin near the end are looked at with the next piece.
        let end = if is_last { length } else { length - PROBED_BYTES };
        let start = usize::try_from(self.sealed_from.saturating_sub(self.offset)).unwrap_or(end).min(end);
        let mut sealed_from = self.offset + end.saturating_sub(if is_last { PROBED_BYTES } else { 0 }) as u64;
        for at in self.needles.find_sealed(bytes, start, end) {
            report(Trace::Sealed, at);
            sealed_from = sealed_from.max(self.offset + at as u64 + 1);
        }
        self.sealed_from = sealed_from.max(self.sealed_from);
    }
}

#[cfg(test)]
mod tests {
    use chrono::Utc;
    use zeroize::Zeroizing;

    use super::*;
    use crate::message;
    use crate::session_id::SessionId;

    const WORD: &str = "a word across the border";

    /// Hands out a few bytes at a time, as a socket or a decoder does.
    struct Dripping<'a>(&'a [u8]);

    impl Read for Dripping<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let length = self.0.len().min(buffer.len()).min(4_999);
            buffer[..length].copy_from_slice(&self.0[..length]);
            self.0 = &self.0[length..];
            Ok(length)
        }
    }

    /// What is found, in whatever order, with the first bytes of it.
    fn hits(scanner: &mut Scanner<'_>, bytes: &[u8]) -> Vec<(Trace, Vec<u8>)> {
        let mut found = Vec::new();
        let mut on_hit = |hit: &Hit<'_>| found.push((hit.trace, hit.bytes[hit.at..][..WORD.len()].to_vec()));
        scanner.scan(&mut Dripping(bytes), &mut on_hit).expect("no error");
        found
    }

    #[test]
    fn what_lies_across_the_border_of_pieces_is_found_once() {
        let needles = Needles::new(&SessionId::random(), &[Zeroizing::new(WORD.to_owned())]).expect("an automaton");
        let mut scanner = Scanner::new(&needles);
        let first_piece = scanner.buffer.len();
        let sealed = message::seal_creation_time(needles.key(), Utc::now());
        let mut bytes = vec![b'.'; first_piece + PIECE_BYTES + 1_000];
        for (trace, planted) in [(Trace::Word(1), WORD.as_bytes()), (Trace::Sealed, sealed.as_slice())] {
            for before in 0..=planted.len() {
                let border = first_piece + before % 2 * PIECE_BYTES;
                let place = border - before..border - before + planted.len();
                bytes[place.clone()].copy_from_slice(planted);
                scanner.begin();
                let expected = (trace, planted[..WORD.len()].to_vec());
                assert_eq!(hits(&mut scanner, &bytes), [expected], "{before} bytes before {border}");
                bytes[place].fill(b'.');
            }
        }
    }

    #[test]
    fn a_stream_can_continue_in_another_reader() {
        let needles = Needles::new(&SessionId::random(), &[Zeroizing::new(WORD.to_owned())]).expect("an automaton");
        let sealed = message::seal_creation_time(needles.key(), Utc::now());
        let bytes = [&[b'.'; 700], WORD.as_bytes(), &[b'.'; 300], &sealed, &[b'.'; 20]].concat();
        let mut scanner = Scanner::new(&needles);
        for cut in 690..bytes.len() {
            scanner.begin();
            let mut found = hits(&mut scanner, &bytes[..cut]);
            found.extend(hits(&mut scanner, &bytes[cut..]));
            found.sort_unstable();
            let expected = [(Trace::Word(1), WORD.as_bytes()), (Trace::Sealed, &sealed[..WORD.len()])];
            assert_eq!(found, expected.map(|(trace, bytes)| (trace, bytes.to_vec())), "cut at {cut}");
        }
        scanner.begin();
        let mut found = hits(&mut scanner, &bytes[..710]);
        scanner.begin();
        found.extend(hits(&mut scanner, &bytes[710..720]));
        assert!(found.is_empty(), "a new stream does not continue the last one");
    }
}
