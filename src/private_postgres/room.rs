//! Whether the disk of the data folder has room for PostgreSQL.

use std::io;
use std::path::Path;

use nix::sys::statvfs::statvfs;

use super::reason::MAKE_ROOM;

/// With less of these free PostgreSQL does not start.
const MIN_FREE_BLOCKS: u64 = 16;
const MIN_FREE_FILES: u64 = 8;

/// What a new cluster takes: 40 MiB with its first segment of the log, and the database; and its files.
const NEW_DATA_BYTES: u64 = 64 << 20;
const NEW_DATA_FILES: u64 = 2000;

/// What a user other than root can still write to a disk.
pub(super) struct Room {
    blocks: u64,
    pub(super) bytes: u64,
    /// `None` on file systems without a limit, such as btrfs.
    files: Option<u64>,
}

impl Room {
    #[allow(clippy::useless_conversion, reason = "a block count has 32 bits on macOS")]
    pub(super) fn measure(folder: &Path) -> io::Result<Room> {
        let disk = statvfs(folder)?;
        let blocks = u64::from(disk.blocks_available());
        let files = (disk.files() > 0).then(|| u64::from(disk.files_available()));
        Ok(Room { blocks, bytes: blocks * disk.fragment_size(), files })
    }
}

/// Whether PostgreSQL cannot start for want of room.
pub(super) fn is_full(folder: &Path) -> bool {
    Room::measure(folder)
        .is_ok_and(|room| room.blocks < MIN_FREE_BLOCKS || room.files.is_some_and(|files| files < MIN_FREE_FILES))
}

/// Finds that there is no room for a new cluster, and says what to do.
pub(super) fn check_new_data(folder: &Path) -> Result<(), String> {
    let room = Room::measure(folder).map_err(|error| error.to_string())?;
    if room.bytes < NEW_DATA_BYTES {
        let (free, needed) = (room.bytes >> 20, NEW_DATA_BYTES >> 20);
        return Err(format!("the disk has {free} MiB free, and a new PostgreSQL needs {needed} MiB: {MAKE_ROOM}"));
    }
    if let Some(free) = room.files.filter(|free| *free < NEW_DATA_FILES) {
        return Err(format!(
            "the disk has {free} inodes free, and a new PostgreSQL needs {NEW_DATA_FILES}: {MAKE_ROOM}"
        ));
    }
    Ok(())
}
