//! Opens files and folders that only this user can have put there: another user's link must lead nowhere.

use std::fs::{self, DirBuilder, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use nix::libc;
use nix::unistd::{Uid, geteuid};

/// Write permission of the group and of others.
const WRITABLE_BY_OTHERS: u32 = 0o022;
const STICKY: u32 = 0o1000;

/// Opens a file of this user that nobody else can read, or creates it. Its contents are left alone.
///
/// The checks are made on the open descriptor, so the file cannot be replaced after them.
pub(super) fn open_file(path: &Path) -> io::Result<File> {
    // Without O_NONBLOCK a named pipe would block the open.
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let file = File::options().read(true).append(true).create(true).mode(0o600).custom_flags(flags).open(path);
    let file = file.map_err(|error| match error.raw_os_error() {
        Some(libc::ELOOP) => refused("is a link"),
        _ => error,
    })?;
    let found = file.metadata()?;
    if !found.is_file() {
        return Err(refused("is not a regular file"));
    }
    if found.uid() != geteuid().as_raw() || found.nlink() != 1 {
        return Err(refused("is a file of another user, or has a second name"));
    }
    file.set_permissions(fs::Permissions::from_mode(0o600))?;
    Ok(file)
}

/// The first `max` bytes of a file that another user could replace by a link to a file of root, a pipe, or an endless file.
pub(super) fn read_start(path: &Path, max: u64) -> io::Result<String> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    let mut text = String::new();
    file.take(max).read_to_string(&mut text)?;
    Ok(text)
}

/// Creates a folder with exactly this mode, whatever the umask. An existing one keeps its mode.
pub(super) fn create_folder(path: &Path, mode: u32) -> io::Result<()> {
    match DirBuilder::new().mode(mode).create(path) {
        Ok(()) => fs::set_permissions(path, fs::Permissions::from_mode(mode)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// Opens a folder that belongs to this user or to `owner`, or creates it.
pub(super) fn open_folder(path: &Path, owner: Option<Uid>) -> io::Result<File> {
    create_folder(path, 0o700)?;
    let flags = libc::O_NOFOLLOW | libc::O_DIRECTORY;
    let folder = File::options().read(true).custom_flags(flags).open(path);
    let folder = folder.map_err(|error| match error.raw_os_error() {
        Some(libc::ELOOP | libc::ENOTDIR) => refused("is a link, or not a folder"),
        _ => error,
    })?;
    let found = Uid::from_raw(folder.metadata()?.uid());
    if found != geteuid() && Some(found) != owner {
        return Err(refused("belongs to another user"));
    }
    Ok(folder)
}

/// An error that says what to do.
fn refused(reason: &str) -> io::Error {
    io::Error::other(format!("it {reason}; find out who put it there, and remove it"))
}

/// Whether other users can write to a folder.
pub(super) fn is_writable_by_others(folder: &Metadata) -> bool {
    folder.mode() & WRITABLE_BY_OTHERS != 0
}

/// Whether it is a folder such as `/tmp`, in which all users make files of their own.
pub(super) fn is_shared(folder: &Metadata) -> bool {
    is_writable_by_others(folder) && folder.mode() & STICKY != 0
}

/// The first folder above `path`, or link on the way to it, through which another user could replace it.
///
/// In a folder with the sticky bit, such as `/tmp`, only the owner of an entry can rename it. Group write permission is
/// allowed: many systems give each user a group of their own.
pub(super) fn find_replaceable(path: &Path) -> Option<&Path> {
    path.ancestors().find(|step| {
        let is_foreign = |found: &Metadata| found.uid() != 0 && found.uid() != geteuid().as_raw();
        let is_foreign_link =
            fs::symlink_metadata(step).is_ok_and(|found| found.file_type().is_symlink() && is_foreign(&found));
        let is_open_folder = *step != path
            && fs::metadata(step).is_ok_and(|found| {
                let is_open = found.mode() & 0o002 != 0 && found.mode() & STICKY == 0;
                // Root must not depend on a folder of another user.
                is_open || (geteuid().is_root() && is_foreign(&found))
            });
        is_foreign_link || is_open_folder
    })
}
