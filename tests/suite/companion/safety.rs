//! The floor: which level a sentence gets, by what a counsellor would say, what disguises change, which help lines it names, and
//! how its work is bounded.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use safespace::companion::{Companion, Level, help_lines};
use safespace::message::Role;
use serde::Deserialize;

use super::fixture::{LONG, RESOURCES, answer, build, call, file, message, path};
use super::script::REPLIES;

static EMBEDDED: LazyLock<Companion> = LazyLock::new(|| build(&[]));

#[derive(Deserialize)]
struct Table {
    group: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    level: String,
    sentences: Vec<String>,
}

/// A sentence of the table.
struct Sentence {
    text: String,
    expected: String,
}

fn sentences() -> Vec<Sentence> {
    let table: Table = toml::from_str(include_str!("safety_sentences.toml")).unwrap();
    let groups = table.group.into_iter().flat_map(|Group { level, sentences }| {
        sentences.into_iter().map(move |text| Sentence { text, expected: level.clone() })
    });
    groups.collect()
}

fn level(sentence: &str) -> &'static str {
    EMBEDDED.assess(sentence).map_or("none", |safety| safety.level.label())
}

/// The sentences that the program judges otherwise than a counsellor, and how.
const MISJUDGED: [(&str, &str); 27] = [
    ("udah gak kuat, I just want to disappear forever and die", "concern"),
    ("sometimes I wonder what it would be like not to exist", "none"),
    ("aku dipukulin sama husband sekarang", "concern"),
    ("the lyrics say I wanna die but it's a love song", "crisis"),
    ("lirik lagunya bilang mau mati saja demi cinta", "concern"),
    ("tidak ada yang memukul aku", "concern"),
    ("nobody hits me", "concern"),
    ("he has never hurt me", "concern"),
    ("aku gak diancam siapa-siapa", "concern"),
    ("I got beaten in the tennis final", "concern"),
    ("she kicked me out of the group chat", "concern"),
    ("pacarku mukulin aku dan sekarang ngunci pintu", "concern"),
    ("my boyfriend just punched me in the face and I can't leave", "concern"),
    ("dia ngikutin aku dari kampus sampai kos", "concern"),
    ("who is following me on instagram", "concern"),
    ("I cut the bread with a knife", "concern"),
    ("the parcel is at my door", "concern"),
    ("his story touches me", "concern"),
    ("recruiters keep looking for me on LinkedIn", "concern"),
    ("sepedaku dikunci di parkiran", "concern"),
    ("someone's been tailing me since the station, I'm scared", "concern"),
    ("she threatened to beat me at Mario Kart", "concern"),
    ("lengan saya penuh bekas silet, saya lakukan sendiri", "concern"),
    ("deadline skripsi bikin aku mau mati, haha", "crisis"),
    ("pacarku mutusin mau mati rasanya", "concern"),
    ("bun uh di ri", "none"),
    ("bosku meraba aku waktu nonton film bareng", "crisis"),
];

#[test]
fn the_table_has_the_levels_of_a_counsellor_but_for_the_listed_sentences() {
    let all = sentences();
    let listed: Vec<&str> = MISJUDGED.iter().map(|(sentence, _)| *sentence).collect();
    let misjudged = all.iter().filter(|sentence| level(&sentence.text) != sentence.expected);
    let misjudged: Vec<(&str, &str)> =
        misjudged.map(|sentence| (sentence.text.as_str(), level(&sentence.text))).collect();
    assert_eq!(misjudged, MISJUDGED, "update MISJUDGED, and the figures in docs/companion.md");
    assert!(all.len() >= 300 && listed.len() * 10 < all.len(), "{} of {}", listed.len(), all.len());
}

#[test]
fn recall_and_precision_are_those_of_the_documents() {
    let all = sentences();
    let documents = include_str!("../../../docs/companion.md");
    for (name, lowest) in [("crisis", Level::Crisis), ("crisis or concern", Level::Concern)] {
        let is_at_level = |level: &str| level == "crisis" || level == lowest.label();
        let expected: Vec<_> = all.iter().filter(|sentence| is_at_level(&sentence.expected)).collect();
        let found = all.iter().filter(|sentence| is_at_level(level(&sentence.text))).count();
        let right = expected.iter().filter(|sentence| is_at_level(level(&sentence.text))).count();
        let figures = format!("{name}: recall {right} of {}, precision {right} of {found}", expected.len());
        assert!(documents.contains(&figures), "docs/companion.md has other figures: {figures}");
    }
}

