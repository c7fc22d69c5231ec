//! Which parts of a run are no ordinary numbers, by their form and the words around them.

use std::ops::Range;

use super::known::Known;
use super::run::{Group, Run};
use super::tokens::{Kind, tokens};
use super::words;

/// Digits that are a telephone number whatever stands around them.
const MIN_NUMBER: usize = 7;

/// Digits that are a short code.
const MIN_SHORT_CODE: usize = 3;

/// Words before and behind a number among which a word of calling is near it.
const NEAR_WORDS: (usize, usize) = (6, 5);

/// Words before a number among which a word of calling makes a short code of it whatever it counts.
const DIRECT_WORDS: usize = 3;

/// What stands around a part of a run.
struct Context {
    /// The words before it, the last one first.
    before: Vec<String>,
    after: Vec<String>,
    last_char: Option<char>,
    next_char: Option<char>,
}

/// The ranges of a run, at the beginning of `text`, that have to go. `before`: what stands before the text.
pub(super) fn unknown(run: &Run, before: &str, text: &str, known: &Known) -> Vec<Range<usize>> {
    if known.has_all(&run.groups) {
        return Vec::new();
    }
    let context = |range: &Range<usize>| Context::new(before, text, range);
    let mut parts: Vec<&[Group]> = run.groups.chunk_by(|_, group| !group.is_divided).collect();
    // Commas between single digits hide a number.
    let all = range(&run.groups);
    let digits: usize = run.groups.iter().map(|group| group.digits.len()).sum();
    let are_short = run.groups.iter().all(|group| group.digits.len() <= 2);
    let has_known = parts.iter().any(|part| known.has_all(part));
    let is_whole = are_short
        && digits >= MIN_SHORT_CODE
        && !has_known
        && context(&all).is_near_call()
        && !is_always(&text[all.clone()]);
    let is_prefixed =
        run.groups[0].digits.starts_with('0') && digits >= 9 && run.groups.iter().all(|group| !is_year(&group.digits));
    if parts.len() > 1 && (is_whole || is_prefixed && !has_known) && !is_count(&run.groups) {
        parts = vec![&run.groups];
    }
    let suspects = parts.into_iter().filter(|part| !known.has_all(part)).map(|part| (part, range(part)));
    suspects
        .filter(|(part, range)| is_number(part, &text[range.clone()], &context(range)))
        .map(|(_, range)| range)
        .collect()
}

fn range(groups: &[Group]) -> Range<usize> {
    let start = groups.first().map_or(0, |group| group.range.start);
    start..groups.last().map_or(start, |group| group.range.end)
}

/// Whether a part of a run is a number to call.
fn is_number(part: &[Group], text: &str, context: &Context) -> bool {
    let digits: usize = part.iter().map(|group| group.digits.len()).sum();
    let has_values = part.iter().any(|group| group.is_word && group.digits.is_empty());
    if part.iter().any(|group| group.is_extension) {
        return true;
    }
    if has_values {
        // "seratus dua belas", "nine eleven", "triple nine".
        return part.len() > 1 && context.is_near_call() && !context.has_unit();
    }
    if digits < MIN_SHORT_CODE
        || is_date(text)
        || is_time(text)
        || is_years(text) && !context.is_called()
        || is_always(text)
    {
        return false;
    }
    if is_count(part) {
        return context.is_directly_called();
    }
    let is_ordinary = (context.has_unit() || context.is_counted()) && !context.is_directly_called();
    let is_amount = is_grouped(text) && !context.is_near_call();
    match digits {
        _ if context.is_money() => false,
        MIN_SHORT_CODE => !is_ordinary,
        digits if digits < MIN_NUMBER => context.is_near_call() && !is_ordinary,
        _ => !(is_amount || is_grouped(text) && is_ordinary),
    }
}

impl Context {
    fn new(before: &str, text: &str, range: &Range<usize>) -> Context {
        let words = |text: &str| -> Vec<String> {
            let words = tokens(text).filter_map(|token| match token.kind {
                Kind::Word(word) => Some(word),
                _ => None,
            });
            words.collect()
        };
        let all_before = format!("{before}{}", &text[..range.start]);
        let mut words_before = words(&all_before);
        words_before.reverse();
        words_before.truncate(NEAR_WORDS.0);
        let mut after = words(&text[range.end..]);
        after.truncate(NEAR_WORDS.1);
        let last_char = all_before.chars().rev().find(|char| !char.is_whitespace());
        let next_char = text[range.end..].chars().find(|char| !char.is_whitespace());
        Context { before: words_before, after, last_char, next_char }
    }

