//! A private PostgreSQL with a database for each service.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use postgres::{Client, Config, NoTls};
use safespace::config::PrivateServer;
use safespace::private_postgres::PrivatePostgres;
use tempfile::TempDir;

use super::outcome::Outcome;

/// The user of the private PostgreSQL, and the name of its first database.
pub(crate) const OWNER: &str = "safespace";

/// Everything else is PostgreSQL's default, so a commit is on disk before the client gets its response.
const SETTINGS: [&str; 1] = ["max_connections=300"];

/// Fields drop in order: the server ends before its folder is removed.
pub(crate) struct Postgres {
    _server: PrivatePostgres,
    config: Config,
    data_folder: TempDir,
    folder: TempDir,
}

impl Postgres {
    pub(crate) fn start(stop: &AtomicBool) -> Outcome<Postgres> {
        // The path of a Unix socket has at most 107 bytes, hence /tmp.
        let new_folder = || tempfile::Builder::new().prefix("safespace-").tempdir_in("/tmp");
        let (data_folder, folder) = (new_folder()?, new_folder()?);
        let private = PrivateServer { data_folder: data_folder.path().to_owned(), binaries: None };
        let server = PrivatePostgres::start(&private, &SETTINGS.map(str::to_owned), stop)?;
        Ok(Postgres { _server: server, config: PrivatePostgres::server(&private).connect, data_folder, folder })
    }

    /// A folder for the files of the load and the services.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The folder of the socket.
    pub(crate) fn sockets(&self) -> PathBuf {
        self.data_folder.path().join("socket")
    }

    pub(crate) fn version(&self) -> Outcome<String> {
        Ok(self.client(OWNER)?.query_one("SHOW server_version", &[])?.get(0))
    }

    /// Creates a database if it does not exist.
    pub(crate) fn create_database(&self, name: &str) -> Outcome<()> {
        let mut first = self.client(OWNER)?;
        if first.query_opt("SELECT FROM pg_database WHERE datname = $1", &[&name])?.is_none() {
            first.batch_execute(&format!("CREATE DATABASE {name}"))?;
        }
        Ok(())
    }

    /// A connection to a database.
    pub(crate) fn client(&self, name: &str) -> Outcome<Client> {
        Ok(self.config.clone().dbname(name).connect(NoTls)?)
    }
}
