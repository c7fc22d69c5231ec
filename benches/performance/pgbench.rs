//! pgbench, which shows what PostgreSQL does with single-row inserts and no service before it.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use safespace::config::PrivateServer;
use safespace::conversation;
use safespace::sealing::Seal;
use safespace::session_id::SessionId;
use safespace::store::private::PrivatePostgres;

use crate::Outcome;
use crate::database::{OWNER, Postgres};
use crate::results::Sample;
use crate::work::{Case, Work};

pub(crate) const NAME: &str = "pgbench";

/// As many connections as SafeSpace's pool has by default.
pub(crate) const CASE: Case = Case { work: Work::Create, connections: 20 };

pub(crate) struct Pgbench {
    program: PathBuf,
    script: PathBuf,
    sockets: PathBuf,
}

/// Beside the programs of PostgreSQL, or in `PATH`.
pub(crate) fn find() -> Option<PathBuf> {
    let nowhere = PrivateServer { data_folder: PathBuf::new(), binaries: None };
    let installed = PrivatePostgres::installed(&nowhere).ok()?;
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = [installed.folder].into_iter().chain(env::split_paths(&path));
    folders.map(|folder| folder.join(NAME)).find(|program| program.is_file())
}

impl Pgbench {
    pub(crate) fn new(postgres: &Postgres) -> Outcome<Pgbench> {
        let script = postgres.folder().join("insert.sql");
        fs::write(&script, insert())?;
        let program = find().ok_or("pgbench is gone")?;
        Ok(Pgbench { program, script, sockets: postgres.sockets() })
    }

    /// Inserts sessions one by one into a database.
    pub(crate) fn run(&self, database: &str, seconds: u64) -> Outcome<Sample> {
        let mut command = Command::new(&self.program);
        command.env_clear().args(["-n", "-M", "prepared", "-j", "2", "-c"]).arg(CASE.connections.to_string());
        command.arg("-T").arg(seconds.to_string()).arg("-f").arg(&self.script);
        let output = command.arg("-h").arg(&self.sockets).args(["-U", OWNER, database]).output()?;
        let report = String::from_utf8_lossy(&output.stdout);
        let words = String::from_utf8_lossy(&output.stderr);
        let rate = first_number(&report, "tps = ").ok_or_else(|| format!("pgbench measured nothing: {words}"))?;
        let errors = first_number(&report, "number of failed transactions: ").unwrap_or(0.0);
        Ok(Sample { rate, p50: None, p99: None, errors, turns: None, processor: None, resident: None })
    }
}

/// Inserts a session as large as those of SafeSpace, without the work of sealing it.
fn insert() -> String {
    let sealed = conversation::seal_creation(&Seal::of(&SessionId::random()), conversation::now());
    let digits: String = sealed.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("INSERT INTO sessions (id, sealed) VALUES (gen_random_uuid(), '\\x{digits}');\n")
}

/// The number that follows a name at the beginning of a line.
fn first_number(report: &str, name: &str) -> Option<f64> {
    report.lines().find_map(|line| line.strip_prefix(name))?.split(' ').next()?.parse().ok()
}
