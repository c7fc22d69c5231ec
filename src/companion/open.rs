//! Makes the companion that the configuration describes.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::{Companion, Model, ModelError, Script, ScriptError};
use crate::config::{self, Kind};

/// Bytes a script or a system prompt may have.
pub const MOST_FILE_BYTES: usize = 256 * 1024;

/// The system prompt, unless `COMPANION_PROMPT` names another.
const PROMPT: &str = include_str!("prompt.md");

/// Why there is no companion. Its text says which variable to change, and holds no secret.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A file cannot be read.
    #[error("{variable}: cannot read {}: {reason}", .path.display())]
    Read {
        /// The variable that names the file.
        variable: &'static str,
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        reason: io::Error,
    },
    /// A file has too many bytes, or none but white space, or is not UTF-8.
    #[error("{variable}: {} {problem}", .path.display())]
    Unusable {
        /// The variable that names the file.
        variable: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong, and what is allowed.
        problem: String,
    },
    /// The file of `COMPANION_SCRIPT` is no script.
    #[error("COMPANION_SCRIPT: {}: {reason}", .path.display())]
    Script {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: ScriptError,
    },
    /// The model cannot be asked as it is described.
    #[error(transparent)]
    Model(#[from] ModelError),
}

/// Reads the files that the settings name, and makes the companion. It asks nobody, but may look a name up.
///
/// # Errors
/// As [`OpenError`] has them.
pub fn open(settings: &config::Companion) -> Result<Box<dyn Companion>, OpenError> {
    match &settings.kind {
        Kind::Script { path: None } => Ok(Box::new(Script::embedded())),
        Kind::Script { path: Some(path) } => {
            let text = read("COMPANION_SCRIPT", path)?;
            let script = Script::parse(&text).map_err(|reason| OpenError::Script { path: path.clone(), reason })?;
            Ok(Box::new(script))
        }
        Kind::Model(settings) => {
            let prompt = match &settings.prompt {
                Some(path) => read("COMPANION_PROMPT", path)?,
                None => PROMPT.to_owned(),
            };
            Ok(Box::new(Model::new(settings.clone(), prompt)?))
        }
    }
}

fn read(variable: &'static str, path: &Path) -> Result<String, OpenError> {
    let unusable = |problem: String| OpenError::Unusable { variable, path: path.to_owned(), problem };
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MOST_FILE_BYTES as u64 + 1).read_to_end(&mut bytes))
        .map_err(|reason| OpenError::Read { variable, path: path.to_owned(), reason })?;
    if bytes.len() > MOST_FILE_BYTES {
        return Err(unusable(format!("has more than {MOST_FILE_BYTES} bytes")));
    }
    let text = String::from_utf8(bytes).map_err(|_| unusable("is not UTF-8; save it as UTF-8".to_owned()))?;
    // Some editors begin a file with a byte order mark.
    let text = text.trim_start_matches('\u{feff}');
    if text.trim().is_empty() {
        return Err(unusable("is empty; write something into it, or leave the variable out".to_owned()));
    }
    Ok(text.to_owned())
}
