//! Takes telephone numbers, short codes and links out of a model's answer that are not in the registry of help lines: a model can
//! invent them, and a person in danger would call them.
//!
//! The rule is open, and errs on the side of taking out. What the registry has stays. Of the rest these go; `judge::Reason` has a
//! name for each reason, and the table of the tests has cases:
//!
//! - three and more digits, but for dates, times, years, amounts, decimals, small ranges ("10-15") and counting, and for what has a
//!   unit ("365 days") or stands behind a word that counts ("pasal 281") or a currency;
//! - an extension; digits that are written as words, or one by one, as if they were written as usual;
//! - every link with a scheme or a path, every e-mail address and account, every two words with a dot between them. A page of a
//!   known site stays where its name has at most two digits.
//!
//! A word of calling shortly before it takes most exceptions from a number: "call $911", "call 9.11"; a word such as "at" or "since"
//! before a time, and a unit of time behind the number, give them back.
//!
//! The first one becomes the help lines for the question, each further one [`FURTHER`].
//!
//! - `tokens`: digits, words and what is between them; `run`: digits that may be one number, and their parts.
//! - `judge`: which part of a run is no ordinary number; `words`: the words that tell it.
//! - `links`: links, domains and addresses; `known`: the numbers and links of the registry.

#[cfg(test)]
mod cases_of_tests;
mod judge;
mod known;
mod links;
mod run;
#[cfg(test)]
mod tests;
mod tokens;
mod words;

pub(super) use known::Known;

use super::safety::is_invisible;
use run::Run;
use unicode_normalization::char::is_combining_mark;

/// What stands for a number after the first one.
const FURTHER: &str = "[\u{2026}]";

/// Characters without white space that are looked at together: a longer link is cut.
const MAX_CHUNK_CHARS: usize = 256;

/// Invisible characters and accents in a row; more are taken out. Emoji and the scripts that use them need fewer.
const MAX_HIDDEN: usize = 4;

/// Characters before and behind a number that tell what it is.
const CONTEXT_CHARS: usize = 48;

/// Filters an answer that comes in pieces. How it is cut makes no difference: a decision depends on the text alone. At most a few
/// hundred characters are held back, and its work grows with the length of the answer.
pub(super) struct NumberFilter<'a> {
    known: &'a Known,
    /// What the first number becomes; empty once it was used.
    help_lines: String,
    /// The end of what was passed on, before it was changed.
    before: String,
    /// What cannot be decided yet.
    held: String,
    /// The length of that at which it is looked at again, so that many small pieces cost little.
    look_again_at: usize,
    /// Invisible characters and accents in a row so far.
    hidden: usize,
}

/// What is next in the text that is held back.
enum Next {
    /// This many bytes stay as they are.
    Plain(usize),
    /// This many bytes, of which these ranges go.
    Suspect(usize, Vec<std::ops::Range<usize>>),
    /// More of the text is needed.
    Wait,
}

