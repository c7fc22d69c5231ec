//! Judges the ratios of the quick comparison. The tests include this file.

/// By how much of its last value a ratio may fall before it is measured again.
pub(crate) const MAX_FALL: f64 = 0.10;

/// What became of a ratio since it was written down.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Not lower than allowed.
    Kept,
    /// Too low once, and not the second time.
    Recovered,
    /// Too low twice.
    Fell,
    /// It was not measured before.
    New,
    /// It was measured before and not now, so nothing watches it any more.
    Gone,
}

impl Verdict {
    /// Whether the comparison fails.
    pub(crate) fn is_failure(&self) -> bool {
        matches!(self, Verdict::Fell | Verdict::Gone)
    }
}

/// Judges a ratio, of which more is better, by its last value, by that of now, and by that of the second measurement after a fall.
/// Without a second one, the first decides.
pub(crate) fn judge(values: [Option<f64>; 3]) -> Verdict {
    match values {
        [None, ..] => Verdict::New,
        [Some(last), Some(first), _] if !has_fallen(last, first) => Verdict::Kept,
        [Some(last), _, Some(second)] if !has_fallen(last, second) => Verdict::Recovered,
        [_, None, None] => Verdict::Gone,
        _ => Verdict::Fell,
    }
}

/// Whether a ratio is lower than allowed. What is no number is not a ratio that was kept.
pub(crate) fn has_fallen(last: f64, now: f64) -> bool {
    now.is_nan() || now < last * (1.0 - MAX_FALL)
}
