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
    type Error = String;

    fn try_from(text: String) -> Result<Text, String> {
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

/// Replaces the references to help lines in a text. What stands between them has to be a text as any other.
pub(super) fn expand(text: &mut Spanned<String>, registry: &Registry) -> Result<(), Mistake> {
    let start = text.span().start;
    let expanded = registry.expand(text.as_ref()).map_err(|Mistake(at, what)| Mistake(start + at, what))?;
    let mut pieces = text.as_ref().split(REFERENCE);
    let first = pieces.next().unwrap_or_default().to_owned();
    let others = pieces.filter_map(|piece| piece.split_once('}')).map(|(_, after)| after);
    let fault = fault(&others.fold(first, |text, piece| text + piece));
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
    } else if ["@", "://", "www."].iter().any(|address| text.contains(address)) {
        "has no address: write {resource:NAME} for a help line, in a step, and the address of a law into its source"
    } else {
        return None;
    };
    Some(format!("a text {fault}"))
}
