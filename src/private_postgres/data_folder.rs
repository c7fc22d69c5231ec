//! The data folder of the private PostgreSQL: its layout, its permissions, and the lock that gives it to one service.
//!
//! ```text
//! cluster/        PostgreSQL's data
//! cluster.old-15/ the data before an upgrade from PostgreSQL 15
//! socket/         the Unix socket
//! safespace.lock  a file lock, which the kernel releases when the service is killed
//! postgres.log    PostgreSQL's log since the start of the service, at most the last 16 MiB
//! ```

use std::env;
use std::fmt::Display;
use std::fs::{self, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, fchown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{self, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::unistd::{AccessFlags, User, access, geteuid};

use super::error::Error;
use super::{reason, room, trusted};

pub(super) const CLUSTER: &str = "cluster";
pub(super) const SOCKETS: &str = "socket";
/// A complete cluster of a new version that is about to take the place of the old one.
pub(super) const UPGRADED_CLUSTER: &str = "cluster.upgraded";
const UNFINISHED_CLUSTER: &str = "cluster.unfinished";
const OLD_CLUSTER: &str = "cluster.old-";
const LOCK: &str = "safespace.lock";
const LOG: &str = "postgres.log";
pub(super) const SOCKET: &str = ".s.PGSQL.5432";

/// Bytes of a Unix socket's path without the terminating NUL; `sun_path` has 108 bytes on Linux and 104 on macOS.
const MAX_SOCKET_PATH_BYTES: usize = if cfg!(target_os = "linux") { 107 } else { 103 };

/// What mkfs leaves in the root of a volume.
const LOST_AND_FOUND: &str = "lost+found";

/// The end of the log in which the reason of a failure is looked for.
const LOG_TAIL_BYTES: u64 = 8 * 1024;

/// A log that is larger is cut down to its newest half.
const MAX_LOG_BYTES: u64 = 16 << 20;

/// How long, and how often, a lock is tried that another process has.
const LOCK_TIMEOUT: Duration = Duration::from_millis(500);
const LOCK_INTERVAL: Duration = Duration::from_millis(20);

/// A data folder that this process has locked.
pub(super) struct DataFolder {
    pub(super) path: PathBuf,
    /// The user PostgreSQL runs as; `None` for the user of this process.
    owner: Option<User>,
    log: File,
    /// Where the log of the last program began.
    last_program: AtomicU64,
    _lock: File,
}

impl DataFolder {
    /// Creates the folder if it does not exist, checks that PostgreSQL can use it, and locks it.
    ///
    /// If PostgreSQL runs as another user, only the folders below belong to that user: root must not follow a link that
    /// another user can create.
    pub(super) fn open(path: &Path, owner: Option<User>) -> Result<DataFolder, Error> {
        check_place(path, owner.as_ref())?;
        let problem = |error: io::Error| problem(path, &error);
        create_parents(path, owner.is_some())
            .and_then(|()| trusted::create_folder(path, 0o700))
            .map_err(|error| cannot_be_made(path, &error))?;
        check_ownership(path)?;
        let lock = open_file(path, LOCK)?;
        // A process that is being started has a copy of each descriptor of its parent, also of a lock that was released a
        // moment ago, until it executes its program.
        let give_up_at = Instant::now() + LOCK_TIMEOUT;
        loop {
            match lock.try_lock() {
                Ok(()) => break,
                Err(fs::TryLockError::WouldBlock) if Instant::now() < give_up_at => thread::sleep(LOCK_INTERVAL),
                Err(fs::TryLockError::WouldBlock) => return Err(Error::InUse(path.to_owned())),
                Err(fs::TryLockError::Error(error)) => return Err(problem(error)),
            }
        }
        // The other user can pass through the folder and not list it.
        let mode = if owner.is_some() { 0o711 } else { 0o700 };
        fs::set_permissions(path, Permissions::from_mode(mode)).map_err(problem)?;
        let log = open_file(path, LOG)?;
        // Only after the checks on the open file, and under the lock: it is the log of another service otherwise.
        log.set_len(0).map_err(problem)?;
        let folder = DataFolder { path: path.to_owned(), owner, log, last_program: AtomicU64::new(0), _lock: lock };
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
        self.last_program.store(self.log_length(), Ordering::Relaxed);
        let mut command = Command::new(program);
        command.current_dir(&self.path).env_clear().envs(env::var_os("PATH").map(|path| ("PATH", path)));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).process_group(0);
        if let Some(owner) = &self.owner {
            // With `uid`, the standard library also drops the supplementary groups of root.
            command.uid(owner.uid.as_raw()).gid(owner.gid.as_raw());
        }
        Ok(command)
    }

    /// Has `init` fill an empty folder of the given name, and renames it to `name`, so that a cluster under that name is
    /// complete.
    ///
    /// The temporary name is unique, since an `initdb` that a killed service left running may still write to the previous one.
    /// The renaming is durable: after a power failure a cluster under the temporary name would be removed as an interrupted
    /// attempt, with everything stored since.
    pub(super) fn create_cluster(&self, name: &str, init: impl FnOnce(&str) -> Result<(), Error>) -> Result<(), Error> {
        let unfinished = format!("{UNFINISHED_CLUSTER}.{}", process::id());
        self.create_below(&unfinished)?;
        init(&unfinished).inspect_err(|_| {
            let _ = fs::remove_dir_all(self.path.join(&unfinished));
        })?;
        self.rename(&unfinished, name)
    }

    /// Puts the upgraded cluster in the place of the old one, which is kept in [`DataFolder::kept_cluster`].
    ///
    /// After a crash between the two renames the next [`DataFolder::clear_interrupted_attempts`] does the second one.
    pub(super) fn switch_to_upgraded(&self, kept: &Path) -> Result<(), Error> {
        self.rename(CLUSTER, kept)?;
        self.rename(UPGRADED_CLUSTER, CLUSTER)
    }

    /// Where an upgrade keeps the data of the old version.
    pub(super) fn kept_cluster(&self, version: u32) -> PathBuf {
        self.path.join(format!("{OLD_CLUSTER}{version}"))
    }

    fn rename(&self, from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<(), Error> {
        let to = self.path.join(to);
        fs::rename(self.path.join(from), &to)
            .and_then(|()| File::open(&self.path)?.sync_all())
            .map_err(|error| problem(&to, &error))
    }

    /// Removes the copies that interrupted attempts left: they hold data that people may delete meanwhile. No server may work
    /// with them any more.
    pub(super) fn clear_interrupted_attempts(&self) -> Result<(), Error> {
        let upgraded = self.path.join(UPGRADED_CLUSTER);
        if upgraded.exists() && !self.path.join(CLUSTER).exists() {
            self.rename(UPGRADED_CLUSTER, CLUSTER)?;
        }
        let unfinished = entries_with_prefix(&self.path, UNFINISHED_CLUSTER);
        for folder in unfinished.into_iter().chain([upgraded]) {
            let _ = fs::remove_dir_all(folder);
        }
        Ok(())
    }

    /// The reason for which the last program ended, from its log; on a full disk the log does not hold it.
    pub(super) fn reason(&self) -> String {
        let log = self.log_tail();
        let message = reason::find_message(&log);
        message
            .unwrap_or_else(|| reason::find(if room::is_full(&self.path) { reason::FULL_DISK_TEXTS[0] } else { &log }))
    }

    fn log_tail(&self) -> String {
        let start = self.log_length().saturating_sub(LOG_TAIL_BYTES).max(self.last_program.load(Ordering::Relaxed));
        let tail = self.read_log(start, LOG_TAIL_BYTES).unwrap_or_default();
        String::from_utf8_lossy(&tail).into_owned()
    }

    fn log_length(&self) -> u64 {
        self.log.metadata().map_or(0, |log| log.len())
    }

    fn read_log(&self, start: u64, max: u64) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(max).unwrap_or(usize::MAX)];
        let read = self.log.read_at(&mut bytes, start)?;
        bytes.truncate(read);
        Ok(bytes)
    }

    /// Bounds the log of a running server. A line that is written meanwhile can be lost. The server appends, so it goes on
    /// behind what is kept.
    pub(super) fn cut_log(&self) -> io::Result<()> {
        let length = self.log_length();
        if length <= MAX_LOG_BYTES {
            return Ok(());
        }
        let start = length - MAX_LOG_BYTES / 2;
        let kept = self.read_log(start, MAX_LOG_BYTES / 2)?;
        let first_line = kept.iter().position(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        self.log.set_len(0)?;
        (&self.log).write_all(&kept[first_line..])?;
        let removed = start + first_line as u64;
        let last_program = self.last_program.load(Ordering::Relaxed).saturating_sub(removed);
        self.last_program.store(last_program, Ordering::Relaxed);
        Ok(())
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
}

/// Finds why [`DataFolder::open`] could not use a folder, and changes nothing.
pub(super) fn check(path: &Path, owner: Option<&User>) -> Result<(), Error> {
    check_place(path, owner)?;
    let existing = existing(path);
    let accessible = access(existing, AccessFlags::W_OK | AccessFlags::X_OK);
    if existing == path {
        check_ownership(path)?;
        accessible.map_err(|error| problem(path, &error))
    } else {
        accessible.map_err(|error| cannot_be_made(path, &error))
    }
}

/// Finds, before anything is made, why a folder of this path could not be used.
fn check_place(path: &Path, owner: Option<&User>) -> Result<(), Error> {
    check_path(path)?;
    check_location(path, path)?;
    let existing = existing(path);
    if !existing.is_dir() {
        return Err(refused(existing, "is not a folder; name a folder that is empty or does not exist"));
    }
    check_owner_can_enter(path, owner)
}

/// What a folder is, and what to do.
fn refused(path: &Path, what: &str) -> Error {
    Error::Folder(format!("{} {what}", path.display()))
}

fn cannot_be_made(path: &Path, reason: &dyn Display) -> Error {
    let remedy = "set SAFESPACE_DATA_DIR to a folder that this user can make, or DATABASE_URL for your own PostgreSQL";
    problem(path, &format!("it cannot be made: {reason}; {remedy}"))
}

/// Finds that the disk has no room for a start: for a new cluster, or for the few files that one with data writes then.
pub(super) fn check_room(path: &Path) -> Result<(), Error> {
    let existing = existing(path);
    if room::is_full(existing) {
        return Err(problem(path, &reason::FULL_DISK_TEXTS[0]));
    }
    if cluster_version(path).is_some() {
        return Ok(());
    }
    room::check_new_data(existing).map_err(|reason| problem(path, &reason))
}

/// The folder itself, or the nearest one above it that exists.
fn existing(path: &Path) -> &Path {
    path.ancestors().find(|folder| folder.exists()).unwrap_or(path)
}

/// Refuses a folder that the user who runs PostgreSQL could not enter, by the folders above it that exist.
fn check_owner_can_enter(path: &Path, owner: Option<&User>) -> Result<(), Error> {
    let Some(owner) = owner else { return Ok(()) };
    let is_barrier = |folder: &&Path| fs::metadata(folder).is_ok_and(|folder| !can_enter(&folder, owner));
    let Some(barrier) = path.ancestors().skip(1).find(is_barrier) else { return Ok(()) };
    let reason = format!(
        "the user {}, who runs PostgreSQL, may not enter {}; choose a folder elsewhere, such as /var/lib/safespace",
        owner.name,
        barrier.display()
    );
    Err(problem(path, &reason))
}

fn problem(path: &Path, reason: &dyn Display) -> Error {
    Error::Folder(format!("{}: {}", path.display(), reason::of_system(reason.to_string())))
}

/// The major version that made the cluster in a data folder; `None` without a cluster.
pub(super) fn cluster_version(path: &Path) -> Option<u32> {
    // Between the two renames of an upgrade there is only the new one.
    let read = |cluster| trusted::read_start(&path.join(cluster).join("PG_VERSION"), 16).ok();
    [CLUSTER, UPGRADED_CLUSTER].into_iter().find_map(read)?.trim().parse().ok()
}

/// The clusters that upgrades have kept.
pub(super) fn old_clusters(path: &Path) -> Vec<PathBuf> {
    entries_with_prefix(path, OLD_CLUSTER)
}

fn entries_with_prefix(path: &Path, prefix: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix)).map(|entry| entry.path()).collect()
}

