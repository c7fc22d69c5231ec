//! The help lines, and how some of them are selected.

use chrono::{Days, NaiveDate};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::data_file::Mistake;

/// How a help line is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = HelpLineKind)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Resource {
    /// Its name in references such as `{resource:sapa129_phone}`.
    pub id: String,
    /// Who answers.
    pub name: String,
    /// How it is reached.
    pub kind: Kind,
    /// The number or address, as people write it.
    pub value: String,
    /// What it helps with, such as `violence`: words of the file's list of topics.
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
    /// The day on which a person last called it or wrote to it; missing if nobody did.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = Date)]
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
    /// The language that should come first. Others are wanted too: they may be all there is.
    pub language: Option<&'a str>,
}

impl Registry {
    /// The help line of that name.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Resource> {
        self.resources.iter().find(|resource| resource.id == id)
    }

    /// The help lines that are wanted, the most important one first.
    #[must_use]
    pub fn select(&self, wanted: Selection<'_>) -> Vec<&Resource> {
        let is_wanted = |resource: &&Resource| {
            wanted.country.is_none_or(|country| resource.country.eq_ignore_ascii_case(country))
                && wanted.topic.is_none_or(|topic| resource.topics.iter().any(|own| own.eq_ignore_ascii_case(topic)))
        };
        let mut selected: Vec<&Resource> = self.resources.iter().filter(is_wanted).collect();
        if let Some(language) = wanted.language {
            selected.sort_by_key(|resource| !resource.languages.iter().any(|own| is_same_language(own, language)));
        }
        selected
    }

    /// The help lines that nobody verified in so many days before `today`, or ever.
    #[must_use]
    pub fn unverified(&self, max_age_days: u32, today: NaiveDate) -> Vec<&Resource> {
        self.resources.iter().filter(|resource| !resource.is_verified(max_age_days, today)).collect()
    }

    /// The countries that have a help line, each once, in the order of the file.
    #[must_use]
    pub fn countries(&self) -> Vec<&str> {
        let mut countries: Vec<&str> = Vec::new();
        for resource in &self.resources {
            if !countries.contains(&resource.country.as_str()) {
                countries.push(&resource.country);
            }
        }
        countries
    }

    /// The help lines that the references in a text name, each once.
    #[must_use]
    pub fn named_in(&self, text: &str) -> Vec<&Resource> {
        let mut named: Vec<&Resource> = Vec::new();
        let ids = text.split(REFERENCE).skip(1).filter_map(|piece| piece.split_once('}'));
        for resource in ids.filter_map(|(id, _)| self.get(id)) {
            if !named.contains(&resource) {
                named.push(resource);
            }
        }
        named
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
                if id.is_empty() && after.starts_with(char::is_whitespace) {
                    return Err(Mistake(at, format!("a reference has no space behind the colon: {REFERENCE}NAME}}")));
                }
                let remedy = "add one to the file of RESOURCES, or change the reference";
                return Err(Mistake(at, format!("there is no help line {id:?} for {REFERENCE}{id}}}: {remedy}")));
            };
            expanded.extend([before, &resource.value]);
            rest = after;
        }
        Ok(expanded + rest)
    }
}

/// Whether two tags of BCP 47 name the same language: who asks for `en-GB` can speak `en`.
fn is_same_language(one: &str, other: &str) -> bool {
    let primary = |tag: &str| tag.split('-').next().unwrap_or_default().to_ascii_lowercase();
    primary(one) == primary(other)
}

/// The text with `substitute` in place of each of its references.
#[must_use]
pub fn without_references(text: &str, substitute: &str) -> String {
    let mut pieces = text.split(REFERENCE);
    let first = pieces.next().unwrap_or_default().to_owned();
    pieces.fold(first, |text, piece| text + substitute + piece.split_once('}').map_or("", |(_, after)| after))
}

/// The beginning of a reference, before the name and a `}`.
const REFERENCE: &str = "{resource:";

/// Whether the name of a help line may have this character.
pub(super) fn is_of_id(char: char) -> bool {
    matches!(char, 'a'..='z' | '0'..='9' | '_')
}
