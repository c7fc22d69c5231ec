//! The files of texts that an operator can edit, such as the script: how they are read, and how a mistake in one is reported.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use chrono::NaiveDate;
use serde::de::DeserializeOwned;
use toml::de::{DeTable, Deserializer};
use toml::{Spanned, Value};

/// Bytes of a file.
const MAX_FILE_BYTES: usize = 256 * 1024;

/// What an operator can do about a mistake in an embedded text: it fits the embedded help lines, and theirs may lack one.
const EMBEDDED_REMEDY: &str =
    "; to change the embedded text, copy its file from SafeSpace's source, and let this variable name the copy";

/// A file cannot be used. The text names the variable to change.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be read, is too large, not UTF-8, or empty but for white space.
    #[error("{variable}: {problem}")]
    Unreadable {
        /// The variable that names the file.
        variable: &'static str,
        /// The file, what is wrong, and what is allowed.
        problem: String,
    },
    /// Its text has a mistake.
    #[error(
        "{variable}: {}: {reason}{}",
        .path.as_ref().map_or("the embedded text".into(), |path| path.to_string_lossy()),
        if path.is_none() { EMBEDDED_REMEDY } else { "" },
    )]
    Mistaken {
        /// The variable that names the file.
        variable: &'static str,
        /// The file; `None` for the embedded text, which may name a help line that the file of `RESOURCES` has not.
        path: Option<PathBuf>,
        /// What is wrong, and in which line.
        reason: ParseError,
    },
}

/// The first mistake in a file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct ParseError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong, for the author of the file.
    pub what: String,
}

/// The byte offset of a mistake, and what is wrong.
pub struct Mistake(pub usize, pub String);

impl Mistake {
    /// The mistake with its line in the text.
    #[must_use]
    pub fn in_text(self, text: &str) -> ParseError {
        let before = text.bytes().take(self.0);
        ParseError { line: 1 + before.filter(|byte| *byte == b'\n').count(), what: self.1 }
    }
}

/// Fails with a mistake at a value of the file, unless something holds.
///
/// # Errors
/// The mistake.
pub fn ensure<T>(holds: bool, at: &Spanned<T>, what: impl Display) -> Result<(), Mistake> {
    if holds { Ok(()) } else { Err(Mistake(at.span().start, what.to_string())) }
}

/// Fails with a mistake at a name, unless it is a key of `known`. `what` says what there is not, such as `there is no section`.
///
/// # Errors
/// The mistake, with the name that was meant, or all there are.
pub fn ensure_known<T>(what: impl Display, name: &Spanned<String>, known: &BTreeMap<String, T>) -> Result<(), Mistake> {
    let word = name.as_ref();
    if known.contains_key(word) {
        return Ok(());
    }
    let nearest = known.keys().map(|known| (strsim::osa_distance(word, known), known)).min();
    let remedy = match nearest {
        Some((distance, nearest)) if distance <= (nearest.len() / 4).max(1) => format!("did you mean {nearest}?"),
        _ => format!("there are {}", known.keys().map(String::as_str).collect::<Vec<_>>().join(", ")),
    };
    ensure(false, name, format_args!("{what} {word:?}; {remedy}"))
}

/// The text of the file that the variable names, or the embedded one.
///
/// # Errors
/// [`FileError::Unreadable`].
pub fn read(variable: &'static str, path: Option<&Path>, embedded: &str) -> Result<String, FileError> {
    match path {
        Some(path) => read_text(variable, path, MAX_FILE_BYTES),
        None => Ok(embedded.to_owned()),
    }
}

/// The bytes of a file.
///
/// # Errors
/// [`FileError::Unreadable`], also for more than `max_bytes`.
pub fn read_bytes(variable: &'static str, path: &Path, max_bytes: usize) -> Result<Vec<u8>, FileError> {
    let error = |problem: String| FileError::Unreadable { variable, problem };
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(max_bytes as u64 + 1).read_to_end(&mut bytes))
        .map_err(|cause| error(format!("cannot read {}: {cause}", path.display())))?;
    if bytes.len() > max_bytes {
        return Err(error(format!("{} has more than {max_bytes} bytes", path.display())));
    }
    Ok(bytes)
}

/// The text of a file.
///
/// # Errors
/// [`FileError::Unreadable`], also for more than `max_bytes`, for what is not UTF-8, and for nothing but white space.
pub fn read_text(variable: &'static str, path: &Path, max_bytes: usize) -> Result<String, FileError> {
    let unusable = |problem| FileError::Unreadable { variable, problem: format!("{} {problem}", path.display()) };
    let bytes = read_bytes(variable, path, max_bytes)?;
    let text = String::from_utf8(bytes).map_err(|_| unusable("is not UTF-8; save it as UTF-8"))?;
    // Some editors write a byte order mark first.
    let text = text.trim_start_matches('\u{feff}');
    if text.trim().is_empty() {
        return Err(unusable("is empty; write something into it, or leave it out"));
    }
    Ok(text.to_owned())
}

/// Reads the file that the variable names, or the embedded text, and parses it.
///
/// # Errors
/// [`FileError`].
pub fn load<T>(
    variable: &'static str,
    path: Option<&Path>,
    embedded: &str,
    parse: impl FnOnce(&str) -> Result<T, ParseError>,
) -> Result<T, FileError> {
    let text = read(variable, path, embedded)?;
    parse(&text).map_err(|reason| FileError::Mistaken { variable, path: path.map(ToOwned::to_owned), reason })
}

/// Reads TOML into `T`, whose values can be [`Spanned`] to have their offsets.
///
/// # Errors
/// The first syntax error, value of the wrong type, or missing or unknown key.
pub fn from_toml<T: DeserializeOwned>(text: &str) -> Result<T, ParseError> {
    let error = |error: &toml::de::Error| Mistake(start(error), explain(error, text)).in_text(text);
    // A missing quotation mark causes several errors; only the first has its position.
    let (table, errors) = DeTable::parse_recoverable(text);
    if let Some(first) = errors.iter().min_by_key(|error| start(error)) {
        return Err(error(first));
    }
    T::deserialize(Deserializer::from(table)).map_err(|cause| error(&cause))
}

/// What is wrong, for people who know no TOML.
fn explain(error: &toml::de::Error, text: &str) -> String {
    let message = error.message().trim().replace('\n', "; ");
    let rest = text.get(start(error)..).unwrap_or_default();
    if rest.starts_with(['\u{201c}', '\u{201d}', '\u{201e}', '\u{2018}', '\u{2019}']) {
        return "these are typographic quotes; write \"".to_owned();
    }
    if message.ends_with("expected a map") {
        return format!("{message}; this has parts of its own, such as {{ id = \"…\", en = \"…\" }}");
    }
    let bare = message.strip_prefix("invalid type: ").and_then(|it| it.strip_suffix("`, expected a string"));
    match bare.and_then(|it| it.split_once('`')) {
        Some((_, value)) => format!("{message}; put it in quotes: \"{value}\""),
        None => message,
    }
}

/// The day in a value of the file, which may have quotes: `"2026-11-30"`.
#[must_use]
pub fn day(value: &Value) -> Option<NaiveDate> {
    let written = match value {
        Value::String(text) => text.clone(),
        Value::Datetime(date) => date.to_string(),
        _ => return None,
    };
    NaiveDate::parse_from_str(&written, "%Y-%m-%d").ok()
}

fn start(error: &toml::de::Error) -> usize {
    error.span().unwrap_or_default().start
}
