//! Reads the file of help lines.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use super::registry::{Registry, Resource};
use crate::data_file::{self, FileError, ParseError};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    country: String,
    #[expect(dead_code, reason = "validated soon")]
    topics: Vec<String>,
    resources: BTreeMap<String, Resource>,
}

impl Registry {
    /// Reads the file of `RESOURCES`, or the embedded help lines without one.
    ///
    /// # Errors
    /// When the file cannot be used.
    pub fn load(path: Option<&Path>) -> Result<Registry, FileError> {
        data_file::load("RESOURCES", path, include_str!("resources.toml"), parse)
    }
}

fn parse(text: &str) -> Result<Registry, ParseError> {
    let File { country, resources, .. } = data_file::from_toml(text)?;
    Ok(Registry { country, resources })
}
