//! What keeps a server from starting in a data folder that this process has locked: a postmaster that a killed service left
//! running, and lock files that a dead one left behind.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{getsockopt, sockopt};
use nix::unistd::Pid;

use super::data_folder::{CLUSTER, DataFolder, SOCKET, SOCKETS, UPGRADED_CLUSTER};
use super::error::Error;
use super::program::POLL_INTERVAL;
use super::trusted;

/// PostgreSQL's lock file in a cluster. The first line is the id of the postmaster.
const PID_FILE: &str = "postmaster.pid";

/// More than its eight lines have.
const PID_FILE_BYTES: u64 = 8 * 1024;

/// How long each signal may take to stop a server before the next, harsher one is sent.
pub(super) const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// A fast shutdown, an immediate one, and a kill. Committed data survives each of them.
pub(super) const STOP_SIGNALS: [Signal; 3] = [Signal::SIGINT, Signal::SIGQUIT, Signal::SIGKILL];

/// Whether a server listens in a data folder. The socket of a dead server refuses connections.
pub(super) fn has_listener(folder: &Path) -> bool {
    connect(folder).is_some()
}

fn connect(folder: &Path) -> Option<UnixStream> {
    UnixStream::connect(folder.join(SOCKETS).join(SOCKET)).ok()
}

/// Stops servers that a killed service left running, and removes what its interrupted attempts left.
///
/// # Errors
/// As [`stop_server`], and [`Error::Folder`].
pub(super) fn clear(folder: &DataFolder, stop: &AtomicBool) -> Result<(), Error> {
    for cluster in [CLUSTER, UPGRADED_CLUSTER] {
        stop_server(&folder.path, cluster, stop)?;
    }
    folder.clear_interrupted_attempts()
}

/// Stops the server that works with a cluster, if there is one.
///
/// # Errors
/// [`Error::Failed`] if it cannot be stopped; [`Error::Interrupted`].
pub(super) fn stop_server(folder: &Path, cluster: &str, stop: &AtomicBool) -> Result<(), Error> {
    for signal in STOP_SIGNALS {
        let Some(postmaster) = find_postmaster(folder, cluster)? else { return Ok(()) };
        log::info!(signal = signal.as_str(); "Stopping the private PostgreSQL that a killed service left running");
        // An error means that it ended by itself.
        let _ = kill(postmaster, signal);
        let deadline = Instant::now() + STOP_TIMEOUT;
        while Instant::now() < deadline {
            if find_postmaster(folder, cluster)?.is_none() {
                return Ok(());
            }
            if stop.load(Ordering::Relaxed) {
                return Err(Error::Interrupted);
            }
            thread::sleep(POLL_INTERVAL);
        }
    }
    Err(Error::Failed("the PostgreSQL that a killed service left running does not stop".to_owned()))
}

/// The process that listens in the folder, or the one in the pid file if it is a postmaster that works with the cluster.
fn find_postmaster(folder: &Path, cluster: &str) -> Result<Option<Pid>, Error> {
    let cluster = folder.join(cluster);
    let Some(connection) = connect(folder) else {
        return Ok(read_pid(&cluster).filter(|process| works_with(*process, &cluster)));
    };
    #[cfg(not(target_vendor = "apple"))]
    let process = getsockopt(&connection, sockopt::PeerCredentials).map_or(0, |peer| peer.pid());
    #[cfg(target_vendor = "apple")]
    let process = getsockopt(&connection, sockopt::LocalPeerPid).unwrap_or(0);
    match process {
        // The process is in another PID namespace.
        0 => Err(Error::Failed(format!("a PostgreSQL of another container works in {}; stop it", folder.display()))),
        process => Ok(Some(Pid::from_raw(process))),
    }
}

/// Clears lock files that a dead server left. To be called before a server starts, not while one runs: a postmaster that
/// misses its pid file shuts down.
///
/// Returns the process id that PostgreSQL must take for its own (`PG_GRANDPARENT_PID`): after a restart of the machine or
/// of a container another process may have it, and PostgreSQL would refuse to start. PostgreSQL then removes the file itself,
/// unless the shared memory that the file names is still in use.
pub(super) fn clear_lock_files(folder: &Path, cluster: &str) -> Option<Pid> {
    if !matches!(find_postmaster(folder, cluster), Ok(None)) {
        return None;
    }
    let _ = fs::remove_file(folder.join(SOCKETS).join(format!("{SOCKET}.lock")));
    let cluster = folder.join(cluster);
    let process = read_pid(&cluster);
    if process.is_none() {
        // There is none, or PostgreSQL cannot read it either: it is empty after a power failure, or a backup restored it in
        // part. PostgreSQL still finds the shared memory of a living server by the folder. What cannot be removed is in
        // PostgreSQL's message.
        let file = cluster.join(PID_FILE);
        let _ = fs::remove_file(&file).or_else(|_| fs::remove_dir(&file));
    }
    process
}

fn read_pid(cluster: &Path) -> Option<Pid> {
    let text = trusted::read_start(&cluster.join(PID_FILE), PID_FILE_BYTES).ok()?;
    // The id of a server in single-user mode is negative.
    let process: i32 = text.lines().next()?.trim().parse().ok()?;
    process.checked_abs().filter(|process| *process > 0).map(Pid::from_raw)
}

/// Whether a living process is a PostgreSQL whose data folder is `cluster`. A PostgreSQL whose folder is not told counts as
/// one: PostgreSQL then refuses to start. A process whose name cannot be read is none: it ended meanwhile.
fn works_with(process: Pid, cluster: &Path) -> bool {
    if !Path::new("/proc/self/cwd").exists() {
        return kill(process, None).is_ok();
    }
    let name = fs::read(format!("/proc/{process}/comm")).unwrap_or_default();
    if !String::from_utf8_lossy(&name).contains("postgres") {
        return false;
    }
    // Each process of a server works in its data folder. In a container root may not ask for that of another user.
    match fs::read_link(format!("/proc/{process}/cwd")) {
        Ok(folder) => fs::canonicalize(cluster).is_ok_and(|cluster| cluster == folder),
        Err(error) => error.kind() != ErrorKind::NotFound,
    }
}
