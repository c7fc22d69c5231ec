//! Everything measured: a row for each service and case, with a sample from each round.

use crate::workload::Case;

/// One run of a load. A value is absent where the load or the service has none.
#[derive(Clone, Copy)]
pub(crate) struct Sample {
    /// Requests per second.
    pub(crate) rate: f64,
    /// Median latency in milliseconds.
    pub(crate) p50: Option<f64>,
    /// 99th percentile of the latency in milliseconds.
    pub(crate) p99: Option<f64>,
    /// Responses with another status than 2xx or without the expected content, and socket errors.
    pub(crate) errors: f64,
    /// Chat turns per session, in a load that chats.
    pub(crate) turns: Option<f64>,
    /// Microseconds of processor time of all the service's processes for one request.
    pub(crate) processor: Option<f64>,
    /// Microseconds of processor time of PostgreSQL for one request.
    pub(crate) database: Option<f64>,
    /// Resident memory of the service in MiB, read right after the load.
    pub(crate) resident: Option<f64>,
}

pub(crate) struct Row {
    pub(crate) service: String,
    pub(crate) case: Case,
    pub(crate) samples: Vec<Sample>,
}

impl Row {
    pub(crate) fn median(&self, field: impl Fn(&Sample) -> Option<f64>) -> Option<f64> {
        median(self.samples.iter().filter_map(field).collect())
    }

    pub(crate) fn errors(&self) -> f64 {
        self.samples.iter().map(|sample| sample.errors).sum()
    }
}

/// The memory of a service before, while and after many connections are open.
pub(crate) struct MemoryRow {
    pub(crate) service: String,
    /// What is open, as in `idle connections`.
    pub(crate) kind: &'static str,
    pub(crate) wanted: usize,
    /// How many were still open at the end of the measurement.
    pub(crate) open: usize,
    /// Resident MiB before, during, after.
    pub(crate) resident: [f64; 3],
    /// A load of other requests while all of them are open, or the burst itself.
    pub(crate) beside: Option<Sample>,
}

/// Streamed answers of many turns at once.
pub(crate) struct StreamRow {
    pub(crate) streams: usize,
    pub(crate) pieces_per_second: f64,
    /// Milliseconds from the model to the client, median and 99th percentile: of first pieces, and of all.
    pub(crate) first: [f64; 2],
    pub(crate) all: [f64; 2],
    /// Processors that the service keeps busy.
    pub(crate) processors: f64,
}

/// All rows, in the order of the report.
#[derive(Default)]
pub(crate) struct Results {
    pub(crate) rows: Vec<Row>,
    pub(crate) memory: Vec<MemoryRow>,
    pub(crate) streams: Option<StreamRow>,
    /// Median milliseconds of a start.
    pub(crate) start_ms: Option<f64>,
}

impl Results {
    /// Adds an empty row. The order of rows is that of the report, whatever the order of the runs.
    pub(crate) fn add_row(&mut self, service: &str, case: Case) {
        self.rows.push(Row { service: service.to_owned(), case, samples: Vec::new() });
    }

    /// Adds a sample to an existing row.
    pub(crate) fn add_sample(&mut self, service: &str, case: Case, sample: Sample) {
        let row = self.rows.iter_mut().find(|row| row.service == service && row.case == case);
        if let Some(row) = row {
            row.samples.push(sample);
        }
    }

    /// The rows of a service; none if it was not measured.
    pub(crate) fn rows_of(&self, service: &str) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(move |row| row.service == service)
    }

    pub(crate) fn row(&self, service: &str, case: Case) -> Option<&Row> {
        self.rows_of(service).find(|row| row.case == case)
    }

    /// A value of one service divided by that of another, each in its own case: the median of the ratios of single rounds,
    /// because the runs of a round follow each other, so what else the machine does falls on both.
    pub(crate) fn ratio(
        &self,
        ours: (&str, Case),
        theirs: (&str, Case),
        field: impl Fn(&Sample) -> Option<f64>,
    ) -> Option<f64> {
        let samples = |(service, case)| Some(&self.row(service, case)?.samples);
        let pairs = samples(ours)?.iter().zip(samples(theirs)?);
        let ratios = pairs.filter_map(|(ours, theirs)| Some(field(ours)? / field(theirs)?));
        // A short run may have cost less processor time than `/proc` resolves: 0 / 0 has no value.
        median(ratios.filter(|ratio| ratio.is_finite()).collect())
    }

    /// The median of one value, where it was measured.
    pub(crate) fn median(&self, service: &str, case: Case, field: impl Fn(&Sample) -> Option<f64>) -> Option<f64> {
        self.row(service, case)?.median(field)
    }
}

/// For an even number of values, the mean of the two in the middle.
pub(crate) fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        length if length % 2 == 0 => Some(f64::midpoint(values[middle - 1], values[middle])),
        _ => Some(values[middle]),
    }
}
