//! Searches the log files of this machine for some texts.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

/// Folders of logs; those of containers are where Docker keeps them.
const LOG_FOLDERS: [&str; 2] = ["var/log", "var/lib/docker/containers"];

/// Folders with the configurations of proxies, which name log files.
const PROXY_FOLDERS: [&str; 6] =
    ["etc/nginx", "etc/haproxy", "etc/caddy", "etc/apache2", "etc/httpd", "usr/local/etc/nginx"];

/// A file that was not written to for this long has nothing of a request of just now.
const RECENT: Duration = Duration::from_secs(60);

/// The end of a file that is read, and the pieces in which it is.
const MAX_FILE_BYTES: u64 = 64 << 20;
const PIECE_BYTES: usize = 1 << 20;

/// A configuration of a proxy that is longer is not read.
const MAX_CONFIGURATION_BYTES: u64 = 1 << 20;

/// Bounds of the search as a whole.
const MAX_FILES: usize = 20_000;
const MAX_DEPTH: usize = 8;
const TIME_LIMIT: Duration = Duration::from_secs(8);

/// What a search found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The files with a text, and the number of the text.
    pub(super) hits: Vec<(PathBuf, usize)>,
    /// Files and folders that were not read.
    pub(super) not_read: Vec<PathBuf>,
}

/// Searches the usual folders below `root`, log files that configurations of proxies name, and `further` files and folders, whose files
/// are read whenever they were written.
pub(super) fn search(root: &Path, further: &[PathBuf], texts: &[&str]) -> Found {
    let deadline = Instant::now() + TIME_LIMIT;
    let mut walk = Walk { files: Vec::new(), seen: HashSet::new(), not_read: Vec::new(), deadline };
    for path in further {
        walk.enter(path, MAX_DEPTH, false);
    }
    for file in proxy_logs(root) {
        walk.add(file);
    }
    for folder in LOG_FOLDERS.map(|folder| root.join(folder)) {
        if folder.exists() {
            walk.enter(&folder, MAX_DEPTH, true);
        }
    }
    let mut found = Found { hits: Vec::new(), not_read: walk.not_read };
    for file in walk.files {
        match find_in(&file, texts, deadline) {
            Ok(numbers) => found.hits.extend(numbers.into_iter().map(|number| (file.clone(), number))),
            Err(_) => found.not_read.push(file),
        }
    }
    found
}

/// The files that are to be searched.
struct Walk {
    files: Vec<PathBuf>,
    seen: HashSet<PathBuf>,
    not_read: Vec<PathBuf>,
    deadline: Instant,
}

impl Walk {
    fn add(&mut self, file: PathBuf) {
        if self.seen.insert(file.clone()) {
            self.files.push(file);
        }
    }

    /// Adds a file, or the files of a folder. Links are not followed below the folder that was named.
    fn enter(&mut self, path: &Path, depth: usize, is_recent_only: bool) {
        if depth == 0 || self.files.len() >= MAX_FILES || Instant::now() > self.deadline {
            return self.not_read.push(path.to_owned());
        }
        let Ok(found) = fs::metadata(path) else { return self.not_read.push(path.to_owned()) };
        if found.is_file() {
            let is_recent = || found.modified().is_ok_and(|changed| age(changed) < RECENT);
            if !is_recent_only || is_recent() {
                self.add(path.to_owned());
            }
            return;
        }
        let Ok(entries) = fs::read_dir(path) else { return self.not_read.push(path.to_owned()) };
        for entry in entries.flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir() || kind.is_file()) {
                self.enter(&entry.path(), depth - 1, is_recent_only);
            }
        }
    }
}

fn age(changed: SystemTime) -> Duration {
    changed.elapsed().unwrap_or_default()
}

/// Existing files with a name like that of a log, which a configuration of a proxy has.
fn proxy_logs(root: &Path) -> Vec<PathBuf> {
    let deadline = Instant::now() + Duration::from_secs(1);
    let mut walk = Walk { files: Vec::new(), seen: HashSet::new(), not_read: Vec::new(), deadline };
    for folder in PROXY_FOLDERS {
        walk.enter(&root.join(folder), MAX_DEPTH, false);
    }
    let mut logs = Vec::new();
    for configuration in walk.files {
        let mut text = String::new();
        let read =
            File::open(configuration).and_then(|file| file.take(MAX_CONFIGURATION_BYTES).read_to_string(&mut text));
        if read.is_err() {
            continue;
        }
        let is_end = |character: char| character.is_whitespace() || ";\"'".contains(character);
        let words = text.split(is_end).filter(|word| word.starts_with('/') && word.contains("log"));
        logs.extend(words.map(|word| root.join(word.trim_start_matches('/'))).filter(|path| path.is_file()));
    }
    logs
}

