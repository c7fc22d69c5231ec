//! The private PostgreSQL as the service sees it: start, connection settings, stop.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread::{self, JoinHandle};

use nix::unistd::{User, geteuid};
use postgres::Config;

use super::binaries::{self, Binaries};
use super::data_folder::{self, CLUSTER, DataFolder, SOCKETS};
use super::error::Error;
use super::process::{NAME, Process};
use super::wal::{self, WalRemoval};
use super::{left_over, program};
use crate::config::{Authorities, PrivateServer, Server, SslMode};

/// Connections beyond those of the service.
const SPARE_CONNECTIONS: u32 = 10;

/// How a cluster is made, by whichever version.
pub(super) const INITDB_ARGUMENTS: [&str; 5] = ["--username", NAME, "--auth=trust", "--encoding=UTF8", "--locale=C"];

/// The user PostgreSQL runs as, since it does not run as root; `None` for the user of this process.
pub(super) fn owner() -> Result<Option<User>, Error> {
    let user = || User::from_name("postgres").ok().flatten().ok_or(Error::NoUser);
    geteuid().is_root().then(user).transpose()
}

/// A running PostgreSQL server. It is restarted when it ends by itself, and stopped on drop.
pub struct PrivatePostgres {
    wal_removal: Option<WalRemoval>,
    process: Arc<Process>,
    supervisor: Option<JoinHandle<()>>,
}

impl PrivatePostgres {
    /// Starts the server, after initializing a new cluster if there is none, and waits until it accepts connections.
    ///
    /// `settings` are passed to PostgreSQL as `name=value`. Setting `stop` ends the wait. A server that a killed service
    /// left running is stopped first.
    ///
    /// # Errors
    /// As [`Error`] lists them.
    pub fn start(config: &PrivateServer, settings: &[String], stop: &AtomicBool) -> Result<PrivatePostgres, Error> {
        let owner = owner()?;
        // Before the folder, so that none is created where PostgreSQL is not installed.
        let binaries = binaries::find(config)?;
        let folder = Arc::new(DataFolder::open(&config.data_folder, owner)?);
        left_over::clear(&folder, stop)?;
        if !folder.path.join(CLUSTER).exists() {
            data_folder::check_room(&folder.path)?;
            log::info!(folder:% = folder.path.display(), version = binaries.version; "Making a private PostgreSQL");
            folder.create_cluster(CLUSTER, |name| {
                let mut initdb = folder.command(&binaries.folder.join("initdb"))?;
                initdb.args(INITDB_ARGUMENTS).args(["-D", name]);
                program::run(initdb, stop, &mut |_| {}).map(drop)
            })?;
        }
        for old in data_folder::old_clusters(&folder.path) {
            log::warn!(folder:% = old.display(); "The data before an upgrade is still there, also what people delete: \
                remove it with `safespace upgrade-data --delete-old`");
        }
        let process = Arc::new(Process::start(folder, CLUSTER, binaries, settings)?);
        let mut postgres = PrivatePostgres { wal_removal: None, process: process.clone(), supervisor: None };
        process.wait_until_ready(stop)?;
        let supervisor = thread::Builder::new().name("postgres-keeper".to_owned()).spawn(move || process.supervise());
        postgres.supervisor = Some(supervisor.map_err(|error| Error::Failed(error.to_string()))?);
        Ok(postgres)
    }

    /// Settings for [`PrivatePostgres::start`] with which PostgreSQL writes as little log as it can, so that it has no standbys and
    /// no archive, and keeps none of it for later.
    pub const MINIMAL_WAL: [&str; 4] = wal::SETTINGS;

    /// Removes what was written to the log within a minute from now on, while the service is quiet, and when the server stops.
    pub fn remove_wal_soon(&mut self) {
        self.wal_removal = Some(WalRemoval::start(self.process.connection()));
    }

    /// The setting that allows a service this many connections, and some more for `psql`, backups and PostgreSQL itself.
    #[must_use]
    pub fn max_connections(of_service: u32) -> String {
        format!("max_connections={}", of_service + SPARE_CONNECTIONS)
    }

    /// How to connect to the server of the configured folder, whether it runs or not.
    #[must_use]
    pub fn server(config: &PrivateServer) -> Server {
        let mut connect = Config::new();
        connect.host_path(config.data_folder.join(SOCKETS)).user(NAME).dbname(NAME);
        Server { connect, ssl_mode: SslMode::Disable, authorities: Authorities::None }
    }

    /// Whether a server listens in the configured folder.
    #[must_use]
    pub fn is_running(config: &PrivateServer) -> bool {
        left_over::has_listener(&config.data_folder)
    }

    /// Finds why a start could not use the configured folder, and changes nothing.
    ///
    /// # Errors
    /// [`Error::Folder`] and [`Error::NoUser`].
    pub fn check_folder(config: &PrivateServer) -> Result<(), Error> {
        data_folder::check(&config.data_folder, owner()?.as_ref())
    }

    /// Finds that the disk has no room for a start.
    ///
    /// # Errors
    /// [`Error::Folder`].
    pub fn check_room(config: &PrivateServer) -> Result<(), Error> {
        data_folder::check_room(&config.data_folder)
    }

    /// The installed PostgreSQL whose version matches the configured folder, or that a new folder would get.
    ///
    /// # Errors
    /// [`Error::NotInstalled`] and [`Error::OtherVersion`].
    pub fn installed(config: &PrivateServer) -> Result<Binaries, Error> {
        binaries::find(config)
    }

    /// The major version of the server.
    #[must_use]
    pub fn version(&self) -> u32 {
        self.process.binaries.version
    }

    /// The folder of its data.
    #[must_use]
    pub fn data_folder(&self) -> &Path {
        &self.process.folder.path
    }

    /// The id of the server's process.
    #[must_use]
    pub fn process_id(&self) -> u32 {
        self.process.child.lock().id()
    }

    /// A function that asks the server to stop without waiting for it, for a process that exits at once.
    pub fn stopper(&self) -> impl Fn() + Send + Sync + use<> {
        let process = self.process.clone();
        move || process.request_stop()
    }
}

impl Drop for PrivatePostgres {
    fn drop(&mut self) {
        self.wal_removal = None;
        self.process.stop();
        if let Some(supervisor) = self.supervisor.take() {
            supervisor.thread().unpark();
            let _ = supervisor.join();
        }
    }
}
