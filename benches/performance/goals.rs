//! The goals: SafeSpace beside its peers and the baseline, with many sessions, with many connections, and at start.

use crate::baseline;
use crate::growth;
use crate::peers::{AXUM, FASTAPI};
use crate::pgbench;
use crate::results::{Results, Row, Sample};
use crate::services::SAFESPACE;
use crate::settings::{FEW_SESSIONS, Settings};
use crate::sweep;
use crate::workload::{Case, Workload};

/// A goal and its measured value.
pub(crate) struct Goal {
    pub(crate) name: String,
    pub(crate) value: String,
    pub(crate) wanted: String,
    pub(crate) met: bool,
}

/// Minimum ratios of SafeSpace's requests per second to those of another service.
const MIN_RATIOS: [(Workload, usize, &str, f64); 7] = [
    (Workload::Create, 128, AXUM, 3.0),
    (Workload::Create, 128, pgbench::NAME, 2.5),
    (Workload::Create, 128, FASTAPI, 30.0),
    (Workload::Delete, 128, AXUM, 2.0),
    (Workload::Read, 128, AXUM, 1.0),
    (Workload::Health, 32, AXUM, 1.0),
    (Workload::Chat, 64, FASTAPI, 3.0),
];

/// A value that has to be below axum's, or at most equal to it.
struct Below {
    name: &'static str,
    field: fn(&Sample) -> Option<f64>,
    allows_equal: bool,
    cases: &'static [(Workload, usize)],
}

const BELOW_AXUM: [Below; 3] = [
    Below { name: "p99 in ms", field: |sample| sample.p99, allows_equal: false, cases: &[(Workload::Create, 128)] },
    Below {
        name: "p50 in ms",
        field: |sample| sample.p50,
        allows_equal: true,
        cases: &[(Workload::Create, 1), (Workload::Read, 1), (Workload::Delete, 1), (Workload::Health, 1)],
    },
    Below {
        name: "CPU µs per request",
        field: |sample| sample.processor,
        allows_equal: false,
        cases: &[(Workload::Create, 128), (Workload::Read, 128), (Workload::Delete, 128), (Workload::Health, 32)],
    },
];

/// Minimum ratio of requests per second with many sessions to those with few.
const MIN_GROWTH_RATIO: f64 = 0.9;

/// Minimum ratio of requests per second while ended sessions are swept to those while they wait.
const MIN_SWEEP_RATIO: f64 = 0.9;

/// Minimum ratio of requests per second to the baseline's, for each workload.
const MIN_BASELINE_RATIO: f64 = 0.97;

/// One client reads histories of 1,000 messages.
const HISTORY: Case = Case { workload: Workload::History, connections: 1 };

/// Its p99 has to be below this, in milliseconds.
const HISTORY_P99_MS: f64 = 20.0;

/// Maximum time of a start, in milliseconds.
const MAX_START_MS: f64 = 150.0;

/// Number of connections of the cases whose memory is compared with axum's.
const MEMORY_CONNECTIONS: usize = 128;

