//! Searches files and streams, counts what was searched, and shows the progress.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use indicatif::{ProgressBar, ProgressStyle};
use nix::libc;

use super::findings::{Finding, Findings, Holder, Place};
use super::needles::Needles;
use super::scanner::{Hit, Scanner};
use super::wal::Segment;

/// What stands for the name of a file that has what is searched for.
const HIDDEN_NAME: &str = "(a file whose name is not shown)";

/// A search that goes on from place to place.
pub(super) struct Search<'a> {
    pub(super) needles: &'a Needles,
    pub(super) findings: Findings,
    scanner: Scanner<'a>,
    progress: ProgressBar,
}

impl<'a> Search<'a> {
    /// The progress is on standard error, and only where that is a terminal.
    pub(super) fn new(needles: &'a Needles) -> Search<'a> {
        let progress = ProgressBar::new(0);
        let style =
            ProgressStyle::with_template("{bar:30} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left  {msg}");
        progress.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Search { needles, findings: Findings::default(), scanner: Scanner::new(needles), progress }
    }

    /// So many bytes more are going to be searched.
    pub(super) fn expect(&self, bytes: u64) {
        self.progress.inc_length(bytes);
    }

    /// Ends the search.
    pub(super) fn finish(self) -> Findings {
        self.progress.finish_and_clear();
        self.findings
    }

    /// The name of a file as it may be shown. A name that has what is searched for is a finding itself.
    pub(super) fn name(&mut self, place: Place, name: &str) -> String {
        let found: Vec<_> = self.needles.find(name.as_bytes()).map(|(trace, ..)| trace).collect();
        if found.is_empty() {
            return name.to_owned();
        }
        for trace in found {
            self.findings.add(place, Finding { trace, holder: Holder::FileName, location: HIDDEN_NAME.to_owned() }, 1);
        }
        HIDDEN_NAME.to_owned()
    }

    /// Opens a regular file; `None` where it is gone, or cannot be read, which is reported.
    pub(super) fn open(&mut self, place: Place, path: &Path, name: &str) -> Option<Counted<File>> {
        // No link is followed, and no pipe is waited for.
        let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
        match File::options().read(true).custom_flags(flags).open(path) {
            Ok(file) if file.metadata().is_ok_and(|found| found.is_file()) => {
                self.progress.set_message(name.to_owned());
                Some(self.counted(file))
            }
            Ok(_) => None,
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => {
                self.not_looked(place, name, &error);
                None
            }
        }
    }

    /// A reader whose bytes are counted.
    pub(super) fn counted<R: Read>(&self, reader: R) -> Counted<R> {
        Counted { reader, progress: self.progress.clone(), bytes: 0 }
    }

    /// Something could not be read.
    pub(super) fn not_looked(&mut self, place: Place, name: &str, error: &io::Error) {
        let remedy = match error.kind() {
            ErrorKind::PermissionDenied => "; run this as root, or as the user who owns it",
            _ => "",
        };
        self.findings.not_looked(place, format!("{name}: {error}{remedy}"));
    }

    /// Searches a stream, and calls `locate` for what is found there. With `continues` it is the continuation of the last one.
    pub(super) fn stream(
        &mut self,
        reader: &mut dyn Read,
        continues: bool,
        locate: &mut dyn FnMut(&Hit<'_>) -> (Place, Finding),
    ) -> io::Result<()> {
        if !continues {
            self.scanner.begin();
        }
        let findings = &mut self.findings;
        self.scanner.scan(reader, &mut |hit| {
            let (place, finding) = locate(hit);
            findings.add(place, finding, 1);
        })
    }

    /// Searches a stream of bytes without a structure.
    pub(super) fn bytes(&mut self, place: Place, name: &str, reader: &mut dyn Read, continues: bool) {
        let mut locate =
            |hit: &Hit<'_>| (place, Finding { trace: hit.trace, holder: Holder::Bytes, location: name.to_owned() });
        if let Err(error) = self.stream(reader, continues, &mut locate) {
            self.not_looked(place, name, &error);
        }
    }

    /// Searches a segment of the write-ahead log. With `continues` the last stream was the segment before.
    pub(super) fn segment(&mut self, place: Place, name: &str, reader: &mut dyn Read, continues: bool) {
        let mut segment = Segment::new(reader);
        self.bytes(place, name, &mut segment, continues);
        if let Some(method) = segment.unreadable {
            let remedy = "set wal_compression to pglz or off; archived segments stay as they are";
            let reason =
                format!("images of pages are compressed with {method}, which this program cannot read: {remedy}");
            self.findings.not_looked(place, format!("{name}: {reason}"));
        }
    }
}

/// Counts what is read, and shows it.
pub(super) struct Counted<R> {
    pub(super) reader: R,
    progress: ProgressBar,
    /// Bytes that were read.
    pub(super) bytes: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.progress.inc(read as u64);
        self.bytes += read as u64;
        Ok(read)
    }
}
