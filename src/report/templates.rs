//! The texts of reports: the file of `REPORT_TEMPLATES`, and what a mistake in it is.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use toml::Spanned;

use super::advice::{Advice, Source};
use super::facts::{Description, Evidence, Location, Need, Perpetrator, UserGoal};
use super::level::Level;
use super::text::{Connective, Texts, ensure_text, expand};
use crate::data_file::{self, FileError, Mistake, ParseError, ensure};
use crate::resources::Registry;

/// One entry for every value of an answer.
#[derive(Deserialize)]
#[serde(transparent)]
pub(super) struct Table<K: Ord, V = Texts>(Spanned<BTreeMap<K, V>>);

/// The texts that reports are made from, in every language.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Templates {
    reviewed: String,
    pub(super) title: Texts,
    pub(super) notice: Texts,
    /// Is added to the notice where a fact is missing.
    pub(super) notice_missing: Texts,
    /// Is added to the notice where the document quotes the law.
    pub(super) notice_law: Texts,
    /// Stands before the date of a source.
    pub(super) source_date: Texts,
    pub(super) sections: Sections,
    /// Lines at the end that are filled in by hand; the last one is for the signature.
    pub(super) closing: Closing,
    pub(super) facts: FactTexts,
    /// Stands before the narrative.
    pub(super) own_words: Texts,
    pub(super) user_goal: Table<UserGoal>,
    pub(super) need: Table<Need>,
    pub(super) perpetrator: Table<Perpetrator>,
    pub(super) location: Table<Location>,
    pub(super) description: Table<Description>,
    pub(super) evidence: Table<Evidence>,
    pub(super) power_imbalance: Table<Perpetrator, Level>,
    pub(super) risk_level: Table<Perpetrator, Level>,
    #[serde(rename = "step")]
    pub(super) steps: Vec<Advice>,
    pub(super) sources: BTreeMap<String, Source>,
    pub(super) polish: PolishTexts,
    #[serde(skip)]
    left_out: Vec<String>,
}

