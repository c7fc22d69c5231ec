//! Digits, words and what is between them, whatever alphabet digits are written in.

use std::ops::Range;

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use super::super::safety::is_invisible;

/// The zeros of scripts whose digits have no compatibility form; the others follow in order.
const ZEROS: [char; 31] = [
    '\u{660}',
    '\u{6f0}',
    '\u{7c0}',
    '\u{966}',
    '\u{9e6}',
    '\u{a66}',
    '\u{ae6}',
    '\u{b66}',
    '\u{be6}',
    '\u{c66}',
    '\u{ce6}',
    '\u{d66}',
    '\u{de6}',
    '\u{e50}',
    '\u{ed0}',
    '\u{f20}',
    '\u{1040}',
    '\u{1090}',
    '\u{17e0}',
    '\u{1810}',
    '\u{1946}',
    '\u{19d0}',
    '\u{1a80}',
    '\u{1a90}',
    '\u{1b50}',
    '\u{1bb0}',
    '\u{1c40}',
    '\u{a8d0}',
    '\u{a9d0}',
    '\u{abf0}',
    '\u{1e950}',
];

/// The ones of signs that are a digit in a circle, or of Suzhou; the others follow in order, up to ten.
const CIRCLED_ONES: [char; 5] = ['\u{3021}', '\u{24f5}', '\u{2776}', '\u{2780}', '\u{278a}'];

/// The digits of Chinese and Japanese.
const HAN: &str = "\u{3007}\u{4e00}\u{4e8c}\u{4e09}\u{56db}\u{4e94}\u{516d}\u{4e03}\u{516b}\u{4e5d}";

/// A part of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) range: Range<usize>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// ASCII digits.
    Digits(String),
    /// A word in lower case, without accents.
    Word(String),
    /// Anything else.
    Gap,
}

/// The tokens of a text.
pub(super) fn tokens(text: &str) -> impl Iterator<Item = Token> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let token = first(&text[at..])?;
        let range = at..at + token.range.end;
        at = range.end;
        Some(Token { range, ..token })
    })
}

fn first(text: &str) -> Option<Token> {
    let mut kind = None;
    let mut end = text.len();
    for (at, char) in text.char_indices() {
        // They belong to what they follow: so digits with invisible characters between them are one token.
        if !char.is_ascii() && (is_invisible(char) || is_combining_mark(char)) {
            continue;
        }
        let own = Kind::of(char);
        match (&mut kind, own) {
            (None, own) => kind = Some(own),
            (Some(Kind::Digits(digits)), Kind::Digits(more)) => digits.push_str(&more),
            (Some(Kind::Word(word)), Kind::Word(more)) => word.push_str(&more),
            (Some(Kind::Gap), Kind::Gap) => {}
            _ => {
                end = at;
                break;
            }
        }
    }
    (!text.is_empty()).then(|| Token { kind: kind.unwrap_or(Kind::Gap), range: 0..end })
}

impl Kind {
    fn of(char: char) -> Kind {
        if let Some(digits) = digits(char) {
            Kind::Digits(digits)
        } else if char.is_ascii_alphabetic() {
            Kind::Word(char.to_ascii_lowercase().to_string())
        } else if char.is_alphabetic() {
            Kind::Word(char.nfkd().filter(|char| !is_combining_mark(*char)).flat_map(char::to_lowercase).collect())
        } else {
            Kind::Gap
        }
    }
}

/// The digits that a character stands for.
fn digits(char: char) -> Option<String> {
    if char.is_ascii() {
        return char.is_ascii_digit().then(|| char.to_string());
    }
    let distance = |first: &char| u32::from(char).checked_sub(u32::from(*first));
    if let Some(digit) = ZEROS.iter().filter_map(distance).find(|digit| *digit < 10) {
        return Some(digit.to_string());
    }
    if let Some(digit) = CIRCLED_ONES.iter().filter_map(distance).find(|digit| *digit < 10) {
        return Some((digit + 1).to_string());
    }
    if let Some(digit) = HAN.chars().position(|han| han == char) {
        return Some(digit.to_string());
    }
    let digits: String = std::iter::once(char).nfkc().filter(char::is_ascii_digit).collect();
    (!digits.is_empty()).then_some(digits)
}