/// All goals whose values were measured.
pub(crate) fn judge(settings: &Settings, results: &Results) -> Vec<Goal> {
    let mut goals = Vec::new();
    for (workload, connections, peer, min) in MIN_RATIOS {
        let case = Case { workload, connections };
        let peer_case = if peer == pgbench::NAME { pgbench::CASE } else { case };
        let name = format!("{}: requests/s of {SAFESPACE} / {peer}", title(case));
        goals.extend(min_ratio(name, results, (SAFESPACE, case), (peer, peer_case), min));
    }
    for below in BELOW_AXUM {
        for &(workload, connections) in below.cases {
            let case = Case { workload, connections };
            let name = format!("{}: {}", title(case), below.name);
            let values = [SAFESPACE, AXUM].map(|service| results.median(service, case, below.field));
            goals.extend(below_axum(name, values, below.allows_equal));
        }
    }
    let memory = [SAFESPACE, AXUM].map(|service| max_resident(results, service));
    goals.extend(below_axum(format!("{MEMORY_CONNECTIONS} connections: resident MiB"), memory, false));
    goals.extend(growth_goals(settings, results));
    goals.extend(sweep_goals(results));
    goals.extend(results.median(SAFESPACE, HISTORY, |sample| sample.p99).map(|p99| Goal {
        name: format!("{}: p99 in ms", title(HISTORY)),
        value: format!("{p99:.3}"),
        wanted: format!("below {HISTORY_P99_MS}"),
        met: p99 < HISTORY_P99_MS,
    }));
    goals.extend(baseline::means(results).into_iter().map(|(workload, ratio)| Goal {
        name: format!("{workload}: requests/s of {SAFESPACE} / {}", baseline::NAME),
        value: format!("{ratio:.3}"),
        wanted: format!("at least {MIN_BASELINE_RATIO}"),
        met: ratio >= MIN_BASELINE_RATIO,
    }));
    goals.extend(results.memory.iter().filter(|row| row.service == SAFESPACE).map(|row| Goal {
        name: row.kind.to_owned(),
        value: row.open.to_string(),
        wanted: row.wanted.to_string(),
        met: row.open == row.wanted,
    }));
    goals.extend(results.start_ms.map(|start| Goal {
        name: "start in ms".to_owned(),
        value: format!("{start:.0}"),
        wanted: format!("at most {MAX_START_MS}"),
        met: start <= MAX_START_MS,
    }));
    let of_rows = results.rows.iter().filter(|row| row.service.starts_with(SAFESPACE)).map(Row::errors);
    let beside = results.memory.iter().filter(|row| row.service == SAFESPACE).map(|row| row.beside.errors);
    let errors: f64 = of_rows.chain(beside).sum();
    goals.push(Goal {
        name: format!("errors of {SAFESPACE}"),
        value: errors.to_string(),
        wanted: "0".to_owned(),
        met: errors == 0.0,
    });
    goals
}

/// The peers without a measurement, whose goals are left out.
pub(crate) fn absent(results: &Results) -> Vec<&'static str> {
    [AXUM, FASTAPI].into_iter().filter(|&peer| results.rows_of(peer).next().is_none()).collect()
}

fn growth_goals(settings: &Settings, results: &Results) -> Vec<Goal> {
    let [small, large] = [FEW_SESSIONS, settings.growth_sessions].map(growth::service_name);
    let goal = |case| {
        let name = format!("{}: requests/s with many sessions / with few", title(case));
        min_ratio(name, results, (&large, case), (&small, case), MIN_GROWTH_RATIO)
    };
    growth::CASES.into_iter().filter_map(goal).collect()
}

fn sweep_goals(results: &Results) -> Vec<Goal> {
    let goal = |case| {
        let name = format!("{}: requests/s while ended sessions are swept / while they wait", title(case));
        min_ratio(name, results, (sweep::SWEEPING, case), (sweep::WAITING, case), MIN_SWEEP_RATIO)
    };
    sweep::CASES.into_iter().filter_map(goal).collect()
}

fn min_ratio(name: String, results: &Results, ours: (&str, Case), theirs: (&str, Case), min: f64) -> Option<Goal> {
    let rate = |(service, case): (&str, Case)| results.median(service, case, |sample| Some(sample.rate));
    let ratio = rate(ours)? / rate(theirs)?;
    Some(Goal { name, value: format!("{ratio:.2}"), wanted: format!("at least {min:.1}"), met: ratio >= min })
}

fn below_axum(name: String, [ours, axum]: [Option<f64>; 2], allows_equal: bool) -> Option<Goal> {
    let (ours, axum) = (ours?, axum?);
    let bound = if allows_equal { "at most" } else { "below" };
    let met = ours < axum || (allows_equal && ours <= axum);
    Some(Goal { name, value: format!("{ours:.3}"), wanted: format!("{bound} {AXUM}'s {axum:.3}"), met })
}

/// The largest of the medians, because an allocator seldom returns memory.
fn max_resident(results: &Results, service: &str) -> Option<f64> {
    let rows = results.rows_of(service).filter(|row| row.case.connections == MEMORY_CONNECTIONS);
    rows.filter_map(|row| row.median(|sample| sample.resident)).max_by(f64::total_cmp)
}

fn title(case: Case) -> String {
    let clients = if case.connections == 1 { "client" } else { "clients" };
    format!("{}, {} {clients}", case.workload.name(), case.connections)
}
