//! The data folder of the private PostgreSQL: its layout, its permissions, and the lock that gives it to one service.
//!
//! ```text
//! cluster/       PostgreSQL's data
//! socket/        the Unix socket
//! safespace.lock a file lock, which the kernel releases when the service is killed
//! postgres.log   PostgreSQL's log since its last start
//! ```

use std::env;
use std::fmt::Display;
use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{self, Command, Stdio};

use nix::libc;
use nix::unistd::{AccessFlags, User, access, geteuid};

use super::error::Error;
use super::trusted;

pub(super) const CLUSTER: &str = "cluster";
pub(super) const SOCKETS: &str = "socket";
const UNFINISHED_CLUSTER: &str = "cluster.unfinished";
const LOCK: &str = "safespace.lock";
const LOG: &str = "postgres.log";
const SOCKET: &str = ".s.PGSQL.5432";

/// Bytes of a Unix socket's path without the terminating NUL; `sun_path` has 108 bytes on Linux and 104 on macOS.
const MAX_SOCKET_PATH_BYTES: usize = if cfg!(target_os = "linux") { 107 } else { 103 };

/// Lines of PostgreSQL's log that an error quotes.
const LOG_TAIL_LINES: usize = 5;

/// The end of the log in which they are looked for.
const LOG_TAIL_BYTES: usize = 8 * 1024;

/// A data folder that this process has locked.
pub(super) struct DataFolder {
    pub(super) path: PathBuf,
    /// The user PostgreSQL runs as; `None` for the user of this process.
    owner: Option<User>,
    log: File,
    _lock: File,
}

impl DataFolder {
    /// Creates the folder if it does not exist, checks that PostgreSQL can use it, and locks it.
    ///
    /// If PostgreSQL runs as another user, only the folders below belong to that user: root must not follow a link that
    /// another user can create.
    pub(super) fn open(path: &Path, owner: Option<User>) -> Result<DataFolder, Error> {
        check_path(path)?;
        check_location(path, path)?;
        let problem = |error: io::Error| problem(path, &error);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(problem)?;
        }
        match DirBuilder::new().mode(0o700).create(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(problem(error)),
            _ => check_ownership(path)?,
        }
        let lock = open_file(path, LOCK)?;
        lock.try_lock().map_err(|error| match error {
            fs::TryLockError::WouldBlock => Error::InUse(path.to_owned()),
            fs::TryLockError::Error(error) => problem(error),
        })?;
        // The other user can pass through the folder and not list it.
        let mode = if owner.is_some() { 0o711 } else { 0o700 };
        fs::set_permissions(path, Permissions::from_mode(mode)).map_err(problem)?;
        let log = open_file(path, LOG)?;
        // Only after the checks on the open file, and under the lock: it is the log of another service otherwise.
        log.set_len(0).map_err(problem)?;
        let folder = DataFolder { path: path.to_owned(), owner, log, _lock: lock };
        folder.check_owner_can_enter()?;
        folder.create_below(SOCKETS)?;
        Ok(folder)
    }

    /// A command that runs a program of PostgreSQL in this folder, as the owner of the cluster, and writes errors to the log.
    ///
    /// Its environment holds `PATH` only: PostgreSQL reads settings from the environment, and must not see the service's
    /// secrets. It has a process group of its own: Ctrl-C signals that of the terminal, and the server must outlive the
    /// requests in flight.
    pub(super) fn command(&self, program: &Path) -> Result<Command, Error> {
        let log = self.log.try_clone().map_err(|error| Error::Folder(error.to_string()))?;
        let mut command = Command::new(program);
        command.current_dir(&self.path).env_clear().envs(env::var_os("PATH").map(|path| ("PATH", path)));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).process_group(0);
        if let Some(owner) = &self.owner {
            // With `uid`, the standard library also drops the supplementary groups of root.
            command.uid(owner.uid.as_raw()).gid(owner.gid.as_raw());
        }
        Ok(command)
    }

    /// Has `init` fill an empty folder of the given name, and renames it, so that a cluster under the final name is complete.
    ///
    /// The temporary name is unique, since an `initdb` that a killed service left running may still write to the previous one.
    /// The renaming is durable: after a power failure a cluster under the temporary name would be removed as an interrupted
    /// attempt, with everything stored since.
    pub(super) fn create_cluster(&self, init: impl FnOnce(&str) -> Result<(), Error>) -> Result<(), Error> {
        for entry in fs::read_dir(&self.path).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(UNFINISHED_CLUSTER) {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
        let name = format!("{UNFINISHED_CLUSTER}.{}", process::id());
        self.create_below(&name)?;
        init(&name)?;
        fs::rename(self.path.join(name), self.path.join(CLUSTER))
            .and_then(|()| File::open(&self.path)?.sync_all())
            .map_err(|error| Error::Folder(error.to_string()))
    }

    /// The last lines of the log.
    pub(super) fn log_tail(&self) -> String {
        let length = self.log.metadata().map_or(0, |log| log.len());
        let mut tail = vec![0; LOG_TAIL_BYTES];
        let read = self.log.read_at(&mut tail, length.saturating_sub(LOG_TAIL_BYTES as u64)).unwrap_or(0);
        let log = String::from_utf8_lossy(&tail[..read]);
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LOG_TAIL_LINES)..].join("; ")
    }

    /// Creates a folder that only PostgreSQL's user can enter.
    fn create_below(&self, name: &str) -> Result<(), Error> {
        let path = self.path.join(name);
        let create = || {
            let folder = trusted::open_folder(&path, self.owner.as_ref().map(|owner| owner.uid))?;
            if let Some(owner) = &self.owner {
                fchown(&folder, Some(owner.uid.as_raw()), Some(owner.gid.as_raw()))?;
            }
            folder.set_permissions(Permissions::from_mode(0o700))
        };
        create().map_err(|error| problem(&path, &error))
    }

    fn check_owner_can_enter(&self) -> Result<(), Error> {
        let Some(owner) = &self.owner else { return Ok(()) };
        let is_barrier = |folder: &&Path| fs::metadata(folder).is_ok_and(|folder| !can_enter(&folder, owner));
        let Some(barrier) = self.path.ancestors().skip(1).find(is_barrier) else { return Ok(()) };
        let reason = format!(
            "the user {}, who runs PostgreSQL, may not enter {}; choose a folder elsewhere, such as /var/lib/safespace",
            owner.name,
            barrier.display()
        );
        Err(problem(&self.path, &reason))
    }
}

