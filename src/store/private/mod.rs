//! A PostgreSQL of the service's own, for a machine where nobody set one up: found, made, started, stopped.
//!
//! It listens on a Unix socket in a folder that only its own user can enter, which is why it asks for no password.

mod binaries;
mod folder;

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, User, geteuid};
use postgres::{Client, NoTls};

pub use binaries::Binaries;
use folder::{CLUSTER, Folder, SOCKETS};

use crate::config::{Authorities, PrivateServer, Server, SslMode};

/// The user and the database in it.
const NAME: &str = "safespace";

/// After a crash PostgreSQL replays its log before it answers; most often this takes less than a second.
const START_DEADLINE: Duration = Duration::from_secs(120);

/// How long the processes of a server that was killed may take to be gone.
const LINGERING_PATIENCE: Duration = Duration::from_secs(10);

/// How long each way of stopping it may take before the next, harsher one.
const STOP_PATIENCE: Duration = Duration::from_secs(10);

/// How often the server is looked at while it runs.
const KEEP_INTERVAL: Duration = Duration::from_millis(250);

/// The same for one that ends again and again, and when it counts as staying.
const MAX_KEEP_INTERVAL: Duration = Duration::from_secs(30);
const STEADY_AFTER: Duration = Duration::from_secs(10);

const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Why there is no private PostgreSQL.
#[derive(Debug, thiserror::Error)]
pub enum PrivateError {
    /// Where it was looked for, and what to do.
    #[error("PostgreSQL is not installed here: {0}")]
    NotInstalled(String),
    /// The data belongs to a version that is not installed.
    #[error("{folder} holds data of PostgreSQL {needed}, and only {found} is here: install version {needed}, or set SAFESPACE_DATA_DIR to a new folder", folder = .folder.display())]
    OtherVersion {
        /// The cluster.
        folder: PathBuf,
        /// The version that made it.
        needed: u32,
        /// The versions there are.
        found: String,
    },
    /// Another SafeSpace runs on the same data.
    #[error("another SafeSpace uses {} now: stop it, or set SAFESPACE_DATA_DIR to another folder", .0.display())]
    InUse(PathBuf),
    /// The folder cannot hold a PostgreSQL.
    #[error("SAFESPACE_DATA_DIR: {0}")]
    Folder(String),
    /// PostgreSQL refuses to run as root, and there is nobody else.
    #[error("PostgreSQL does not run as root, and there is no user postgres to run it: useradd --system postgres")]
    NoUser,
    /// A program of PostgreSQL failed.
    #[error("{0}")]
    Failed(String),
    /// The service was told to stop while PostgreSQL was starting.
    #[error("stopped while PostgreSQL was starting")]
    Interrupted,
}

/// A running PostgreSQL, started again if it ends by itself; dropping it stops it.
pub struct PrivatePostgres {
    parts: Arc<Parts>,
    keeper: Option<JoinHandle<()>>,
}

/// What the owner and the keeper's thread share.
struct Parts {
    folder: Folder,
    binaries: Binaries,
    settings: Vec<String>,
    child: Mutex<Child>,
    stopping: AtomicBool,
}

impl PrivatePostgres {
    /// Starts it, after making it where there is none. `settings` are passed on as `name=value`; `stop` is looked at
    /// while waiting.
    ///
    /// A server that a killed service left running is stopped first.
    ///
    /// # Errors
    /// As [`PrivateError`] has them.
    pub fn start(
        config: &PrivateServer,
        settings: &[String],
        stop: &AtomicBool,
    ) -> Result<PrivatePostgres, PrivateError> {
        let owner = owner()?;
        // First, so that where nothing is installed no folder is made.
        let binaries = PrivatePostgres::installed(config)?;
        let folder = Folder::open(&config.data_folder, owner.as_ref())?;
        if !folder.has_cluster() {
            log::info!(folder:% = folder.path.display(), version = binaries.version; "Making a private PostgreSQL");
            make_cluster(&binaries, &folder, stop)?;
        }
        if folder.somebody_listens() {
            log::info!("Stopping the private PostgreSQL that a killed service left running");
            let mut pg_ctl = folder.run(&binaries.folder.join("pg_ctl"));
            pg_ctl.args(["stop", "--mode=fast", "--wait", "-D", CLUSTER]);
            run_to_its_end(pg_ctl, "pg_ctl", &folder, stop)?;
        }
        let child = Mutex::new(spawn_server(&binaries, &folder, settings)?);
        let parts = Parts { folder, binaries, settings: settings.to_vec(), child, stopping: AtomicBool::new(false) };
        let mut postgres = PrivatePostgres { parts: Arc::new(parts), keeper: None };
        postgres.parts.wait_until_ready(stop)?;
        let parts = postgres.parts.clone();
        let keeper = thread::Builder::new().name("postgres-keeper".to_owned()).spawn(move || parts.keep());
        postgres.keeper = Some(keeper.map_err(|error| PrivateError::Failed(error.to_string()))?);
        Ok(postgres)
    }

