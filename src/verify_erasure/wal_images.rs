//! The compressed images of pages in a record of the write-ahead log (PostgreSQL, `xlogrecord.h`).

use super::page::PAGE_BYTES;

/// Bytes of the shortest record: its header.
pub(super) const MIN_RECORD_BYTES: usize = 24;

/// The number of the first format whose images name their compression, in the low byte of `xlp_magic`: that of PostgreSQL 15.
const NAMES_COMPRESSION: u8 = 0x10;

// The kinds of headers behind that of a record: up to the first number those of blocks.
const MAX_BLOCK: u8 = 32;
const TOP_TRANSACTION: u8 = 252;
const ORIGIN: u8 = 253;
const LONG_DATA: u8 = 254;
const SHORT_DATA: u8 = 255;

// Bits of the flags of a block: it has an image; it is of the same relation as the block before.
const HAS_IMAGE: u8 = 0x10;
const SAME_RELATION: u8 = 0x80;

// Bits of the flags of an image: its unused middle is left out; how it is compressed, in older formats and in newer ones.
const HAS_HOLE: u8 = 0x01;
const OLD_PGLZ: u8 = 0x02;
const PGLZ: u8 = 0x04;
const LZ4: u8 = 0x08;
const ZSTD: u8 = 0x10;

/// What a block has behind the headers.
struct Block {
    image_bytes: usize,
    data_bytes: usize,
    /// The flag of its compression; 0 without.
    compression: u8,
}

/// Appends the images that are compressed in a record. `version`: the low byte of `xlp_magic`.
///
/// # Errors
/// The name of a compression that this program cannot read. The other images are appended.
pub(super) fn unpack(record: &[u8], version: u8, output: &mut Vec<u8>) -> Result<(), &'static str> {
    let Some((blocks, mut rest)) = blocks(record, version) else { return Ok(()) };
    let mut result = Ok(());
    for block in blocks {
        let Some((image, behind)) = rest.split_at_checked(block.image_bytes) else { return result };
        match block.compression {
            0 => {}
            LZ4 => result = Err("lz4"),
            ZSTD => result = Err("zstd"),
            _ => unpack_pglz(image, output),
        }
        rest = behind.get(block.data_bytes..).unwrap_or_default();
    }
    result
}

/// The blocks of a record, and what follows the headers; `None` where these are not as they should be.
fn blocks(record: &[u8], version: u8) -> Option<(Vec<Block>, &[u8])> {
    let mut rest = Fields(record.get(MIN_RECORD_BYTES..)?);
    let (mut blocks, mut data_bytes) = (Vec::new(), 0);
    // The data of all headers follow the last one.
    while rest.0.len() > data_bytes {
        match rest.byte()? {
            SHORT_DATA => data_bytes += usize::from(rest.byte()?),
            LONG_DATA => data_bytes += rest.long()?,
            ORIGIN => _ = rest.short()?,
            TOP_TRANSACTION => _ = rest.long()?,
            0..=MAX_BLOCK => {
                let block = block(&mut rest, version)?;
                data_bytes += block.image_bytes + block.data_bytes;
                blocks.push(block);
            }
            _ => return None,
        }
    }
    (rest.0.len() == data_bytes).then_some((blocks, rest.0))
}

fn block(rest: &mut Fields<'_>, version: u8) -> Option<Block> {
    let flags = rest.byte()?;
    let mut block = Block { image_bytes: 0, data_bytes: rest.short()?, compression: 0 };
    if flags & HAS_IMAGE != 0 {
        block.image_bytes = rest.short()?;
        let _hole_offset = rest.short()?;
        let image_flags = rest.byte()?;
        let methods = if version < NAMES_COMPRESSION { OLD_PGLZ } else { PGLZ | LZ4 | ZSTD };
        block.compression = image_flags & methods;
        if block.compression != 0 && image_flags & HAS_HOLE != 0 {
            let _hole_bytes = rest.short()?;
        }
    }
    if flags & SAME_RELATION == 0 {
        // The numbers of tablespace, database and file.
        rest.skip(12)?;
    }
    let _block_number = rest.long()?;
    Some(block)
}

