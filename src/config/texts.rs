//! The files with the texts of reports and the help lines.

use std::path::PathBuf;

use super::reader::Reader;

/// Where the help lines and the texts of reports are (`RESOURCES*`, `REPORT_TEMPLATES`).
#[derive(Debug, Clone)]
pub struct TextSettings {
    /// The file of help lines; `None` for the embedded ones.
    pub resources: Option<PathBuf>,
    /// Days after which the verification of a help line is old.
    pub resources_max_age_days: u32,
    /// The file with the texts of reports; `None` for the embedded ones.
    pub report_templates: Option<PathBuf>,
}

pub(super) fn read(reader: &mut Reader) -> TextSettings {
    TextSettings {
        resources: reader.path("RESOURCES"),
        resources_max_age_days: reader.number("RESOURCES_MAX_AGE", 1..=3650),
        report_templates: reader.path("REPORT_TEMPLATES"),
    }
}
