//! Measures SafeSpace beside its peers, with a growing number of sessions, while ended ones are swept, and at start: `cargo bench --bench performance`.
//!
//! It needs `wrk` and `pgbench`. `cargo bench --bench performance -- --help` lists the options (`arguments.rs`). Settings from the
//! environment:
//!
//! - `PEERS`: folder of the peers, `axum/` and `fastapi/`. Without it, SafeSpace is measured beside pgbench and the limit alone.
//! - `BASELINE`: path of another SafeSpace binary. It runs in the same alternating rounds; the report has the ratios of
//!   the two, and each workload has to reach 0.97 of the baseline.
//! - `ROUNDS`: rounds that count, 5 by default. More rounds make a ratio more certain.
//! - `GROWTH_SESSIONS`: sessions in the large database, 10,000,000 by default.
//! - `ENDED_SESSIONS`: sessions that ended and are swept meanwhile, 1,000,000 by default.
//! - `OPEN_STREAMS`, `IDLE_CONNECTIONS`: how many are open while memory is measured, 2,000 and 10,000 by default.
//! - `LOG_LEVEL`: the log level of SafeSpace and of the baseline, `info` by default, whose lines go to a file.
//!
//! A run without options and `BASELINE` writes its tables to `docs/performance.md`, and the picture there. The exit code is 1 if a goal is
//! missed, a ratio fell or the bench cannot run, 2 if a program is missing.

mod arguments;
mod baseline;
mod busy;
mod contestants;
mod figures;
mod goals;
mod growth;
mod guard;
mod limit;
mod load;
mod memory;
mod model;
mod peers;
mod pgbench;
mod picture;
mod report;
mod results;
mod rounds;
mod rows;
mod services;
mod sessions;
mod settings;
mod start;
mod streams;
#[expect(dead_code, reason = "no bench uses all of it")]
#[path = "../support/mod.rs"]
mod support;
mod sweep;
mod verdict;
mod workload;

use std::process::ExitCode;

use clap::Parser;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::arguments::{Arguments, Part};
use crate::results::Results;
use crate::settings::Settings;
use crate::support::outcome::{Outcome, exit_code};
use crate::support::postgres::Postgres;
use crate::support::report::write_document;
use crate::support::stop::StopSignal;

/// Where the tables go.
const DOCUMENT: &str = "docs/performance.md";

/// Exit code when a program that the bench needs is not installed.
const PROGRAM_MISSING: u8 = 2;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(address) = arguments.serve_limit {
        return exit_code(limit::serve(address).map(|()| true));
    }
    let missing = missing_programs();
    if !missing.is_empty() {
        eprintln!("{}", missing.join("\n"));
        return ExitCode::from(PROGRAM_MISSING);
    }
    exit_code(measure(&arguments))
}

/// The programs that are not installed, and how to install them.
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

/// Measures what the arguments ask for, and returns whether all goals are met.
fn measure(arguments: &Arguments) -> Outcome<bool> {
    let settings = Settings::read(arguments)?;
    // Without the handlers, a signal would end the bench and leave PostgreSQL and the services running.
    let stop = StopSignal::install()?;
    // The bench has the client's end of each connection, and the model's end of each stream.
    let (_, max) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, max, max)?;
    run(arguments, settings, &stop).map_err(|error| stop.or_error(error))
}

fn run(arguments: &Arguments, settings: Settings, stop: &StopSignal) -> Outcome<bool> {
    if arguments.quick {
        let postgres = Postgres::start(stop.flag())?;
        return guard::compare(&settings.quick(), &postgres, arguments.save, stop);
    }
    let peers = peers::prepare(&settings)?;
    let postgres = Postgres::start(stop.flag())?;
    if arguments.picture {
        if !settings.writes_document {
            return Err("the picture shows axum and no baseline: set PEERS, and not BASELINE".into());
        }
        picture::draw(&settings.picture(), &postgres, &peers, stop)?;
        return Ok(true);
    }
    let environment = report::environment(&settings, &postgres)?;
    let mut results = Results::default();
    let measures = |part| arguments.only.is_none_or(|only| only == part);
    if measures(Part::Rounds) {
        rounds::compare(&settings, &postgres, &peers, stop, &mut results)?;
    }
    if measures(Part::Start) {
        results.start_ms = Some(start::measure(&settings, &postgres, stop)?);
    }
    if measures(Part::Memory) {
        results.memory = memory::measure(&settings, &postgres, stop)?;
    }
    if measures(Part::Streams) {
        let (streams, memory) = streams::measure(&settings, &postgres, stop)?;
        results.streams = Some(streams);
        results.memory.push(memory);
    }
    if measures(Part::Growth) {
        growth::measure(&settings, &postgres, stop, &mut results)?;
    }
    if measures(Part::Sweep) {
        sweep::measure(&settings, &postgres, stop, &mut results)?;
    }
    let goals = goals::judge(&settings, &results);
    let report = report::render(&environment, &results, &goals)?;
    println!("{report}");
    if settings.writes_document {
        write_document(DOCUMENT, &report)?;
        picture::draw(&settings.picture(), &postgres, &peers, stop)?;
    }
    Ok(goals.iter().all(|goal| goal.met))
}
