//! Why the private PostgreSQL does not start, as texts for the operator.

use std::path::PathBuf;

/// Why the private PostgreSQL does not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No usable binaries were found. The text names the searched folders and the command that installs them.
    #[error("PostgreSQL is not installed here: {0}")]
    NotInstalled(String),
    /// The cluster was made by a version that is not installed.
    #[error("{folder} holds data of PostgreSQL {needed}, and only {found} is found: {remedy}", folder = .folder.display())]
    OtherVersion {
        /// The data folder.
        folder: PathBuf,
        /// The major version that made the cluster.
        needed: u32,
        /// The installed major versions, separated by commas.
        found: String,
        /// What to do.
        remedy: String,
    },
    /// Another SafeSpace holds the lock of the data folder.
    #[error("another SafeSpace uses {} now: stop it, or set SAFESPACE_DATA_DIR to another folder", .0.display())]
    InUse(PathBuf),
    /// The data folder cannot be used.
    #[error("SAFESPACE_DATA_DIR: {0}")]
    Folder(String),
    /// The service runs as root, as which PostgreSQL does not run, and there is no user `postgres`.
    #[error("PostgreSQL does not run as root, and there is no user postgres to run it: useradd --system postgres")]
    NoUser,
    /// The data cannot be brought to another major version.
    #[error("the data cannot be upgraded: {0}")]
    Upgrade(String),
    /// A program of PostgreSQL failed.
    #[error("{0}")]
    Failed(String),
    /// A signal asked the service to stop while PostgreSQL was starting.
    #[error("stopped while PostgreSQL was starting")]
    Interrupted,
}
