//! How much room the database has: on the disk of its data folder, and below the size it may have.

use std::path::{Path, PathBuf};

use nix::sys::statvfs::statvfs;
use postgres::Client;

use super::error::root_cause;
use crate::config::StorageReserve;

/// The bounds of [`StorageReserve::Default`].
const DEFAULT_PERCENT: u8 = 5;
const DEFAULT_MAX_BYTES: u64 = 1024 * 1024 * 1024;

/// The file system of the data folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disk {
    /// Bytes that a user other than root can still write.
    pub free: u64,
    /// Bytes that must stay free.
    pub reserve: u64,
}

impl Disk {
    /// Measures the file system of a folder, or that of its nearest parent that exists; `None` if it cannot be measured.
    #[must_use]
    #[allow(clippy::useless_conversion, reason = "a block count has 32 bits on macOS")]
    pub fn measure(folder: &Path, reserve: StorageReserve) -> Option<Disk> {
        let found = folder.ancestors().find_map(|folder| statvfs(folder).ok())?;
        let bytes = |blocks| u64::from(blocks) * found.fragment_size();
        let (free, total) = (bytes(found.blocks_available()), bytes(found.blocks()));
        let percent = |percent: u8| total / 100 * u64::from(percent);
        let reserve = match reserve {
            StorageReserve::Default => percent(DEFAULT_PERCENT).min(DEFAULT_MAX_BYTES),
            StorageReserve::Percent(of_disk) => percent(of_disk),
            StorageReserve::Bytes(bytes) => bytes,
        };
        Some(Disk { free, reserve })
    }
}

/// What the server says of its storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerStorage {
    /// The size of the database in bytes.
    pub database_bytes: u64,
    /// The folder of the server's data, on the server's machine; `None` where the role may not know it.
    pub data_folder: Option<PathBuf>,
    /// The size in bytes at which the write-ahead log causes a checkpoint; in between it can be somewhat larger.
    pub max_wal_bytes: u64,
}

impl ServerStorage {
    /// Asks the server.
    pub(super) fn ask(client: &mut Client) -> Result<ServerStorage, String> {
        let rows = client.query_typed(include_str!("../../sql/schema/storage.sql"), &[]);
        let row = rows.map_err(|error| root_cause(&error))?.into_iter().next().ok_or("the server sent no row")?;
        let bytes = |column| u64::try_from(row.get::<_, i64>(column)).unwrap_or(0);
        Ok(ServerStorage {
            database_bytes: bytes("database_bytes"),
            data_folder: row.get::<_, Option<String>>("data_folder").map(PathBuf::from),
            max_wal_bytes: bytes("max_wal_bytes"),
        })
    }
}
