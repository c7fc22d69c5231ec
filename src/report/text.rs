//! A text of the file of reports: one line without any number, in every language.

use std::ops::Deref;

use serde::Deserialize;
use toml::Spanned;

use crate::data_file::{Mistake, ensure};
use crate::language::Language;
use crate::resources::Registry;

/// Characters of a text, which should be a few sentences.
const MAX_CHARS: usize = 1_000;

/// How a reference to a help line begins.
const REFERENCE: &str = "{resource:";

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
    type Error = &'static str;

    fn try_from(text: String) -> Result<Text, &'static str> {
        match fault(&text) {
            Some(fault) => Err(fault),
            None => Ok(Text(text)),
        }
    }
}

/// Something in every language.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Texts<T = Text> {
    pub(super) id: T,
    pub(super) en: T,
}

impl<T> Texts<T> {
    pub(super) fn get(&self, language: Language) -> &T {
        match language {
            Language::Indonesian => &self.id,
            Language::English => &self.en,
        }
    }
}

/// Replaces the references to help lines in a text.
pub(super) fn expand(text: &mut Spanned<String>, registry: &Registry) -> Result<(), Mistake> {
    let fault = fault(&without_references(text.as_ref()));
    ensure(fault.is_none(), text, fault.unwrap_or_default())?;
    let start = text.span().start;
    let expanded = registry.expand(text.as_ref());
    *text.as_mut() = expanded.map_err(|Mistake(at, what)| Mistake(start + at, what))?;
    Ok(())
}

fn without_references(text: &str) -> String {
    let mut parts = text.split(REFERENCE);
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| match part.split_once('}') {
        Some((_, after)) => text + after,
        None => text + REFERENCE + part,
    })
}

/// Why it cannot be a text.
fn fault(text: &str) -> Option<&'static str> {
    let has = |unwanted: fn(char) -> bool| text.chars().any(unwanted);
    if text.trim().is_empty() {
        Some("a text is empty; write one")
    } else if text.chars().count() > MAX_CHARS {
        Some("a text has more than 1000 characters; make it shorter, or two of it")
    } else if has(char::is_control) {
        Some("a text is one line; join its lines")
    } else if has(|character| "{}[]".contains(character)) {
        Some("a text has no brackets but those of {resource:NAME}, which a step or statement can have")
    } else if has(char::is_numeric) {
        Some(
            "a text has no digits, so that no number is wrong: write a number as a word, and {resource:NAME} for a help line",
        )
    } else if ["@", "://", "www."].iter().any(|address| text.contains(address)) {
        Some("a text has no address: write {resource:NAME} for a help line, and an address of a law into its source")
    } else {
        None
    }
}
