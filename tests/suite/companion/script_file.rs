//! The format of a script: what is accepted, and how mistakes are reported.

use proptest::prelude::*;
use safespace::companion::{self, BuildError, ChatMessage, Companion};
use safespace::data_file::{FileError, ParseError};
use safespace::message::Role;

use super::fixture::{LONG, RESOURCES, answer, call, file, message, path, settings};

const SMALL: &str = r#"[[language]]
code = "id"
markers = ["aku"]

[[topic]]
name = "greeting"
words.id = ["halo"]
replies.id = ["Halo juga."]

[[topic]]
name = "silence"
replies.id = ["..."]

[[topic]]
name = "fallback"
replies.id = ["Ya?"]
"#;

/// The small script with replacements, each of which must match.
fn small(changes: &[(&str, &str)]) -> String {
    changes.iter().fold(SMALL.to_owned(), |text, (old, new)| {
        assert!(text.contains(old), "{old}");
        text.replacen(old, new, 1)
    })
}

/// Parses a script as the service does: from a file.
fn parse(text: &str) -> Result<Companion, ParseError> {
    let file = file(text.as_bytes());
    match companion::build(&settings(&[("COMPANION_SCRIPT", path(&file))]), &RESOURCES) {
        Ok(script) => Ok(script),
        Err(BuildError::File(FileError::Mistaken { reason, .. })) => Err(reason),
        Err(other) => panic!("{other}"),
    }
}

/// The mistake in a script.
fn mistake(text: &str) -> String {
    parse(text).err().map_or_else(|| panic!("it is accepted:\n{text}"), |error| error.to_string())
}

fn reply(script: &Companion, conversation: &[ChatMessage]) -> String {
    let (result, pieces) = answer(script, conversation, &call(LONG));
    result.unwrap();
    pieces.concat()
}

fn greeting() -> ChatMessage {
    message(Role::User, "HALO!")
}

#[test]
fn a_mistake_is_reported_with_its_line() {
    let long = format!("\"{}\"", "x".repeat(2_001));
    let many = format!("\"{}\"", "kata ".repeat(11));
    let cases: [(&str, &str, &str); 27] = [
        ("[\"aku\"]", "[\"aku\"", "line 5: missing comma"),
        ("[\"halo\"]", "[\"halo]", "line 7: "),
        ("code = \"id\"", "code = 7", "line 2: invalid type: integer `7`, expected a string"),
        ("replies.id = [\"Ya?\"]", "reply.id = [\"Ya?\"]", "line 16: unknown field `reply`"),
        ("[[topic]]\nname = \"greeting\"", "[[topik]]\nname = \"greeting\"", "line 5: unknown field `topik`"),
        ("name = \"greeting\"\n", "", "line 5: missing field `name`"),
        ("replies.id = [\"Halo juga.\"]\n", "", "line 5: missing field `replies`"),
        ("code = \"id\"", "code = \" \"", "line 2: a language needs a code"),
        (
            "[\"aku\"]\n",
            "[\"aku\"]\n[[language]]\ncode = \"id\"\nmarkers = [\"i\"]\n",
            "line 5: there is a language \"id\" already",
        ),
        ("[\"aku\"]", "[]", "line 2: the language \"id\" needs markers"),
        ("[\"aku\"]", "[\n\"aku\",\n\"kamu dia\"\n]", "line 5: the marker \"kamu dia\" should be one word"),
        ("[\"aku\"]", "[\"?!\"]", "line 3: the marker \"?!\" should be one word"),
        (
            "name = \"silence\"\n",
            "name = \"silence\"\nwords.id = [\"a\"]\n",
            "line 12: the topic \"silence\" is chosen without words",
        ),
        ("name = \"greeting\"", "name = \"fallback\"", "line 15: there is a topic \"fallback\" already"),
        ("name = \"greeting\"", "name = \"\"", "line 6: a topic needs a name"),
        ("name = \"silence\"", "name = \"quiet\"\nwords.id = [\"diam\"]", "line 1: there is no topic \"silence\""),
        ("name = \"fallback\"", "name = \"other\"\nwords.id = [\"lain\"]", "line 1: there is no topic \"fallback\""),
        ("words.id = [\"halo\"]\n", "", "line 6: the topic \"greeting\" has no words in \"id\""),
        ("words.id = [\"halo\"]", "words.id = []", "line 6: the topic \"greeting\" has no words in \"id\""),
        ("[\"halo\"]", "[\"halo\", \"...\"]", "line 7: \"...\" should have 1 to 10 words"),
        ("\"halo\"", &many, "line 7: "),
        ("words.id", "words.ID", "line 7: there is no language \"ID\""),
        (
            "replies.id = [\"Ya?\"]",
            "replies.de = [\"Ja?\"]\nreplies.id = [\"Ya?\"]",
            "line 16: there is no language \"de\"",
        ),
        ("[\"Halo juga.\"]", "[]", "line 6: the topic \"greeting\" has no replies in \"id\""),
        ("[\"Halo juga.\"]", "[\n\"Halo juga.\",\n\" \",\n]", "line 10: a reply is empty"),
        ("\"Halo juga.\"", &long, "line 8: a reply has more than 2000 characters"),
        (
            "[[topic]]\nname = \"silence\"",
            "[[topic]]\nname = \"hello\"\nwords.id = [\n\"HALO!\"]\nreplies.id = [\"Hai.\"]\n[[topic]]\nname = \"silence\"",
            "line 13: \"HALO!\" selects the topic \"greeting\" already",
        ),
    ];
    for (old, new, expected) in cases {
        let refused = mistake(&small(&[(old, new)]));
        assert!(refused.starts_with(expected), "{new}: {refused}");
        assert!(!refused.contains('\n'), "{refused}");
    }
    for (text, expected) in [
        ("#", "line 1: missing field `language`"),
        ("language = []\ntopic = []", "line 1: there is no language"),
        ("DATABASE_URL=x", "line 1: "),
    ] {
        let refused = mistake(text);
        assert!(refused.starts_with(expected), "{text}: {refused}");
    }
    let other = small(&[("words.id = [\"halo\"]", "words.id = [\"halo\"]\ncrisis.id = [\"mati\"]")]);
    assert!(
        mistake(&other).starts_with("line 6: the topic \"greeting\" has crisis, vague or harmless"),
        "{}",
        mistake(&other)
    );
    let unknown = small(&[
        ("\"greeting\"", "\"danger\""),
        ("words.id = [\"halo\"]", "words.id = [\"halo\"]\nvague = [\n\"pisau\"]"),
    ]);
    assert_eq!(mistake(&unknown), "line 9: \"pisau\" is not in the words of the topic");
    let second = "[\"aku\"]\n[[language]]\ncode = \"en\"\nmarkers = [\"i\", \"Aku\"]\n";
    let refused = mistake(&small(&[("[\"aku\"]", second)]));
    assert_eq!(refused, "line 10: the topic \"greeting\" has no words in \"en\"");
}

