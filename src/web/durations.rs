//! Durations in words: `7 days`, `1 hour`, `90 minutes`.

use std::collections::BTreeMap;

/// The units, the largest first: their seconds, the key of one, and that of several.
const UNITS: [(i32, &str, &str); 4] = [
    (86_400, "one_day", "several_days"),
    (3_600, "one_hour", "several_hours"),
    (60, "one_minute", "several_minutes"),
    (1, "one_second", "several_seconds"),
];

/// The duration in the largest unit of which it is a whole number: what it says is exact.
pub(super) fn in_words(seconds: i32, texts: &BTreeMap<String, String>) -> String {
    let unit = UNITS.iter().find(|(unit, ..)| seconds % unit == 0);
    let (unit, one, several) = unit.expect("every number of seconds is a whole number of seconds");
    let words = match seconds / unit {
        1 => texts[*one].clone(),
        count => texts[*several].replace("{count}", &count.to_string()),
    };
    // So that no line ends between a number and its unit.
    words.replace(' ', "\u{a0}")
}
