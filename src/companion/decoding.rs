//! Undoes the compression of a body: some servers and proxies compress although nobody asks for it, and some do not say so.

use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::{MultiGzDecoder, ZlibDecoder};

/// Compressions of one body, one in another.
const MAX_COMPRESSIONS: usize = 2;

/// The text of a body, compressed or not: the first bytes tell.
///
/// # Errors
/// Of the reader.
pub(super) fn decoded<'a>(body: impl Read + 'a) -> io::Result<Box<dyn BufRead + 'a>> {
    let mut reader: Box<dyn BufRead + 'a> = Box::new(BufReader::new(body));
    for _ in 0..MAX_COMPRESSIONS {
        reader = match reader.fill_buf()? {
            // gzip (RFC 1952, section 2.3.1): no text begins with this byte.
            [0x1f, ..] => Box::new(BufReader::new(MultiGzDecoder::new(reader))),
            // zlib with its usual window, at each level (RFC 1950, section 2.2): HTTP's "deflate".
            [0x78, 0x01 | 0x5e | 0x9c | 0xda, ..] => Box::new(BufReader::new(ZlibDecoder::new(reader))),
            _ => break,
        };
    }
    Ok(reader)
}
