//! The floor: which level a sentence gets, by what a counsellor would say, what disguises change, and how its work is bounded.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use safespace::companion::{Companion, Level};
use safespace::message::Role;
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
    seen: bool,
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
    let groups = table.group.into_iter().flat_map(|Group { level, seen, later, sentences }| {
        let part = move |at: usize| match (later, seen, at % 3) {
            (true, ..) => "later",
            (_, false, 2) => "held out",
            _ => "seen",
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
const MISJUDGED: [(&str, &str); 8] = [
    ("udah gak kuat, I just want to disappear forever and die", "concern"),
    ("sometimes I wonder what it would be like not to exist", "none"),
    ("aku dipukulin sama husband sekarang", "concern"),
    ("anakku mukul drum terus", "concern"),
    ("the lyrics say I wanna die but it's a love song", "concern"),
    ("lirik lagunya bilang mau mati saja demi cinta", "concern"),
    ("I got beaten in the tennis final", "concern"),
    ("she kicked me out of the group chat", "concern"),
];

#[test]
fn the_table_has_the_levels_of_a_counsellor_but_for_the_listed_sentences() {
    let all = sentences();
    let listed: Vec<&str> = MISJUDGED.iter().map(|(sentence, _)| *sentence).collect();
    let misjudged =
        all.iter().filter(|sentence| level(&sentence.text) != sentence.expected && sentence.part != "later");
    let misjudged: Vec<(&str, &str)> =
        misjudged.map(|sentence| (sentence.text.as_str(), level(&sentence.text))).collect();
    assert_eq!(misjudged, MISJUDGED, "update MISJUDGED, and the figures in docs/companion.md");
    assert!(all.len() >= 300 && listed.len() * 10 < all.len(), "{} of {}", listed.len(), all.len());
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
            assert!(documents.contains(&figures), "docs/companion.md has other figures: {name}, {figures}");
        }
    }
}

#[test]
fn a_script_without_these_topics_finds_nothing_and_one_with_its_own_words_finds_those() {
    let small = |topic: &str| {
        let text = format!(
            "[[language]]\ncode = \"id\"\nmarkers = [\"aku\"]\n{topic}[[topic]]\nname = \"silence\"\nreplies.id = [\"...\"]\n\
             [[topic]]\nname = \"fallback\"\nreplies.id = [\"Ya?\"]\n"
        );
        let script = file(text.as_bytes());
        build(&[("COMPANION_SCRIPT", path(&script))])
    };
    let without = small("");
    assert!(!without.has_floor() && without.assess("aku mau mati").is_none());
    let own = small(
        "[[topic]]\nname = \"danger\"\nwords.id = [\"serigala\", \"tolong\"]\ncrisis.id = [\"dikejar serigala\"]\n\
         vague = [\"tolong\"]\nharmless = [\"serigala berbulu domba\"]\nreplies.id = [\"Lari.\"]\n",
    );
    assert!(own.has_floor());
    for (message, expected) in [
        ("ada serigala di sini", Some(Level::Concern)),
        ("aku dikejar serigala", Some(Level::Crisis)),
        ("dia serigala berbulu domba", None),
        ("tolong", Some(Level::Concern)),
        ("tolong kirim nomor itu", None),
        ("aku mau mati", None),
    ] {
        assert_eq!(own.assess(message).map(|safety| safety.level), expected, "{message}");
    }
}

#[test]
fn the_longest_message_is_assessed_within_a_second() {
    let texts = ["a ", "bunuh ", "k!l1 ", "1 ", "a*b ", "\u{200b}", "x", "mau ", "tidak ", "\u{fdfa}"];
    for text in texts {
        let longest: String = text.chars().cycle().take(4_096).collect();
        let started = Instant::now();
        let _ = EMBEDDED.assess(&longest);
        println!("{text:?}: {:?}", started.elapsed());
        assert!(started.elapsed() < Duration::from_secs(1), "{text:?}: {:?}", started.elapsed());
    }
}

#[test]
fn the_reply_to_a_disguised_message_is_of_its_topic_and_in_its_language() {
    for (message, of_language) in [
        ("pgn b u n u h d i r i", "menelepon"),
        ("k!ll myself is what i want", "crisis line"),
        ("s u i c i d e", "menelepon"),
        ("dia mau bnuh aku", "polisi"),
        ("he gonna k1ll me", "local emergency number"),
    ] {
        let safety = EMBEDDED.assess(message).unwrap_or_else(|| panic!("{message}"));
        let question = [super::fixture::message(Role::User, message)];
        let reply = EMBEDDED.reply_to(safety, &question);
        assert!(reply.contains(of_language), "{message}: {reply}");
    }
}