/// The numbers of the texts that the end of a file has.
fn find_in(path: &Path, texts: &[&str], deadline: Instant) -> io::Result<Vec<usize>> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(MAX_FILE_BYTES)))?;
    let mut file = file.take(MAX_FILE_BYTES);
    let overlap = texts.iter().map(|text| text.len()).max().unwrap_or(0);
    let (mut piece, mut found) = (Vec::with_capacity(PIECE_BYTES + overlap), HashSet::new());
    loop {
        // The end of the piece before is kept, so that a text across the border is found.
        let kept = piece.len().min(overlap);
        piece.drain(..piece.len() - kept);
        let read = file.by_ref().take(PIECE_BYTES as u64).read_to_end(&mut piece)?;
        if read == 0 {
            break;
        }
        if Instant::now() > deadline {
            return Err(io::Error::from(io::ErrorKind::TimedOut));
        }
        for (number, text) in texts.iter().enumerate() {
            if !found.contains(&number) && contains(&piece, text.as_bytes()) {
                found.insert(number);
            }
        }
    }
    let mut found: Vec<usize> = found.into_iter().collect();
    found.sort_unstable();
    Ok(found)
}

fn contains(bytes: &[u8], text: &[u8]) -> bool {
    let Some(first) = text.first() else { return true };
    let mut from = 0;
    while let Some(at) = bytes[from..].iter().position(|byte| byte == first) {
        if bytes[from + at..].starts_with(text) {
            return true;
        }
        from += at + 1;
    }
    false
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]
mod tests {
    use std::slice;

    use super::*;

    const TEXTS: [&str; 2] = ["coffee-in-a-path", "decade-in-a-field"];

    fn write(root: &Path, name: &str, bytes: &[u8]) -> PathBuf {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    }

    #[test]
    fn a_text_is_found_in_logs_of_the_system_of_proxies_and_of_places_that_are_named() {
        let root = tempfile::tempdir().unwrap();
        let logs = write(root.path(), "var/log/nginx/access.log", b"GET /coffee-in-a-path 200\n");
        let proxy = write(root.path(), "srv/logs/chat.log", b"decade-in-a-field");
        write(root.path(), "etc/nginx/sites/chat", b"access_log /srv/logs/chat.log;\naccess_log \"/no/such.log\";");
        let named = write(root.path(), "opt/one/two", b"xxdecade-in-a-field coffee-in-a-path");
        write(root.path(), "opt/elsewhere", b"coffee-in-a-path");
        let mut hits = search(root.path(), &[root.path().join("opt/one")], &TEXTS).hits;
        hits.sort();
        let mut expected = vec![(logs, 0), (proxy, 1), (named.clone(), 0), (named, 1)];
        expected.sort();
        assert_eq!(hits, expected);
    }

    #[test]
    fn a_text_across_the_border_of_two_pieces_is_found_once() {
        let root = tempfile::tempdir().unwrap();
        for shift in [0, 1, 5, TEXTS[0].len() - 1, TEXTS[0].len()] {
            let mut bytes = vec![b'c'; PIECE_BYTES - shift];
            bytes.extend_from_slice(TEXTS[0].as_bytes());
            bytes.extend_from_slice(&[b'c'; 100]);
            let file = write(root.path(), "log", &bytes);
            assert_eq!(find_in(&file, &TEXTS, Instant::now() + TIME_LIMIT).unwrap(), [0], "{shift}");
        }
    }

    #[test]
    fn an_old_log_of_the_system_is_not_read_and_one_that_is_named_is() {
        let root = tempfile::tempdir().unwrap();
        let old = write(root.path(), "var/log/old.log", b"coffee-in-a-path");
        let long_ago = SystemTime::now() - RECENT * 2;
        File::options().write(true).open(&old).unwrap().set_modified(long_ago).unwrap();
        assert!(search(root.path(), &[], &TEXTS).hits.is_empty());
        assert_eq!(search(root.path(), slice::from_ref(&old), &TEXTS).hits, [(old, 0)]);
    }

    #[test]
    fn a_file_that_cannot_be_read_is_told() {
        let root = tempfile::tempdir().unwrap();
        let missing = root.path().join("gone.log");
        assert_eq!(search(root.path(), slice::from_ref(&missing), &TEXTS).not_read, [missing]);
    }
}
