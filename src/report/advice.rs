//! What is said where certain answers were given: its conditions, and the source that it rests on.

use chrono::NaiveDate;
use serde::{Deserialize, Deserializer, de};
use toml::Spanned;

use super::facts::{Description, Evidence, Facts, Location, Need, Perpetrator, UserGoal};
use super::text::Texts;
use crate::data_file;
use crate::language::Language;
use crate::resources::Resource;

/// A step that may help a person, or what the law says.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Advice {
    #[serde(default)]
    pub(super) when: When,
    pub(super) text: Texts<Spanned<String>>,
    /// The name of its source.
    pub(super) source: Spanned<String>,
    /// Where in the source.
    pub(super) article: Option<Texts<Spanned<String>>>,
    /// The help lines that its text names.
    #[serde(skip)]
    pub(super) resources: Vec<Resource>,
}

/// The answers with which something is said. An empty list allows every answer.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct When {
    location: Vec<Location>,
    perpetrator: Vec<Perpetrator>,
    description: Vec<Description>,
    evidence: Vec<Evidence>,
    user_goal: Vec<UserGoal>,
    needs: Vec<Need>,
}

/// A law, or a guide.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Source {
    pub(super) title: Texts<Spanned<String>>,
    /// The date of the source itself.
    #[serde(deserialize_with = "day")]
    date: NaiveDate,
    /// Where its text was read; the list of help lines has no address.
    pub(super) url: Option<Spanned<String>>,
    /// When its text was read.
    #[serde(rename = "read", deserialize_with = "day")]
    _read: NaiveDate,
}

/// A step that may help.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What the person can do, in the language of the report.
    pub text: String,
    /// What it rests on, with the address where its text was read.
    pub source: String,
    /// The date of that source; for a page without one, the day on which it was read.
    pub date: NaiveDate,
    /// The help lines that its text names, in their order.
    pub resources: Vec<Resource>,
}

fn day<'de, D: Deserializer<'de>>(value: D) -> Result<NaiveDate, D::Error> {
    let day = data_file::day(&toml::Value::deserialize(value)?);
    day.ok_or_else(|| de::Error::custom("a day has the form \"2022-05-09\": year, month, day"))
}

impl When {
    pub(super) fn matches(&self, facts: &Facts) -> bool {
        fn allows<T: Copy + PartialEq>(answers: &[T], answer: T) -> bool {
            answers.is_empty() || answers.contains(&answer)
        }
        allows(&self.location, facts.location)
            && allows(&self.perpetrator, facts.perpetrator)
            && allows(&self.description, facts.description)
            && allows(&self.evidence, facts.evidence)
            && allows(&self.user_goal, facts.user_goal)
            && (self.needs.is_empty() || facts.needs.iter().any(|need| self.needs.contains(need)))
    }
}

impl Advice {
    /// The text with its source.
    pub(super) fn step(&self, source: &Source, language: Language) -> Step {
        let title = source.title.get(language).as_ref();
        let article = self.article.as_ref().map(|article| article.get(language).as_ref().as_str());
        let url = source.url.as_ref().map(|url| url.as_ref().as_str());
        let parts: Vec<&str> = [Some(title.as_str()), article, url].into_iter().flatten().collect();
        let (text, resources) = (self.text.get(language).as_ref().clone(), self.resources.clone());
        Step { text, source: parts.join(", "), date: source.date, resources }
    }
}
