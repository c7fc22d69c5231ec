//! Who owns files and folders, and who may read and write them.

use std::fs::{self, Metadata};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::checks;
use crate::doctor::finding::{Check, Report};

/// Permissions of everybody, of writing for others than the owner, and of reading and writing for them.
const EVERYBODY: u32 = 0o007;
const WRITE: u32 = 0o022;
const READ_AND_WRITE: u32 = 0o066;
const ANY: u32 = 0o077;

/// Files and folders that the configuration names.
pub(in crate::doctor) struct Files {
    /// Those with secrets.
    pub(in crate::doctor) secrets: Vec<PathBuf>,
    /// Those with texts, and folders of such.
    pub(in crate::doctor) texts: Vec<PathBuf>,
    /// The data folder of the private PostgreSQL.
    pub(in crate::doctor) data_folder: Option<PathBuf>,
}

/// `user` is that of the service.
pub(super) fn judge(files: &Files, user: u32, report: &mut Report) {
    for path in &files.secrets {
        let Some(found) = metadata(path, report) else { continue };
        let mode = found.mode();
        if mode & EVERYBODY != 0 || mode & WRITE != 0 {
            report.find(checks::SECRET_FILE, described(path, mode));
        } else if ![0, user].contains(&found.uid()) {
            report.find(checks::SECRET_FILE, format_args!("{} belongs to another user", path.display()));
        }
    }
    for path in &files.texts {
        too_open(checks::TEXT_FILE, path, WRITE, report);
        let entries = fs::read_dir(path).into_iter().flatten().flatten();
        entries.for_each(|entry| too_open(checks::TEXT_FILE, &entry.path(), WRITE, report));
    }
    if let Some(folder) = files.data_folder.as_deref().filter(|folder| folder.exists()) {
        private_data(folder, report);
    }
}

/// The data folder of a PostgreSQL of one's own, which takes 0700 and 0750.
pub(in crate::doctor) fn judge_data_folder(folder: &Path, report: &mut Report) {
    too_open(checks::DATA_FOLDER, folder, EVERYBODY, report);
}

/// The folder of the private PostgreSQL. The user that runs PostgreSQL for root passes through it.
fn private_data(folder: &Path, report: &mut Report) {
    too_open(checks::DATA_FOLDER, folder, READ_AND_WRITE, report);
    for name in ["cluster", "postgres.log"] {
        let path = folder.join(name);
        if path.exists() {
            too_open(checks::DATA_FOLDER, &path, ANY, report);
        }
    }
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with("cluster.old-") {
            report.find(checks::OLD_DATA, format_args!("there is {}", entry.path().display()));
        }
    }
}

/// Finds a path that has one of these permissions.
fn too_open(check: &'static Check, path: &Path, permissions: u32, report: &mut Report) {
    if let Some(mode) = metadata(path, report).map(|found| found.mode()).filter(|mode| mode & permissions != 0) {
        report.find(check, described(path, mode));
    }
}

fn described(path: &Path, mode: u32) -> String {
    format!("{} has the mode {:04o}", path.display(), mode & 0o7777)
}

/// What a path leads to. A file that is not there is no fault here: the service does not start without it.
fn metadata(path: &Path, report: &mut Report) -> Option<Metadata> {
    match fs::metadata(path) {
        Ok(found) => Some(found),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => {
            report.skip(format!("who may use {}", path.display()), error, "run the doctor as root");
            None
        }
    }
}