/// Creates the missing folders above `path`, whatever the umask. If PostgreSQL runs as another user, that user must be able to
/// pass through them.
fn create_parents(path: &Path, for_another_user: bool) -> io::Result<()> {
    let missing: Vec<&Path> = path.ancestors().skip(1).take_while(|parent| !parent.exists()).collect();
    let mode = if for_another_user { 0o755 } else { 0o700 };
    missing.into_iter().rev().try_for_each(|parent| trusted::create_folder(parent, mode))
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
pub(super) fn check_ownership(path: &Path) -> Result<(), Error> {
    let refused = |text: &str| refused(path, text);
    let failed = |error: io::Error| problem(path, &error);
    check_location(path, &fs::canonicalize(path).map_err(failed)?)?;
    let folder = fs::metadata(path).map_err(failed)?;
    if folder.uid() != geteuid().as_raw() {
        return Err(refused(
            "belongs to another user; name a folder of your own or one that does not exist, or change its owner with chown",
        ));
    }
    if trusted::is_shared(&folder) {
        return Err(refused("is open to all users; choose a folder inside it"));
    }
    if trusted::is_writable_by_others(&folder) {
        return Err(refused(
            "can be written to by other users; look for links that they left in it, and run chmod go-w on it",
        ));
    }
    let is_ours = || fs::symlink_metadata(path.join(LOCK)).is_ok();
    let mut entries = fs::read_dir(path).map_err(failed)?;
    if entries.any(|entry| entry.is_ok_and(|entry| entry.file_name() != LOST_AND_FOUND)) && !is_ours() {
        return Err(refused("holds other files; name a folder that is empty or does not exist"));
    }
    Ok(())
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