/// Reads fields one after the other.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*byte)
    }

    fn short(&mut self) -> Option<usize> {
        let (bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(usize::from(u16::from_le_bytes(*bytes)))
    }

    fn long(&mut self) -> Option<usize> {
        let (bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u32::from_le_bytes(*bytes) as usize)
    }

    fn skip(&mut self, bytes: usize) -> Option<()> {
        self.0 = self.0.get(bytes..)?;
        Some(())
    }
}

/// Appends what `pglz_compress` made these bytes of, up to a page, or up to where they are damaged.
fn unpack_pglz(compressed: &[u8], output: &mut Vec<u8>) {
    let (start, mut rest) = (output.len(), Fields(compressed));
    while let Some(control) = rest.byte() {
        for item in 0..8 {
            if output.len() - start >= PAGE_BYTES {
                return;
            }
            let Some(first) = rest.byte() else { return };
            if control >> item & 1 == 0 {
                output.push(first);
                continue;
            }
            // A repetition of earlier bytes: how many, and how far back.
            let Some(second) = rest.byte() else { return };
            let mut length = usize::from(first & 0x0f) + 3;
            let distance = usize::from(first & 0xf0) << 4 | usize::from(second);
            if length == 18 {
                length += usize::from(rest.byte().unwrap_or(0));
            }
            if distance == 0 || distance > output.len() - start {
                return;
            }
            for _ in 0..length {
                output.push(output[output.len() - distance]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pglz_repeats_earlier_bytes() {
        // "abc", then 6 bytes from 3 back, then "d"; then 18 + 2 bytes from 1 back.
        let compressed = [0x28, b'a', b'b', b'c', 0x03, 3, b'd', 0x0f, 1, 2];
        let mut output = b"before".to_vec();
        unpack_pglz(&compressed, &mut output);
        assert_eq!(output, [b"beforeabcabcabcd".as_slice(), &[b'd'; 20]].concat());
        let mut output = Vec::new();
        unpack_pglz(&[1, 0x03, 9, b'x'], &mut output);
        assert!(output.is_empty(), "a repetition of what is not there");
    }

    /// A record with one block that has an image with these flags, and 4 bytes of data, and 3 of its own.
    fn record(image_flags: u8, image: &[u8]) -> Vec<u8> {
        let mut record = vec![0; MIN_RECORD_BYTES];
        record.extend_from_slice(&[0, HAS_IMAGE, 4, 0]);
        record.extend_from_slice(&[u8::try_from(image.len()).expect("short"), 0, 24, 0, image_flags]);
        if image_flags & !HAS_HOLE != 0 && image_flags & HAS_HOLE != 0 {
            record.extend_from_slice(&[0, 16]);
        }
        record.extend_from_slice(&[7; 16]);
        record.extend_from_slice(&[SHORT_DATA, 3]);
        [record, image.to_vec(), b"datamain"[..7].to_vec()].concat()
    }

    #[test]
    fn images_are_unpacked_by_the_format_of_their_version() {
        let packed = [0, b'a', b'b', b'c'];
        for (case, version, flags, expected) in [
            ("PostgreSQL 14", 0x0d, OLD_PGLZ | HAS_HOLE, Ok("abc")),
            ("PostgreSQL 15", 0x10, PGLZ | HAS_HOLE, Ok("abc")),
            ("without a hole", 0x10, PGLZ, Ok("abc")),
            ("lz4", 0x10, LZ4 | HAS_HOLE, Err("lz4")),
            ("zstd", 0x18, ZSTD, Err("zstd")),
            ("not compressed", 0x10, HAS_HOLE, Ok("")),
        ] {
            let mut output = Vec::new();
            let result = unpack(&record(flags, &packed), version, &mut output);
            assert_eq!(
                result.map(|()| String::from_utf8(output).expect("ASCII")),
                expected.map(str::to_owned),
                "{case}"
            );
        }
    }

    #[test]
    fn a_damaged_record_has_no_images() {
        let whole = record(PGLZ, &[0, b'a', b'b']);
        for length in 0..whole.len() {
            let mut output = Vec::new();
            assert_eq!(unpack(&whole[..length], 0x10, &mut output), Ok(()));
            assert!(output.is_empty(), "{length} bytes");
        }
    }
}