/// The four sections, in their order.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sections {
    pub(super) needs: SectionTexts,
    pub(super) perpetrator: SectionTexts,
    pub(super) chronology: SectionTexts,
    pub(super) evidence: SectionTexts,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SectionTexts {
    pub(super) heading: Texts,
    /// What the law says about the answers of this section.
    #[serde(rename = "statement", default)]
    pub(super) statements: Vec<Advice>,
    /// Labels of lines to be filled in by hand.
    #[serde(default)]
    pub(super) by_hand: Vec<Texts>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Closing {
    pub(super) by_hand: Vec<Texts>,
}

/// The optional facts.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FactTexts {
    pub(super) needs: FactText,
    pub(super) occurred_at: FactText,
    pub(super) frequency: FactText,
    pub(super) narrative: FactText,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FactText {
    pub(super) label: Texts,
    /// What belongs there, where it was not given.
    pub(super) missing: Texts,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PolishTexts {
    pub(super) instruction: Texts,
    pub(super) connectives: Texts<Vec<Connective>>,
}

impl<K: Ord + Copy, V> Table<K, V> {
    /// The entry for a value. Every value has one, or the file would not have been read.
    pub(super) fn of(&self, value: K) -> &V {
        &self.0.as_ref()[&value]
    }

    fn ensure_complete(&self, values: &[K], name: fn(K) -> &'static str) -> Result<(), Mistake> {
        let missing = values.iter().find(|value| !self.0.as_ref().contains_key(value));
        let missing = missing.map_or("", |value| name(*value));
        ensure(
            missing.is_empty(),
            &self.0,
            format_args!("there is nothing for {missing:?}; every answer needs an entry"),
        )
    }
}

impl Sections {
    pub(super) fn in_order(&self) -> [&SectionTexts; 4] {
        [&self.needs, &self.perpetrator, &self.chronology, &self.evidence]
    }
}

impl Templates {
    /// What an operator is told of texts that nobody reviewed.
    pub const NOT_REVIEWED: &str = "no lawyer or counsellor has reviewed the texts of reports (REPORT_TEMPLATES)";

    /// Reads the file of `REPORT_TEMPLATES`, or the embedded texts without one. References such as `{resource:sapa129_phone}` are
    /// replaced by what the registry has.
    ///
    /// # Errors
    /// When the file cannot be used.
    pub fn load(path: Option<&Path>, registry: &Registry) -> Result<Templates, FileError> {
        data_file::load("REPORT_TEMPLATES", path, include_str!("templates.toml"), |text| {
            parse(text, registry, path.is_none())
        })
    }

    /// The embedded steps that name a help line which the registry lacks, each with its line: no report has them.
    #[must_use]
    pub fn left_out(&self) -> &[String] {
        &self.left_out
    }

    fn leave_out_steps(&mut self, text: &str, registry: &Registry) {
        let left_out = &mut self.left_out;
        self.steps.retain(|step| {
            let missing =
                [&step.text.id, &step.text.en].into_iter().find_map(|text| registry.expand(text.as_ref()).err());
            if let Some(Mistake(_, what)) = &missing {
                let ParseError { line, .. } = Mistake(step.text.id.span().start, String::new()).in_text(text);
                left_out
                    .push(format!("REPORT_TEMPLATES: the embedded text: line {line}: no report has this step: {what}"));
            }
            missing.is_none()
        });
    }

    /// Which lawyer or counsellor reviewed the texts, and when, as the file says; `None` if nobody did.
    #[must_use]
    pub fn reviewed(&self) -> Option<&str> {
        Some(self.reviewed.trim()).filter(|reviewed| !reviewed.is_empty())
    }
}

/// Of the embedded texts, steps that name a missing help line are left out: an operator deletes help lines that do not answer, and the
/// service should still start. In a file of one's own that is a mistake.
fn parse(text: &str, registry: &Registry, is_embedded: bool) -> Result<Templates, ParseError> {
    let mut templates: Templates = data_file::from_toml(text)?;
    if is_embedded {
        templates.leave_out_steps(text, registry);
    }
    finish(&mut templates, registry).map_err(|mistake| mistake.in_text(text))?;
    Ok(templates)
}

fn finish(templates: &mut Templates, registry: &Registry) -> Result<(), Mistake> {
    templates.user_goal.ensure_complete(UserGoal::ALL, UserGoal::value)?;
    templates.need.ensure_complete(Need::ALL, Need::value)?;
    templates.perpetrator.ensure_complete(Perpetrator::ALL, Perpetrator::value)?;
    templates.location.ensure_complete(Location::ALL, Location::value)?;
    templates.description.ensure_complete(Description::ALL, Description::value)?;
    templates.evidence.ensure_complete(Evidence::ALL, Evidence::value)?;
    templates.power_imbalance.ensure_complete(Perpetrator::ALL, Perpetrator::value)?;
    templates.risk_level.ensure_complete(Perpetrator::ALL, Perpetrator::value)?;
    let Templates { sections, steps, sources, .. } = templates;
    for step in &mut *steps {
        let named = registry.named_in(&format!("{} {}", step.text.id.as_ref(), step.text.en.as_ref()));
        step.resources = named.into_iter().cloned().collect();
        expand(&mut step.text.id, registry)?;
        expand(&mut step.text.en, registry)?;
    }
    let statements = sections.in_order().map(|section| &section.statements);
    for statement in statements.into_iter().flatten() {
        ensure_text(&statement.text.id)?;
        ensure_text(&statement.text.en)?;
    }
    for advice in statements.into_iter().chain([&*steps]).flatten() {
        let name = advice.source.as_ref().as_str();
        ensure(sources.contains_key(name), &advice.source, format_args!("there is no source {name:?}"))?;
        for article in advice.article.iter().flat_map(|article| [&article.id, &article.en]) {
            ensure_cited(article)?;
        }
    }
    for source in sources.values() {
        for part in [&source.title.id, &source.title.en].into_iter().chain(&source.url) {
            ensure_cited(part)?;
        }
    }
    Ok(())
}

fn ensure_cited(part: &Spanned<String>) -> Result<(), Mistake> {
    ensure(!part.as_ref().trim().is_empty(), part, "a part of a source is empty; write where the text is from")
}
