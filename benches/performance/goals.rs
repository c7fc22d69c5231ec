//! The goals: SafeSpace beside its peers and the baseline, with many sessions, with many connections, and at start.

use crate::baseline;
use crate::growth;
use crate::limit;
use crate::memory;
use crate::model;
use crate::peers::{AXUM, FASTAPI};
use crate::pgbench;
use crate::results::{MemoryRow, Results, Row, Sample, StreamRow};
use crate::rounds;
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
const MIN_RATIOS: [(Workload, &[usize], &str, f64); 8] = [
    (Workload::Root, &[1, 128], AXUM, 1.0),
    (Workload::Root, &[1], limit::NAME, 0.8),
    (Workload::Root, &[128], limit::NAME, 0.85),
    (Workload::Create, &[32, 128], AXUM, 3.0),
    (Workload::Delete, &[32, 128], AXUM, 2.0),
    (Workload::Read, &[32, 128], AXUM, 2.0),
    (Workload::Health, &[32, 128], AXUM, 1.5),
    (Workload::Chat, &[64], AXUM, 1.5),
];

/// The median latency of one client may be at most this many times that of pgbench with the same statement.
const MAX_RATIO_TO_PGBENCH: f64 = 1.25;

/// A value of a sample, of which less is better, and its name in the report.
type Value = (&'static str, fn(&Sample) -> Option<f64>);

const P50: Value = ("p50 in ms", |sample| sample.p50);
const P99: Value = ("p99 in ms", |sample| sample.p99);
const PROCESSOR: Value = ("CPU µs per request", |sample| sample.processor);

const STATEMENTS: [Workload; 4] = [Workload::Create, Workload::Read, Workload::Delete, Workload::Health];

/// A value that may be axum's and this much more; without an allowance, it has to be below axum's. It is judged for each of the works
/// with each number of connections.
type Below = (Value, Option<f64>, &'static [Workload], &'static [usize]);

const BELOW_AXUM: [Below; 6] = [
    (P50, Some(0.0), &STATEMENTS, &[1]),
    (P50, Some(0.1), &[Workload::Chat], &[1]),
    (P99, None, &STATEMENTS, &[32, 128]),
    (PROCESSOR, None, &STATEMENTS, &[1, 32, 128]),
    (PROCESSOR, None, &[Workload::Root], &[1, 32, 128]),
    (PROCESSOR, None, &[Workload::Chat], &[1, 32, 64]),
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

/// What the service may keep of the memory of a burst, in MiB.
const MAX_KEPT_MIB: f64 = 20.0;

/// A first piece may arrive this much later than at a client of the model, while the streams keep this many processors busy.
const MAX_FIRST_PIECE_MS: f64 = 2.0;
const MAX_STREAM_PROCESSORS: f64 = 1.0;

/// Share of the model's pieces that have to arrive while they are measured; on a busy machine, the fake model sends fewer.
const MIN_SHARE_OF_PIECES: f64 = 0.95;

/// Maximum time of a start, in milliseconds.
const MAX_START_MS: f64 = 150.0;

/// Number of connections of the cases whose memory is compared with axum's.
const MEMORY_CONNECTIONS: usize = 128;

/// All goals whose values were measured.
pub(crate) fn judge(settings: &Settings, results: &Results) -> Vec<Goal> {
    let mut goals = Vec::new();
    for (workload, connections, peer, min) in MIN_RATIOS {
        for case in rounds::cases(&[workload], connections) {
            let name = format!("{}: requests/s of {SAFESPACE} / {peer}", case.title());
            goals.extend(min_ratio(name, results, (SAFESPACE, case), (peer, case), min));
        }
    }
    for ((value_name, field), allowed, works, connections) in BELOW_AXUM {
        for case in rounds::cases(works, connections) {
            let name = format!("{}: {value_name}", case.title());
            let values = [SAFESPACE, AXUM].map(|service| results.median(service, case, field));
            goals.extend(below_axum(name, values, allowed));
        }
    }
    goals.extend(rounds::cases(&STATEMENTS, &[1]).into_iter().filter_map(|case| near_pgbench(results, case)));
    let memory = [SAFESPACE, AXUM].map(|service| max_resident(results, service));
    goals.extend(below_axum(format!("{MEMORY_CONNECTIONS} connections: resident MiB"), memory, None));
    goals.extend(growth_goals(settings, results));
    goals.extend(sweep_goals(results));
    goals.extend(results.median(SAFESPACE, HISTORY, |sample| sample.p99).map(|p99| Goal {
        name: format!("{}: p99 in ms", HISTORY.title()),
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
    goals.extend(results.memory.iter().filter(|row| row.service == SAFESPACE).flat_map(memory_goals));
    goals.extend(results.streams.iter().flat_map(stream_goals));
    goals.extend(results.start_ms.map(|start| Goal {
        name: "start in ms".to_owned(),
        value: format!("{start:.0}"),
        wanted: format!("at most {MAX_START_MS}"),
        met: start <= MAX_START_MS,
    }));
    let of_rows = results.rows.iter().filter(|row| row.service.starts_with(SAFESPACE)).map(Row::errors);
    let beside = results.memory.iter().filter(|row| row.service == SAFESPACE);
    let beside = beside.filter_map(|row| Some(row.beside.as_ref()?.errors));
    let errors = of_rows.chain(beside).fold(0.0, |sum, errors| sum + errors);
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
    let goal = |case: Case| {
        let name = format!("{}: requests/s with many sessions / with few", case.title());
        min_ratio(name, results, (&large, case), (&small, case), MIN_GROWTH_RATIO)
    };
    growth::CASES.into_iter().filter_map(goal).collect()
}

fn sweep_goals(results: &Results) -> Vec<Goal> {
    let goal = |case: Case| {
        let name = format!("{}: requests/s while ended sessions are swept / while they wait", case.title());
        min_ratio(name, results, (sweep::SWEEPING, case), (sweep::WAITING, case), MIN_SWEEP_RATIO)
    };
    sweep::CASES.into_iter().filter_map(goal).collect()
}

/// All that were opened stay open, and the memory of a burst returns.
fn memory_goals(row: &MemoryRow) -> Vec<Goal> {
    let [before, _, after] = row.resident;
    let open = Goal {
        name: format!("open: {}", row.kind),
        value: row.open.to_string(),
        wanted: row.wanted.to_string(),
        met: row.open == row.wanted,
    };
    let returned = Goal {
        name: format!("MiB that stay after {} {}", row.wanted, row.kind),
        value: format!("{:.1}", after - before),
        wanted: format!("at most {MAX_KEPT_MIB}"),
        met: after - before <= MAX_KEPT_MIB,
    };
    match row.kind {
        memory::HISTORIES => vec![returned],
        memory::STREAMS => vec![open, returned],
        _ => vec![open],
    }
}

fn stream_goals(row: &StreamRow) -> [Goal; 3] {
    let [first, _] = row.first;
    let min_pieces = MIN_SHARE_OF_PIECES * row.streams as f64 / model::INTERVAL.as_secs_f64();
    [
        Goal {
            name: format!("{} streams: pieces/s", row.streams),
            value: format!("{:.0}", row.pieces_per_second),
            wanted: format!("at least {min_pieces:.0}"),
            met: row.pieces_per_second >= min_pieces,
        },
        Goal {
            name: format!("{} streams: p50 of the first piece in ms after the model's", row.streams),
            value: format!("{first:.2}"),
            wanted: format!("at most {MAX_FIRST_PIECE_MS}"),
            met: first <= MAX_FIRST_PIECE_MS,
        },
        Goal {
            name: format!("{} streams: busy processors", row.streams),
            value: format!("{:.2}", row.processors),
            wanted: format!("at most {MAX_STREAM_PROCESSORS}"),
            met: row.processors <= MAX_STREAM_PROCESSORS,
        },
    ]
}

fn min_ratio(name: String, results: &Results, ours: (&str, Case), theirs: (&str, Case), min: f64) -> Option<Goal> {
    let ratio = results.ratio(ours, theirs, |sample| Some(sample.rate))?;
    Some(Goal { name, value: format!("{ratio:.2}"), wanted: format!("at least {min}"), met: ratio >= min })
}

fn below_axum(name: String, [ours, axum]: [Option<f64>; 2], allowed: Option<f64>) -> Option<Goal> {
    let (ours, axum) = (ours?, axum?);
    let (wanted, met) = match allowed {
        None => (format!("below {AXUM}'s {axum:.3}"), ours < axum),
        Some(more) if more > 0.0 => (format!("at most {AXUM}'s {axum:.3} + {more}"), ours <= axum + more),
        Some(_) => (format!("at most {AXUM}'s {axum:.3}"), ours <= axum),
    };
    Some(Goal { name, value: format!("{ours:.3}"), wanted, met })
}

/// Names the floor where the goal is below it: no service can answer sooner than an empty request and the statement take together.
fn near_pgbench(results: &Results, case: Case) -> Option<Goal> {
    let (_, p50) = P50;
    let ours = results.median(SAFESPACE, case, p50)?;
    let statement = results.median(pgbench::NAME, case, p50)?;
    let root = Case { workload: Workload::Root, ..case };
    let floor = statement + results.median(limit::NAME, root, p50)?;
    let max = MAX_RATIO_TO_PGBENCH * statement;
    let mut wanted = format!("at most {max:.3}, {MAX_RATIO_TO_PGBENCH} × {}'s {statement:.3}", pgbench::NAME);
    if max < floor {
        wanted += &format!("; with `GET /` of {}, {} takes {floor:.3}", limit::NAME, pgbench::NAME);
    }
    let name = format!("{}: p50 in ms beside {}", case.title(), pgbench::NAME);
    Some(Goal { name, value: format!("{ours:.3}"), wanted, met: ours <= max })
}

/// The largest of the medians, because an allocator seldom returns memory.
fn max_resident(results: &Results, service: &str) -> Option<f64> {
    let rows = results.rows_of(service).filter(|row| row.case.connections == MEMORY_CONNECTIONS);
    rows.filter_map(|row| row.median(|sample| sample.resident)).max_by(f64::total_cmp)
}
