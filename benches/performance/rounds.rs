//! The rounds: contestants run alternately, so that what else the machine does falls on all of them.

use std::time::Instant;

use crate::contestants::{Contestant, start_all};
use crate::peers::Peer;
use crate::results::Results;
use crate::settings::Settings;
use crate::support::outcome::Outcome;
use crate::support::postgres::Postgres;
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

/// The case that is measured for growth and while ended sessions are swept too.
pub(crate) const CREATE_128: Case = Case { workload: Workload::Create, connections: 128 };

/// Rounds for a slow service, whose figures are far from all goals.
const SLOW_ROUNDS: usize = 3;

/// Measures SafeSpace, the baseline, the peers, the limit and pgbench.
pub(crate) fn compare(
    settings: &Settings,
    postgres: &Postgres,
    peers: &[Peer],
    stop: &StopSignal,
    results: &mut Results,
) -> Outcome<()> {
    for group in &GROUPS {
        let mut contestants = start_all(settings, postgres, peers, stop)?;
        let with = |&(connections, workloads)| cases(workloads, connections);
        let cases: Vec<Case> = group.cases.iter().flat_map(with).collect();
        run(settings, &mut contestants, &cases, group.histories, stop, results)?;
    }
    Ok(())
}

/// Each workload with each number of connections.
pub(crate) fn cases(workloads: &[Workload], connections: &[usize]) -> Vec<Case> {
    let with = |&connections| workloads.iter().map(move |&workload| Case { workload, connections });
    connections.iter().flat_map(with).collect()
}

/// Runs each case on every contestant that can, in all rounds of the settings for which there is time. Round 0 is the warm-up, whose samples are dropped.
pub(crate) fn run(
    settings: &Settings,
    contestants: &mut [Contestant],
    cases: &[Case],
    histories: usize,
    stop: &StopSignal,
    results: &mut Results,
) -> Outcome<()> {
    for &case in cases {
        let able = contestants.iter().filter(|contestant| contestant.runs(case.workload));
        able.for_each(|contestant| results.add_row(contestant.name(), case));
    }
    let began = Instant::now();
    let warm_up = settings.warm_up.map(|seconds| (0, seconds));
    for (round, seconds) in warm_up.into_iter().chain((1..=settings.rounds).map(|round| (round, settings.seconds))) {
        if round > 1 && settings.max_time.is_some_and(|max_time| began.elapsed() > max_time) {
            break;
        }
        // Creates grow the tables; without a reset, the fastest service would have the largest ones.
        contestants.iter_mut().try_for_each(|contestant| contestant.reset(histories))?;
        for (number, &case) in cases.iter().enumerate() {
            let count = contestants.len();
            for offset in 0..count {
                let contestant = &mut contestants[(round + number + offset) % count];
                if !contestant.runs(case.workload) || (contestant.is_slow() && round > SLOW_ROUNDS) {
                    continue;
                }
                let sample = contestant.measure(case, seconds)?;
                stop.check()?;
                print_progress(settings, round, contestant.name(), case, sample.rate);
                if round > 0 {
                    results.add_sample(contestant.name(), case, sample);
                }
            }
        }
    }
    Ok(())
}

pub(crate) fn print_progress(settings: &Settings, round: usize, name: &str, case: Case, rate: f64) {
    let (rounds, workload, connections) = (settings.rounds, case.workload.name(), case.connections);
    let round = if round == 0 { "warm-up".to_owned() } else { format!("round {round} of {rounds}") };
    eprintln!("{round}: {workload:7} {connections:4} {name:34} {rate:8.0} requests/s");
}
