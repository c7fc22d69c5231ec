//! The write-ahead log as one stream: without the headers of its pages, which cut records in two, and with the images of pages that are
//! compressed in it (PostgreSQL, `xlogrecord.h`, `xlog_internal.h`).

use std::io::{self, Read};

use super::wal_images;

/// Bytes of a page of the write-ahead log, unless PostgreSQL was compiled with another size.
const PAGE_BYTES: usize = 8192;

/// Bytes of the header of a page, and of the first page of a segment (`XLogPageHeaderData`, `XLogLongPageHeaderData`).
const SHORT_HEADER_BYTES: usize = 24;
const LONG_HEADER_BYTES: usize = 40;

// Bits of `xlp_info`: the page begins with the rest of a record; it has the long header.
const CONTINUES_RECORD: u8 = 0x01;
const HAS_LONG_HEADER: u8 = 0x02;

/// Where the header has the bytes that are left of that record.
const REST_OFFSET: usize = 16;

/// The high byte of `xlp_magic`, which counts the formats: 0xd101 is that of PostgreSQL 12.
const MAGIC: u8 = 0xd1;

/// Records begin at multiples of this, with their length.
const ALIGNMENT: usize = 8;

/// A longer record has no images: it is what an extension or a client wrote.
const MAX_RECORD_BYTES: usize = 1 << 20;

/// Hexadecimal digits of the name of a segment: timeline and number.
const NAME_LENGTH: usize = 24;

/// Whether a file of this name is a segment, complete or partial.
pub(super) fn is_segment(name: &str) -> bool {
    let digits = name.strip_suffix(".partial").unwrap_or(name);
    digits.len() == NAME_LENGTH && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Reads a segment without the headers of its pages. Behind a record follow the images of pages that are compressed in it.
pub(super) struct Segment<R> {
    reader: R,
    page: Vec<u8>,
    /// What is handed out, and how much of it was.
    output: Vec<u8>,
    position: usize,
    /// A record whose end is on the next page, and its length.
    record: Vec<u8>,
    record_length: usize,
    /// How images are compressed that cannot be read, if there are any.
    pub(super) unreadable: Option<&'static str>,
}

impl<R: Read> Segment<R> {
    pub(super) fn new(reader: R) -> Segment<R> {
        let (page, output, record) = (Vec::with_capacity(PAGE_BYTES), Vec::new(), Vec::new());
        Segment { reader, page, output, position: 0, record, record_length: 0, unreadable: None }
    }

    /// Reads a page and puts what it has into `output`.
    fn next_page(&mut self) -> io::Result<()> {
        self.page.clear();
        (&mut self.reader).take(PAGE_BYTES as u64).read_to_end(&mut self.page)?;
        (self.position, self.output) = (0, Vec::with_capacity(PAGE_BYTES));
        let page = std::mem::take(&mut self.page);
        match header_bytes(&page).and_then(|header| page.split_at_checked(header)) {
            Some((header, content)) => self.records(header, content),
            // It was never used, or is none.
            None => self.output.extend_from_slice(&page),
        }
        self.page = page;
        Ok(())
    }

    fn records(&mut self, header: &[u8], content: &[u8]) {
        let version = header[0];
        let mut at = 0;
        if header[2] & CONTINUES_RECORD != 0 {
            let rest = length(&header[REST_OFFSET..]);
            let part = &content[..rest.min(content.len())];
            // Otherwise its beginning is not known.
            let is_known = self.record_length == self.record.len() + rest && !self.record.is_empty();
            self.output.extend_from_slice(part);
            if is_known {
                self.record.extend_from_slice(part);
            }
            if part.len() < rest {
                return;
            }
            if is_known {
                let record = std::mem::take(&mut self.record);
                self.images(&record, version);
            }
            at = rest;
        }
        self.record.clear();
        loop {
            // Nothing is in the bytes up to the next record.
            at = at.next_multiple_of(ALIGNMENT);
            let Some(rest) = content.get(at..).filter(|rest| rest.len() >= ALIGNMENT) else { return };
            let length = length(rest);
            if length < wal_images::MIN_RECORD_BYTES || length > rest.len() {
                self.output.extend_from_slice(rest);
                if (wal_images::MIN_RECORD_BYTES..MAX_RECORD_BYTES).contains(&length) {
                    (self.record, self.record_length) = (rest.to_vec(), length);
                }
                return;
            }
            self.output.extend_from_slice(&rest[..length]);
            self.images(&rest[..length], version);
            at += length;
        }
    }

    /// Puts the images into `output` that are compressed in a record.
    fn images(&mut self, record: &[u8], version: u8) {
        if let Err(method) = wal_images::unpack(record, version, &mut self.output) {
            self.unreadable = Some(method);
        }
    }
}

impl<R: Read> Read for Segment<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.position == self.output.len() {
            self.next_page()?;
        }
        let rest = &self.output[self.position..];
        let length = rest.len().min(buffer.len());
        buffer[..length].copy_from_slice(&rest[..length]);
        self.position += length;
        Ok(length)
    }
}

