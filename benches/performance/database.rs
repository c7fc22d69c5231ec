//! A private PostgreSQL, a database in it for each service, and the sessions in that database.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use postgres::{Client, Config, NoTls};
use safespace::config::PrivateServer;
use safespace::store::private::PrivatePostgres;
use tempfile::TempDir;

use crate::{Outcome, Stop};

/// The user of the private PostgreSQL, who is also the name of its first database.
pub(crate) const OWNER: &str = "safespace";

/// All else is PostgreSQL's default, so what is stored is on the disk before it is answered.
const SETTINGS: [&str; 1] = ["max_connections=200"];

/// Sessions that are stored at once, so that a signal is noticed in between.
const PIECE: u64 = 500_000;

/// A sample has a few more rows than are wanted, since how many it has is chance.
const SAMPLE_MARGIN: f64 = 1.2;

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
        Ok(self.connect(OWNER)?.0.query_one("SHOW server_version", &[])?.get(0))
    }

    /// Makes a database if it is not there.
    pub(crate) fn make(&self, name: &str) -> Outcome<()> {
        let mut first = self.connect(OWNER)?.0;
        if first.query_opt("SELECT FROM pg_database WHERE datname = $1", &[&name])?.is_none() {
            first.batch_execute(&format!("CREATE DATABASE {name}"))?;
        }
        Ok(())
    }

    pub(crate) fn connect(&self, name: &str) -> Outcome<Sessions> {
        Ok(Sessions(self.config.clone().dbname(name).connect(NoTls)?))
    }
}

/// The sessions of one database.
pub(crate) struct Sessions(Client);

impl Sessions {
    /// Makes the database as if it were new, but for that many sessions.
    pub(crate) fn begin_anew(&mut self, count: u64) -> Outcome<()> {
        // A peer's table is referred to by others.
        self.0.batch_execute("TRUNCATE sessions CASCADE")?;
        self.insert(count)?;
        // Otherwise PostgreSQL would plan for the table that it remembers, and look after the new one at some moment
        // of the measurement.
        Ok(self.0.batch_execute("VACUUM (ANALYZE) sessions")?)
    }

    /// Stores very many sessions in a new, migrated database, with the index as it is after a rebuild.
    pub(crate) fn fill(&mut self, count: u64, stop: &Stop) -> Outcome<()> {
        self.0.batch_execute("SET maintenance_work_mem = '1GB'; ALTER TABLE sessions DROP CONSTRAINT sessions_pkey")?;
        let mut stored = 0;
        while stored < count {
            let piece = PIECE.min(count - stored);
            self.insert(piece)?;
            stored += piece;
            eprintln!("filling the large database: {stored} of {count} sessions");
            stop.check()?;
        }
        for statement in ["ALTER TABLE sessions ADD PRIMARY KEY (id)", "VACUUM (ANALYZE) sessions", "CHECKPOINT"] {
            eprintln!("filling the large database: {statement}");
            self.0.batch_execute(statement)?;
            stop.check()?;
        }
        Ok(())
    }

    /// Ids chosen by chance from the whole table, in no order. Sessions are added if there are too few.
    pub(crate) fn sample(&mut self, wanted: usize) -> Outcome<Vec<String>> {
        if wanted == 0 {
            return Ok(Vec::new());
        }
        let needed = u64::try_from(wanted)?;
        let stored = u64::try_from(self.0.query_one("SELECT count(*) FROM sessions", &[])?.get::<_, i64>(0))?;
        self.insert(needed.saturating_sub(stored))?;
        let percent = (100.0 * SAMPLE_MARGIN * wanted as f64 / stored.max(1) as f64).min(100.0);
        let statement =
            format!("SELECT id::text FROM sessions TABLESAMPLE BERNOULLI ({percent}) ORDER BY random() LIMIT {wanted}");
        Ok(self.0.query(&statement, &[])?.iter().map(|row| row.get(0)).collect())
    }

    fn insert(&mut self, count: u64) -> Outcome<()> {
        let statement = format!(
            "INSERT INTO sessions (id, created_at) SELECT gen_random_uuid(), now() FROM generate_series(1, {count})"
        );
        Ok(self.0.batch_execute(&statement)?)
    }
}
