//! The goals: what SafeSpace has to reach beside its peers, as it grows, and as it starts.

use crate::growth::{self, grown};
use crate::peers::{AXUM, FASTAPI};
use crate::pgbench;
use crate::results::{Results, Row, Sample};
use crate::rounds::FEW_SESSIONS;
use crate::services::SAFESPACE;
use crate::settings::Settings;
use crate::work::{Case, Work};

/// A goal and what was measured.
pub(crate) struct Goal {
    pub(crate) name: String,
    pub(crate) value: String,
    pub(crate) wanted: String,
    pub(crate) met: bool,
}

/// How many times the requests per second of another SafeSpace has to answer at least.
const LEAST_RATES: [(Work, usize, &str, f64); 7] = [
    (Work::Create, 128, AXUM, 3.0),
    (Work::Create, 128, pgbench::NAME, 2.5),
    (Work::Create, 128, FASTAPI, 30.0),
    (Work::Delete, 128, AXUM, 2.0),
    (Work::Read, 128, AXUM, 1.0),
    (Work::Health, 32, AXUM, 1.0),
    (Work::Chat, 64, FASTAPI, 3.0),
];

/// A value that has to be below axum's, or may at most be the same.
struct Lower {
    name: &'static str,
    field: fn(&Sample) -> Option<f64>,
    may_be_the_same: bool,
    cases: &'static [(Work, usize)],
}

const LOWER: [Lower; 3] = [
    Lower { name: "p99 in ms", field: |sample| sample.p99, may_be_the_same: false, cases: &[(Work::Create, 128)] },
    Lower {
        name: "p50 in ms",
        field: |sample| sample.p50,
        may_be_the_same: true,
        cases: &[(Work::Create, 1), (Work::Read, 1), (Work::Delete, 1), (Work::Health, 1)],
    },
    Lower {
        name: "CPU µs per request",
        field: |sample| sample.processor,
        may_be_the_same: false,
        cases: &[(Work::Create, 128), (Work::Read, 128), (Work::Delete, 128), (Work::Health, 32)],
    },
];

/// What a large database may cost: its requests per second are at least this part of a small one's.
const LEAST_GROWN: f64 = 0.9;

/// A lone client waits less than this for a history of 1,000 messages, in milliseconds, all but once in a hundred times.
const HISTORY: Case = Case { work: Work::History, connections: 1 };
const BELOW_FOR_HISTORY: f64 = 20.0;

/// Milliseconds that a start may take.
const MOST_FOR_START: f64 = 150.0;

/// Where the memory is compared.
const MOST_CONNECTIONS: usize = 128;

/// All goals whose values were measured.
pub(crate) fn judge(settings: &Settings, results: &Results, start: f64) -> Vec<Goal> {
    let mut goals = Vec::new();
    for (work, connections, peer, least) in LEAST_RATES {
        let case = Case { work, connections };
        let peer_case = if peer == pgbench::NAME { pgbench::CASE } else { case };
        let name = format!("{}: requests/s of {SAFESPACE} / {peer}", title(case));
        goals.extend(at_least(name, results, (SAFESPACE, case), (peer, peer_case), least));
    }
    for lower in LOWER {
        for &(work, connections) in lower.cases {
            let case = Case { work, connections };
            let name = format!("{}: {}", title(case), lower.name);
            let values = [SAFESPACE, AXUM].map(|service| results.median(service, case, lower.field));
            goals.extend(below(name, values, lower.may_be_the_same));
        }
    }
    let memory = [SAFESPACE, AXUM].map(|service| most_resident(results, service));
    goals.extend(below(format!("{MOST_CONNECTIONS} connections: resident MiB"), memory, false));
    goals.extend(grow(settings, results));
    goals.extend(results.median(SAFESPACE, HISTORY, |sample| sample.p99).map(|p99| Goal {
        name: format!("{}: p99 in ms", title(HISTORY)),
        value: format!("{p99:.3}"),
        wanted: format!("below {BELOW_FOR_HISTORY}"),
        met: p99 < BELOW_FOR_HISTORY,
    }));
    goals.push(Goal {
        name: "start in ms".to_owned(),
        value: format!("{start:.0}"),
        wanted: format!("at most {MOST_FOR_START}"),
        met: start <= MOST_FOR_START,
    });
    let errors: f64 = results.rows.iter().filter(|row| row.service.starts_with(SAFESPACE)).map(Row::errors).sum();
    goals.push(Goal {
        name: format!("errors of {SAFESPACE}"),
        value: errors.to_string(),
        wanted: "0".to_owned(),
        met: errors == 0.0,
    });
    goals
}

/// The peers that were not measured, whose goals are left out.
pub(crate) fn absent(results: &Results) -> Vec<&'static str> {
    [AXUM, FASTAPI].into_iter().filter(|&peer| results.of(peer).next().is_none()).collect()
}

fn grow(settings: &Settings, results: &Results) -> Vec<Goal> {
    let [small, large] = [FEW_SESSIONS, settings.growth_sessions].map(grown);
    let goal = |case| {
        let name = format!("{}: requests/s with many sessions / with few", title(case));
        at_least(name, results, (&large, case), (&small, case), LEAST_GROWN)
    };
    growth::CASES.into_iter().filter_map(goal).collect()
}

fn at_least(name: String, results: &Results, ours: (&str, Case), theirs: (&str, Case), least: f64) -> Option<Goal> {
    let rate = |(service, case): (&str, Case)| results.median(service, case, |sample| Some(sample.rate));
    let ratio = rate(ours)? / rate(theirs)?;
    Some(Goal { name, value: format!("{ratio:.2}"), wanted: format!("at least {least:.1}"), met: ratio >= least })
}

fn below(name: String, [ours, axum]: [Option<f64>; 2], may_be_the_same: bool) -> Option<Goal> {
    let (ours, axum) = (ours?, axum?);
    let word = if may_be_the_same { "at most" } else { "below" };
    let met = ours < axum || (may_be_the_same && ours <= axum);
    Some(Goal { name, value: format!("{ours:.3}"), wanted: format!("{word} {AXUM}'s {axum:.3}"), met })
}

/// The most of the medians, since memory that was used once is seldom given back.
fn most_resident(results: &Results, service: &str) -> Option<f64> {
    let rows = results.of(service).filter(|row| row.case.connections == MOST_CONNECTIONS);
    rows.filter_map(|row| row.median(|sample| sample.resident)).max_by(f64::total_cmp)
}

fn title(case: Case) -> String {
    let clients = if case.connections == 1 { "client" } else { "clients" };
    format!("{}, {} {clients}", case.work.name(), case.connections)
}
