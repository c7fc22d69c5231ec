//! The server's process: start, readiness, supervision, stop.

use std::os::unix::process::ExitStatusExt;
use std::process::Child;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::libc::SIGKILL;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use parking_lot::Mutex;
use postgres::{Config, NoTls};

use super::binaries::Binaries;
use super::data_folder::{DataFolder, SOCKETS};
use super::error::Error;
use super::left_over::{self, STOP_SIGNALS, STOP_TIMEOUT};
use super::memory;
use super::program::POLL_INTERVAL;
use super::reason::{self, LOG_LINE_PREFIX};

/// The name of the database and of its user.
pub(super) const NAME: &str = "safespace";

/// Bounds the start. After a crash PostgreSQL replays its write-ahead log first, usually in less than a second.
const START_TIMEOUT: Duration = Duration::from_secs(120);

/// How long the processes of a killed server may take to exit.
const LINGER_TIMEOUT: Duration = Duration::from_secs(10);

/// How often the supervisor checks the server. The interval doubles after each restart, up to the maximum, until the server
/// has run for [`STABLE_AFTER`].
const MIN_CHECK_INTERVAL: Duration = Duration::from_millis(250);
const MAX_CHECK_INTERVAL: Duration = Duration::from_secs(30);
const STABLE_AFTER: Duration = Duration::from_secs(10);

/// PostgreSQL's log tells that it runs, and which errors it meets: no statement, no row, and no time at which something was stored
/// or deleted. What is set here `ALTER SYSTEM` and `postgresql.conf` do not change.
const SILENT_LOG: [&str; 9] = [
    "log_min_error_statement=panic",
    "log_error_verbosity=terse",
    "log_statement=none",
    "log_min_duration_statement=-1",
    "log_duration=off",
    // A checkpoint comes after a write.
    "log_checkpoints=off",
    "log_autovacuum_min_duration=-1",
    "log_lock_waits=off",
    // Not the log, but a file with the time of each commit.
    "track_commit_timestamp=off",
];

/// A started server, shared by its owner and the supervisor thread.
pub(super) struct Process {
    pub(super) folder: Arc<DataFolder>,
    /// The name of the folder of its data.
    cluster: &'static str,
    pub(super) binaries: Binaries,
    settings: Vec<String>,
    pub(super) child: Mutex<Child>,
    stopping: AtomicBool,
}

impl Process {
    /// Starts a server with a cluster of the folder. `settings` are passed to it as `name=value`.
    pub(super) fn start(
        folder: Arc<DataFolder>,
        cluster: &'static str,
        binaries: Binaries,
        settings: &[String],
    ) -> Result<Process, Error> {
        let settings = settings.to_vec();
        let child = Mutex::new(spawn(&binaries, &folder, cluster, &settings)?);
        Ok(Process { folder, cluster, binaries, settings, child, stopping: AtomicBool::new(false) })
    }

    fn spawn_again(&self) -> Result<Child, Error> {
        spawn(&self.binaries, &self.folder, self.cluster, &self.settings)
    }

    /// Waits until the server accepts connections, and creates the database if it does not exist.
    pub(super) fn wait_until_ready(&self, stop: &AtomicBool) -> Result<(), Error> {
        let started = Instant::now();
        let failed = |event: String| Err(Error::Failed(format!("PostgreSQL {event}: {}", self.folder.reason())));
        loop {
            let ended = self.child.lock().try_wait().ok().flatten();
            if let Some(status) = ended {
                // The texts say that processes of a killed server still run.
                let reason = self.folder.reason();
                let lingers = reason.contains("already exists") || reason.contains("is still in use");
                if !lingers || started.elapsed() > LINGER_TIMEOUT {
                    return failed(format!("ended while starting ({status})"));
                }
                *self.child.lock() = self.spawn_again()?;
            } else if let Ok(mut client) = self.connection().dbname("postgres").connect(NoTls) {
                let found = client.query_typed(&format!("SELECT FROM pg_database WHERE datname = '{NAME}'"), &[]);
                let created = match found {
                    Ok(rows) if rows.is_empty() => client.batch_execute(&format!("CREATE DATABASE {NAME}")),
                    found => found.map(drop),
                };
                return created
                    .map_err(|error| Error::Failed(format!("creating the database: {}", reason::of_client(&error))));
            }
            if stop.load(Ordering::Relaxed) {
                return Err(Error::Interrupted);
            }
            if started.elapsed() > START_TIMEOUT {
                return failed(format!("did not answer within {} s", START_TIMEOUT.as_secs()));
            }
            thread::sleep(POLL_INTERVAL);
        }
    }

