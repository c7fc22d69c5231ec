//! The folder of `WEB_FOLDER`: which of the page's files the operator has replaced.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use crate::data_file::{self, FileError, Mistake, ParseError};

/// The variable that names the folder.
pub(super) const VARIABLE: &str = "WEB_FOLDER";

/// The files that it may have.
const ALLOWED: [&str; 5] = ["texts.toml", "colours.toml", "style.css", "logo.svg", "logo.png"];

/// Bytes of a file: each is small, since it is loaded with the page.
pub(super) const MAX_FILE_BYTES: usize = 64 * 1024;

/// The folder, or none.
pub(super) struct Folder<'a>(Option<&'a Path>);

impl<'a> Folder<'a> {
    /// Looks into the folder. Hidden files and backups of editors (`x~`) count as not there.
    pub(super) fn open(path: Option<&'a Path>) -> Result<Folder<'a>, FileError> {
        if let Some(path) = path {
            let unreadable = |cause: io::Error| unusable(format!("cannot read the folder {}: {cause}", path.display()));
            for entry in fs::read_dir(path).map_err(unreadable)? {
                let name = entry.map_err(unreadable)?.file_name();
                let name = name.to_string_lossy();
                let is_ignored = name.starts_with('.') || name.ends_with('~');
                if !is_ignored && !ALLOWED.contains(&&*name) {
                    let (folder, allowed) = (path.display(), ALLOWED.join(", "));
                    return Err(unusable(format!(
                        "{folder} has {name:?}, which is no file of the page; take it out, or name it as one of {allowed}"
                    )));
                }
            }
        }
        Ok(Folder(path))
    }

    /// The path of a file of this name; `None` where the folder has none.
    pub(super) fn file(&self, name: &str) -> Result<Option<PathBuf>, FileError> {
        let Some(path) = self.0.map(|folder| folder.join(name)) else { return Ok(None) };
        match fs::metadata(&path) {
            // Reading a pipe would not end.
            Ok(file) if !file.is_file() => Err(unusable(format!("{} is not a file", path.display()))),
            Ok(_) => Ok(Some(path)),
            // A link to nothing is an error.
            Err(cause) if cause.kind() == io::ErrorKind::NotFound && !path.is_symlink() => Ok(None),
            Err(cause) => Err(unusable(format!("cannot read {}: {cause}", path.display()))),
        }
    }

    /// The names of the files that it has.
    pub(super) fn names(&self) -> Result<Vec<&'static str>, FileError> {
        let mut names = Vec::new();
        for name in ALLOWED {
            names.extend(self.file(name)?.map(|_| name));
        }
        Ok(names)
    }

    /// The parts of an embedded file, with those in the file of this name in their places, if there is one. `replace` puts them there.
    pub(super) fn replace<T, R: DeserializeOwned>(
        &self,
        name: &str,
        mut embedded: T,
        replace: impl FnOnce(&mut T, R) -> Result<(), Mistake>,
    ) -> Result<T, FileError> {
        self.parse(name, |text| {
            let replacements = data_file::from_toml(text)?;
            replace(&mut embedded, replacements).map_err(|mistake| mistake.in_text(text))
        })?;
        Ok(embedded)
    }

    /// Parses the text in the file of this name, if there is one.
    pub(super) fn parse<T>(
        &self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, ParseError>,
    ) -> Result<Option<T>, FileError> {
        let Some(path) = self.file(name)? else { return Ok(None) };
        let text = data_file::read_text(VARIABLE, &path, MAX_FILE_BYTES)?;
        let mistaken = |reason| FileError::Mistaken { variable: VARIABLE, path: Some(path), reason };
        parse(&text).map(Some).map_err(mistaken)
    }
}

/// The folder, or a file of it, cannot be used.
pub(super) fn unusable(problem: String) -> FileError {
    FileError::Unreadable { variable: VARIABLE, problem }
}
