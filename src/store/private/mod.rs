//! A PostgreSQL of the service's own, for a machine where nobody set one up: found, made, started, stopped.
//!
//! It listens on a Unix socket in a folder that only its own user can enter, which is why it asks for no password.

mod binaries;
mod folder;

use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
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

const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Why there is no private PostgreSQL.
#[derive(Debug, thiserror::Error)]
pub enum PrivateError {
    /// Neither `PG_BIN`, `PATH` nor the usual folders have one.
    #[error("PostgreSQL is not installed here (no initdb and postgres in PG_BIN, PATH or the usual folders). {0}")]
    NotInstalled(String),
    /// The data belongs to a version that is not installed.
    #[error("{folder} holds data of PostgreSQL {needed}, and only {found} is here: install version {needed}, or set SAFESPACE_DATA_DIR to a new folder", folder = .folder.display())]
    OtherVersion {
        /// The cluster.
        folder: PathBuf,
        /// The version that made it.
        needed: String,
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

/// A running PostgreSQL; dropping it stops it.
pub struct PrivatePostgres {
    folder: Folder,
    child: Child,
    version: u32,
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
        // The folder says which version is needed; where there is none installed at all, it should not be made.
        let installed = binaries::find(config.binaries.as_deref())?;
        let folder = Folder::open(&config.data_folder, owner.as_ref())?;
        let binaries = binaries::choose(installed, &folder)?;
        if !folder.has_cluster() {
            log::info!(folder:% = folder.path.display(), version = binaries.version; "Making a private PostgreSQL");
            make_cluster(&binaries, &folder)?;
        }
        if folder.somebody_listens() {
            log::info!("Stopping the private PostgreSQL that a killed service left running");
            let stop = folder
                .run(&binaries.folder.join("pg_ctl"))
                .args(["stop", "--mode=fast", "--wait", "-D", CLUSTER])
                .output();
            succeeded(stop, "pg_ctl")?;
        }
        let child = spawn_server(&binaries, &folder, settings)?;
        let mut postgres = PrivatePostgres { folder, child, version: binaries.version };
        let give_up = Instant::now() + LINGERING_PATIENCE;
        loop {
            match postgres.wait_until_ready(stop) {
                Err(PrivateError::Failed(_)) if postgres.folder.killed_server_lingers() && Instant::now() < give_up => {
                    thread::sleep(POLL_INTERVAL);
                    postgres.child = spawn_server(&binaries, &postgres.folder, settings)?;
                }
                result => return result.map(|()| postgres),
            }
        }
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

    /// The installed PostgreSQL there would be used for a new folder.
    ///
    /// # Errors
    /// [`PrivateError::NotInstalled`].
    pub fn installed(config: &PrivateServer) -> Result<Binaries, PrivateError> {
        Ok(binaries::find(config.binaries.as_deref())?.swap_remove(0))
    }

    /// The major version of the server.
    #[must_use]
    pub fn version(&self) -> u32 {
        self.version
    }

    /// Where its data is.
    #[must_use]
    pub fn data_folder(&self) -> &Path {
        &self.folder.path
    }

    /// The process of the server.
    #[must_use]
    pub fn process_id(&self) -> u32 {
        self.child.id()
    }

    fn wait_until_ready(&mut self, stop: &AtomicBool) -> Result<(), PrivateError> {
        let deadline = Instant::now() + START_DEADLINE;
        let mut maintenance = postgres::Config::new();
        maintenance.host_path(self.folder.path.join(SOCKETS)).user(NAME).dbname("postgres");
        loop {
            if let Ok(Some(status)) = self.child.try_wait() {
                let log = self.folder.end_of_log();
                return Err(PrivateError::Failed(format!("PostgreSQL ended while starting ({status}): {log}")));
            }
            if let Ok(client) = maintenance.connect(NoTls) {
                return make_database(client)
                    .map_err(|error| PrivateError::Failed(format!("creating the database: {error}")));
            }
            if stop.load(Ordering::Relaxed) {
                return Err(PrivateError::Interrupted);
            }
            if Instant::now() >= deadline {
                let (limit, log) = (START_DEADLINE.as_secs(), self.folder.end_of_log());
                return Err(PrivateError::Failed(format!("PostgreSQL did not answer within {limit} s: {log}")));
            }
            thread::sleep(POLL_INTERVAL);
        }
    }

    /// Asks the server to stop, and ends it in harsher ways if it does not. No data is lost in any of them.
    fn stop(&mut self) {
        for signal in [Signal::SIGINT, Signal::SIGQUIT, Signal::SIGKILL] {
            if send(signal, self.process_id()).is_err() {
                return;
            }
            let deadline = Instant::now() + STOP_PATIENCE;
            while Instant::now() < deadline {
                if !matches!(self.child.try_wait(), Ok(None)) {
                    return;
                }
                thread::sleep(POLL_INTERVAL);
            }
            log::warn!(signal = signal.as_str(); "The private PostgreSQL did not stop");
        }
    }
}

impl Drop for PrivatePostgres {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.stop();
        }
    }
}

/// Asks a server to stop without waiting for it, for a service that has to end now.
pub fn ask_to_stop(process_id: u32) {
    let _ = send(Signal::SIGINT, process_id);
}

/// Sends a signal to a server this process started and has not yet waited for, so that the id cannot be another's.
fn send(signal: Signal, process_id: u32) -> nix::Result<()> {
    let process_id = process_id.try_into().map_err(|_| nix::Error::ESRCH)?;
    kill(Pid::from_raw(process_id), signal)
}

/// The user that PostgreSQL must run as, where that is not this process's own.
fn owner() -> Result<Option<User>, PrivateError> {
    if !geteuid().is_root() {
        return Ok(None);
    }
    User::from_name("postgres").ok().flatten().map(Some).ok_or(PrivateError::NoUser)
}

/// Makes the cluster beside its place and then moves it there, so that one that is there is whole.
fn make_cluster(binaries: &Binaries, folder: &Folder) -> Result<(), PrivateError> {
    let unfinished = folder.empty_unfinished_cluster()?;
    let initdb = folder
        .run(&binaries.folder.join("initdb"))
        .args(["--username", NAME, "--auth=trust", "--encoding=UTF8", "--locale=C", "-D"])
        .arg(unfinished)
        .output();
    succeeded(initdb, "initdb")?;
    folder.finish_cluster()
}

fn spawn_server(binaries: &Binaries, folder: &Folder, settings: &[String]) -> Result<Child, PrivateError> {
    let fixed = [
        "listen_addresses=",
        "unix_socket_permissions=0700",
        // What PostgreSQL writes about an error must not quote the statement, its parameters or the row.
        "log_min_error_statement=panic",
        "log_error_verbosity=terse",
        "log_parameter_max_length_on_error=0",
    ];
    let mut command = folder.run(&binaries.folder.join("postgres"));
    command.args(["-D", CLUSTER]).arg("-c").arg(format!("unix_socket_directories={}", folder.socket_folder()));
    for setting in fixed.into_iter().chain(settings.iter().map(String::as_str)) {
        command.args(["-c", setting]);
    }
    let log = folder.new_log()?;
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

fn succeeded(output: io::Result<std::process::Output>, program: &str) -> Result<(), PrivateError> {
    match output {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => {
            let complaint = String::from_utf8_lossy(&output.stderr);
            Err(PrivateError::Failed(format!("{program} failed ({}): {}", output.status, complaint.trim())))
        }
        Err(error) => Err(PrivateError::Failed(format!("cannot start {program}: {error}"))),
    }
}
