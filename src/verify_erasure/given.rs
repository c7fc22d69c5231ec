//! Files that the operator names: logs, dumps, backups, archived segments. What is packed is unpacked.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;

use super::custom_dump::{self, Blocks, Compression};
use super::findings::Place;
use super::folders::{self, Entry};
use super::search::Search;
use super::{tar, wal};

/// Bytes that tell the kind of a file: a header of tar.
const HEAD_BYTES: usize = tar::BLOCK_BYTES;

/// How deep files are unpacked: a compressed dump in a compressed tar archive.
const MAX_DEPTH: usize = 4;

/// How packed or encrypted files begin into which this program cannot look.
const CLOSED: [(&[u8], &str); 9] = [
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"\x04\x22\x4d\x18", "lz4"),
    (b"\xfd7zXZ\0", "xz"),
    (b"BZh", "bzip2"),
    (b"PK\x03\x04", "zip"),
    (b"7z\xbc\xaf\x27\x1c", "7z"),
    (b"age-encryption.org/", "age"),
    (b"-----BEGIN AGE ENCRYPTED FILE-----", "age"),
    (b"-----BEGIN PGP MESSAGE-----", "PGP"),
];

/// Searches a file, or all files below a folder.
pub(super) fn search(search: &mut Search<'_>, place: Place, path: &Path) {
    match path.metadata() {
        Ok(metadata) if metadata.is_dir() => {
            let mut errors = Vec::new();
            let entries = folders::files(path, &mut |folder, error| errors.push((folder.to_owned(), error)));
            for (folder, error) in errors {
                let name = search.name(place, &folder.display().to_string());
                search.not_looked(place, &name, &error);
            }
            if entries.is_empty() {
                let name = search.name(place, &path.display().to_string());
                search.findings.not_looked(place, format!("{name}: there is no file in it"));
            }
            entries.iter().for_each(|entry| search.expect(entry.bytes));
            for Entry { path, .. } in entries {
                file(search, place, &path);
            }
        }
        Ok(metadata) => {
            search.expect(metadata.len());
            if !metadata.is_file() {
                let name = search.name(place, &path.display().to_string());
                search.findings.not_looked(place, format!("{name}: it is neither a file nor a folder"));
            }
            // The path may be a link, which the operator has chosen.
            file(search, place, &path.canonicalize().unwrap_or_else(|_| path.to_owned()));
        }
        Err(error) => {
            let name = search.name(place, &path.display().to_string());
            search.not_looked(place, &name, &error);
        }
    }
}

/// Searches one file.
pub(super) fn file(search: &mut Search<'_>, place: Place, path: &Path) {
    let name = search.name(place, &path.display().to_string());
    let Some(mut file) = search.open(place, path, &name) else { return };
    let is_segment = path.file_name().is_some_and(|name| has_name_of_segment(&name.to_string_lossy()));
    let mut rest = u64::MAX;
    if matches!(custom_dump::compression(&file.reader), Some(Compression::None | Compression::Gzip)) {
        match custom_data(search, place, &name, &file.reader) {
            Ok(start) => rest = start,
            Err(error) => search.not_looked(place, &name, &error),
        }
    }
    packed(search, place, &name, is_segment, &mut (&mut file).take(rest), 0);
    search.findings.looked_at(place, file.bytes);
}

/// Searches the data of a dump of the custom format, and returns where they begin.
fn custom_data(search: &mut Search<'_>, place: Place, name: &str, dump: &File) -> io::Result<u64> {
    let Some(start) = custom_dump::find_data(dump)? else {
        let reason = "no data reach its end: the dump has none, or is damaged";
        search.findings.not_looked(place, format!("{name}: {reason}"));
        return Ok(u64::MAX);
    };
    let mut blocks = Blocks::new(dump, start)?;
    while let Some(mut data) = blocks.next_data()? {
        search.bytes(place, name, &mut search.counted(&mut data), false);
    }
    Ok(start)
}

fn has_name_of_segment(name: &str) -> bool {
    wal::is_segment(name.strip_suffix(".gz").unwrap_or(name))
}

/// Searches a stream that may be packed.
fn packed(search: &mut Search<'_>, place: Place, name: &str, is_segment: bool, reader: &mut dyn Read, depth: usize) {
    let mut head = Vec::new();
    if let Err(error) = (&mut *reader).take(HEAD_BYTES as u64).read_to_end(&mut head) {
        return search.not_looked(place, name, &error);
    }
    let mut whole = head.as_slice().chain(reader);
    if head.starts_with(&[0x1f, 0x8b]) && depth < MAX_DEPTH {
        return packed(search, place, name, is_segment, &mut MultiGzDecoder::new(whole), depth + 1);
    }
    if tar::is_header(&head) && depth < MAX_DEPTH {
        let result = tar::each_file(&mut whole, &mut |member, reader| {
            let member = search.name(place, &member);
            let is_segment = has_name_of_segment(member.rsplit('/').next().unwrap_or_default());
            packed(search, place, &format!("{name}, {member}"), is_segment, reader, depth + 1);
        });
        if let Err(error) = result {
            search.not_looked(place, name, &error);
        }
        return;
    }
    if let Some((_, kind)) = CLOSED.iter().find(|(magic, _)| head.starts_with(magic)) {
        search
            .findings
            .not_looked(place, format!("{name}: it is of the kind {kind}: unpack it, and name what was in it"));
    }
    match custom_dump::compression_in(&head) {
        Some(Compression::Other(kind)) => {
            let remedy = "unpack it with pg_restore --file, and name what that writes";
            search.findings.not_looked(place, format!("{name}: it is compressed with {kind}: {remedy}"));
        }
        Some(Compression::Gzip) if depth > 0 => {
            let remedy = "a dump in an archive: take it out, and name it alone";
            search.findings.not_looked(place, format!("{name}: {remedy}"));
        }
        _ => {}
    }
    unpacked(search, place, name, is_segment, &mut whole);
}

/// Searches a stream that is not packed.
fn unpacked(search: &mut Search<'_>, place: Place, name: &str, is_segment: bool, reader: &mut dyn Read) {
    if is_segment {
        search.segment(place, name, reader, true);
    } else {
        search.bytes(place, name, reader, false);
    }
}
