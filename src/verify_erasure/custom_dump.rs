//! The data in a dump of `pg_dump --format=custom`: blocks of chunks behind a table of contents (PostgreSQL, `pg_backup_custom.c`).
//!
//! The table of contents differs from version to version, so it is not read. The first block is found by its form: from it on block
//! follows block up to the end of the file.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;

use flate2::read::ZlibDecoder;

/// How a dump begins.
const MAGIC: &[u8] = b"PGDMP";

/// Bytes that tell the format and the compression.
const HEADER_BYTES: usize = 16;

/// The format `custom`.
const CUSTOM: u8 = 1;

/// The minor version of the archive format from which on a byte names the compression. Before, its level did.
const NAMES_COMPRESSION: u8 = 15;

/// Blocks: rows of a table, and large objects.
const ROWS: u8 = 1;
const LARGE_OBJECTS: u8 = 3;

/// Bytes of a number, with its sign in front.
const NUMBER_BYTES: usize = 5;

/// The first byte of zlib's format with its usual window.
const ZLIB: u8 = 0x78;

/// Bytes in which the first block is looked for at once.
const PIECE_BYTES: usize = 1 << 16;

/// How the data of a dump are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compression {
    /// Not at all.
    None,
    /// With zlib.
    Gzip,
    /// With what this program cannot read.
    Other(&'static str),
}

/// The compression of a file, if it is a dump of the custom format.
pub(super) fn compression(file: &File) -> Option<Compression> {
    let mut head = [0; HEADER_BYTES];
    file.read_exact_at(&mut head, 0).ok()?;
    compression_in(&head)
}

/// The same from the beginning of a file.
pub(super) fn compression_in(head: &[u8]) -> Option<Compression> {
    let header = head.strip_prefix(MAGIC)?;
    let [_major, minor, _revision, _integer_bytes, _offset_bytes, format, first, level, ..] = header else {
        return None;
    };
    if *format != CUSTOM {
        return None;
    }
    Some(match first {
        _ if *minor < NAMES_COMPRESSION => {
            if *level == 0 {
                Compression::None
            } else {
                Compression::Gzip
            }
        }
        0 => Compression::None,
        1 => Compression::Gzip,
        2 => Compression::Other("lz4"),
        3 => Compression::Other("zstd"),
        _ => Compression::Other("an unknown method"),
    })
}

/// Where the first block of a dump begins: from there the blocks reach the end of the file. `None` in a dump without data.
///
/// # Errors
/// Those of reading.
pub(super) fn find_data(file: &File) -> io::Result<Option<u64>> {
    let length = file.metadata()?.len();
    let mut piece = vec![0; PIECE_BYTES];
    let mut offset = HEADER_BYTES as u64;
    while offset < length {
        let read = file.read_at(&mut piece, offset)?;
        if read == 0 {
            break;
        }
        for (at, kind) in piece[..read].iter().enumerate() {
            let start = offset + at as u64;
            if matches!(*kind, ROWS | LARGE_OBJECTS) && reaches_end(file, start, length)? {
                return Ok(Some(start));
            }
        }
        offset += read as u64;
    }
    Ok(None)
}

fn reaches_end(file: &File, start: u64, length: u64) -> io::Result<bool> {
    let mut blocks = Blocks::new(file, start)?;
    loop {
        match blocks.next_chunk() {
            Ok(Some(_)) => {}
            Ok(None) => return Ok(blocks.position == length),
            Err(error) if matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof) => {
                return Ok(false);
            }
            Err(error) => return Err(error),
        }
    }
}

/// What the position is in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    BetweenBlocks,
    Rows,
    /// In a block of large objects, before the number of the next one.
    BetweenObjects,
    Object,
}

/// The bytes of a chunk.
#[derive(Clone, Copy)]
struct Chunk {
    position: u64,
    end: u64,
    /// Whether a table's rows or a large object begin with it.
    is_first: bool,
}

/// Goes through the blocks of a dump.
pub(super) struct Blocks<'a> {
    file: &'a File,
    length: u64,
    position: u64,
    state: State,
    /// The first chunk of the next table or object, where it was read already.
    next: Option<Chunk>,
}

