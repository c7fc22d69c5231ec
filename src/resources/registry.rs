//! The help lines, and how some of them are selected.

use chrono::{Days, NaiveDate};
use serde::{Deserialize, Serialize};

use crate::data_file::Mistake;

/// How a help line is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A telephone number or short code.
    Phone,
    /// A number of WhatsApp.
    Whatsapp,
    /// A chat of its own: the URL.
    Chat,
    /// An address of e-mail.
    Email,
    /// A website: the URL.
    Web,
}

/// A help line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// Its name in references such as `{resource:sapa129_phone}`.
    pub id: String,
    /// Who answers.
    pub name: String,
    /// How it is reached.
    pub kind: Kind,
    /// The number or address, as people write it.
    pub value: String,
    /// What it helps with, such as `violence`: words of [`Registry::topics`].
    pub topics: Vec<String>,
    /// The country (ISO 3166-1 alpha-2).
    pub country: String,
    /// Regions of the country; empty for all of it.
    pub regions: Vec<String>,
    /// Languages (BCP 47) that are spoken.
    pub languages: Vec<String>,
    /// When it answers, such as `24/7`; empty if not known.
    pub hours: String,
    /// Where the value was found.
    pub source: String,
    /// When a person last verified it; `None` for never.
    pub verified_at: Option<NaiveDate>,
}

impl Resource {
    /// Whether a person verified it at most this many days before `today`.
    #[must_use]
    pub fn is_verified(&self, max_age_days: u32, today: NaiveDate) -> bool {
        let ends = |verified: NaiveDate| verified.checked_add_days(Days::new(max_age_days.into()));
        self.verified_at.is_some_and(|verified| ends(verified).is_none_or(|end| today <= end))
    }
}

/// All help lines.
#[derive(Debug, Clone)]
pub struct Registry {
    /// The country of the people whom the service serves.
    pub country: String,
    /// What help lines help with.
    pub topics: Vec<String>,
    /// In the order of the file: the most important one first.
    pub resources: Vec<Resource>,
}

/// Which help lines are wanted; `None` for any.
#[derive(Debug, Clone, Copy, Default)]
pub struct Selection<'a> {
    /// The country.
    pub country: Option<&'a str>,
    /// A topic.
    pub topic: Option<&'a str>,
    /// A language.
    pub language: Option<&'a str>,
}

impl Registry {
    /// The help line of that name.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Resource> {
        self.resources.iter().find(|resource| resource.id == id)
    }

    /// The help lines that are wanted, the most important one first.
    pub fn select<'a>(&'a self, wanted: Selection<'a>) -> impl Iterator<Item = &'a Resource> {
        let is_in = |wanted: Option<&str>, values: &[String]| {
            wanted.is_none_or(|wanted| values.iter().any(|value| value.eq_ignore_ascii_case(wanted)))
        };
        self.resources.iter().filter(move |resource| {
            wanted.country.is_none_or(|country| resource.country.eq_ignore_ascii_case(country))
                && is_in(wanted.topic, &resource.topics)
                && is_in(wanted.language, &resource.languages)
        })
    }

    /// The text with each reference such as `{resource:sapa129_phone}` replaced by the value of that help line.
    ///
    /// # Errors
    /// A name that no help line has, with its offset in the text.
    pub fn expand(&self, text: &str) -> Result<String, Mistake> {
        let mut expanded = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once(REFERENCE) {
            let (id, after) = after.split_at(after.find(|char| !is_of_id(char)).unwrap_or(after.len()));
            let resource = self.get(id).zip(after.strip_prefix('}'));
            let Some((resource, after)) = resource else {
                let at = text.len() - rest.len() + before.len();
                return Err(Mistake(at, format!("there is no help line {id:?} in RESOURCES, for {REFERENCE}{id}}}")));
            };
            expanded.extend([before, &resource.value]);
            rest = after;
        }
        Ok(expanded + rest)
    }
}

/// The beginning of a reference, before the name and a `}`.
const REFERENCE: &str = "{resource:";

/// Whether the name of a help line may have this character.
pub(super) fn is_of_id(char: char) -> bool {
    matches!(char, 'a'..='z' | '0'..='9' | '_')
}