fn length(bytes: &[u8]) -> usize {
    bytes.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes) as usize)
}

/// Bytes of the header at the beginning of a page; `None` where it has never been one.
fn header_bytes(page: &[u8]) -> Option<usize> {
    match page {
        [_, MAGIC, info, ..] if info & HAS_LONG_HEADER != 0 => Some(LONG_HEADER_BYTES),
        [_, MAGIC, ..] => Some(SHORT_HEADER_BYTES),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The header of a page that begins with so many bytes of a record.
    fn header(info: u8, rest: u32) -> Vec<u8> {
        let mut header = vec![0; if info & HAS_LONG_HEADER == 0 { SHORT_HEADER_BYTES } else { LONG_HEADER_BYTES }];
        header[..3].copy_from_slice(&[0x10, MAGIC, info]);
        header[REST_OFFSET..REST_OFFSET + 4].copy_from_slice(&rest.to_le_bytes());
        header
    }

    /// A record of this length, with these bytes.
    fn record(length: usize, byte: u8) -> Vec<u8> {
        let mut record = vec![byte; length];
        record[..4].copy_from_slice(&u32::try_from(length).expect("short").to_le_bytes());
        // No block and no data of its own, which the parser would look for.
        record[24..].fill(byte);
        record
    }

    fn read(segment: &[u8]) -> Vec<u8> {
        let mut read = Vec::new();
        Segment::new(segment).read_to_end(&mut read).expect("no error");
        read
    }

    #[test]
    fn only_segments_have_the_name_of_one() {
        for (name, expected) in [
            ("000000010000000000000001", true),
            ("0000000B000000A1000000FF.partial", true),
            ("0000000A.history", false),
            ("000000010000000000000001.0000002A.backup", false),
            ("archive_status", false),
        ] {
            assert_eq!(is_segment(name), expected, "{name}");
        }
    }

    #[test]
    fn a_record_that_pages_cut_is_one_without_their_headers() {
        let (first, long) = (record(1_001, b'a'), record(20_000, b'b'));
        let mut segment = [header(HAS_LONG_HEADER, 0), first.clone(), vec![0; 7]].concat();
        let mut rest = long.as_slice();
        while !rest.is_empty() {
            let (part, behind) = rest.split_at((PAGE_BYTES - segment.len() % PAGE_BYTES).min(rest.len()));
            segment.extend_from_slice(part);
            rest = behind;
            if !rest.is_empty() {
                segment.extend(header(CONTINUES_RECORD, u32::try_from(rest.len()).expect("short")));
            }
        }
        let unused = vec![0; PAGE_BYTES - segment.len() % PAGE_BYTES];
        let found = read(&[segment, unused, vec![0; PAGE_BYTES], vec![b'.'; 100]].concat());
        assert!(found.starts_with(&[first, long].concat()));
        assert!(found.ends_with(&[vec![0; PAGE_BYTES], vec![b'.'; 100]].concat()), "pages that are none are kept");
    }

    #[test]
    fn a_page_whose_record_began_elsewhere_is_read_from_the_next_record_on() {
        let next = record(50, b'n');
        let page =
            [header(CONTINUES_RECORD | HAS_LONG_HEADER, 100), vec![b'r'; 100], vec![0; 4], next.clone()].concat();
        let found = read(&page);
        assert_eq!(found, [vec![b'r'; 100], next].concat());
    }

    #[test]
    fn random_bytes_are_handed_out_whole() {
        let mut state = 1_u32;
        let mut random = vec![0; 5 * PAGE_BYTES];
        random.iter_mut().for_each(|byte| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *byte = (state >> 24) as u8;
        });
        for page in random.chunks_mut(PAGE_BYTES) {
            page[..SHORT_HEADER_BYTES].copy_from_slice(&header(0, 0));
        }
        assert!(read(&random).len() > 4 * PAGE_BYTES);
    }
}