impl<'a> Blocks<'a> {
    /// Those from `start` on.
    ///
    /// # Errors
    /// Those of reading.
    pub(super) fn new(file: &'a File, start: u64) -> io::Result<Blocks<'a>> {
        let length = file.metadata()?.len();
        Ok(Blocks { file, length, position: start, state: State::BetweenBlocks, next: None })
    }

    /// The rows of the next table, or the next large object, without compression; `None` after the last.
    ///
    /// # Errors
    /// Those of reading, also where what should be there is not.
    pub(super) fn next_data(&mut self) -> io::Result<Option<Box<dyn Read + '_>>> {
        let first = loop {
            let chunk = match self.next.take() {
                Some(chunk) => Some(chunk),
                None => self.next_chunk()?,
            };
            // Other chunks are left of data that were not read to their end.
            match chunk {
                Some(chunk) if !chunk.is_first => {}
                chunk => break chunk,
            }
        };
        let Some(chunk) = first else { return Ok(None) };
        let mut head = [0; 2];
        let is_compressed = self.file.read_exact_at(&mut head, chunk.position).is_ok()
            && head[0] == ZLIB
            && u16::from_be_bytes(head) % 31 == 0;
        let data = Data { blocks: self, chunk };
        Ok(Some(if is_compressed { Box::new(ZlibDecoder::new(data)) } else { Box::new(data) }))
    }

    fn next_chunk(&mut self) -> io::Result<Option<Chunk>> {
        let mut is_first = false;
        loop {
            match self.state {
                State::BetweenBlocks => {
                    let mut kind = [0];
                    if self.file.read_at(&mut kind, self.position)? == 0 {
                        return Ok(None);
                    }
                    self.position += 1;
                    let _number_of_entry = self.number()?;
                    self.state = match kind[0] {
                        ROWS => State::Rows,
                        LARGE_OBJECTS => State::BetweenObjects,
                        _ => return Err(io::ErrorKind::InvalidData.into()),
                    };
                    is_first = true;
                }
                State::BetweenObjects => {
                    self.state = if self.number()? == 0 { State::BetweenBlocks } else { State::Object };
                    is_first = true;
                }
                State::Rows | State::Object => {
                    let bytes = u64::from(self.number()?);
                    if bytes == 0 {
                        let is_object = self.state == State::Object;
                        self.state = if is_object { State::BetweenObjects } else { State::BetweenBlocks };
                        continue;
                    }
                    let chunk = Chunk { position: self.position, end: self.position + bytes, is_first };
                    if chunk.end > self.length {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                    self.position = chunk.end;
                    return Ok(Some(chunk));
                }
            }
        }
    }

    /// Reads a number, which is never negative here.
    fn number(&mut self) -> io::Result<u32> {
        let mut bytes = [0; NUMBER_BYTES];
        self.file.read_exact_at(&mut bytes, self.position)?;
        self.position += NUMBER_BYTES as u64;
        let [sign, number @ ..] = bytes;
        if sign == 0 { Ok(u32::from_le_bytes(number)) } else { Err(io::ErrorKind::InvalidData.into()) }
    }
}

/// The rows of a table or a large object, as they are in the file: chunk after chunk.
struct Data<'a, 'b> {
    blocks: &'b mut Blocks<'a>,
    chunk: Chunk,
}

impl Read for Data<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.chunk.position == self.chunk.end && self.blocks.next.is_none() {
            match self.blocks.next_chunk()? {
                Some(chunk) if !chunk.is_first => self.chunk = chunk,
                next => self.blocks.next = next,
            }
        }
        let rest = usize::try_from(self.chunk.end - self.chunk.position).unwrap_or(usize::MAX);
        let length = rest.min(buffer.len());
        let read = self.blocks.file.read_at(&mut buffer[..length], self.chunk.position)?;
        self.chunk.position += read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression as Level;
    use flate2::write::ZlibEncoder;

    use super::*;

    fn number(value: usize) -> Vec<u8> {
        [&[0], u32::try_from(value).expect("small").to_le_bytes().as_slice()].concat()
    }

