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

/// Digits of an amount of money that is written without separators.
const MAX_AMOUNT: usize = 9;

/// Why a number stays or goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    /// The registry has it.
    Known,
    /// Less than three digits.
    Small,
    /// A date, a time, a year, hours or "24/7".
    Time,
    /// Somebody counts, or two or three small numbers with dashes between them, and no word of calling near them.
    Count,
    /// A decimal number, and no word of calling shortly before it.
    Decimal,
    /// Money, or thousands with separators, and no word of calling near it.
    Amount,
    /// A unit follows, or a word that counts or a currency stands before it, and no word of calling directly before it.
    Measure,
    /// Words such as "hundred", without a word of calling near them.
    Words,
    /// It has an extension.
    Extension,
    /// Counting, or words for a number, with a word of calling.
    Called,
    /// Three to six digits.
    ShortCode,
    /// Seven and more digits.
    Long,
}

impl Reason {
    pub(super) fn goes(self) -> bool {
        matches!(self, Reason::Extension | Reason::Called | Reason::ShortCode | Reason::Long)
    }
}

/// What stands around a part of a run.
struct Context {
    /// The words before it, the last one first.
    before: Vec<String>,
    after: Vec<String>,
    last_char: Option<char>,
    next_char: Option<char>,
}

/// The parts of a run at the beginning of `text`, and why each stays or goes. `before`: what stands before the text.
pub(super) fn parts(run: &Run, before: &str, text: &str, known: &Known) -> Vec<(Range<usize>, Reason)> {
    if known.has_all(&run.groups) {
        return vec![(range(&run.groups), Reason::Known)];
    }
    let context = |range: &Range<usize>| Context::new(before, text, range);
    let parts: Vec<&[Group]> = if is_one(run, text, known, &context) {
        vec![&run.groups]
    } else {
        run.groups.chunk_by(|_, group| !group.is_divided).collect()
    };
    let reasons = parts.into_iter().map(|part| {
        let range = range(part);
        let is_known = known.has_all(part);
        let reason = if is_known { Reason::Known } else { reason(part, &text[range.clone()], &context(&range)) };
        (range, reason)
    });
    reasons.collect()
}

/// Whether a run is one number, whatever stands between its parts.
fn is_one(run: &Run, text: &str, known: &Known, context: &dyn Fn(&Range<usize>) -> Context) -> bool {
    let (groups, range) = (&run.groups, range(&run.groups));
    let text = &text[range.clone()];
    if is_count(groups) || is_date(text) || is_always(text) {
        return true;
    }
    // Commas hide a number.
    let digits: usize = groups.iter().map(|group| group.digits.len()).sum();
    let are_short = groups.iter().all(|group| group.digits.len() <= 2);
    let is_prefixed =
        groups[0].digits.starts_with('0') && digits >= 9 && groups.iter().all(|group| !is_year(&group.digits));
    let has_known = groups.chunk_by(|_, group| !group.is_divided).any(|part| known.has_all(part));
    let hides = |context: Context| {
        !(text.contains('/') && context.is_dated())
            && context.is_near_call()
            && (context.is_directly_called() || !context.is_counted())
    };
    !has_known && (is_prefixed || are_short && digits >= MIN_SHORT_CODE && hides(context(&range)))
}

fn range(groups: &[Group]) -> Range<usize> {
    let start = groups.first().map_or(0, |group| group.range.start);
    start..groups.last().map_or(start, |group| group.range.end)
}

