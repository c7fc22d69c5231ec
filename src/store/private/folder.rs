//! The data folder of the private PostgreSQL: whose it is, what is in it, and that only one service uses it.
//!
//! ```text
//! cluster/       PostgreSQL's data
//! socket/        where it listens
//! safespace.lock held by the service that uses the folder, so that a killed one leaves it free
//! postgres.log   what the server said since it was last started
//! ```

use std::env;
use std::fs::{self, File, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{self, Command};

use nix::libc;
use nix::unistd::{User, geteuid};

use super::PrivateError;

pub(super) const CLUSTER: &str = "cluster";
pub(super) const SOCKETS: &str = "socket";
const UNFINISHED_CLUSTER: &str = "cluster.unfinished";
const LOCK: &str = "safespace.lock";
const LOG: &str = "postgres.log";
const SOCKET: &str = ".s.PGSQL.5432";

/// What a Unix socket's address holds, less the closing NUL; Linux has 108 bytes, macOS 104.
const MAX_SOCKET_PATH: usize = if cfg!(target_os = "linux") { 107 } else { 103 };

/// Lines of PostgreSQL's log that go into an error.
const LOG_LINES_IN_ERROR: usize = 5;

/// A data folder that this process, and no other, uses.
pub(super) struct Folder {
    pub(super) path: PathBuf,
    owner: Option<User>,
    _lock: File,
}

impl Folder {
    /// Makes the folder if need be, checks that PostgreSQL can live in it, and takes it.
    ///
    /// Where PostgreSQL runs as another user, only what is below belongs to that user: root must not follow a link
    /// that somebody else can put into its way.
    pub(super) fn open(path: &Path, owner: Option<&User>) -> Result<Folder, PrivateError> {
        check_path(path)?;
        let problem = |error: io::Error| PrivateError::Folder(format!("{}: {error}", path.display()));
        fs::create_dir_all(path).map_err(problem)?;
        check_it_is_ours(path)?;
        let lock = open_private(&path.join(LOCK)).map_err(problem)?;
        lock.try_lock().map_err(|error| match error {
            fs::TryLockError::WouldBlock => PrivateError::InUse(path.to_owned()),
            fs::TryLockError::Error(error) => problem(error),
        })?;
        // Another user passes through, and sees nothing.
        let mode = if owner.is_some() { 0o711 } else { 0o700 };
        fs::set_permissions(path, Permissions::from_mode(mode)).map_err(problem)?;
        let folder = Folder { path: path.to_owned(), owner: owner.cloned(), _lock: lock };
        folder.check_owner_can_enter()?;
        folder.make_below(SOCKETS)?;
        open_private(&path.join(LOG)).map_err(problem)?;
        Ok(folder)
    }

    /// A program to be run in this folder as the folder's owner, with nothing of this process's environment but `PATH`:
    /// PostgreSQL would take settings from it, and has no use for the service's secrets.
    pub(super) fn run(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.path).env_clear().envs(env::var_os("PATH").map(|path| ("PATH", path)));
        if let Some(owner) = &self.owner {
            // The standard library also drops root's other groups.
            command.uid(owner.uid.as_raw()).gid(owner.gid.as_raw());
        }
        command
    }

    pub(super) fn has_cluster(&self) -> bool {
        self.path.join(CLUSTER).exists()
    }

    /// A new, empty place for a cluster. Its name is its own, since an `initdb` that a killed service left behind may
    /// still be writing to the place before.
    pub(super) fn new_unfinished_cluster(&self) -> Result<String, PrivateError> {
        for entry in fs::read_dir(&self.path).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(UNFINISHED_CLUSTER) {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
        let name = format!("{UNFINISHED_CLUSTER}.{}", process::id());
        self.make_below(&name)?;
        Ok(name)
    }

    /// Moves the new cluster to its place, and returns when that would outlive a power cut: under its old name it would
    /// be taken for an interrupted attempt, and removed with all that was stored since.
    pub(super) fn finish_cluster(&self, unfinished: &str) -> Result<(), PrivateError> {
        fs::rename(self.path.join(unfinished), self.path.join(CLUSTER))
            .and_then(|()| File::open(&self.path)?.sync_all())
            .map_err(|error| PrivateError::Folder(error.to_string()))
    }

    /// Whether a server listens in this folder.
    pub(super) fn somebody_listens(&self) -> bool {
        somebody_listens(&self.path)
    }

    /// The folder of the socket as a PostgreSQL setting, which is a list and so has to be quoted.
    pub(super) fn socket_folder(&self) -> String {
        format!("\"{}\"", self.path.join(SOCKETS).display())
    }

    /// The log, to be added to.
    pub(super) fn log(&self) -> Result<File, PrivateError> {
        File::options().append(true).open(self.path.join(LOG)).map_err(|error| PrivateError::Folder(error.to_string()))
    }

    /// The last lines of the log.
    pub(super) fn end_of_log(&self) -> String {
        let log = fs::read_to_string(self.path.join(LOG)).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES_IN_ERROR)..].join("; ")
    }

    /// Whether the server did not start because processes of one before it are still there.
    pub(super) fn killed_server_lingers(&self) -> bool {
        let log = self.end_of_log();
        log.contains("\"postmaster.pid\" already exists") || log.contains("is still in use")
    }

    /// Makes a folder that is PostgreSQL's alone.
    fn make_below(&self, name: &str) -> Result<(), PrivateError> {
        let path = self.path.join(name);
        let make = || {
            fs::create_dir_all(&path)?;
            if let Some(owner) = &self.owner {
                chown(&path, Some(owner.uid.as_raw()), Some(owner.gid.as_raw()))?;
            }
            fs::set_permissions(&path, Permissions::from_mode(0o700))
        };
        make().map_err(|error| PrivateError::Folder(format!("{}: {error}", path.display())))
    }

    fn check_owner_can_enter(&self) -> Result<(), PrivateError> {
        let Some(owner) = &self.owner else { return Ok(()) };
        let closed = self
            .path
            .ancestors()
            .skip(1)
            .find(|folder| fs::metadata(folder).is_ok_and(|folder| !can_enter(&folder, owner)));
        match closed {
            Some(closed) => Err(PrivateError::Folder(format!(
                "{}: the user {}, who runs PostgreSQL, may not enter {}; choose a folder elsewhere, such as /var/lib/safespace",
                self.path.display(),
                owner.name,
                closed.display()
            ))),
            None => Ok(()),
        }
    }
}

