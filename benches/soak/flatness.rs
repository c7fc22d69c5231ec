//! Judges whether a value that was sampled over time stays flat. The tests include this file.

/// How far the median of the last quarter may be above that of the second one: so many percent, or so much where that is more.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bound {
    pub(crate) percent: f64,
    pub(crate) absolute: f64,
}

/// Fewer samples of a quarter than this have no median that says anything.
const MIN_SAMPLES: usize = 3;

/// The medians of the second and of the last quarter, and whether the last one is within the bound. The first quarter does not
/// count: caches fill, and the number of stored sessions grows to what it stays at.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Flatness {
    pub(crate) second_quarter: f64,
    pub(crate) last_quarter: f64,
    pub(crate) is_flat: bool,
}

/// Judges samples, each with its moment as a share of the whole time, from 0 to 1. `None` with too few of them.
pub(crate) fn judge(samples: &[(f64, f64)], bound: Bound) -> Option<Flatness> {
    let quarter = |from: f64, to: f64| {
        let values = samples.iter().filter(|(moment, _)| (from..to).contains(moment)).map(|(_, value)| *value);
        median(values.filter(|value| !value.is_nan()).collect())
    };
    let (second_quarter, last_quarter) = (quarter(0.25, 0.5)?, quarter(0.75, f64::INFINITY)?);
    Some(Flatness { second_quarter, last_quarter, is_flat: last_quarter <= limit(second_quarter, bound) })
}

/// The highest median of the last quarter that is flat.
pub(crate) fn limit(second_quarter: f64, bound: Bound) -> f64 {
    second_quarter + (second_quarter * bound.percent / 100.0).max(bound.absolute)
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    (values.len() >= MIN_SAMPLES).then(|| values[values.len() / 2])
}
