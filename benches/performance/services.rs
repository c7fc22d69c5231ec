//! The services under test: each has a database of its own, but for the limit, which stores nothing.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

use safespace::session_id::SessionId;

use crate::load;
use crate::results::Sample;
use crate::sessions::Sessions;
use crate::settings::Settings;
use crate::support::outcome::Outcome;
use crate::support::postgres::{OWNER, Postgres};
use crate::support::process::{self, PROGRAM, Process};
use crate::support::processes;
use crate::support::stop::StopSignal;
use crate::workload::{Case, SessionChoice};

pub(crate) const SAFESPACE: &str = "SafeSpace";

pub(crate) struct Service {
    pub(crate) name: String,
    /// Whether it is so slow that fewer rounds and ids suffice.
    pub(crate) slow: bool,
    /// `None` if it has no database.
    sessions: Option<Sessions>,
    pub(crate) process: Process,
    postgres: u32,
    folder: PathBuf,
}

impl Service {
    /// Starts it and waits until `GET /` returns 200. `sessions` are those of its database, if it has one.
    pub(crate) fn start(
        postgres: &Postgres,
        name: &str,
        sessions: Option<Sessions>,
        command: impl Fn(SocketAddr) -> Command,
        stop: &StopSignal,
    ) -> Outcome<Service> {
        let process = Process::start(postgres.folder(), name, command, stop)?;
        let folder = postgres.folder().to_owned();
        Ok(Service {
            name: name.to_owned(),
            slow: false,
            sessions,
            process,
            postgres: postgres_process(postgres)?,
            folder,
        })
    }

    /// Replaces everything stored by `count` sessions, and by `histories` more with a long history.
    pub(crate) fn reset(&mut self, count: usize, histories: usize) -> Outcome<()> {
        self.sessions.as_mut().map_or(Ok(()), |sessions| sessions.reset(count, histories))
    }

    /// The ids of sessions for a load.
    pub(crate) fn choose(&mut self, choice: &SessionChoice) -> Outcome<Vec<SessionId>> {
        self.sessions.as_mut().map_or(Ok(Vec::new()), |sessions| sessions.choose(choice))
    }

    /// Chooses sessions, and runs the load on them once.
    pub(crate) fn measure(&mut self, case: Case, seconds: u64) -> Outcome<Sample> {
        let choice = case.workload.sessions(case.connections, seconds, self.slow);
        let ids = self.choose(&choice)?;
        let before = self.process.processor_time();
        let database_before = processes::processor_time(self.postgres);
        let report = load::run(&self.folder, self.process.address, case, seconds, &ids)
            .map_err(|error| format!("{}: {error}", self.name))?;
        let spent = self.process.processor_time() - before;
        let database = processes::processor_time(self.postgres) - database_before;
        let resident = self.process.resident();
        self.process.settle();
        Ok(Sample {
            rate: report.rate,
            p50: Some(report.p50),
            p99: Some(report.p99),
            errors: report.errors,
            turns: matches!(choice, SessionChoice::New(_)).then_some(report.requests / ids.len() as f64),
            processor: Some(spent / report.requests.max(1.0)),
            database: Some(database / report.requests.max(1.0)),
            resident: Some(resident),
        })
    }
}

/// SafeSpace, or the baseline, without the limits that a load from one address meets.
pub(crate) fn safespace(
    settings: &Settings,
    program: &Path,
    postgres: &Postgres,
    database: &str,
    address: SocketAddr,
) -> Command {
    let mut command = process::command(program, postgres, database, address, &settings.log_level);
    command.env("RATE_LIMIT", "off");
    command
}

/// Creates a database with SafeSpace's tables.
pub(crate) fn migrate(settings: &Settings, postgres: &Postgres, database: &str) -> Outcome<()> {
    postgres.create_database(database)?;
    let unused = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let mut command = safespace(settings, Path::new(PROGRAM), postgres, database, unused);
    let output = command.arg("migrate").output()?;
    let errors = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(format!("{database} is not migrated: {errors}").into()) }
}

/// The number of PostgreSQL's first process, whose descendants serve the connections.
pub(crate) fn postgres_process(postgres: &Postgres) -> Outcome<u32> {
    let first_line = "SELECT split_part(pg_read_file('postmaster.pid'), E'\\n', 1)";
    let line: String = postgres.client(OWNER)?.query_one(first_line, &[])?.get(0);
    Ok(line.parse()?)
}