    /// How to connect to the one that runs, or would run, in the configured folder.
    #[must_use]
    pub fn server(config: &PrivateServer) -> Server {
        let mut connect = postgres::Config::new();
        connect.host_path(config.data_folder.join(SOCKETS)).user(NAME).dbname(NAME);
        Server { connect, ssl_mode: SslMode::Disable, authorities: Authorities::None }
    }

    /// Whether a service runs in the configured folder now.
    #[must_use]
    pub fn is_running(config: &PrivateServer) -> bool {
        folder::somebody_listens(&config.data_folder)
    }

    /// The installed PostgreSQL that fits the data in the folder, or would be used for a new one.
    ///
    /// # Errors
    /// [`PrivateError::NotInstalled`] and [`PrivateError::OtherVersion`].
    pub fn installed(config: &PrivateServer) -> Result<Binaries, PrivateError> {
        binaries::choose(binaries::find(config.binaries.as_deref())?, &config.data_folder)
    }

    /// The major version of the server.
    #[must_use]
    pub fn version(&self) -> u32 {
        self.parts.binaries.version
    }

    /// Where its data is.
    #[must_use]
    pub fn data_folder(&self) -> &Path {
        &self.parts.folder.path
    }

    /// The process of the server.
    #[must_use]
    pub fn process_id(&self) -> u32 {
        self.parts.child().id()
    }

    /// Asks the server to stop without waiting for it, for a service that has to end now.
    pub fn stopper(&self) -> impl Fn() + Send + Sync + use<> {
        let parts = self.parts.clone();
        move || {
            parts.stopping.store(true, Ordering::SeqCst);
            // Whoever holds the child for longer is stopping it already.
            for _ in 0..10 {
                if let Ok(mut child) = parts.child.try_lock() {
                    let _ = send(Signal::SIGINT, &mut child);
                    return;
                }
                thread::sleep(POLL_INTERVAL);
            }
        }
    }
}

impl Drop for PrivatePostgres {
    fn drop(&mut self) {
        self.parts.stopping.store(true, Ordering::SeqCst);
        stop(&mut self.parts.child());
        if let Some(keeper) = self.keeper.take() {
            keeper.thread().unpark();
            let _ = keeper.join();
        }
    }
}

impl Parts {
    fn child(&self) -> MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn spawn(&self) -> Result<Child, PrivateError> {
        spawn_server(&self.binaries, &self.folder, &self.settings)
    }

    fn wait_until_ready(&self, stop: &AtomicBool) -> Result<(), PrivateError> {
        let started = Instant::now();
        let mut maintenance = postgres::Config::new();
        maintenance.host_path(self.folder.path.join(SOCKETS)).user(NAME).dbname("postgres");
        loop {
            let ended = self.child().try_wait().ok().flatten();
            if let Some(status) = ended {
                if !self.folder.killed_server_lingers() || started.elapsed() > LINGERING_PATIENCE {
                    let log = self.folder.end_of_log();
                    return Err(PrivateError::Failed(format!("PostgreSQL ended while starting ({status}): {log}")));
                }
                *self.child() = self.spawn()?;
            } else if let Ok(client) = maintenance.connect(NoTls) {
                return make_database(client)
                    .map_err(|error| PrivateError::Failed(format!("creating the database: {error}")));
            }
            if stop.load(Ordering::Relaxed) {
                return Err(PrivateError::Interrupted);
            }
            if started.elapsed() > START_DEADLINE {
                let (limit, log) = (START_DEADLINE.as_secs(), self.folder.end_of_log());
                return Err(PrivateError::Failed(format!("PostgreSQL did not answer within {limit} s: {log}")));
            }
            thread::sleep(POLL_INTERVAL);
        }
    }

