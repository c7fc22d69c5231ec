//! Makes the document of a report, and what the API says beside it.

use super::advice::{Advice, Step};
use super::facts::{Facts, Need, Perpetrator, missing};
use super::level::Level;
use super::templates::{FactText, Templates};
use crate::document::{Block, Document, Section, Value};

impl Templates {
    /// The document of a report: the texts of the file for the five answers, the other facts verbatim, and a placeholder for each
    /// of those that was not given.
    #[must_use]
    pub fn generate(&self, facts: &Facts) -> Document {
        let language = facts.language;
        let text = |text: &str| Block::Paragraph(text.to_owned());
        let field = |fact: &FactText, value: Option<&str>| Block::Field {
            label: fact.label.get(language).to_string(),
            value: match value {
                Some(value) => Value::Text(value.to_owned()),
                None => Value::Placeholder(fact.missing.get(language).to_string()),
            },
        };
        let needs = Need::ALL.iter().filter(|need| facts.needs.contains(need));
        let needs: Vec<&str> = needs.map(|need| self.need.of(*need).get(language).as_str()).collect();
        let needs = (!needs.is_empty()).then(|| needs.join("; "));
        let mut chronology = vec![
            text(&format!(
                "{} {}",
                **self.location.of(facts.location).get(language),
                **self.description.of(facts.description).get(language)
            )),
            field(&self.facts.occurred_at, facts.occurred_at.as_deref()),
            field(&self.facts.frequency, facts.frequency.as_deref()),
        ];
        match &facts.narrative {
            Some(words) => {
                chronology.push(text(self.own_words.get(language)));
                chronology.push(Block::Quotation(words.clone()));
            }
            None => chronology.extend([field(&self.facts.narrative, None), Block::Lines]),
        }
        let goal = text(self.user_goal.of(facts.user_goal).get(language));
        let blocks = [
            vec![goal, field(&self.facts.needs, needs.as_deref())],
            vec![text(self.perpetrator.of(facts.perpetrator).get(language))],
            chronology,
            vec![text(self.evidence.of(facts.evidence).get(language))],
        ];
        let mut sources = Vec::new();
        let sections = self.sections.in_order().into_iter().zip(blocks).map(|(texts, mut blocks)| {
            for statement in self.advice_for(&texts.statements, facts) {
                blocks.push(text(&statement.text));
                let date = self.source_date.get(language).as_str();
                sources.push(format!("{} ({date}: {})", statement.source, statement.date));
            }
            blocks.extend(
                texts
                    .by_hand
                    .iter()
                    .map(|label| Block::Field { label: label.get(language).to_string(), value: Value::Blank }),
            );
            Section { heading: texts.heading.get(language).to_string(), blocks }
        });
        let sections = sections.collect();
        let notices = [
            Some(&self.notice),
            (!missing(facts).is_empty()).then_some(&self.notice_missing),
            (!sources.is_empty()).then_some(&self.notice_law),
        ];
        let notices: Vec<&str> = notices.into_iter().flatten().map(|notice| notice.get(language).as_str()).collect();
        Document {
            language,
            title: self.title.get(language).to_string(),
            notice: notices.join(" "),
            sections,
            closing: self.closing.by_hand.iter().map(|label| label.get(language).to_string()).collect(),
            sources,
        }
    }

    /// How much power the person who did it has, by the file's table.
    #[must_use]
    pub fn power_imbalance(&self, perpetrator: Perpetrator) -> Level {
        *self.power_imbalance.of(perpetrator)
    }

    /// The level of risk, by the file's table.
    #[must_use]
    pub fn risk_level(&self, facts: &Facts) -> Level {
        *self.risk_level.of(facts.perpetrator)
    }

    /// Steps that may help with these answers, in the order of the file and in the language of the report.
    #[must_use]
    pub fn recommended_steps(&self, facts: &Facts) -> Vec<Step> {
        self.advice_for(&self.steps, facts).collect()
    }

    fn advice_for<'a>(&'a self, advice: &'a [Advice], facts: &'a Facts) -> impl Iterator<Item = Step> + 'a {
        let wanted = advice.iter().filter(|advice| advice.when.matches(facts));
        wanted.map(|advice| advice.step(&self.sources[advice.source.as_ref()], facts.language))
    }
}
