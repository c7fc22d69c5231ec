//! The rounds, in which services take turns, so that what else the machine does falls on all of them.

use std::net::SocketAddr;

use crate::database::{OWNER, Postgres};
use crate::peers::Peer;
use crate::pgbench::{self, Pgbench};
use crate::results::Results;
use crate::rows::Shape;
use crate::services::{SAFESPACE, Service, safespace};
use crate::settings::Settings;
use crate::work::{Case, Work};
use crate::{Outcome, Stop};

/// What is measured on services that were started for it.
struct Group {
    /// Works, each with these numbers of connections.
    cases: &'static [(&'static [usize], &'static [Work])],
    /// Sessions with a long history when a round begins.
    histories: usize,
}

const GROUPS: [Group; 2] = [
    Group {
        cases: &[(&[1, 32, 128], &[Work::Create, Work::Read, Work::Delete, Work::Health, Work::Root])],
        histories: 0,
    },
    Group { cases: &[(&[1, 32, 64], &[Work::Chat, Work::Stream]), (&[1, 32], &[Work::History])], histories: 32 },
];

/// The case that pgbench is compared with.
pub(crate) const CREATE_128: Case = Case { work: Work::Create, connections: 128 };

/// Sessions in the small database, and in every database when a round begins.
pub(crate) const FEW_SESSIONS: usize = 10_000;

/// Rounds for a slow service, whose figures decide by far.
const SLOW_ROUNDS: usize = 3;

/// SafeSpace beside its peers and pgbench.
pub(crate) fn compare(
    settings: &Settings,
    postgres: &Postgres,
    peers: &[Peer],
    pgbench: &Pgbench,
    stop: &Stop,
    results: &mut Results,
) -> Outcome<()> {
    for group in &GROUPS {
        let mut services = start_all(postgres, peers, stop)?;
        let mut cases = Vec::new();
        for (connections, works) in group.cases {
            cases.extend(
                connections.iter().flat_map(|&connections| works.iter().map(move |&work| Case { work, connections })),
            );
        }
        for &case in &cases {
            let takers = services.iter().filter(|service| does(service, case));
            takers.for_each(|service| results.place(&service.name, case));
            if case == CREATE_128 {
                results.place(pgbench::NAME, pgbench::CASE);
            }
        }
        for (round, seconds) in rounds(settings) {
            // The tables grow with what their service has done, and the fastest must not pay for that.
            for service in &mut services {
                service.sessions.begin_anew(FEW_SESSIONS, group.histories)?;
            }
            for (number, &case) in cases.iter().enumerate() {
                let turns = services.len() + usize::from(case == CREATE_128);
                for turn in 0..turns {
                    let next = (round + number + turn) % turns;
                    let (name, case, sample) = match services.get_mut(next) {
                        Some(service) if !does(service, case) || (service.slow && round > SLOW_ROUNDS) => continue,
                        Some(service) => (service.name.clone(), case, service.measure(case, seconds)?),
                        None => (pgbench::NAME.to_owned(), pgbench::CASE, pgbench.run(OWNER, seconds)?),
                    };
                    stop.check()?;
                    tell(settings, round, &name, case, sample.rate);
                    if round > 0 {
                        results.add(&name, case, sample);
                    }
                }
            }
        }
    }
    Ok(())
}

/// SafeSpace and its peers, each on a database of its own.
fn start_all(postgres: &Postgres, peers: &[Peer], stop: &Stop) -> Outcome<Vec<Service>> {
    let ours = |address: SocketAddr| safespace(postgres, OWNER, address);
    let mut services = vec![Service::start(postgres, SAFESPACE, postgres.sessions(OWNER, Shape::Sealed)?, ours, stop)?];
    for peer in peers {
        postgres.make(peer.database)?;
        let sessions = postgres.sessions(peer.database, Shape::Plain)?;
        let command = |address: SocketAddr| peer.command(postgres, address);
        let mut service = Service::start(postgres, peer.name, sessions, command, stop)?;
        service.slow = peer.slow;
        services.push(service);
    }
    Ok(services)
}

/// Whether a service takes part.
fn does(service: &Service, case: Case) -> bool {
    case.work.is_for_peers() || service.name == SAFESPACE
}

/// The numbers of the rounds and the seconds of their runs; round 0 warms up and does not count.
fn rounds(settings: &Settings) -> Vec<(usize, u64)> {
    let warm_up = settings.warm_up.map(|seconds| (0, seconds));
    warm_up.into_iter().chain((1..=settings.rounds).map(|round| (round, settings.seconds))).collect()
}

pub(crate) fn tell(settings: &Settings, round: usize, name: &str, case: Case, rate: f64) {
    let (rounds, work, connections) = (settings.rounds, case.work.name(), case.connections);
    let round = if round == 0 { "warm-up".to_owned() } else { format!("round {round} of {rounds}") };
    eprintln!("{round}: {work:7} {connections:4} {name:34} {rate:8.0} requests/s");
}