    /// Executes SQL in the database.
    pub(super) fn execute(&self, sql: &str) -> Result<(), Error> {
        let executed = self.connection().connect(NoTls).and_then(|mut client| client.batch_execute(sql));
        executed.map_err(|error| Error::Failed(format!("PostgreSQL refused {sql}: {}", reason::of_client(&error))))
    }

    /// How its user connects to its database.
    pub(super) fn connection(&self) -> Config {
        let mut config = Config::new();
        config.host_path(self.folder.path.join(SOCKETS)).user(NAME).dbname(NAME);
        config
    }

    /// Restarts the server whenever it ends without having been asked to, with exponential backoff.
    pub(super) fn supervise(&self) {
        let mut interval = MIN_CHECK_INTERVAL;
        let mut started_at = Instant::now();
        loop {
            thread::park_timeout(interval);
            let mut child = self.child.lock();
            if self.stopping.load(Ordering::SeqCst) {
                return;
            }
            let _ = self.folder.cut_log();
            let Ok(Some(status)) = child.try_wait() else {
                if started_at.elapsed() > STABLE_AFTER {
                    interval = MIN_CHECK_INTERVAL;
                }
                continue;
            };
            if interval == MIN_CHECK_INTERVAL {
                // A server that a signal killed did not log why.
                let reason = match status.signal() {
                    None => self.folder.reason(),
                    Some(SIGKILL) => "killed; perhaps the system had too little memory".to_owned(),
                    Some(_) => "killed".to_owned(),
                };
                log::error!(status:% = status, reason = reason.as_str(); "The private PostgreSQL ended; starting it again");
            }
            interval = (interval * 2).min(MAX_CHECK_INTERVAL);
            started_at = Instant::now();
            match self.spawn_again() {
                Ok(restarted) => *child = restarted,
                Err(error) => log::error!(reason:% = error; "The private PostgreSQL cannot be started"),
            }
        }
    }

    /// Stops the server.
    pub(super) fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        let mut child = self.child.lock();
        for signal in STOP_SIGNALS {
            if send(signal, &mut child).is_err() {
                return;
            }
            let deadline = Instant::now() + STOP_TIMEOUT;
            while Instant::now() < deadline {
                if !matches!(child.try_wait(), Ok(None)) {
                    return;
                }
                thread::sleep(POLL_INTERVAL);
            }
            log::warn!(signal = signal.as_str(); "The private PostgreSQL did not stop");
        }
    }

    /// Asks the server to stop without waiting for it.
    pub(super) fn request_stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        // A lock that is held for longer belongs to `stop`, which has sent the signal.
        if let Some(mut child) = self.child.try_lock_for(POLL_INTERVAL * 10) {
            let _ = send(Signal::SIGINT, &mut child);
        }
    }
}

/// Sends a signal to a child that still runs; the id of a reaped child may belong to another process.
fn send(signal: Signal, child: &mut Child) -> nix::Result<()> {
    match (child.try_wait(), child.id().try_into()) {
        (Ok(None), Ok(process)) => kill(Pid::from_raw(process), signal),
        _ => Err(nix::Error::ESRCH),
    }
}

fn spawn(binaries: &Binaries, folder: &DataFolder, cluster: &str, settings: &[String]) -> Result<Child, Error> {
    let fixed =
        [&["listen_addresses=", "unix_socket_permissions=0700", LOG_LINE_PREFIX], SILENT_LOG.as_slice()].concat();
    let mut command = folder.command(&binaries.folder.join("postgres"))?;
    // The setting is a list, so the value is quoted.
    let sockets = format!("unix_socket_directories=\"{}\"", folder.path.join(SOCKETS).display());
    command.args(["-D", cluster, "-c", &sockets]);
    let cache = memory::cache_setting();
    for setting in fixed.into_iter().chain(cache.as_deref()).chain(settings.iter().map(String::as_str)) {
        command.args(["-c", setting]);
    }
    if let Some(process) = left_over::clear_lock_files(&folder.path, cluster) {
        command.env("PG_GRANDPARENT_PID", process.to_string());
    }
    command.spawn().map_err(|error| Error::Failed(format!("cannot start postgres: {error}")))
}
