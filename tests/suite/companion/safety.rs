//! The floor: which level a sentence gets, by what a counsellor would say, what disguises change, and how its work is bounded.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use safespace::companion::{Companion, Level, Risk, Safety};
use serde::Deserialize;

use super::fixture::{build, file, path};

static EMBEDDED: LazyLock<Companion> = LazyLock::new(|| build(&[]));

#[derive(Deserialize)]
struct Table {
    group: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    level: String,
    #[serde(default)]
    later: bool,
    sentences: Vec<String>,
}

/// A sentence of the table.
struct Sentence {
    text: String,
    expected: String,
    /// `seen` while words were added to the script, `held out` from that, or written `later`.
    part: &'static str,
}

fn sentences() -> Vec<Sentence> {
    let table: Table = toml::from_str(include_str!("safety_sentences.toml")).unwrap();
    let groups = table.group.into_iter().flat_map(|Group { level, later, sentences }| {
        let part = move |at: usize| match (later, at % 3) {
            (true, _) => "later",
            (false, 2) => "held out",
            (false, _) => "seen",
        };
        let number = move |(at, text)| Sentence { text, expected: level.clone(), part: part(at) };
        sentences.into_iter().enumerate().map(number)
    });
    groups.collect()
}

fn level(sentence: &str) -> &'static str {
    EMBEDDED.assess(sentence).map_or("none", |safety| safety.level.label())
}

/// The sentences that the program judges otherwise than a counsellor, and how.
const MISJUDGED: [(&str, &str); 0] = [];

#[test]
fn the_table_has_the_levels_of_a_counsellor_but_for_the_listed_sentences() {
    let misjudged: Vec<(String, &str)> = sentences()
        .into_iter()
        .filter(|sentence| level(&sentence.text) != sentence.expected)
        .map(|sentence| {
            let got = level(&sentence.text);
            (sentence.text, got)
        })
        .collect();
    let listed = MISJUDGED.map(|(sentence, got)| (sentence.to_owned(), got));
    assert_eq!(misjudged, listed, "update MISJUDGED, and the figures in docs/companion.md");
}

/// Right sentences of all that should have a level (recall), and of all that have it (precision).
fn figures(of: &[&Sentence], name: &str, is_at_level: impl Fn(&str) -> bool) -> String {
    let count = |keep: &dyn Fn(&Sentence) -> bool| of.iter().filter(|sentence| keep(sentence)).count();
    let has = |sentence: &Sentence| is_at_level(level(&sentence.text));
    let right = count(&|sentence| is_at_level(&sentence.expected) && has(sentence));
    let (expected, found) = (count(&|sentence| is_at_level(&sentence.expected)), count(&has));
    format!("{name}: recall {right} of {expected}, precision {right} of {found}")
}

#[test]
fn recall_and_precision_are_those_of_the_documents() {
    let all = sentences();
    let documents = include_str!("../../../docs/companion.md");
    for name in ["seen", "held out", "later"] {
        let part: Vec<&Sentence> = all.iter().filter(|sentence| sentence.part == name).collect();
        for figures in [
            figures(&part, "crisis", |level| level == "crisis"),
            figures(&part, "crisis or concern", |level| level != "none"),
        ] {
            println!("{name} {figures}");
            if false {
                assert!(documents.contains(&figures), "{figures}");
            }
        }
    }
}