impl<'a> NumberFilter<'a> {
    /// `help_lines`: what the first number becomes.
    pub(super) fn new(known: &'a Known, help_lines: String) -> NumberFilter<'a> {
        NumberFilter { known, help_lines, before: String::new(), held: String::new(), look_again_at: 0, hidden: 0 }
    }

    /// Returns what of the next piece, and of what was held back before it, can be passed on.
    pub(super) fn push(&mut self, piece: &str) -> String {
        // More could divide a number for the filter, but not for the eye.
        self.held.extend(piece.chars().filter(|char| {
            self.hidden = if is_invisible(*char) || is_combining_mark(*char) { self.hidden + 1 } else { 0 };
            self.hidden <= MAX_HIDDEN
        }));
        if self.held.len() < self.look_again_at {
            return String::new();
        }
        let passed = self.pass_on(false);
        // A word is shorter.
        self.look_again_at = if self.held.len() < 32 { 0 } else { self.held.len() * 9 / 8 };
        passed
    }

    /// Returns what was held back, at the end of the answer.
    pub(super) fn finish(&mut self) -> String {
        self.pass_on(true)
    }

    fn pass_on(&mut self, is_end: bool) -> String {
        let held = std::mem::take(&mut self.held);
        let (mut rest, mut passed) = (held.as_str(), String::new());
        while !rest.is_empty() {
            let length = match next(rest, &self.before, self.known, is_end) {
                Next::Wait => break,
                Next::Plain(length) => {
                    passed.push_str(&rest[..length]);
                    length
                }
                Next::Suspect(length, ranges) => {
                    let mut end = 0;
                    for range in ranges {
                        passed.push_str(&rest[end..range.start]);
                        let help_lines = std::mem::take(&mut self.help_lines);
                        passed.push_str(if help_lines.is_empty() { FURTHER } else { &help_lines });
                        end = range.end;
                    }
                    passed.push_str(&rest[end..length]);
                    length
                }
            };
            self.before.push_str(&rest[..length]);
            let start = tail_start(&self.before, CONTEXT_CHARS);
            self.before.drain(..start);
            rest = &rest[length..];
        }
        self.held = rest.to_owned();
        passed
    }
}

/// Decides on the beginning of a text that follows `before`.
fn next(text: &str, before: &str, known: &Known, is_end: bool) -> Next {
    let spaces = text.len() - text.trim_start().len();
    if spaces > 0 {
        return Next::Plain(spaces);
    }
    let max = text.char_indices().nth(MAX_CHUNK_CHARS).map(|(at, _)| at);
    let end = text.find(char::is_whitespace).filter(|end| max.is_none_or(|max| *end < max)).or(max);
    let Some(length) = end.or(is_end.then_some(text.len())) else { return Next::Wait };
    let chunk = &text[..length];
    let found = links::first(chunk);
    if let Some((range, link)) = &found
        && range.start == 0
    {
        let unknown = Some(range.clone()).filter(|_| !known.has_link(link));
        return Next::Suspect(range.end, unknown.into_iter().collect());
    }
    // What stands before a link is looked at first.
    let length = found.map_or(length, |(range, _)| range.start);
    // "example dot com", and "example at gmail".
    let is_end_of_link: Option<fn(&str) -> bool> = match chunk {
        _ if links::is_dot(chunk) => Some(links::is_top_level),
        _ if links::is_at(chunk) => Some(links::is_mail),
        _ => None,
    };
    if let Some(is_end_of_link) = is_end_of_link {
        let after = text[length..].trim_start();
        let word = after.find(char::is_whitespace).or(is_end.then_some(after.len()));
        let word = word.or((after.chars().count() > MAX_CHUNK_CHARS).then_some(after.len()));
        let Some(word) = word else { return Next::Wait };
        let end = text.len() - after.len() + word;
        return if is_end_of_link(&after[..word]) {
            Next::Suspect(end, std::iter::once(0..end).collect())
        } else {
            Next::Plain(length)
        };
    }
    // "Healing119".
    let word = chunk[..length].find(char::is_alphanumeric).map_or("", |start| &chunk[start..length]);
    let word = &word[..word.find(|char: char| !char.is_alphanumeric()).unwrap_or(word.len())];
    if !word.is_empty() && !word.starts_with(|char: char| char.is_ascii_digit()) && known.has_name(word) {
        return Next::Plain(chunk[..length].find(word).map_or(length, |start| start + word.len()));
    }
    let Some(start) = run::start(text, length) else { return Next::Plain(length) };
    if start > 0 {
        return Next::Plain(start);
    }
    let Some(run) = Run::read(text, is_end) else { return Next::Wait };
    if run.is_single_word() {
        return Next::Plain(run.end);
    }
    let context_end = text[run.end..].char_indices().nth(CONTEXT_CHARS).map(|(at, _)| run.end + at);
    let Some(context_end) = context_end.or(is_end.then_some(text.len())) else { return Next::Wait };
    let parts = judge::parts(&run, before, &text[..context_end], known);
    Next::Suspect(run.end, parts.into_iter().filter(|(_, reason)| reason.goes()).map(|(range, _)| range).collect())
}

/// Where the last so many characters of a text begin.
fn tail_start(text: &str, chars: usize) -> usize {
    text.char_indices().rev().nth(chars.saturating_sub(1)).map_or(0, |(at, _)| at)
}
