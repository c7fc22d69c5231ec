//! What was measured: a row for each service and case, with a sample from each round.

use crate::work::Case;

/// What one run of a load found. A value is absent where the load or the service has none.
#[derive(Clone, Copy)]
pub(crate) struct Sample {
    /// Requests per second.
    pub(crate) rate: f64,
    /// Milliseconds that half of the requests, and all but one in a hundred, stayed below.
    pub(crate) p50: Option<f64>,
    pub(crate) p99: Option<f64>,
    /// Answers that were no success, and what failed before an answer was there.
    pub(crate) errors: f64,
    /// Turns that each session had, in a load that chats.
    pub(crate) turns: Option<f64>,
    /// Microseconds of processor time that the service, all its processes together, took for a request.
    pub(crate) processor: Option<f64>,
    /// Resident memory of the service in MiB, read right after the load.
    pub(crate) resident: Option<f64>,
}

pub(crate) struct Row {
    pub(crate) service: String,
    pub(crate) case: Case,
    samples: Vec<Sample>,
}

impl Row {
    pub(crate) fn median(&self, field: impl Fn(&Sample) -> Option<f64>) -> Option<f64> {
        median(self.samples.iter().filter_map(field).collect())
    }

    pub(crate) fn errors(&self) -> f64 {
        self.samples.iter().map(|sample| sample.errors).sum()
    }
}

/// All rows, in the order in which they are shown.
#[derive(Default)]
pub(crate) struct Results {
    pub(crate) rows: Vec<Row>,
}

impl Results {
    /// Gives a row its place among the others, whose turns come in other orders.
    pub(crate) fn place(&mut self, service: &str, case: Case) {
        self.rows.push(Row { service: service.to_owned(), case, samples: Vec::new() });
    }

    /// Adds to a row that has its place.
    pub(crate) fn add(&mut self, service: &str, case: Case, sample: Sample) {
        let row = self.rows.iter_mut().find(|row| row.service == service && row.case == case);
        if let Some(row) = row {
            row.samples.push(sample);
        }
    }

    /// The rows of a service; there are none if it did not take part.
    pub(crate) fn of(&self, service: &str) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(move |row| row.service == service)
    }

    /// The median of one value, where it was measured.
    pub(crate) fn median(&self, service: &str, case: Case, field: impl Fn(&Sample) -> Option<f64>) -> Option<f64> {
        self.of(service).find(|row| row.case == case)?.median(field)
    }
}

/// Between two values in the middle it lies half-way.
pub(crate) fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        length if length % 2 == 0 => Some(f64::midpoint(values[middle - 1], values[middle])),
        _ => Some(values[middle]),
    }
}
