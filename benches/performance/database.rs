//! A private PostgreSQL with a database for each service.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use postgres::{Client, Config, NoTls};
use safespace::config::PrivateServer;
use safespace::store::private::PrivatePostgres;
use tempfile::TempDir;

use crate::Outcome;
use crate::rows::Shape;
use crate::sessions::Sessions;

/// The user of the private PostgreSQL, who is also the name of its first database.
pub(crate) const OWNER: &str = "safespace";

/// All else is PostgreSQL's default, so what is stored is on the disk before it is answered.
const SETTINGS: [&str; 1] = ["max_connections=200"];

/// The fields go from first to last: the server ends before its folder does.
pub(crate) struct Postgres {
    _server: PrivatePostgres,
    config: Config,
    data_folder: TempDir,
    folder: TempDir,
}

impl Postgres {
    pub(crate) fn start(stop: &AtomicBool) -> Outcome<Postgres> {
        // The path of a socket has to be short, hence /tmp.
        let new_folder = || tempfile::Builder::new().prefix("safespace-").tempdir_in("/tmp");
        let (data_folder, folder) = (new_folder()?, new_folder()?);
        let private = PrivateServer { data_folder: data_folder.path().to_owned(), binaries: None };
        let server = PrivatePostgres::start(&private, &SETTINGS.map(str::to_owned), stop)?;
        Ok(Postgres { _server: server, config: PrivatePostgres::server(&private).connect, data_folder, folder })
    }

    /// A folder for what belongs to the load and the services.
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

    /// Makes a database if it is not there.
    pub(crate) fn make(&self, name: &str) -> Outcome<()> {
        let mut first = self.client(OWNER)?;
        if first.query_opt("SELECT FROM pg_database WHERE datname = $1", &[&name])?.is_none() {
            first.batch_execute(&format!("CREATE DATABASE {name}"))?;
        }
        Ok(())
    }

    /// The sessions of a database, which are kept in that shape.
    pub(crate) fn sessions(&self, name: &str, shape: Shape) -> Outcome<Sessions> {
        Ok(Sessions::new(self.client(name)?, shape))
    }

    fn client(&self, name: &str) -> Outcome<Client> {
        Ok(self.config.clone().dbname(name).connect(NoTls)?)
    }
}