/// Finds why [`DataFolder::open`] could not use a folder, and changes nothing.
pub(super) fn check(path: &Path) -> Result<(), Error> {
    check_path(path)?;
    check_location(path, path)?;
    let existing = path.ancestors().find(|folder| folder.exists()).unwrap_or(path);
    if existing == path {
        check_ownership(path)?;
    }
    access(existing, AccessFlags::W_OK | AccessFlags::X_OK).map_err(|error| problem(existing, &error))
}

fn problem(path: &Path, reason: &dyn Display) -> Error {
    Error::Folder(format!("{}: {reason}", path.display()))
}

/// The major version that made the cluster in a data folder; `None` without a cluster.
///
/// The file belongs to PostgreSQL's user, who could replace it by a link to a file of root, a pipe, or an endless file.
pub(super) fn cluster_version(path: &Path) -> Option<u32> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let file = File::options().read(true).custom_flags(flags).open(path.join(CLUSTER).join("PG_VERSION")).ok()?;
    let mut text = String::new();
    file.take(16).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

fn open_file(folder: &Path, name: &str) -> Result<File, Error> {
    let path = folder.join(name);
    trusted::open_file(&path).map_err(|error| problem(&path, &error))
}

/// Refuses the folder `path`, whose real path is `real`, if another user can put another one in its place.
fn check_location(path: &Path, real: &Path) -> Result<(), Error> {
    let Some(step) = trusted::find_replaceable(real) else { return Ok(()) };
    let reason = format!(
        "another user can replace it through {}; choose a folder elsewhere, such as /var/lib/safespace",
        step.display()
    );
    Err(problem(path, &reason))
}

/// Refuses a folder of another user or with other contents, whose permissions must not be changed, and one in which another
/// user can plant a link.
fn check_ownership(path: &Path) -> Result<(), Error> {
    let problem = |text: &str| Error::Folder(format!("{} {text}", path.display()));
    let failed = |error: io::Error| problem(&error.to_string());
    check_location(path, &fs::canonicalize(path).map_err(failed)?)?;
    let folder = fs::metadata(path).map_err(failed)?;
    if folder.uid() != geteuid().as_raw() {
        return Err(problem("belongs to another user; name a folder of your own, or one that does not exist"));
    }
    if trusted::is_writable_by_others(&folder) {
        return Err(problem(
            "can be written to by other users; look for links that they left in it, and run chmod go-w on it",
        ));
    }
    let is_ours = || fs::symlink_metadata(path.join(LOCK)).is_ok();
    if fs::read_dir(path).map_err(failed)?.next().is_some() && !is_ours() {
        return Err(problem("holds other files; name a folder that is empty or does not exist"));
    }
    Ok(())
}

/// Whether a server listens in a data folder. The socket of a dead server refuses connections.
pub(super) fn has_listener(path: &Path) -> bool {
    UnixStream::connect(path.join(SOCKETS).join(SOCKET)).is_ok()
}

fn check_path(path: &Path) -> Result<(), Error> {
    let socket = path.join(SOCKETS).join(SOCKET);
    let excess = socket.as_os_str().len().saturating_sub(MAX_SOCKET_PATH_BYTES);
    let path = path.display();
    if excess > 0 {
        return Err(Error::Folder(format!("{path} is {excess} bytes too long for the socket in it")));
    }
    if socket.to_str().is_none_or(|socket| socket.contains(['"', ',', '\\'])) {
        return Err(Error::Folder(format!("{path} has a character that PostgreSQL's settings cannot carry")));
    }
    Ok(())
}

fn can_enter(folder: &fs::Metadata, user: &User) -> bool {
    match (folder.uid() == user.uid.as_raw(), folder.gid() == user.gid.as_raw()) {
        (true, _) => folder.mode() & 0o100 != 0,
        (false, true) => folder.mode() & 0o010 != 0,
        (false, false) => folder.mode() & 0o001 != 0,
    }
}
