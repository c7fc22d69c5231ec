//! A PostgreSQL of the service's own, for a machine where nobody set one up: found, made, started, stopped.
//!
//! It listens on a Unix socket in a folder that only its own user can enter, which is why it asks for no password.

mod binaries;
mod folder;
mod server;

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::unistd::{User, geteuid};

pub use binaries::Binaries;
use folder::{CLUSTER, Folder, SOCKETS};
use server::Process;

use crate::config::{Authorities, PrivateServer, Server, SslMode};

/// The user and the database in it.
const NAME: &str = "safespace";

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
    server: Arc<Process>,
    keeper: Option<JoinHandle<()>>,
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
        let server = Arc::new(Process::start(folder, binaries, settings)?);
        let mut postgres = PrivatePostgres { server: server.clone(), keeper: None };
        server.wait_until_ready(stop)?;
        let keeper = thread::Builder::new().name("postgres-keeper".to_owned()).spawn(move || server.keep());
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
        self.server.binaries.version
    }

    /// Where its data is.
    #[must_use]
    pub fn data_folder(&self) -> &Path {
        &self.server.folder.path
    }

    /// The process of the server.
    #[must_use]
    pub fn process_id(&self) -> u32 {
        self.server.id()
    }

    /// Asks the server to stop without waiting for it, for a service that has to end now.
    pub fn stopper(&self) -> impl Fn() + Send + Sync + use<> {
        let server = self.server.clone();
        move || server.ask_to_stop()
    }
}

impl Drop for PrivatePostgres {
    fn drop(&mut self) {
        self.server.stop();
        if let Some(keeper) = self.keeper.take() {
            keeper.thread().unpark();
            let _ = keeper.join();
        }
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