    /// Starts the server again whenever it ends without having been asked to, more and more slowly if it does not stay.
    fn keep(&self) {
        let mut wait = KEEP_INTERVAL;
        let mut begun = Instant::now();
        loop {
            thread::park_timeout(wait);
            let mut child = self.child();
            if self.stopping.load(Ordering::SeqCst) {
                return;
            }
            let Ok(Some(status)) = child.try_wait() else {
                if begun.elapsed() > STEADY_AFTER {
                    wait = KEEP_INTERVAL;
                }
                continue;
            };
            if wait == KEEP_INTERVAL {
                log::error!(status:% = status, log = self.folder.end_of_log().as_str(); "The private PostgreSQL ended; starting it again");
            }
            wait = (wait * 2).min(MAX_KEEP_INTERVAL);
            begun = Instant::now();
            match self.spawn() {
                Ok(again) => *child = again,
                Err(error) => log::error!(reason:% = error; "The private PostgreSQL cannot be started"),
            }
        }
    }
}

/// Asks a server to stop, and ends it in harsher ways if it does not. No data is lost in any of them.
fn stop(child: &mut Child) {
    for signal in [Signal::SIGINT, Signal::SIGQUIT, Signal::SIGKILL] {
        if send(signal, child).is_err() {
            return;
        }
        let deadline = Instant::now() + STOP_PATIENCE;
        while Instant::now() < deadline {
            if !matches!(child.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(POLL_INTERVAL);
        }
        log::warn!(signal = signal.as_str(); "The private PostgreSQL did not stop");
    }
}

/// Sends a signal to a child that still runs; the id of one that was waited for may be another's by now.
fn send(signal: Signal, child: &mut Child) -> nix::Result<()> {
    match (child.try_wait(), child.id().try_into()) {
        (Ok(None), Ok(process)) => kill(Pid::from_raw(process), signal),
        _ => Err(nix::Error::ESRCH),
    }
}

/// The user that PostgreSQL must run as, where that is not this process's own.
fn owner() -> Result<Option<User>, PrivateError> {
    if !geteuid().is_root() {
        return Ok(None);
    }
    User::from_name("postgres").ok().flatten().map(Some).ok_or(PrivateError::NoUser)
}

/// Makes the cluster beside its place and then moves it there, so that one that is there is whole.
fn make_cluster(binaries: &Binaries, folder: &Folder, stop: &AtomicBool) -> Result<(), PrivateError> {
    let unfinished = folder.new_unfinished_cluster()?;
    let mut initdb = folder.run(&binaries.folder.join("initdb"));
    initdb.args(["--username", NAME, "--auth=trust", "--encoding=UTF8", "--locale=C", "-D"]).arg(&unfinished);
    run_to_its_end(initdb, "initdb", folder, stop)?;
    folder.finish_cluster(&unfinished)
}

/// Runs a program of PostgreSQL, and ends it when the service is told to stop.
fn run_to_its_end(mut command: Command, program: &str, folder: &Folder, stop: &AtomicBool) -> Result<(), PrivateError> {
    let failed = |reason: String| PrivateError::Failed(format!("{program} failed: {reason}"));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(folder.log()?).process_group(0);
    let mut child = command.spawn().map_err(|error| failed(error.to_string()))?;
    loop {
        match child.try_wait().map_err(|error| failed(error.to_string()))? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => return Err(failed(format!("{status}: {}", folder.end_of_log()))),
            None if stop.load(Ordering::Relaxed) => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(PrivateError::Interrupted);
            }
            None => thread::sleep(POLL_INTERVAL),
        }
    }
}

fn spawn_server(binaries: &Binaries, folder: &Folder, settings: &[String]) -> Result<Child, PrivateError> {
    let fixed = [
        "listen_addresses=",
        "unix_socket_permissions=0700",
        // What PostgreSQL writes about an error must not quote the statement or the row.
        "log_min_error_statement=panic",
        "log_error_verbosity=terse",
    ];
    let mut command = folder.run(&binaries.folder.join("postgres"));
    command.args(["-D", CLUSTER]).arg("-c").arg(format!("unix_socket_directories={}", folder.socket_folder()));
    for setting in fixed.into_iter().chain(settings.iter().map(String::as_str)) {
        command.args(["-c", setting]);
    }
    let log = folder.log()?;
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    // Ctrl-C goes to the whole group of the terminal: the server must outlive the requests in flight.
    command.process_group(0);
    command.spawn().map_err(|error| PrivateError::Failed(format!("cannot start postgres: {error}")))
}

fn make_database(mut client: Client) -> Result<(), postgres::Error> {
    let exists = client.query_typed(&format!("SELECT FROM pg_database WHERE datname = '{NAME}'"), &[])?;
    if exists.is_empty() {
        client.batch_execute(&format!("CREATE DATABASE {NAME}"))?;
    }
    Ok(())
}
