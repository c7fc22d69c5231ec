//! The benchmark's judgement of ratios that were measured before.

#[path = "../../../benches/performance/verdict.rs"]
mod verdict;

use verdict::{MAX_FALL, Verdict, judge};

#[test]
fn a_ratio_fails_where_it_fell_by_more_than_a_tenth_twice() {
    let bound = 2.0 * (1.0 - MAX_FALL);
    let low = bound - 0.001;
    let cases = [
        ("never measured before", None, Some(low), None, Verdict::New),
        ("as before", Some(2.0), Some(2.0), None, Verdict::Kept),
        ("higher", Some(2.0), Some(3.0), None, Verdict::Kept),
        ("lower by a tenth", Some(2.0), Some(bound), None, Verdict::Kept),
        ("lower by more, once", Some(2.0), Some(low), Some(bound), Verdict::Recovered),
        ("lower by more, twice", Some(2.0), Some(low), Some(low), Verdict::Fell),
        ("lower by more, and not measured again", Some(2.0), Some(low), None, Verdict::Fell),
        ("no number", Some(2.0), Some(f64::NAN), Some(f64::NAN), Verdict::Fell),
        ("no number, then as before", Some(2.0), Some(f64::NAN), Some(2.0), Verdict::Recovered),
        ("not measured at first", Some(2.0), None, Some(2.0), Verdict::Recovered),
        ("not measured any more", Some(2.0), None, None, Verdict::Gone),
    ];
    for (case, last, first, second, expected) in cases {
        let verdict = judge([last, first, second]);
        assert_eq!(verdict, expected, "{case}");
        let fails = matches!(expected, Verdict::Fell | Verdict::Gone);
        assert_eq!(verdict.is_failure(), fails, "{case}");
    }
}
