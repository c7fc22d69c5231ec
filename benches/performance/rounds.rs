//! The rounds, in which services take turns, so that what else the machine does falls on all of them.

use std::net::{Ipv4Addr, SocketAddr};

use crate::database::{OWNER, Postgres};
use crate::load::{Case, WORKS, Work};
use crate::peers::Peer;
use crate::pgbench::{self, Pgbench};
use crate::results::Results;
use crate::services::{SAFESPACE, Service, safespace};
use crate::settings::Settings;
use crate::{Outcome, Stop};

const CONNECTIONS: [usize; 3] = [1, 32, 128];

/// The case that pgbench is compared with.
const CREATE_128: Case = Case { work: Work::Create, connections: 128 };

/// Sessions in the small database, and in every database when a round begins.
pub(crate) const FEW_SESSIONS: u64 = 10_000;

/// What is done to the small and to the large database.
pub(crate) const GROWTH_CASES: [Case; 4] = [
    CREATE_128,
    Case { work: Work::Read, connections: 128 },
    Case { work: Work::Delete, connections: 128 },
    Case { work: Work::Health, connections: 32 },
];

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
    let ours = |address: SocketAddr| safespace(postgres, OWNER, address);
    let mut services = vec![Service::start(postgres, SAFESPACE, OWNER, ours, stop)?];
    for peer in peers {
        postgres.make(peer.database)?;
        let command = |address: SocketAddr| peer.command(postgres, address);
        let mut service = Service::start(postgres, peer.name, peer.database, command, stop)?;
        service.slow = peer.slow;
        services.push(service);
    }
    let cases = CONNECTIONS.iter().flat_map(|&connections| WORKS.map(|work| Case { work, connections }));
    let cases: Vec<Case> = cases.collect();
    for &case in &cases {
        services.iter().for_each(|service| results.place(&service.name, case));
        if case == CREATE_128 {
            results.place(pgbench::NAME, pgbench::CASE);
        }
    }
    for (round, seconds) in rounds(settings) {
        // The tables grow with what their service has done, and the fastest must not pay for that.
        for service in &mut services {
            service.sessions.begin_anew(FEW_SESSIONS)?;
        }
        for (number, &case) in cases.iter().enumerate() {
            let turns = services.len() + usize::from(case == CREATE_128);
            for turn in 0..turns {
                let next = (round + number + turn) % turns;
                let (name, case, sample) = match services.get_mut(next) {
                    Some(service) if service.slow && round > SLOW_ROUNDS => continue,
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
    Ok(())
}

/// SafeSpace on a small and on a large database.
pub(crate) fn grow(settings: &Settings, postgres: &Postgres, stop: &Stop, results: &mut Results) -> Outcome<()> {
    let mut services = Vec::new();
    for (count, database) in [(FEW_SESSIONS, "small"), (settings.growth_sessions, "large")] {
        postgres.make(database)?;
        let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        if !safespace(postgres, database, nowhere).arg("migrate").output()?.status.success() {
            return Err(format!("the {database} database is not migrated").into());
        }
        if database == "large" {
            postgres.connect(database)?.fill(count, stop)?;
        }
        let command = |address: SocketAddr| safespace(postgres, database, address);
        services.push(Service::start(postgres, &grown(count), database, command, stop)?);
    }
    for case in GROWTH_CASES {
        services.iter().for_each(|service| results.place(&service.name, case));
    }
    for case in GROWTH_CASES {
        for round in 0..=settings.rounds {
            services[0].sessions.begin_anew(FEW_SESSIONS)?;
            let seconds = if round == 0 { settings.growth_warm_up } else { settings.seconds };
            for turn in 0..services.len() {
                let next = (round + turn) % services.len();
                let service = &mut services[next];
                let sample = service.measure(case, seconds)?;
                stop.check()?;
                tell(settings, round, &service.name, case, sample.rate);
                if round > 0 {
                    results.add(&service.name, case, sample);
                }
            }
        }
    }
    Ok(())
}

/// The name of SafeSpace on a database with that many sessions.
pub(crate) fn grown(sessions: u64) -> String {
    let text = match sessions {
        count if count % 1_000_000 == 0 => format!("{} million", count / 1_000_000),
        count if count % 1_000 == 0 => format!("{} thousand", count / 1_000),
        count => count.to_string(),
    };
    format!("{SAFESPACE}, {text} sessions")
}

/// The numbers of the rounds and the seconds of their runs; round 0 warms up and does not count.
fn rounds(settings: &Settings) -> Vec<(usize, u64)> {
    let warm_up = settings.warm_up.map(|seconds| (0, seconds));
    warm_up.into_iter().chain((1..=settings.rounds).map(|round| (round, settings.seconds))).collect()
}

fn tell(settings: &Settings, round: usize, name: &str, case: Case, rate: f64) {
    let (rounds, work, connections) = (settings.rounds, case.work.name(), case.connections);
    let round = if round == 0 { "warm-up".to_owned() } else { format!("round {round} of {rounds}") };
    eprintln!("{round}: {work:6} {connections:4} {name:34} {rate:8.0} requests/s");
}
