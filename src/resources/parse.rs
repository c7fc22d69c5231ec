//! Reads and validates the file of help lines. Mistakes are reported to its author with the line.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use chrono::{NaiveDate, TimeDelta, Utc};
use serde::Deserialize;
use toml::{Spanned, Value};

use super::registry::{Kind, Registry, Resource, Selection, is_of_id};
use crate::data_file::{self, FileError, Mistake, ParseError, ensure};

/// Help lines of a file.
const MAX_RESOURCES: usize = 200;

/// Topics of a file, and topics, regions and languages of a help line.
const MAX_ITEMS: usize = 50;

/// Characters of a text.
const MAX_CHARS: usize = 300;

/// The topic of which the service's own country needs a help line.
const EMERGENCY: &str = "emergency";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    country: Spanned<String>,
    topics: Spanned<Vec<Spanned<String>>>,
    resources: BTreeMap<Spanned<String>, Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: Spanned<String>,
    kind: Kind,
    value: Spanned<String>,
    topics: Spanned<Vec<Spanned<String>>>,
    country: Spanned<String>,
    #[serde(default)]
    regions: Vec<Spanned<String>>,
    languages: Spanned<Vec<Spanned<String>>>,
    hours: Option<Spanned<String>>,
    source: Spanned<String>,
    verified_at: Option<Spanned<Value>>,
}

impl Registry {
    /// Reads the file of `RESOURCES`, or the embedded help lines without one.
    ///
    /// # Errors
    /// When the file cannot be used.
    pub fn load(path: Option<&Path>) -> Result<Registry, FileError> {
        data_file::load("RESOURCES", path, include_str!("resources.toml"), parse)
    }
}

fn parse(text: &str) -> Result<Registry, ParseError> {
    validate(&data_file::from_toml(text)?).map_err(|mistake| mistake.in_text(text))
}

fn validate(file: &File) -> Result<Registry, Mistake> {
    let country = country(&file.country)?;
    let topics = list("topics", &file.topics)?;
    for topic in file.topics.as_ref() {
        ensure(is_id(topic.as_ref()), topic, "a topic has only small letters, digits and _, such as \"self_harm\"")?;
    }
    let mut entries: Vec<(&Spanned<String>, &Entry)> = file.resources.iter().collect();
    entries.sort_by_key(|(id, _)| id.span().start);
    if let Some((id, _)) = entries.get(MAX_RESOURCES) {
        return Err(Mistake(id.span().start, format!("there are more than {MAX_RESOURCES} help lines")));
    }
    let mut resources = Vec::new();
    let mut values = BTreeSet::new();
    for (id, entry) in entries {
        let resource = resource(id, entry, &topics)?;
        let is_new = values.insert((entry.kind, entry.kind.plain(&resource.value)));
        ensure(is_new, &entry.value, format_args!("{:?} is the value of another help line already", resource.value))?;
        resources.push(resource);
    }
    let registry = Registry { country, topics, resources };
    let wanted = Selection { country: Some(&registry.country), topic: Some(EMERGENCY), language: None };
    let none = format_args!("no help line of {} has the topic {EMERGENCY:?}", registry.country);
    ensure(!registry.select(wanted).is_empty(), &file.country, none)?;
    Ok(registry)
}

fn resource(id: &Spanned<String>, entry: &Entry, known_topics: &[String]) -> Result<Resource, Mistake> {
    ensure(
        is_id(id.as_ref()),
        id,
        "the name of a help line has only small letters, digits and _, such as \"police_110\"",
    )?;
    let value = text("value", &entry.value)?;
    if let Some(form) = entry.kind.mistake_in(&value) {
        return Err(Mistake(entry.value.span().start, format!("{value:?} is not possible here: {form}")));
    }
    let topics = list("topics", &entry.topics)?;
    for topic in entry.topics.as_ref() {
        let unknown =
            format_args!("the topic {:?} is not in the list; there are: {}", topic.as_ref(), known_topics.join(", "));
        ensure(known_topics.contains(topic.as_ref()), topic, unknown)?;
    }
    let languages = list("languages", &entry.languages)?;
    for tag in entry.languages.as_ref() {
        ensure(
            is_language_tag(tag.as_ref()),
            tag,
            format_args!("{:?} is not a language tag, such as \"id\"", tag.as_ref()),
        )?;
    }
    let source = text("source", &entry.source)?;
    let is_url = source.starts_with("https://") || source.starts_with("http://");
    ensure(is_url, &entry.source, "the source is the URL of a page, such as \"https://example.org/contact\"")?;
    Ok(Resource {
        id: id.as_ref().clone(),
        name: text("name", &entry.name)?,
        kind: entry.kind,
        value,
        topics,
        country: country(&entry.country)?,
        regions: entry.regions.iter().take(MAX_ITEMS).map(|region| text("region", region)).collect::<Result<_, _>>()?,
        languages,
        hours: entry.hours.as_ref().map(|hours| text("hours", hours)).transpose()?.unwrap_or_default(),
        source,
        verified_at: entry.verified_at.as_ref().map(date).transpose()?,
    })
}

fn is_id(text: &str) -> bool {
    (1..=MAX_CHARS).contains(&text.len()) && text.chars().all(is_of_id)
}

/// A text of one line.
fn text(what: &str, value: &Spanned<String>) -> Result<String, Mistake> {
    let text = value.as_ref();
    let is_valid = !text.trim().is_empty() && text.chars().count() <= MAX_CHARS && !text.contains(char::is_control);
    ensure(is_valid, value, format_args!("{what} should have 1 to {MAX_CHARS} characters in one line"))?;
    Ok(text.trim().to_owned())
}

/// A list with something in it.
fn list(what: &str, values: &Spanned<Vec<Spanned<String>>>) -> Result<Vec<String>, Mistake> {
    let has_valid_length = (1..=MAX_ITEMS).contains(&values.as_ref().len());
    ensure(has_valid_length, values, format_args!("{what} should have 1 to {MAX_ITEMS} items"))?;
    values.as_ref().iter().map(|value| text(what, value)).collect()
}

fn country(code: &Spanned<String>) -> Result<String, Mistake> {
    let is_code = code.as_ref().len() == 2 && code.as_ref().bytes().all(|byte| byte.is_ascii_uppercase());
    ensure(is_code, code, "a country is its two capital letters of ISO 3166, such as \"ID\"")?;
    Ok(code.as_ref().clone())
}

/// Whether it has the form of BCP 47: `id`, `en-GB`, `zh-Hant`.
fn is_language_tag(tag: &str) -> bool {
    let mut parts = tag.split('-');
    let is_language = parts.next().is_some_and(|first| (2..=3).contains(&first.len()) && is_alphabetic(first));
    is_language
        && parts.all(|part| (1..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

fn is_alphabetic(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphabetic())
}

/// A day, with or without quotation marks.
fn date(value: &Spanned<Value>) -> Result<NaiveDate, Mistake> {
    let Some(date) = data_file::day(value.as_ref()) else {
        let form = "verified_at is a day of the form \"2026-11-30\"; leave it out if nobody has verified the help line";
        return Err(Mistake(value.span().start, form.to_owned()));
    };
    // Somewhere on Earth, at UTC+14, this day has begun.
    let latest = (Utc::now() + TimeDelta::hours(14)).date_naive();
    ensure(date <= latest, value, format_args!("verified_at is in the future: {date}"))?;
    Ok(date)
}
