//! Runs every attack of a client that wants to stop the service, beside others who use it: `cargo bench --bench abuse`.
//!
//! Each attack runs against the release binary with its defaults, on a database of its own, with a fake model. Settings from the
//! environment:
//!
//! - `ABUSE`: names of attacks, separated by commas, to run only these.
//! - `QUICK=1`: a short run that tries the program out.
//!
//! A run with neither writes its table to `docs/abuse.md`. The exit code is 1 if a goal is missed or the bench cannot run.
//! The bench and the service need 15,000 open files each (`ulimit -Hn`).

mod attack;
mod attacks;
mod crowd;
mod database;
mod flood;
mod model;
mod report;
mod requests;
mod run;
mod settings;
mod sockets;
#[expect(dead_code, reason = "no bench uses all of it")]
#[path = "../support/mod.rs"]
mod support;
mod victims;

use std::process::ExitCode;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::run::Measured;
use crate::settings::Settings;
use crate::support::outcome::{Outcome, exit_code};
use crate::support::postgres::Postgres;
use crate::support::report::write_document;
use crate::support::stop::StopSignal;

/// Where the table goes.
const DOCUMENT: &str = "docs/abuse.md";

fn main() -> ExitCode {
    exit_code(measure())
}

/// Runs the attacks, prints the table, and returns whether all goals are met.
fn measure() -> Outcome<bool> {
    let settings = Settings::from_environment()?;
    // Without the handlers, a signal would end the bench and leave PostgreSQL and the service running.
    let stop = StopSignal::install()?;
    let (_, max) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, max, max)?;
    let postgres = Postgres::start(stop.flag())?;
    let rows = run_all(&settings, &postgres, &stop).map_err(|error| stop.or_error(error))?;
    let report = report::render(&postgres, &rows)?;
    println!("{report}");
    if settings.writes_document {
        write_document(DOCUMENT, &report)?;
    }
    Ok(rows.iter().all(Measured::meets_goals))
}

fn run_all(settings: &Settings, postgres: &Postgres, stop: &StopSignal) -> Outcome<Vec<Measured>> {
    let mut rows = Vec::new();
    for attack in &settings.attacks {
        for &limits in attack.limits {
            let row = run::run(settings, postgres, attack, limits, stop)?;
            eprintln!("{}\n{}", report::line(&row), report::failures(&row));
            rows.push(row);
        }
    }
    Ok(rows)
}
