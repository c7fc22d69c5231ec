//! Makes the companion that the configuration describes.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::endpoint::EndpointError;
use super::interface::Companion;
use super::model::Model;
use super::script::{Script, ScriptError};
use crate::config::{CompanionSettings, Kind};

/// Bytes of a script or of a system prompt.
const MAX_FILE_BYTES: usize = 256 * 1024;

/// The system prompt without `COMPANION_PROMPT`.
const DEFAULT_PROMPT: &str = include_str!("prompt.md");

/// Why the companion cannot be made. The text names the variable to change and holds no secret.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A file cannot be read.
    #[error("{variable}: cannot read {}: {reason}", .path.display())]
    Read {
        /// The variable that names the file.
        variable: &'static str,
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        reason: io::Error,
    },
    /// A file is too large, not UTF-8, or empty but for white space.
    #[error("{variable}: {} {problem}", .path.display())]
    Unusable {
        /// The variable that names the file.
        variable: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong, and what is allowed.
        problem: String,
    },
    /// The file of `COMPANION_SCRIPT` is not a valid script.
    #[error("COMPANION_SCRIPT: {}: {reason}", .path.display())]
    Script {
        /// The file.
        path: PathBuf,
        /// What is wrong, and in which line.
        reason: ScriptError,
    },
    /// The settings of the model cannot be used.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
}

/// Descriptors of one call to a model: its socket, and what its name is resolved with.
const DESCRIPTORS_PER_CALL: usize = 2;

/// Descriptors that all calls to the companion need at the same time.
#[must_use]
pub fn max_descriptors(settings: &CompanionSettings) -> usize {
    settings.concurrency * DESCRIPTORS_PER_CALL
}

/// Reads the files that the settings name and makes the companion. Opens no connection, but resolves the host of a model
/// whose addresses must be local.
///
/// # Errors
/// When a file, the script in it, or the model's settings cannot be used.
pub fn build(settings: &CompanionSettings) -> Result<Box<dyn Companion>, BuildError> {
    match &settings.kind {
        Kind::Script { path: None } => Ok(Box::new(Script::embedded())),
        Kind::Script { path: Some(path) } => {
            let text = read_file("COMPANION_SCRIPT", path)?;
            let script = Script::parse(&text).map_err(|reason| BuildError::Script { path: path.clone(), reason })?;
            Ok(Box::new(script))
        }
        Kind::Model(settings) => {
            let prompt = match &settings.prompt {
                Some(path) => read_file("COMPANION_PROMPT", path)?,
                None => DEFAULT_PROMPT.to_owned(),
            };
            Ok(Box::new(Model::new(settings.clone(), prompt)?))
        }
    }
}

fn read_file(variable: &'static str, path: &Path) -> Result<String, BuildError> {
    let unusable = |problem: String| BuildError::Unusable { variable, path: path.to_owned(), problem };
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_FILE_BYTES as u64 + 1).read_to_end(&mut bytes))
        .map_err(|reason| BuildError::Read { variable, path: path.to_owned(), reason })?;
    if bytes.len() > MAX_FILE_BYTES {
        return Err(unusable(format!("has more than {MAX_FILE_BYTES} bytes")));
    }
    let text = String::from_utf8(bytes).map_err(|_| unusable("is not UTF-8; save it as UTF-8".to_owned()))?;
    // Some editors write a byte order mark first.
    let text = text.trim_start_matches('\u{feff}');
    if text.trim().is_empty() {
        return Err(unusable("is empty; write something into it, or leave the variable out".to_owned()));
    }
    Ok(text.to_owned())
}
