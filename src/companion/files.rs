//! The script and the system prompt: the embedded ones, or those in the files that the settings name.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::config::ModelSettings;

/// Bytes of a script or of a system prompt.
const MAX_FILE_BYTES: usize = 256 * 1024;

/// A file cannot be read, is too large, not UTF-8, or empty but for white space.
#[derive(Debug, thiserror::Error)]
#[error("{variable}: {problem}")]
pub struct FileError {
    /// The variable that names the file.
    pub variable: &'static str,
    /// The file, what is wrong, and what is allowed.
    pub problem: String,
}

/// The system prompt: that of the file, or the embedded one.
///
/// # Errors
/// When the file cannot be used.
pub(super) fn system_prompt(model: &ModelSettings) -> Result<String, FileError> {
    read("COMPANION_PROMPT", model.prompt.as_deref(), include_str!("prompt.md"))
}

/// The text of the file that the variable names, or the embedded one.
///
/// # Errors
/// When the file cannot be used.
pub(super) fn read(variable: &'static str, path: Option<&Path>, embedded: &str) -> Result<String, FileError> {
    let Some(path) = path else { return Ok(embedded.to_owned()) };
    let unusable = |problem: &str| FileError { variable, problem: format!("{} {problem}", path.display()) };
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_FILE_BYTES as u64 + 1).read_to_end(&mut bytes))
        .map_err(|error| FileError { variable, problem: format!("cannot read {}: {error}", path.display()) })?;
    if bytes.len() > MAX_FILE_BYTES {
        return Err(unusable(&format!("has more than {MAX_FILE_BYTES} bytes")));
    }
    let text = String::from_utf8(bytes).map_err(|_| unusable("is not UTF-8; save it as UTF-8"))?;
    // Some editors write a byte order mark first.
    let text = text.trim_start_matches('\u{feff}');
    if text.trim().is_empty() {
        return Err(unusable("is empty; write something into it, or leave the variable out"));
    }
    Ok(text.to_owned())
}
