//! The files of a tar archive, as streams (POSIX.1, `pax`, section "ustar Interchange Format").

use std::io::{self, Read};

/// Bytes of a header, of which each file's length is made a multiple.
pub(super) const BLOCK_BYTES: usize = 512;

/// Whether a stream that begins so is a tar archive.
pub(super) fn is_header(head: &[u8]) -> bool {
    head.len() == BLOCK_BYTES && &head[257..262] == b"ustar"
}

/// Calls `visit` with the name and the bytes of each member, whatever its kind: long names and attributes are members too. What
/// `visit` leaves is passed over.
///
/// # Errors
/// That of the reader; and where a header is none, or the archive ends in the middle of a file.
pub(super) fn each_file(archive: &mut dyn Read, visit: &mut dyn FnMut(String, &mut dyn Read)) -> io::Result<()> {
    let mut header = [0; BLOCK_BYTES];
    loop {
        let mut read = 0;
        while read < BLOCK_BYTES {
            match archive.read(&mut header[read..])? {
                0 if read == 0 => return Ok(()),
                0 => return Err(damaged("it ends in the middle of a header")),
                more => read += more,
            }
        }
        if header.iter().all(|byte| *byte == 0) {
            // Only padding follows, which is read so that its bytes count.
            io::copy(archive, &mut io::sink())?;
            return Ok(());
        }
        if !is_header(&header) {
            return Err(damaged("a header is none of a tar archive"));
        }
        let bytes = size(&header[124..136]).ok_or_else(|| damaged("a header has no size"))?;
        let name =
            String::from_utf8_lossy(header[..100].split(|byte| *byte == 0).next().unwrap_or_default()).into_owned();
        let mut content = archive.take(bytes);
        visit(name, &mut content);
        io::copy(&mut content, &mut io::sink())?;
        if content.limit() > 0 {
            return Err(damaged("it ends in the middle of a file"));
        }
        let padding = bytes.next_multiple_of(BLOCK_BYTES as u64) - bytes;
        io::copy(&mut archive.take(padding), &mut io::sink())?;
    }
}

/// Octal digits; for large files GNU's form, a number behind the byte 0x80.
fn size(field: &[u8]) -> Option<u64> {
    if field[0] == 0x80 {
        return field.last_chunk().map(|bytes| u64::from_be_bytes(*bytes)).filter(|size| *size < 1 << 62);
    }
    let digits = str::from_utf8(field).ok()?.trim_matches(['\0', ' ']);
    u64::from_str_radix(digits, 8).ok().filter(|size| *size < 1 << 62)
}

fn damaged(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("damaged: {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A member as `tar` writes it.
    fn member(name: &str, content: &[u8]) -> Vec<u8> {
        let mut block = vec![0; BLOCK_BYTES];
        block[..name.len()].copy_from_slice(name.as_bytes());
        block[124..136].copy_from_slice(format!("{:011o}\0", content.len()).as_bytes());
        block[257..262].copy_from_slice(b"ustar");
        block.extend_from_slice(content);
        block.resize(block.len().next_multiple_of(BLOCK_BYTES), 0);
        block
    }

    fn read(archive: &[u8]) -> (Vec<(String, Vec<u8>)>, io::Result<()>) {
        let mut found = Vec::new();
        let result = each_file(&mut &*archive, &mut |name, reader| {
            let mut content = Vec::new();
            // Of the first member only a part is read.
            let limit = if found.is_empty() { 3 } else { u64::MAX };
            reader.take(limit).read_to_end(&mut content).expect("no error");
            found.push((name, content));
        });
        (found, result)
    }

    #[test]
    fn members_are_read_in_their_order() {
        let archive = [member("one", &[b'x'; 700]), member("two", b"short"), vec![0; 1024]].concat();
        let (found, result) = read(&archive);
        assert!(result.is_ok(), "{result:?}");
        assert_eq!(found, [("one".to_owned(), b"xxx".to_vec()), ("two".to_owned(), b"short".to_vec())]);
    }

    #[test]
    fn an_archive_that_is_cut_or_damaged_is_an_error() {
        let whole = [member("one", &[b'x'; 700]), member("two", b"short")].concat();
        for (case, archive) in [
            ("cut in a header", whole[..200].to_vec()),
            ("cut in a file", whole[..900].to_vec()),
            ("no header", [member("one", b""), vec![7; BLOCK_BYTES]].concat()),
            (
                "no size",
                member("one", b"").iter().enumerate().map(|(at, byte)| if at == 130 { b'x' } else { *byte }).collect(),
            ),
        ] {
            assert!(read(&archive).1.is_err(), "{case}");
        }
    }
}
