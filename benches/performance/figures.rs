//! The ratios of the quick comparison: SafeSpace beside pgbench with the same statement, and beside the limit of an HTTP server.

use crate::limit;
use crate::pgbench;
use crate::results::{Results, Sample};
use crate::rounds;
use crate::services::SAFESPACE;
use crate::workload::{Case, Workload};

const ROOT: [Case; 2] =
    [Case { workload: Workload::Root, connections: 1 }, Case { workload: Workload::Root, connections: 128 }];

/// Numbers of connections of requests with one statement.
const CONNECTIONS: [usize; 2] = [1, 128];

/// A ratio of which more is better.
pub(crate) struct Figure {
    pub(crate) name: String,
    /// What it is measured with.
    pub(crate) cases: [Case; 2],
    pub(crate) value: fn([Case; 2], &Results) -> Option<f64>,
}

pub(crate) fn all() -> Vec<Figure> {
    let works = [Workload::Create, Workload::Read, Workload::Delete, Workload::Health];
    let mut statements: Vec<(Case, Case)> =
        rounds::cases(&works, &CONNECTIONS).into_iter().map(|case| (case, case)).collect();
    let create = |connections| Case { workload: Workload::Create, connections };
    let chat = |connections| Case { workload: Workload::Chat, connections };
    statements.extend([(chat(1), create(1)), (chat(64), create(128))]);
    let mut figures = Vec::new();
    for case in ROOT {
        let name = format!("{}: requests/s / limit's", case.title());
        figures.push(Figure { name, cases: [case, case], value: rate_to_limit });
    }
    for &(case, reference) in &statements {
        let of = if reference == case { String::new() } else { format!(" {}", reference.title()) };
        let name = format!("{}: requests/s / pgbench's{of}", case.title());
        figures.push(Figure { name, cases: [case, reference], value: rate_to_pgbench });
    }
    for &(case, Case { workload, .. }) in &statements {
        let reference = Case { workload, connections: 1 };
        let name = format!("{}: PostgreSQL's time for pgbench's {} / for ours", case.title(), reference.title());
        figures.push(Figure { name, cases: [case, reference], value: postgres_time });
    }
    for case in ROOT.into_iter().chain(statements.into_iter().map(|(case, _)| case)) {
        let root = ROOT[usize::from(case.connections > 1)];
        let name = format!("{}: processor time of limit's {} / ours", case.title(), root.title());
        figures.push(Figure { name, cases: [case, root], value: limit_processor });
    }
    figures
}

fn rate_to_limit([case, reference]: [Case; 2], results: &Results) -> Option<f64> {
    results.ratio((SAFESPACE, case), (limit::NAME, reference), |sample| Some(sample.rate))
}

fn rate_to_pgbench([case, reference]: [Case; 2], results: &Results) -> Option<f64> {
    results.ratio((SAFESPACE, case), (pgbench::NAME, reference), |sample| Some(sample.rate))
}

fn limit_processor([case, reference]: [Case; 2], results: &Results) -> Option<f64> {
    results.ratio((limit::NAME, reference), (SAFESPACE, case), |sample: &Sample| sample.processor)
}

fn postgres_time([case, reference]: [Case; 2], results: &Results) -> Option<f64> {
    results.ratio((pgbench::NAME, reference), (SAFESPACE, case), |sample| sample.database)
}
