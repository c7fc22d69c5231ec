//! The baseline: another SafeSpace binary, for example of the commit before, in the same rounds as the one under test.

use crate::results::{Results, Row, Sample};
use crate::services::SAFESPACE;

/// Its name in the report, and that of its database.
pub(crate) const NAME: &str = "baseline";

/// SafeSpace's values divided by the baseline's for one case.
pub(crate) struct Ratios<'a> {
    pub(crate) row: &'a Row,
    pub(crate) rate: f64,
    pub(crate) p50: Option<f64>,
    pub(crate) p99: Option<f64>,
    pub(crate) processor: Option<f64>,
}

/// The ratios of each case that both have run.
pub(crate) fn ratios<'a>(results: &'a Results) -> Vec<Ratios<'a>> {
    let of_row = |row: &'a Row| {
        let ratio = |field: fn(&Sample) -> Option<f64>| results.ratio((SAFESPACE, row.case), (NAME, row.case), field);
        Some(Ratios {
            row,
            rate: ratio(|sample| Some(sample.rate))?,
            p50: ratio(|sample| sample.p50),
            p99: ratio(|sample| sample.p99),
            processor: ratio(|sample| sample.processor),
        })
    };
    results.rows_of(SAFESPACE).filter_map(of_row).collect()
}

/// For each workload, the geometric mean of its ratios of requests per second over all numbers of connections.
pub(crate) fn means(results: &Results) -> Vec<(&'static str, f64)> {
    let mut logarithms: Vec<(&str, Vec<f64>)> = Vec::new();
    for ratio in ratios(results) {
        let name = ratio.row.case.workload.name();
        match logarithms.iter_mut().find(|(workload, _)| *workload == name) {
            Some((_, values)) => values.push(ratio.rate.ln()),
            None => logarithms.push((name, vec![ratio.rate.ln()])),
        }
    }
    let mean = |values: &[f64]| (values.iter().sum::<f64>() / values.len() as f64).exp();
    logarithms.iter().map(|(name, values)| (*name, mean(values))).collect()
}
