//! The regular files of a folder, by their paths.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A file of a folder.
pub(super) struct Entry {
    /// Its path.
    pub(super) path: PathBuf,
    /// The same below the folder.
    pub(super) relative: PathBuf,
    /// Its size in bytes when it was listed.
    pub(super) bytes: u64,
}

/// The regular files below a folder, in the order of their paths. Of links only those are followed that PostgreSQL makes itself: to
/// tablespaces and to the write-ahead log. `on_error` gets what could not be listed; what is gone meanwhile is left out.
pub(super) fn files(folder: &Path, on_error: &mut dyn FnMut(&Path, io::Error)) -> Vec<Entry> {
    let mut found = Vec::new();
    let mut folders = vec![(folder.to_owned(), PathBuf::new())];
    while let Some((folder, relative)) = folders.pop() {
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound && !relative.as_os_str().is_empty() => continue,
            Err(error) => {
                on_error(&folder, error);
                continue;
            }
        };
        for entry in entries.flatten() {
            let (path, relative) = (entry.path(), relative.join(entry.file_name()));
            let is_followed = relative == Path::new("pg_wal") || relative.parent() == Some(Path::new("pg_tblspc"));
            let metadata = if is_followed { fs::metadata(&path) } else { fs::symlink_metadata(&path) };
            match metadata {
                Ok(metadata) if metadata.is_dir() => folders.push((path, relative)),
                Ok(metadata) if metadata.is_file() => found.push(Entry { path, relative, bytes: metadata.len() }),
                _ => {}
            }
        }
    }
    found.sort_by(|one, other| one.relative.cmp(&other.relative));
    found
}
