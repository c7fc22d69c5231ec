//! The rounds: services run alternately, so that what else the machine does falls on all of them.

use std::net::SocketAddr;
use std::path::Path;

use crate::baseline;
use crate::peers::Peer;
use crate::pgbench::{self, Pgbench};
use crate::results::Results;
use crate::rows::Format;
use crate::services::{SAFESPACE, Service, safespace};
use crate::sessions::Sessions;
use crate::settings::{FEW_SESSIONS, Settings};
use crate::support::outcome::Outcome;
use crate::support::postgres::{OWNER, Postgres};
use crate::support::process::PROGRAM;
use crate::support::stop::StopSignal;
use crate::workload::{Case, Workload};

/// Cases that run on the same processes.
struct Group {
    /// Numbers of connections, and the workloads that run with each of them.
    cases: &'static [(&'static [usize], &'static [Workload])],
    /// Sessions with a long history at the start of a round.
    histories: usize,
}

const GROUPS: [Group; 2] = [
    Group {
        cases: &[(
            &[1, 32, 128],
            &[Workload::Create, Workload::Read, Workload::Delete, Workload::Health, Workload::Root],
        )],
        histories: 0,
    },
    Group {
        cases: &[(&[1, 32, 64], &[Workload::Chat, Workload::Stream]), (&[1, 32], &[Workload::History])],
        histories: 32,
    },
];

/// The case that pgbench is compared with.
pub(crate) const CREATE_128: Case = Case { workload: Workload::Create, connections: 128 };

/// Rounds for a slow service, whose figures are far from all goals.
const SLOW_ROUNDS: usize = 3;

/// Measures SafeSpace, the baseline, the peers and pgbench.
pub(crate) fn compare(
    settings: &Settings,
    postgres: &Postgres,
    peers: &[Peer],
    pgbench: &Pgbench,
    stop: &StopSignal,
    results: &mut Results,
) -> Outcome<()> {
    for group in &GROUPS {
        let mut services = start_all(settings, postgres, peers, stop)?;
        let mut cases = Vec::new();
        for (connections, workloads) in group.cases {
            let with = |&connections| workloads.iter().map(move |&workload| Case { workload, connections });
            cases.extend(connections.iter().flat_map(with));
        }
        for &case in &cases {
            let services = services.iter().filter(|service| runs(service, case));
            services.for_each(|service| results.add_row(&service.name, case));
            if case == CREATE_128 {
                results.add_row(pgbench::NAME, pgbench::CASE);
            }
        }
        for (round, seconds) in rounds(settings) {
            // Creates grow the tables; without a reset, the fastest service would have the largest ones.
            for service in &mut services {
                service.sessions.reset(FEW_SESSIONS, group.histories)?;
            }
            for (number, &case) in cases.iter().enumerate() {
                let count = services.len() + usize::from(case == CREATE_128);
                for offset in 0..count {
                    let next = (round + number + offset) % count;
                    let (name, case, sample) = match services.get_mut(next) {
                        Some(service) if !runs(service, case) || (service.slow && round > SLOW_ROUNDS) => continue,
                        Some(service) => (service.name.clone(), case, service.measure(case, seconds)?),
                        None => (pgbench::NAME.to_owned(), pgbench::CASE, pgbench.run(OWNER, seconds)?),
                    };
                    stop.check()?;
                    print_progress(settings, round, &name, case, sample.rate);
                    if round > 0 {
                        results.add_sample(&name, case, sample);
                    }
                }
            }
        }
    }
    Ok(())
}

/// Starts SafeSpace, the baseline and the peers, each on a database of its own.
fn start_all(settings: &Settings, postgres: &Postgres, peers: &[Peer], stop: &StopSignal) -> Outcome<Vec<Service>> {
    let ours = [(SAFESPACE, OWNER, Path::new(PROGRAM))];
    let theirs = settings.baseline.iter().map(|program| (baseline::NAME, baseline::NAME, program.as_path()));
    let mut services = Vec::new();
    for (name, database, program) in ours.into_iter().chain(theirs) {
        postgres.create_database(database)?;
        let command = |address: SocketAddr| safespace(settings, program, postgres, database, address);
        let sessions = Sessions::new(postgres.client(database)?, Format::Sealed);
        services.push(Service::start(postgres, name, sessions, command, stop)?);
    }
    for peer in peers {
        postgres.create_database(peer.database)?;
        let sessions = Sessions::new(postgres.client(peer.database)?, Format::Plain);
        let command = |address: SocketAddr| peer.command(postgres, address);
        let mut service = Service::start(postgres, peer.name, sessions, command, stop)?;
        service.slow = peer.slow;
        services.push(service);
    }
    Ok(services)
}

/// Whether the service runs this case.
fn runs(service: &Service, case: Case) -> bool {
    case.workload.is_for_peers() || [SAFESPACE, baseline::NAME].contains(&service.name.as_str())
}

/// The numbers of the rounds and the seconds of their runs. Round 0 is the warm-up, whose samples are dropped.
fn rounds(settings: &Settings) -> Vec<(usize, u64)> {
    let warm_up = settings.warm_up.map(|seconds| (0, seconds));
    warm_up.into_iter().chain((1..=settings.rounds).map(|round| (round, settings.seconds))).collect()
}

pub(crate) fn print_progress(settings: &Settings, round: usize, name: &str, case: Case, rate: f64) {
    let (rounds, workload, connections) = (settings.rounds, case.workload.name(), case.connections);
    let round = if round == 0 { "warm-up".to_owned() } else { format!("round {round} of {rounds}") };
    eprintln!("{round}: {workload:7} {connections:4} {name:34} {rate:8.0} requests/s");
}
