//! Measures SafeSpace beside its peers, as its sessions grow, and as it starts: `cargo bench --bench performance`.
//!
//! It needs `wrk` and `pgbench`. `PEERS` names the folder of the peers, `axum/` and `fastapi/`; without it SafeSpace is
//! measured beside pgbench alone. `QUICK=1` is a short run to try the program, `GROWTH_SESSIONS` says how many sessions
//! the large database has. The exit code is 1 if a goal is missed or the bench cannot run, 2 if a program is missing.

mod database;
mod goals;
mod growth;
mod load;
mod peers;
mod pgbench;
mod processes;
mod report;
mod results;
mod rounds;
mod rows;
mod services;
mod sessions;
mod settings;
mod start;
mod work;

use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::database::Postgres;
use crate::pgbench::Pgbench;
use crate::results::Results;
use crate::settings::Settings;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Exit code when a program that the bench needs is not installed.
const PROGRAM_MISSING: u8 = 2;

fn main() -> ExitCode {
    let missing = missing_programs();
    if !missing.is_empty() {
        eprintln!("{}", missing.join("\n"));
        return ExitCode::from(PROGRAM_MISSING);
    }
    match measure() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("The bench cannot run: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What has to be installed first, and how.
fn missing_programs() -> Vec<&'static str> {
    let mut missing = Vec::new();
    if !load::is_wrk_installed() {
        missing.push("wrk makes the load and is not installed here: apt-get install wrk");
    }
    if pgbench::find().is_none() {
        missing.push("pgbench is not installed here: apt-get install postgresql (or postgresql-contrib)");
    }
    missing
}

/// Measures, prints and writes down everything, and says whether all goals are met.
fn measure() -> Outcome<bool> {
    let settings = Settings::from_environment()?;
    // From here on, a process that a signal ends would leave its PostgreSQL and its services behind.
    let stop = Stop::on_signals()?;
    let peers = peers::prepare(&settings).map_err(|error| stop.rather_than(error))?;
    let postgres = Postgres::start(&stop.asked)?;
    let circumstances = report::circumstances(&settings, &postgres)?;
    let mut results = Results::default();
    let measured = measure_all(&settings, &postgres, &peers, &stop, &mut results);
    let start = measured.map_err(|error| stop.rather_than(error))?;
    let goals = goals::judge(&settings, &results, start);
    let report = report::write(&circumstances, &results, &goals)?;
    println!("{report}");
    if settings.writes_document {
        report::keep(&report)?;
    }
    Ok(goals.iter().all(|goal| goal.met))
}

/// Fills the results, and returns the milliseconds of a start.
fn measure_all(
    settings: &Settings,
    postgres: &Postgres,
    peers: &[peers::Peer],
    stop: &Stop,
    results: &mut Results,
) -> Outcome<f64> {
    let pgbench = Pgbench::new(postgres)?;
    rounds::compare(settings, postgres, peers, &pgbench, stop, results)?;
    let start = start::measure(postgres, stop)?;
    growth::measure(settings, postgres, stop, results)?;
    Ok(start)
}

/// Whether a signal asked the bench to end.
struct Stop {
    asked: Arc<AtomicBool>,
}

impl Stop {
    fn on_signals() -> Outcome<Stop> {
        let stop = Stop { asked: Arc::default() };
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            signal_hook::flag::register(signal, stop.asked.clone())?;
        }
        Ok(stop)
    }

    /// An error as soon as the bench was asked to end, so that everything it started ends on the way out.
    fn check(&self) -> Outcome<()> {
        if self.asked.load(Ordering::Relaxed) { Err("it was stopped".into()) } else { Ok(()) }
    }

    /// After a signal, whatever then failed did so because of it.
    fn rather_than(&self, error: Box<dyn Error>) -> Box<dyn Error> {
        self.check().err().unwrap_or(error)
    }
}