    fn is_near_call(&self) -> bool {
        self.before.iter().chain(&self.after).any(|word| words::is_calling(word))
    }

    fn is_directly_called(&self) -> bool {
        self.before.iter().take(DIRECT_WORDS).any(|word| words::is_calling(word))
    }

    /// Whether the word before it is one of calling.
    fn is_called(&self) -> bool {
        self.before.first().is_some_and(|word| words::is_calling(word))
    }

    fn has_unit(&self) -> bool {
        self.next_char == Some('%')
            || self.next_char.is_some_and(char::is_alphabetic)
                && self.after.first().is_some_and(|word| words::is_unit(word))
    }

    fn is_counted(&self) -> bool {
        self.before.first().is_some_and(|word| words::is_counting(word))
    }

    fn is_money(&self) -> bool {
        let is_sign = |char: char| matches!(char, '$' | '\u{20ac}' | '\u{a3}' | '\u{a5}');
        let has_name = self.before.first().is_some_and(|word| matches!(word.as_str(), "rp" | "idr" | "usd"));
        self.last_char.is_some_and(is_sign)
            || has_name && self.last_char.is_some_and(|char| char.is_alphabetic() || char == '.')
    }
}

/// Single digits of which each is one more, or one less, than the one before: somebody counts.
fn is_count(groups: &[Group]) -> bool {
    let digits: Option<Vec<i8>> =
        groups.iter().map(|group| group.digits.parse().ok().filter(|_| group.digits.len() == 1)).collect();
    let Some(digits) = digits.filter(|digits| digits.len() >= 3) else { return false };
    let step = digits[1] - digits[0];
    step.abs() == 1 && digits.windows(2).all(|pair| pair[1] - pair[0] == step)
}

pub(super) fn is_year(digits: &str) -> bool {
    digits.len() == 4 && (digits.starts_with("19") || digits.starts_with("20"))
}

/// A year, or two.
fn is_years(text: &str) -> bool {
    let years: Vec<&str> = text.split(['-', '/', '\u{2013}', ' ']).filter(|it| !it.is_empty()).collect();
    (1..=2).contains(&years.len())
        && years.iter().all(|year| is_year(year) && year.bytes().all(|byte| byte.is_ascii_digit()))
}

/// "24/7".
fn is_always(text: &str) -> bool {
    text.split('/').eq(["24", "7"])
}

fn numbers(text: &str, separators: &[char]) -> Option<Vec<u32>> {
    text.split(separators).map(|part| part.trim().parse().ok()).collect()
}

/// Day, month and year, or year, month and day.
fn is_date(text: &str) -> bool {
    let is_day_and_month = |day: u32, month: u32| (1..=31).contains(&day) && (1..=12).contains(&month);
    match numbers(text, &['-', '/', '.']).as_deref() {
        Some([day, month, year]) if (1900..2100).contains(year) => {
            is_day_and_month(*day, *month) || is_day_and_month(*month, *day)
        }
        Some([year, month, day]) if (1900..2100).contains(year) => is_day_and_month(*day, *month),
        _ => false,
    }
}

/// A time, or two with a dash between them.
fn is_time(text: &str) -> bool {
    let is_one = |text: &str| {
        let has_form =
            text.trim().len() >= 4 && text.trim().split([':', '.']).nth(1).is_some_and(|minutes| minutes.len() == 2);
        has_form && matches!(numbers(text, &[':', '.']).as_deref(), Some([0..=24, 0..=59]))
    };
    text.split(['-', '\u{2013}']).all(is_one)
}

/// Thousands with a separator, as amounts are written.
fn is_grouped(text: &str) -> bool {
    let mut parts = text.split(['.', ',']);
    let is_first = parts.next().is_some_and(|first| (1..=3).contains(&first.len()) && !first.starts_with('0'));
    let rest: Vec<&str> = parts.collect();
    is_first
        && !rest.is_empty()
        && rest.iter().all(|part| part.len() == 3 && part.bytes().all(|byte| byte.is_ascii_digit()))
}
