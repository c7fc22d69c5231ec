//! A text of the file of reports: one line without any number, in every language.

use std::ops::Deref;

use serde::Deserialize;
use toml::Spanned;

use crate::data_file::{Mistake, ensure};
use crate::language::Language;
use crate::resources::{Registry, without_references};

/// Characters of a text, which should be a few sentences.
const MAX_CHARS: usize = 1_000;

/// A text of a document. It has no reference to a help line, since a document has only what the person gave.
#[derive(Clone, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Text(String);

impl Deref for Text {
    type Target = String;

    fn deref(&self) -> &String {
        &self.0
    }
}

impl TryFrom<String> for Text {
    type Error = String;

    fn try_from(text: String) -> Result<Text, String> {
        match fault(&text) {
            Some(fault) => Err(fault),
            None => Ok(Text(text)),
        }
    }
}

/// What may stand between two sentences of a polished document. With a negation, sentences would say the opposite.
#[derive(Clone, Deserialize)]
#[serde(try_from = "Text")]
pub(super) struct Connective(Text);

/// Words that change what the sentences beside them say.
const NO_CONNECTIVES: [&str; 12] =
    ["tidak", "tak", "bukan", "jangan", "belum", "tanpa", "atau", "not", "never", "no", "nor", "or"];

impl Deref for Connective {
    type Target = String;

    fn deref(&self) -> &String {
        &self.0
    }
}

impl TryFrom<Text> for Connective {
    type Error = String;

    fn try_from(text: Text) -> Result<Connective, String> {
        let lower = text.to_lowercase();
        let mut words = lower.split(|character: char| !character.is_alphanumeric());
        match words.find(|word| NO_CONNECTIVES.contains(word)) {
            Some(word) => Err(format!("a connective has no {word:?}, which would change what the document says")),
            None => Ok(Connective(text)),
        }
    }
}

/// Something in every language.
#[derive(Deserialize)]
#[serde(try_from = "GivenTexts<T>")]
pub(super) struct Texts<T = Text> {
    pub(super) id: T,
    pub(super) en: T,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GivenTexts<T> {
    id: Option<T>,
    en: Option<T>,
}

impl<T> TryFrom<GivenTexts<T>> for Texts<T> {
    type Error = &'static str;

    fn try_from(given: GivenTexts<T>) -> Result<Texts<T>, &'static str> {
        let id = given.id.ok_or("there is no text in Indonesian (id); every text is in Indonesian and English")?;
        let en = given.en.ok_or("there is no text in English (en); every text is in Indonesian and English")?;
        Ok(Texts { id, en })
    }
}

impl<T> Texts<T> {
    pub(super) fn get(&self, language: Language) -> &T {
        match language {
            Language::Indonesian => &self.id,
            Language::English => &self.en,
        }
    }
}

/// Replaces the references to help lines in a text. What stands between them has to be a text as any other.
pub(super) fn expand(text: &mut Spanned<String>, registry: &Registry) -> Result<(), Mistake> {
    let start = text.span().start;
    let expanded = registry.expand(text.as_ref()).map_err(|Mistake(at, what)| Mistake(start + at, what))?;
    let fault = fault(&without_references(text.as_ref(), ""));
    ensure(fault.is_none(), text, fault.unwrap_or_default())?;
    *text.as_mut() = expanded;
    Ok(())
}

/// Fails unless this is a text of a document.
pub(super) fn ensure_text(text: &Spanned<String>) -> Result<(), Mistake> {
    let fault = fault(text.as_ref());
    ensure(fault.is_none(), text, fault.unwrap_or_default())
}

/// Why it cannot be a text.
fn fault(text: &str) -> Option<String> {
    let has = |unwanted: fn(char) -> bool| text.chars().any(unwanted);
    let fault = if text.trim().is_empty() {
        "is empty; write one"
    } else if text.chars().count() > MAX_CHARS {
        return Some(format!("a text has more than {MAX_CHARS} characters; make it shorter, or two of it"));
    } else if has(char::is_control) {
        "is one line; join its lines"
    } else if has(|character| "{}[]".contains(character)) {
        "has no brackets but those of {resource:NAME}, which a step can have"
    } else if has(char::is_numeric) {
        "has no digits, so that no number is wrong: write a number as a word, and {resource:NAME} for a help line, in a step"
    } else if has_number_in_words(text) {
        "has no number in words, such as that of a telephone: write {resource:NAME} for a help line, in a step"
    } else if ["@", "://", "www."].iter().any(|address| text.contains(address)) || text.split_whitespace().any(is_host)
    {
        "has no address: write {resource:NAME} for a help line, in a step, and the address of a law into its source"
    } else {
        return None;
    };
    Some(format!("a text {fault}"))
}

/// Digits in words.
const DIGITS: [&str; 21] = [
    "nol", "kosong", "satu", "dua", "tiga", "empat", "lima", "enam", "tujuh", "delapan", "sembilan", "zero", "one",
    "two", "three", "four", "five", "six", "seven", "eight", "nine",
];

/// Whether three digits follow one another, as in a short code that is read aloud.
fn has_number_in_words(text: &str) -> bool {
    let lower = text.to_lowercase();
    let words = lower.split(|character: char| !character.is_alphanumeric()).filter(|word| !word.is_empty());
    let is_digit: Vec<bool> = words.map(|word| DIGITS.contains(&word)).collect();
    is_digit.windows(3).any(|three| three.iter().all(|is_digit| *is_digit))
}

/// Whether a word is the name of a website, such as `example.org`, with or without a path. Abbreviations (`e.g.`) and degrees (`M.Hum`)
/// are none.
fn is_host(word: &str) -> bool {
    let word = word.trim_matches(|character: char| !character.is_alphanumeric());
    let host = word.split(['/', '?', '#', ':']).next().unwrap_or_default();
    let has_labels =
        host.split('.').all(|label| !label.is_empty() && label.chars().all(|it| it.is_alphanumeric() || it == '-'));
    let last = host.rsplit_once('.').map_or("", |(_, last)| last);
    let has_one_case = last.chars().all(char::is_lowercase) || last.chars().all(char::is_uppercase);
    has_labels && last.chars().count() > 1 && has_one_case
}