#[test]
fn the_script_replies_of_danger_exactly_where_something_was_found() {
    let urgent: Vec<&str> = REPLIES
        .iter()
        .filter(|[topic, ..]| ["self_harm", "danger"].contains(&topic.as_str()))
        .map(|[.., reply]| reply.as_str())
        .collect();
    for Sentence { text, .. } in sentences() {
        let (_, pieces) = answer(&EMBEDDED, &[message(Role::User, &text)], &call(LONG));
        assert_eq!(urgent.contains(&pieces.concat().as_str()), level(&text) != "none", "{text}");
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
    assert!(!without.can_classify() && without.assess("aku mau mati").is_none());
    let own = small(
        "[[topic]]\nname = \"danger\"\nwords.id = [\"serigala\", \"tolong\"]\ncrisis.id = [\"dikejar serigala\"]\n\
         vague = [\"tolong\"]\nharmless = [\"serigala berbulu domba\"]\nreplies.id = [\"Lari.\"]\n",
    );
    assert!(own.can_classify());
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

/// The shorter of `before` and the time in which the message is assessed so many times.
fn shortest(before: Duration, message: &str, times: usize) -> Duration {
    let started = Instant::now();
    for _ in 0..times {
        let _ = EMBEDDED.assess(message);
    }
    before.min(started.elapsed())
}

#[test]
fn the_time_of_an_assessment_is_linear_in_the_length_of_the_message() {
    let phrases = ["sos ", "kms ", "\u{339e}s ", "suicide ", "su!cide ", "bunuhdiri ", "bunuhd!r1*", "not suicidal "];
    let others = ["a ", "k!l1 ", "1 ", "a*b ", "\u{200b}", "x", "mau ", "tidak ", "he ", "lompat tali ", "\u{fdfa}"];
    for text in phrases.into_iter().chain(others) {
        let message = |chars: usize| text.chars().cycle().take(chars).collect::<String>();
        let (quarter, whole) = (message(1_024), message(4_096));
        assert_eq!(EMBEDDED.assess(&whole).is_some(), phrases.contains(&text), "{text:?}");
        // Four quarters take as long as the whole if the work is linear, and a quarter of that if it is quadratic: the bound is in the
        // middle of the two. Other tests take the processor meanwhile, so only the shortest times count.
        let (mut quarters, mut at_once) = (Duration::MAX, Duration::MAX);
        let is_linear = (0..15).any(|_| {
            (quarters, at_once) = (shortest(quarters, &quarter, 4), shortest(at_once, &whole, 1));
            at_once < quarters * 2 + Duration::from_millis(1)
        });
        println!("{text:?}: {quarters:?} for four quarters, {at_once:?} for the whole");
        assert!(is_linear, "{text:?}: {quarters:?} for four quarters, {at_once:?} for the whole");
    }
}

#[test]
fn a_person_who_speaks_of_dying_gets_no_police_and_one_in_danger_does() {
    for (message, has_police) in
        [("aku mau mati", false), ("he raped me", true), ("he raped me and I want to die", true)]
    {
        let risk = EMBEDDED.assess(message).expect(message).risk;
        let lines = help_lines(&RESOURCES, Some(risk));
        assert_eq!(lines.iter().any(|line| line.topics.iter().any(|topic| topic == "police")), has_police, "{message}");
        assert_eq!(lines[0].id, "emergency_112", "{message}");
    }
}

#[test]
fn the_reply_to_a_disguised_message_is_of_its_topic_and_in_its_language() {
    for (text, of_language) in [
        ("pgn b u n u h d i r i", "menelepon"),
        ("k!ll myself is what i want", "crisis line"),
        ("s u i c i d e", "menelepon"),
        ("dia mau bnuh aku", "polisi"),
        ("he gonna k1ll me", "local emergency number"),
    ] {
        let safety = EMBEDDED.assess(text).unwrap_or_else(|| panic!("{text}"));
        let question = [message(Role::User, text)];
        let reply = EMBEDDED.reply(&question, Some(safety));
        assert!(reply.contains(of_language), "{text}: {reply}");
    }
}