/// The major version that made the cluster in a data folder, if there is one.
///
/// The file belongs to PostgreSQL's user, who could put anything there: a link to a file of root's, a pipe, no end.
pub(super) fn cluster_version(path: &Path) -> Option<u32> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let file = File::options().read(true).custom_flags(flags).open(path.join(CLUSTER).join("PG_VERSION")).ok()?;
    let mut text = String::new();
    file.take(16).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

/// A new, empty file that only this user can read.
fn open_private(path: &Path) -> io::Result<File> {
    File::options().write(true).create(true).truncate(true).mode(0o600).open(path)
}

/// Its permissions are about to be changed, which would harm a folder that has other uses, or another owner.
fn check_it_is_ours(path: &Path) -> Result<(), PrivateError> {
    let problem = |text: &str| PrivateError::Folder(format!("{} {text}", path.display()));
    let metadata = fs::metadata(path).map_err(|error| problem(&error.to_string()))?;
    if metadata.uid() != geteuid().as_raw() {
        return Err(problem("belongs to another user; name a folder of your own, or one that does not exist"));
    }
    let mut entries = fs::read_dir(path).map_err(|error| problem(&error.to_string()))?;
    if !path.join(LOCK).exists() && entries.next().is_some() {
        return Err(problem("holds other files; name a folder that is empty or does not exist"));
    }
    Ok(())
}

/// Whether a server listens in a data folder. A socket that a dead server left refuses to connect.
pub(super) fn somebody_listens(path: &Path) -> bool {
    UnixStream::connect(path.join(SOCKETS).join(SOCKET)).is_ok()
}

fn check_path(path: &Path) -> Result<(), PrivateError> {
    let socket = path.join(SOCKETS).join(SOCKET);
    let excess = socket.as_os_str().len().saturating_sub(MAX_SOCKET_PATH);
    if excess > 0 {
        let text = format!("{} is {excess} bytes too long for the socket in it", path.display());
        return Err(PrivateError::Folder(text));
    }
    if path.to_str().is_none_or(|path| path.contains(['"', ',', '\\'])) {
        let text = format!("{} has a character that PostgreSQL's settings cannot carry", path.display());
        return Err(PrivateError::Folder(text));
    }
    Ok(())
}

fn can_enter(folder: &fs::Metadata, user: &User) -> bool {
    let allowed = if folder.uid() == user.uid.as_raw() {
        0o100
    } else if folder.gid() == user.gid.as_raw() {
        0o010
    } else {
        0o001
    };
    folder.mode() & allowed != 0
}
