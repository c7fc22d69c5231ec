//! The help lines, and how some of them are selected.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

/// How a help line is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resource {
    /// Who answers.
    pub name: String,
    /// How it is reached.
    pub kind: Kind,
    /// The number or address, as people write it.
    pub value: String,
    /// What it helps with, such as `violence` or `self_harm`.
    pub topics: Vec<String>,
    /// The country (ISO 3166-1 alpha-2).
    pub country: String,
    /// Regions of the country; empty for all of it.
    #[serde(default)]
    pub regions: Vec<String>,
    /// Languages (BCP 47) that are spoken.
    pub languages: Vec<String>,
    /// When it answers, such as `24/7`; empty if not known.
    #[serde(default)]
    pub hours: String,
    /// Where the value was found.
    pub source: String,
    /// When a person last verified it; `None` for never.
    #[serde(default)]
    pub verified_at: Option<NaiveDate>,
}

/// All help lines, by their names in references such as `{resource:sapa129_phone}`.
#[derive(Debug, Clone)]
pub struct Registry {
    /// The country of the people whom the service serves.
    pub country: String,
    pub(super) resources: BTreeMap<String, Resource>,
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
    pub fn get(&self, name: &str) -> Option<&Resource> {
        self.resources.get(name)
    }

    /// The help lines that are wanted, each with its name.
    pub fn select(&self, wanted: Selection<'_>) -> impl Iterator<Item = (&str, &Resource)> {
        let is_in = |wanted: Option<&str>, values: &[String]| {
            wanted.is_none_or(|wanted| values.iter().any(|value| value.eq_ignore_ascii_case(wanted)))
        };
        let all = self.resources.iter().map(|(name, resource)| (name.as_str(), resource));
        all.filter(move |(_, resource)| {
            wanted.country.is_none_or(|country| resource.country.eq_ignore_ascii_case(country))
                && is_in(wanted.topic, &resource.topics)
                && is_in(wanted.language, &resource.languages)
        })
    }

    /// The text with each reference such as `{resource:sapa129_phone}` replaced by the value of that help line.
    ///
    /// # Errors
    /// The name that no help line has.
    pub fn expand(&self, text: &str) -> Result<String, String> {
        let mut expanded = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, reference)) = rest.split_once("{resource:") {
            let (name, after) = reference.split_once('}').unwrap_or((reference, ""));
            expanded += before;
            expanded += &self.get(name).ok_or_else(|| name.to_owned())?.value;
            rest = after;
        }
        Ok(expanded + rest)
    }
}