    /// Chunks of 10 bytes, and the empty one behind them.
    fn chunks(data: &[u8]) -> Vec<u8> {
        let chunks = data.chunks(10).map(|chunk| [number(chunk.len()), chunk.to_vec()].concat());
        chunks.chain([number(0)]).collect::<Vec<_>>().concat()
    }

    fn compressed(data: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Level::fast());
        encoder.write_all(data).expect("memory");
        encoder.finish().expect("memory")
    }

    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(bytes).expect("a file");
        file
    }

    #[test]
    fn rows_and_large_objects_are_read_through_their_chunks() {
        let header = [MAGIC, &[1, 14, 0, 4, 8, CUSTOM, 1, 1, 0, 0, 0], &[7; 300]].concat();
        let rows = [&[ROWS][..], &number(3000), &chunks(&compressed(&[b'r'; 5_000]))].concat();
        let plain = [&[ROWS][..], &number(3001), &chunks(b"rows without compression")].concat();
        let objects = [number(17), chunks(&compressed(b"one")), number(18), chunks(b"another"), number(0)].concat();
        let objects = [&[LARGE_OBJECTS][..], &number(3002), &objects].concat();
        let dump = file(&[header.clone(), rows, plain, objects].concat());
        assert_eq!(compression(&dump), Some(Compression::Gzip));
        let start = find_data(&dump).expect("no error").expect("data");
        assert_eq!(start, header.len() as u64);
        let mut blocks = Blocks::new(&dump, start).expect("no error");
        let mut found = Vec::new();
        while let Some(mut data) = blocks.next_data().expect("no error") {
            let mut bytes = Vec::new();
            data.read_to_end(&mut bytes).expect("no error");
            found.push(bytes);
        }
        assert_eq!(
            found,
            [vec![b'r'; 5_000], b"rows without compression".to_vec(), b"one".to_vec(), b"another".to_vec()]
        );
    }

    #[test]
    fn data_that_were_not_read_to_their_end_are_passed_over() {
        let tables = [1, 2].map(|entry| [&[ROWS][..], &number(entry), &chunks(&[b'0' + entry as u8; 35])].concat());
        let dump = file(&tables.concat());
        let mut blocks = Blocks::new(&dump, 0).expect("no error");
        let mut byte = [0];
        for expected in [b"1", b"2"] {
            blocks.next_data().expect("no error").expect("data").read_exact(&mut byte).expect("a byte");
            assert_eq!(&byte, expected);
        }
        assert!(blocks.next_data().expect("no error").is_none());
    }

    #[test]
    fn a_dump_that_is_cut_has_no_data_that_reach_its_end() {
        let whole = [MAGIC, &[1, 16, 0, 4, 8, CUSTOM, 0, 0, 0, 0, 0], &[ROWS], &number(5), &chunks(b"a table of rows")]
            .concat();
        assert_eq!(find_data(&file(&whole)).expect("no error"), Some(16));
        assert_eq!(find_data(&file(&whole[..whole.len() - 7])).expect("no error"), None);
    }

    #[test]
    fn the_header_tells_the_compression() {
        for (header, expected) in [
            ([1, 16, 0, 4, 8, CUSTOM, 0, 0], Some(Compression::None)),
            ([1, 16, 0, 4, 8, CUSTOM, 1, 0], Some(Compression::Gzip)),
            ([1, 15, 0, 4, 8, CUSTOM, 2, 0], Some(Compression::Other("lz4"))),
            ([1, 16, 0, 4, 8, CUSTOM, 3, 0], Some(Compression::Other("zstd"))),
            ([1, 14, 0, 4, 8, CUSTOM, 0, 0], Some(Compression::None)),
            ([1, 14, 0, 4, 8, CUSTOM, 1, 1], Some(Compression::Gzip)),
            ([1, 14, 0, 4, 8, 3, 0, 0], None),
        ] {
            assert_eq!(compression_in(&[MAGIC, &header].concat()), expected, "{header:?}");
        }
        assert_eq!(compression_in(b"PGDM"), None);
    }
}
