//! Mixed load for an hour, with floods, while PostgreSQL and the service are killed again and again: `cargo bench --bench soak`.
//!
//! The clients keep a ledger of every write that was acknowledged. While the load goes on and at its end, that is compared with what
//! the service returns and with the tables. `-- --help` lists the options. The exit code is 1 if a promise was broken or the bench
//! cannot run. It needs Linux; as another user than root it needs the right to read the open files of the service in `/proc`.

mod arguments;
mod audit;
mod chance;
mod flatness;
mod flood;
mod judgement;
mod ledger;
mod model;
mod people;
mod pictures;
mod promises;
mod report;
mod requests;
mod samples;
mod schedule;
mod service;
mod shared;
mod slow_readers;
mod stored;
#[expect(dead_code, reason = "no bench uses all of it")]
#[path = "../support/mod.rs"]
mod support;
mod tally;
mod visit;
mod visitor;

use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::arguments::{Arguments, Times};
use crate::audit::Auditor;
use crate::promises::Promise;
use crate::samples::Sample;
use crate::schedule::Schedule;
use crate::service::{Companion, Service};
use crate::shared::Shared;
use crate::support::machine;
use crate::support::outcome::{Outcome, exit_code};
use crate::support::report::write_document;
use crate::support::stop::StopSignal;
use crate::visitor::Visitor;

/// Where the tables go.
const DOCUMENT: &str = "docs/soak.md";

/// Clients that visit at the same time at most.
const VISITORS: u32 = 96;

/// Sessions that rest, for each minute of the load: as many as its first quarter can make.
const RESTING_PER_MINUTE: u64 = 30;

/// How long the last look at everything may take.
const TIME_TO_FINISH: Duration = Duration::from_secs(300);

fn main() -> ExitCode {
    exit_code(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> Outcome<bool> {
    // Without the handlers, a signal would end the bench and leave PostgreSQL and the service running.
    let stop = StopSignal::install()?;
    let (_, max) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, max, max)?;
    soak(arguments, &stop).map_err(|error| stop.or_error(error))
}

fn soak(arguments: &Arguments, stop: &StopSignal) -> Outcome<bool> {
    let times = arguments.times();
    let model = model::start()?;
    let mut service = Service::new(model.address, Companion::Model)?;
    service.start(stop)?;
    let mut sql = service.connect().connect(postgres::NoTls)?;
    let history = slow_readers::store_history(&mut sql)?;
    let version: String = sql.query_one("SHOW server_version", &[])?.get(0);
    drop(sql);
    let machine = machine::describe(&version)?;
    let shared = Shared::new(service.address);
    let samples = load(arguments, times, &mut service, &shared, &history, stop)?;
    let rate = shared.tallies.sums().iter().sum::<usize>() as f64 / times.load.as_secs_f64();
    let [resting, erased] = shared.people.counts();
    eprintln!("The load is over; looking at {resting} sessions, and {erased} that were erased");
    let minutes = times.load.as_secs_f64() / 60.0;
    Auditor::new(&shared, service.connect()).finish(Instant::now() + TIME_TO_FINISH, stop)?;
    judgement::judge_log(&service.log()?, &shared.promises);
    let status = service.stop()?;
    let fault = (status.code() != Some(0)).then(|| format!("the service stopped with {status}"));
    shared.promises.check(Promise::Sound, fault);
    let judged = judgement::judge(&samples, minutes, &shared.promises);
    let head = format!(
        "{machine}; {minutes:.0} minutes with {rate:.0} requests per second of people beside the floods; at the end {resting} sessions were there, and \
         {erased} had been erased"
    );
    let report = report::render(&head, &shared, &judged)?;
    println!("{report}");
    if arguments.save {
        write_document(DOCUMENT, &report)?;
        pictures::draw(&machine, minutes, &samples, &shared.kills())?;
    }
    let unchecked = shared.promises.unchecked();
    unchecked.iter().for_each(|promise| eprintln!("NOT CHECKED: {promise}"));
    Ok(shared.promises.faults() == 0 && unchecked.is_empty())
}

/// Everybody at once, until the time is over or a signal comes.
fn load(
    arguments: &Arguments,
    times: Times,
    service: &mut Service,
    shared: &Shared,
    history: &str,
    stop: &StopSignal,
) -> Outcome<Vec<Sample>> {
    let interval = Duration::from_secs_f64(visit::REQUESTS / f64::from(arguments.rate));
    let wanted = usize::try_from(times.load.as_secs() / 60 * RESTING_PER_MINUTE)?;
    let connect = service.connect();
    thread::scope(|scope| {
        for number in 0..VISITORS {
            scope.spawn(move || visit_regularly(shared, interval, number, wanted));
        }
        scope.spawn(move || Auditor::new(shared, connect).run());
        scope.spawn(move || flood::run(shared, times.floods));
        scope.spawn(move || slow_readers::run(shared, history));
        let samples = Schedule::new(times, shared).run(service, stop);
        shared.end();
        samples
    })
}

/// The visits of one client. Those of all clients come one interval after another. A visit that is late is left out.
fn visit_regularly(shared: &Shared, interval: Duration, number: u32, wanted: usize) {
    let mut next = shared.started + interval * number;
    while shared.wait_until(next) {
        // A new connection for each.
        Visitor::new(shared).visit(wanted);
        next += interval * VISITORS;
        while next < Instant::now() {
            next += interval * VISITORS;
        }
    }
}