#[test]
fn a_marker_of_two_languages_is_refused() {
    let both = include_str!("../../../src/companion/script.toml").replacen("\"i\", \"i'm\"", "\"i\", \"AKU\"", 1);
    let refused = mistake(&both);
    assert!(refused.ends_with("the marker \"AKU\" is in another language, too, so it tells nothing"), "{refused}");
}

#[test]
fn a_byte_order_mark_crlf_and_the_longest_reply_are_accepted() {
    for text in [
        format!("\u{FEFF}{SMALL}"),
        SMALL.replace('\n', "\r\n"),
        small(&[("\"Ya?\"", &format!("\"{}\"", "x".repeat(2_000)))]),
    ] {
        let script = parse(&text).unwrap_or_else(|error| panic!("{error}:\n{text}"));
        assert_eq!(reply(&script, &[greeting()]), "Halo juga.", "{text}");
    }
    let refused = mistake(&format!("\u{FEFF}{}", small(&[("[\"Ya?\"]", "[\"\"]")])).replace('\n', "\r\n"));
    assert_eq!(refused, "line 16: a reply is empty");
}

#[test]
fn a_topic_with_one_reply_repeats_it() {
    let script = parse(SMALL).unwrap_or_else(|error| panic!("{error}"));
    let earlier = message(Role::Script, "Halo juga.");
    assert_eq!(reply(&script, &[greeting(), earlier, greeting()]), "Halo juga.");
}

proptest! {
    #[test]
    fn any_text_is_a_script_or_has_a_mistake_in_one_of_its_lines(at in 0..SMALL.len(), junk in "(?s).{0,8}", length in 0..20_usize) {
        let mut text = SMALL.to_owned();
        text.replace_range(at..(at + length).min(SMALL.len()), &junk);
        if let Err(error) = parse(&text) {
            prop_assert!((1..=text.split('\n').count()).contains(&error.line), "{}", error);
        }
    }
}
