//! Judges the samples, and the log of the service.

use crate::flatness::{self, Flatness};
use crate::promises::{Promise, Promises};
use crate::samples::{SERIES, Sample};
use crate::service::Companion;

/// The judgement on a series.
pub(crate) struct Judged {
    pub(crate) series: &'static str,
    /// Whose it is.
    pub(crate) of: &'static str,
    pub(crate) flatness: Option<Flatness>,
    /// What the last quarter may have at most.
    pub(crate) limit: f64,
}

/// Judges each series, those of the service by its companion.
pub(crate) fn judge(samples: &[Sample], minutes: f64, promises: &Promises) -> Vec<Judged> {
    let mut all = Vec::new();
    for (index, series) in SERIES.iter().enumerate() {
        let companions: &[Option<Companion>] =
            if series.is_of_service { &[Some(Companion::Script), Some(Companion::Model)] } else { &[None] };
        for companion in companions {
            let own = samples.iter().filter(|sample| companion.is_none_or(|companion| sample.companion == companion));
            let values: Vec<(f64, f64)> = own.map(|sample| (sample.minute / minutes, sample.values[index])).collect();
            let flatness = flatness::judge(&values, series.bound);
            let of = companion.map_or("PostgreSQL", Companion::name);
            let limit = flatness.map_or(0.0, |flatness| flatness::limit(flatness.second_quarter, series.bound));
            let fault = match flatness {
                None => Some(format!("{}, {of}: too few samples", series.name)),
                Some(flatness) if !flatness.is_flat => Some(format!("{}, {of}: it grows", series.name)),
                Some(_) => None,
            };
            promises.check(Promise::Flat, fault);
            all.push(Judged { series: series.name, of, flatness, limit });
        }
    }
    all
}

/// Looks for panics in the log.
pub(crate) fn judge_log(log: &str, promises: &Promises) {
    let panics = log.lines().filter(|line| line.contains("Panicked"));
    promises.check(Promise::Sound, panics.map(|_| "the log tells of a panic".to_owned()));
}