/// The first reason in this order that holds for a part of a run.
fn reason(part: &[Group], text: &str, context: &Context) -> Reason {
    let digits: usize = part.iter().map(|group| group.digits.len()).sum();
    let (is_near, is_called) = (context.is_near_call(), context.is_directly_called());
    if part.iter().any(|group| group.is_extension) {
        return Reason::Extension;
    }
    if part.iter().any(|group| group.is_word && group.digits.is_empty()) {
        // "seratus dua belas", "nine eleven", "triple nine".
        let is_number = part.len() > 1 && is_near && !context.has_unit();
        return if is_number { Reason::Called } else { Reason::Words };
    }
    if digits < MIN_SHORT_CODE {
        return Reason::Small;
    }
    if part.iter().all(|group| group.is_word && group.digits == "0") {
        // "Oh oh oh".
        return Reason::Words;
    }
    let is_time =
        (is_time(text) || is_small_range(text) && context.is_of_time()) && (!is_called || context.is_of_time());
    let is_year = is_years(text) && (!is_called || context.is_of_year());
    if is_date(text) || is_always(text) || is_time || is_year {
        return Reason::Time;
    }
    if is_count(part) {
        return if is_called && (context.is_money() || !context.is_counted()) { Reason::Called } else { Reason::Count };
    }
    if is_small_range(text) && !is_near {
        return Reason::Count;
    }
    if is_decimal(text) && !is_called {
        return Reason::Decimal;
    }
    let is_measure =
        context.has_unit_of_time() || !is_called && (context.has_unit() || context.is_counted() || context.is_money());
    let (is_grouped, is_money) = (is_grouped(text), context.is_money() && !text.starts_with(['0', '+']));
    if !is_near && (is_grouped || is_money && digits <= MAX_AMOUNT) {
        return Reason::Amount;
    }
    match digits {
        _ if is_measure && (is_grouped || digits < MIN_NUMBER) => Reason::Measure,
        _ if is_measure && !is_near && digits <= MAX_AMOUNT && !text.starts_with(['0', '+']) => Reason::Measure,
        digits if digits >= MIN_NUMBER => Reason::Long,
        _ => Reason::ShortCode,
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

    /// Whether a word such as "at" stands before it, or "pm" behind it.
    fn is_of_time(&self) -> bool {
        self.before.first().is_some_and(|word| words::is_before_time(word))
            || self.after.first().is_some_and(|word| words::is_behind_time(word))
    }

    /// Whether a word for a date stands before it.
    fn is_dated(&self) -> bool {
        self.before.first().is_some_and(|word| matches!(word.as_str(), "tanggal" | "tgl" | "date"))
    }

    /// Whether a word such as "since" or a month stands before it.
    fn is_of_year(&self) -> bool {
        self.before.first().is_some_and(|word| words::is_before_year(word))
    }

    fn has_unit(&self) -> bool {
        let first = self.after.first().map_or("", String::as_str);
        match self.next_char {
            Some('%' | '\u{b0}') => true,
            // "300-an".
            Some('-') => first == "an",
            Some(char) => char.is_alphabetic() && words::is_unit(first),
            None => false,
        }
    }

    fn has_unit_of_time(&self) -> bool {
        // "Call it this day" is "hubungi … hari ini".
        let is_day = self.after.get(1).is_some_and(|word| matches!(word.as_str(), "ini" | "itu"));
        self.next_char.is_some_and(char::is_alphabetic)
            && !is_day
            && self.after.first().is_some_and(|word| words::is_unit_of_time(word))
    }

    /// Whether a word that counts stands before it, or before a list that it ends: "pasal 285 dan 289".
    fn is_counted(&self) -> bool {
        // "Jalan Merdeka No. 123".
        let is_address = self.before.iter().take(DIRECT_WORDS).any(|word| matches!(word.as_str(), "jl" | "jalan"));
        self.last_char == Some('\u{a7}') || is_address || self.is_behind_counting()
    }

    fn is_behind_counting(&self) -> bool {
        self.before.iter().find(|word| !words::is_joining(word)).is_some_and(|word| words::is_counting(word))
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
    let years: Vec<&str> = text.split(['-', '\u{2013}', ' ']).filter(|it| !it.is_empty()).collect();
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

/// Numbers of at most two digits with dashes between them, six digits in all, as in "10-15" and "4-7-8".
fn is_small_range(text: &str) -> bool {
    let parts: Vec<&str> = text.split(['-', '\u{2013}']).collect();
    (2..=4).contains(&parts.len())
        && parts.iter().map(|part| part.len()).sum::<usize>() < MIN_NUMBER
        && parts.iter().all(|part| (1..=2).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit()))
}

/// At most two digits on each side of a point or comma.
fn is_decimal(text: &str) -> bool {
    let parts: Vec<&str> = text.split(['.', ',']).collect();
    parts.len() == 2
        && parts.iter().all(|part| (1..=2).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Day, month and year, or year, month and day.
fn is_date(text: &str) -> bool {
    let is_day_and_month = |day: u32, month: u32| (1..=31).contains(&day) && (1..=12).contains(&month);
    // Three digits are no day.
    if text.split(['-', '/', '.']).any(|part| part.len() > 2 && !is_year(part)) {
        return false;
    }
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
    text.split(['-', '\u{2013}']).count() <= 2 && text.split(['-', '\u{2013}']).all(is_one)
}

/// Thousands with a separator, as amounts are written.
fn is_grouped(text: &str) -> bool {
    let mut parts = text.split(['.', ',']);
    let is_first = parts.next().is_some_and(|first| (1..=3).contains(&first.len()) && !first.starts_with(['0', '+']));
    let rest: Vec<&str> = parts.collect();
    is_first
        && !rest.is_empty()
        && rest.iter().all(|part| part.len() == 3 && part.bytes().all(|byte| byte.is_ascii_digit()))
}
