//! pgbench: the statement of one request, prepared, without a service in between. It is the limit of what PostgreSQL does.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use postgres::Client;
use safespace::config::PrivateServer;
use safespace::private_postgres::PrivatePostgres;
use tempfile::TempDir;

use crate::results::Sample;
use crate::rows::sealed_creation_time;
use crate::services::postgres_process;
use crate::settings::FEW_SESSIONS;
use crate::support::outcome::Outcome;
use crate::support::postgres::{OWNER, Postgres};
use crate::support::processes;
use crate::workload::{Case, SessionChoice, Workload};

/// Its name in the report, and that of its database.
pub(crate) const NAME: &str = "pgbench";

/// The id of the session with a number, in place of the statement's parameter: pgbench has no variables but numbers.
const NUMBERED_ID: &str = "lpad(:number, 32, '0')::uuid";

/// What SafeSpace sets for its connections, and for those that erase.
const OPTIONS: &str = "-c enable_seqscan=off -c plan_cache_mode=force_generic_plan -c jit=off -c default_transaction_isolation=repeatable\\ read";

/// Above it, connecting takes a good part of a second.
const MANY_CLIENTS: usize = 32;

pub(crate) struct Pgbench {
    program: PathBuf,
    sockets: PathBuf,
    postgres: u32,
    client: Client,
    /// The hexadecimal digits of a sealed creation time.
    sealed: String,
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
    /// `postgres` has a migrated database of its name.
    pub(crate) fn new(postgres: &Postgres) -> Outcome<Pgbench> {
        let program = find().ok_or("pgbench is not installed")?;
        let sealed = sealed_creation_time().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Pgbench {
            program,
            sockets: postgres.sockets(),
            postgres: postgres_process(postgres)?,
            client: postgres.client(NAME)?,
            sealed,
        })
    }

    /// Replaces everything stored by sessions with the numbers from 1.
    pub(crate) fn reset(&mut self, sessions: usize) -> Outcome<()> {
        self.client.batch_execute("TRUNCATE sessions CASCADE")?;
        self.store(sessions)?;
        Ok(self.client.batch_execute("VACUUM (ANALYZE) sessions, messages")?)
    }

    /// Runs the statement of a workload with as many clients as the case has.
    pub(crate) fn measure(&mut self, case: Case, seconds: u64) -> Outcome<Sample> {
        let clients = case.connections;
        let sessions = match case.workload.sessions(clients, seconds, false) {
            SessionChoice::Once(count) => count,
            _ => FEW_SESSIONS,
        };
        if case.workload == Workload::Delete {
            self.reset(sessions)?;
        }
        let folder = TempDir::new()?;
        let script = folder.path().join("script.sql");
        fs::write(&script, self.script(case.workload, sessions / clients))?;
        let mut command = Command::new(&self.program);
        command
            .env_clear()
            .env("PGOPTIONS", OPTIONS)
            .current_dir(folder.path())
            .args(["-n", "-M", "prepared", "-j", "2", "-l", "-D", "done=0"]);
        // Its time begins before its connections, which it leaves out of the rate.
        let seconds = seconds + u64::from(clients > MANY_CLIENTS);
        command.arg("-c").arg(clients.to_string()).arg("-T").arg(seconds.to_string()).arg("-f").arg(&script);
        let before = processes::processor_time(self.postgres);
        let output = command.arg("-h").arg(&self.sockets).args(["-U", OWNER, NAME]).output()?;
        let report = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() {
            return Err(format!("pgbench: {errors}").into());
        }
        // It prints no rate where the machine was too busy for a single transaction.
        let rate = first_number(&report, "tps = ").unwrap_or(0.0);
        let failed = first_number(&report, "number of failed transactions: ").unwrap_or(0.0);
        let database = processes::processor_time(self.postgres) - before;
        let latencies = latencies(&folder)?;
        if case.workload == Workload::Delete {
            self.reset(FEW_SESSIONS)?;
        }
        Ok(Sample {
            rate,
            p50: quantile(&latencies, 0.5),
            p99: quantile(&latencies, 0.99),
            errors: failed,
            turns: None,
            processor: None,
            database: Some(database / latencies.len().max(1) as f64),
            resident: None,
        })
    }

    fn store(&mut self, count: usize) -> Outcome<()> {
        let statement = format!(
            "INSERT INTO sessions (id, sealed) SELECT lpad(number::text, 32, '0')::uuid, '\\x{}'
             FROM generate_series(1, {count}) AS number",
            self.sealed
        );
        Ok(self.client.batch_execute(&statement)?)
    }

    /// SafeSpace's own statement for one session. Each client deletes a range of numbers, each once.
    fn script(&self, workload: Workload, for_each_client: usize) -> String {
        let random = format!("\\set number random(1, {FEW_SESSIONS})\n");
        let next = format!("\\set done :done + 1\n\\set number :client_id * {for_each_client} + :done\n");
        match workload {
            Workload::Create => include_str!("../../sql/sessions/create.sql")
                .replace("$1::uuid", "gen_random_uuid()")
                .replace("$2::bytea", &format!("'\\x{}'", self.sealed))
                .replace("$3::integer", "NULL"),
            Workload::Read => random + &include_str!("../../sql/sessions/find.sql").replace("$1::uuid", NUMBERED_ID),
            Workload::Delete => {
                let statement = include_str!("../../sql/sessions/erase.sql").replace("$1::uuid", NUMBERED_ID);
                next + &statement.replace("$2::integer", "1000").replace("$3::bigint", "1000000")
            }
            _ => "SELECT 1\n".to_owned(),
        }
    }
}

/// Whether a workload is a single statement.
pub(crate) fn runs(workload: Workload) -> bool {
    matches!(workload, Workload::Create | Workload::Read | Workload::Delete | Workload::Health)
}

/// The number after a label at the start of a line.
fn first_number(report: &str, label: &str) -> Option<f64> {
    report.lines().find_map(|line| line.strip_prefix(label))?.split(' ').next()?.parse().ok()
}

/// The latencies in pgbench's logs, one for each thread, in milliseconds and ascending.
fn latencies(folder: &TempDir) -> Outcome<Vec<f64>> {
    let mut latencies = Vec::new();
    for entry in fs::read_dir(folder.path())? {
        let path = entry?.path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("pgbench_log.")) {
            // The third field of a line is the time of the transaction in microseconds.
            let microseconds = |line: &str| line.split(' ').nth(2)?.parse::<f64>().ok();
            latencies.extend(fs::read_to_string(path)?.lines().filter_map(microseconds).map(|time| time / 1000.0));
        }
    }
    latencies.sort_by(f64::total_cmp);
    Ok(latencies)
}

/// The value below which a share of ascending values is.
pub(crate) fn quantile(ascending: &[f64], share: f64) -> Option<f64> {
    ascending.get((ascending.len() as f64 * share) as usize).copied()
}
