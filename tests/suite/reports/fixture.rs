//! Facts for the tests of reports, and the words of a document.

use std::fmt;

use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use safespace::document::{Block, Document, Value};
use safespace::language::Language;
use safespace::report::{Description, Evidence, Facts, Location, Need, Perpetrator, Templates, UserGoal};
use safespace::resources::Registry;

/// The embedded texts with the embedded help lines.
pub(super) fn templates() -> Templates {
    Templates::load(None, &Registry::load(None).unwrap()).unwrap()
}

/// Five answers, and nothing else.
pub(super) fn facts(language: Language) -> Facts {
    Facts {
        location: Location::Kampus,
        perpetrator: Perpetrator::Lecturer,
        description: Description::InappropriateComments,
        evidence: Evidence::Messages,
        user_goal: UserGoal::DocumentSafely,
        occurred_at: None,
        frequency: None,
        narrative: None,
        needs: Vec::new(),
        language,
    }
}

/// Every text of a document, in its order. Placeholders are in brackets.
pub(super) fn texts(document: &Document) -> Vec<String> {
    let value = |value: &Value| match value {
        Value::Text(text) => text.clone(),
        Value::Placeholder(text) => format!("[{text}]"),
        Value::Blank => "________".to_owned(),
    };
    let mut texts = vec![document.title.clone(), document.notice.clone()];
    for section in &document.sections {
        texts.push(section.heading.clone());
        for block in &section.blocks {
            match block {
                Block::Paragraph(words) | Block::Quotation(words) => texts.push(words.clone()),
                Block::Lines => texts.push("________".to_owned()),
                Block::Field { label, value: given } => texts.push(format!("{label}: {}", value(given))),
            }
        }
    }
    texts.extend(document.closing.iter().map(|label| format!("{label}: ________")));
    texts.extend(document.sources.iter().cloned());
    texts
}

/// Facts that a failing test may print.
pub(super) struct Shown(pub(super) Facts);

impl fmt::Debug for Shown {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&serde_json::to_string(&self.0).unwrap())
    }
}

/// Facts with every combination of the five answers, in both languages.
pub(super) fn every_answer() -> impl Iterator<Item = Facts> {
    let of_language = |language| {
        let location = Location::ALL.iter().map(move |location| Facts { location: *location, ..facts(language) });
        let perpetrator = |facts: Facts| {
            Perpetrator::ALL.iter().map(move |perpetrator| Facts { perpetrator: *perpetrator, ..facts.clone() })
        };
        let description = |facts: Facts| {
            Description::ALL.iter().map(move |description| Facts { description: *description, ..facts.clone() })
        };
        let evidence =
            |facts: Facts| Evidence::ALL.iter().map(move |evidence| Facts { evidence: *evidence, ..facts.clone() });
        let user_goal =
            |facts: Facts| UserGoal::ALL.iter().map(move |user_goal| Facts { user_goal: *user_goal, ..facts.clone() });
        location.flat_map(perpetrator).flat_map(description).flat_map(evidence).flat_map(user_goal)
    };
    [Language::Indonesian, Language::English].into_iter().flat_map(of_language)
}

/// Any five answers, needs and language, and no text of a person.
pub(super) fn any_answers() -> impl Strategy<Value = Shown> {
    let answers = (
        select(Location::ALL),
        select(Perpetrator::ALL),
        select(Description::ALL),
        select(Evidence::ALL),
        select(UserGoal::ALL),
        subsequence(Need::ALL.to_vec(), 0..=Need::ALL.len()),
        select(&[Language::Indonesian, Language::English]),
    );
    answers.prop_map(|(location, perpetrator, description, evidence, user_goal, needs, language)| {
        Shown(Facts { location, perpetrator, description, evidence, user_goal, needs, ..facts(language) })
    })
}

/// Any facts, with any text where a person writes.
pub(super) fn any_facts() -> impl Strategy<Value = Shown> {
    // Digits, names of months and the texts' own signs are likely, any other character is possible.
    let line = "([0-9]{1,4}|Mei|pukul|\\[|\\{|[ :./-]|\\PC){1,40}";
    let words = "([0-9]{1,4}|\n|kampus|\\]|[ :./-]|\\PC){1,120}";
    let given = (option::of(line), option::of(line), option::of(words));
    (any_answers(), given).prop_map(|(Shown(answers), (occurred_at, frequency, narrative))| {
        Shown(Facts { occurred_at, frequency, narrative, ..answers })
    })
}
