//! pgbench: single-row inserts into PostgreSQL without a service in between.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use safespace::config::PrivateServer;
use safespace::private_postgres::PrivatePostgres;

use crate::results::Sample;
use crate::rows::insert_statement;
use crate::support::outcome::Outcome;
use crate::support::postgres::{OWNER, Postgres};
use crate::workload::{Case, Workload};

pub(crate) const NAME: &str = "pgbench";

/// The connections are the default size of SafeSpace's pool.
pub(crate) const CASE: Case = Case { workload: Workload::Create, connections: 20 };

pub(crate) struct Pgbench {
    program: PathBuf,
    script: PathBuf,
    sockets: PathBuf,
}

/// Looks beside the programs of PostgreSQL, then in `PATH`.
pub(crate) fn find() -> Option<PathBuf> {
    let unused = PrivateServer { data_folder: PathBuf::new(), binaries: None };
    let installed = PrivatePostgres::installed(&unused).ok()?;
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = [installed.folder].into_iter().chain(env::split_paths(&path));
    folders.map(|folder| folder.join(NAME)).find(|program| program.is_file())
}

impl Pgbench {
    pub(crate) fn new(postgres: &Postgres) -> Outcome<Pgbench> {
        let script = postgres.folder().join("insert.sql");
        fs::write(&script, insert_statement())?;
        let program = find().ok_or("pgbench is not installed")?;
        Ok(Pgbench { program, script, sockets: postgres.sockets() })
    }

    /// Inserts sessions into a database, one per transaction.
    pub(crate) fn run(&self, database: &str, seconds: u64) -> Outcome<Sample> {
        let mut command = Command::new(&self.program);
        command.env_clear().args(["-n", "-M", "prepared", "-j", "2", "-c"]).arg(CASE.connections.to_string());
        command.arg("-T").arg(seconds.to_string()).arg("-f").arg(&self.script);
        let output = command.arg("-h").arg(&self.sockets).args(["-U", OWNER, database]).output()?;
        let report = String::from_utf8_lossy(&output.stdout);
        let errors_text = String::from_utf8_lossy(&output.stderr);
        let rate =
            first_number(&report, "tps = ").ok_or_else(|| format!("pgbench printed no result: {errors_text}"))?;
        let errors = first_number(&report, "number of failed transactions: ").unwrap_or(0.0);
        Ok(Sample { rate, p50: None, p99: None, errors, turns: None, processor: None, resident: None })
    }
}

/// The number after a label at the start of a line.
fn first_number(report: &str, label: &str) -> Option<f64> {
    report.lines().find_map(|line| line.strip_prefix(label))?.split(' ').next()?.parse().ok()
}
