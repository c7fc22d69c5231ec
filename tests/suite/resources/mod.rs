//! The help lines: their file, references to them, and the route that lists them.

mod file;
mod listing;
mod operators;

use std::io::Write;

use safespace::data_file::FileError;
use safespace::resources::Registry;
use tempfile::NamedTempFile;

/// The embedded help lines.
const EMBEDDED: &str = include_str!("../../../src/resources/resources.toml");

/// A file of help lines of which each replacement is done once.
const SMALL: &str = r#"country = "ID"
topics = ["emergency", "violence", "legal"]

[resources.rescue]
name = "Rescue"
kind = "phone"
value = "555"
topics = ["emergency"]
country = "ID"
languages = ["id"]
source = "https://example.org/rescue"

[resources.advice]
name = "Advice"
kind = "web"
value = "https://advice.example"
topics = ["violence"]
country = "ID"
regions = ["Jakarta"]
languages = ["id", "en-GB"]
hours = "9-17"
source = "https://example.org/advice"
verified_at = "2026-01-31"
"#;

/// The small file with replacements, each of which must match.
fn small(changes: &[(&str, &str)]) -> String {
    changes.iter().fold(SMALL.to_owned(), |text, (old, new)| {
        assert!(text.contains(old), "{old}");
        text.replacen(old, new, 1)
    })
}

/// A file with this text, which exists as long as the value.
fn file_of(text: &str) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

fn load(text: &str) -> Result<Registry, FileError> {
    Registry::load(Some(file_of(text).path()))
}
