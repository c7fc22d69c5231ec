//! Reads the small files in which Linux tells of itself.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// More than any of these files has that is of use.
const MAX_BYTES: u64 = 4 << 20;

/// A file as text; what is not UTF-8 is replaced.
pub(super) fn read(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_BYTES).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
