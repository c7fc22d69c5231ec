//! The embedded script: which reply it selects, and what no reply may contain.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use safespace::companion::{ChatMessage, Companion, Unavailable};
use safespace::message::Role;
use toml::{Table, Value};

use super::fixture::{LONG, RESOURCES, answer, build, call, message};

const FILE: &str = include_str!("../../../src/companion/script.toml");

static EMBEDDED: LazyLock<Companion> = LazyLock::new(|| build(&[]));

/// The embedded script as TOML.
static PARSED: LazyLock<Table> = LazyLock::new(|| toml::from_str(FILE).unwrap());

/// Every reply of it: topic, language, text.
pub(super) static REPLIES: LazyLock<Vec<[String; 3]>> = LazyLock::new(|| texts("replies"));

/// A text with the values of the help lines that it names.
fn expanded(text: &str) -> String {
    RESOURCES.expand(text).unwrap_or_else(|mistake| panic!("{}", mistake.1))
}

/// The value of a help line.
fn value(id: &str) -> &str {
    &RESOURCES.get(id).unwrap().value
}

fn user(text: &str) -> ChatMessage {
    message(Role::User, text)
}

fn script(text: &str) -> ChatMessage {
    message(Role::Script, text)
}

fn pieces(conversation: &[ChatMessage]) -> Vec<String> {
    let (result, pieces) = answer(&EMBEDDED, conversation, &call(LONG));
    result.unwrap();
    pieces
}

fn reply(conversation: &[ChatMessage]) -> String {
    pieces(conversation).concat()
}

/// The texts under a key of every topic, with the values of help lines: topic, language, text.
fn texts(key: &str) -> Vec<[String; 3]> {
    let mut all = Vec::new();
    for topic in PARSED["topic"].as_array().unwrap() {
        for (language, texts) in topic.get(key).and_then(Value::as_table).into_iter().flatten() {
            for text in texts.as_array().unwrap() {
                let [name, text] = [&topic["name"], text].map(|value| value.as_str().unwrap().to_owned());
                all.push([name, language.clone(), expanded(&text)]);
            }
        }
    }
    all
}

/// The topic and the language of a reply, such as `fear en`.
fn kind(reply: &str) -> String {
    let found = REPLIES.iter().find(|[_, _, text]| text == reply);
    found.map_or_else(
        || panic!("not a reply of the script: {reply}"),
        |[topic, language, _]| format!("{topic} {language}"),
    )
}

#[test]
fn every_topic_is_selected_by_typical_messages() {
    let cases = [
        ("erase id", ["gimana cara hapus percakapan ini?", "hapus"].as_slice()),
        ("erase en", &["how do i delete this", "Can I erase it?"]),
        ("privacy id", &["siapa yang baca ini", "jangan bilang siapa-siapa ya"]),
        ("privacy en", &["can anyone read this?", "He can see my screen"]),
        ("harm_others id", &["aku mau bunuh dia"]),
        ("harm_others en", &["I want to kill him"]),
        ("goodbye id", &["sampai jumpa"]),
        ("goodbye en", &["Bye, I have to go"]),
        ("self_harm en", &["I took all my pills", "there is no point in living"]),
        ("self_harm id", &["aku udah minum obat banyak", "gamau hidup"]),
        ("danger id", &["toloong", "dia dobrak pintu", "aku sembunyi di kamar mandi", "saya butuh bantuan"]),
        ("danger en", &["he slap me and I am hiding", "what number can I call", "he won\u{2019}t let me leave"]),
        ("greeting id", &["Halo", "selamat malam", "Hai, ada orang?", "kamu robot ya?"]),
        ("greeting en", &["Hello", "good evening", "Hello, is anyone there?", "Are you a bot?"]),
        ("fear id", &["Aku takut sekali", "akhir-akhir ini saya cemas terus", "TAKUUUUT", "jantungku deg-degan"]),
        ("fear en", &["I'm scared", "I\u{2019}m so afraid of him", "scared", "I can\u{2019}t sleep at night"]),
        ("shame id", &["aku malu banget", "ini aib keluarga", "Aku merasa kotor.", "aku gak berguna"]),
        ("shame en", &["I feel ashamed", "I'm so embarrassed!", "I can't tell anyone about it", "i feel worthless"]),
        ("anger id", &["aku marah sama dia", "kesel banget!!!", "aku benci dia", "Ini nggak adil"]),
        ("anger en", &["I am so angry", "i hate him", "I'm fed up with all of it", "It's not fair"]),
        (
            "self_blame id",
            &["ini semua salahku", "Mungkin aku pantas diperlakukan begini", "gara-gara aku", "aku nyesel"],
        ),
        (
            "self_blame en",
            &["It's all my fault", "I blame myself", "maybe I deserve this", "I shouldn't have gone there"],
        ),
        ("thanks id", &["makasih ya", "Terima kasih banyak", "terimakasih :)", "trims"]),
        ("thanks en", &["Thank you so much", "thanks", "Thx!", "I appreciate it"]),
        (
            "report id",
            &["aku mau lapor", "gimana cara melaporkan ini ke polisi?", "butuh pengacara", "apa perlu visum?"],
        ),
        (
            "report en",
            &["I want to report him", "should I call the police?", "Do I need a lawyer", "can I press charges"],
        ),
        ("danger id", &["tolong", "dia mukul aku lagi", "aku diancam pakai pisau", "Toloooong!!"]),
        ("danger en", &["Help me", "he hit me again", "He\u{2019}s here, outside my door", "I am not safe at home"]),
        ("self_harm id", &["aku mau mati", "pengen bunuh diri", "aku capek hidup", "lebih baik aku mati saja"]),
        ("self_harm en", &["I want to die", "I've been cutting myself", "i don\u{2019}t want to live", "SUICIDE"]),
        ("fallback id", &["hari ini hujan", "aku tinggal sama nenek", "dia pergi ke pasar", "begitulah"]),
        ("fallback en", &["it is raining today", "I live with my aunt", "she went to the market", "well, you know"]),
    ];
    for (expected, messages) in cases {
        for message in messages {
            assert_eq!(kind(&reply(&[user(message)])), expected, "{message}");
        }
    }
}

#[test]
fn every_phrase_of_the_script_selects_its_topic() {
    for [topic, language, word] in texts("words") {
        let selected = kind(&reply(&[user(&word)]));
        assert!(selected.starts_with(&format!("{topic} ")), "{word:?} of {topic} {language} selects {selected}");
    }
}

#[test]
fn the_most_urgent_topic_of_a_message_takes_precedence() {
    let cases = [
        ("Halo, dia memukulku", "danger id"),
        ("Hello, he hits me", "danger en"),
        ("makasih, tapi dia ngamuk dan aku takut", "danger id"),
        ("he hurts me and I want to die", "self_harm en"),
        ("aku malu dan mau bunuh diri", "self_harm id"),
        ("aku takut lapor polisi", "report id"),
        ("hi, I feel ashamed because it was my fault", "self_blame en"),
        ("thanks, but I am still afraid", "fear en"),
        ("aku takut banget, he hit me", "danger id"),
    ];
    for (message, expected) in cases {
        assert_eq!(kind(&reply(&[user(message)])), expected, "{message}");
    }
}

#[test]
fn only_whole_words_select_a_topic() {
    for (message, expected) in [
        ("my helpful sister has a shampoo", "fallback en"),
        ("the history of this machine", "fallback en"),
        ("aku suka permalinan dan takutlah", "fallback id"),
        ("I'll be at the lawyers' office... 'scared'", "fear en"),
    ] {
        assert_eq!(kind(&reply(&[user(message)])), expected, "{message}");
    }
}

#[test]
fn a_message_without_markers_keeps_the_language_of_earlier_ones() {
    for (before, message, expected) in [
        ("I live with my aunt", "ok", "fallback en"),
        ("I live with my aunt", "...", "silence en"),
        ("aku tinggal sama nenek", "thanks", "thanks id"),
        ("aku tinggal sama nenek", "ok", "fallback id"),
        ("I live with my aunt", "sekarang aku mau cerita", "fallback id"),
        ("I live with my aunt", "aku dia, my she", "fallback en"),
    ] {
        let conversation = [user("halo kamu"), user(before), script("Ya, aku dan kamu."), user(message)];
        assert_eq!(kind(&reply(&conversation)), expected, "{before}: {message}");
    }
    assert_eq!(kind(&reply(&[user("ok")])), "fallback id", "the first language of the file");
}

#[test]
fn without_other_markers_the_language_of_the_last_reply_is_kept() {
    let reply_of = |topic: &str, language: &str| {
        let mut found = REPLIES.iter().filter(|reply| reply[0] == topic && reply[1] == language);
        found.next().unwrap()[2].clone()
    };
    // The context is too short for the user's own message in that language.
    let conversation = [script(&reply_of("fear", "en")), user("ok")];
    assert_eq!(kind(&reply(&conversation)), "fallback en");
    let conversation = [script(&reply_of("fear", "en")), script(&reply_of("shame", "id")), user("ok")];
    assert_eq!(kind(&reply(&conversation)), "fallback id");
    let conversation = [script(&reply_of("fear", "id")), user("I am here with my son")];
    assert_eq!(kind(&reply(&conversation)), "fallback en");
}

#[test]
fn a_message_without_letters_and_digits_selects_silence() {
    for message in ["...", "\u{1F622}", "?!", " \n\t", "", "\u{2764}\u{FE0F}", "''", "\u{2026}\u{2019}"] {
        assert_eq!(kind(&reply(&[user(message)])), "silence id", "{message:?}");
    }
    assert_eq!(kind(&reply(&[])), "silence id");
    assert_eq!(kind(&reply(&[script("Halo.")])), "silence id");
    for message in ["7", "x", "\u{4F60}\u{597D}"] {
        assert_eq!(kind(&reply(&[user(message)])), "fallback id", "{message}");
    }
}

#[test]
fn the_last_message_of_the_user_is_answered() {
    let conversation = [user("I am scared"), script("I want to die"), user("hello"), script("help me")];
    assert_eq!(kind(&reply(&conversation)), "greeting en");
}

#[test]
fn the_least_recently_used_reply_of_a_topic_is_selected() {
    for (message, expected_kind) in
        [("I am scared", "fear en"), ("hari ini hujan", "fallback id"), ("tolong", "danger id")]
    {
        let expected: Vec<&String> = REPLIES
            .iter()
            .filter(|[topic, language, _]| format!("{topic} {language}") == expected_kind)
            .map(|[_, _, text]| text)
            .collect();
        let mut conversation = Vec::new();
        for round in 0..3 * expected.len() {
            conversation.push(user(message));
            let selected = reply(&conversation);
            assert_eq!(&selected, expected[round % expected.len()], "{expected_kind}, round {round}");
            conversation.push(script(&selected));
        }
        let used_elsewhere = [script(expected[2]), script(expected[0]), user(message)];
        assert_eq!(&reply(&used_elsewhere), expected[1], "{expected_kind}");
    }
}

#[test]
fn with_only_the_last_reply_in_context_it_is_not_repeated() {
    let mut last = reply(&[user("I am scared")]);
    for _ in 0..10 {
        let next = reply(&[script(&last), user("I am scared")]);
        assert_ne!(next, last);
        last = next;
    }
}

#[test]
fn the_same_conversation_gets_the_same_reply() {
    let conversation = || [user("I am scared"), script("Why?"), user("dia marah, I don't know")];
    let first = reply(&conversation());
    for _ in 0..20 {
        assert_eq!(reply(&conversation()), first);
    }
}

#[test]
fn a_reply_is_streamed_in_sentences_that_concatenate_to_it() {
    let sentences = pieces(&[user("Hello")]);
    assert!(sentences.len() > 2, "{sentences:?}");
    assert_eq!(kind(&sentences.concat()), "greeting en");
    let sentences = pieces(&[user("aku mau mati")]);
    let address = value("healing119_web");
    assert!(sentences.iter().any(|piece| piece.contains(address)), "the address is split: {sentences:?}");
}

#[test]
fn a_cancellation_ends_the_answer_between_two_sentences() {
    let call = call(LONG);
    let mut sentences = 0;
    let result = EMBEDDED.answer(&[user("Hello")], None, &call, &mut |_| {
        sentences += 1;
        call.cancellation.cancel();
    });
    assert_eq!((result, sentences), (Err(Unavailable::Cancelled), 1));
    assert_eq!(answer(&EMBEDDED, &[user("Hello")], &call), (Err(Unavailable::Cancelled), Vec::new()));
}

#[test]
fn the_script_has_its_own_role_and_uses_2000_characters() {
    assert_eq!((EMBEDDED.role(), EMBEDDED.context_chars()), (Role::Script, 2_000));
}

#[test]
fn no_reply_contains_a_forbidden_phrase() {
    const FORBIDDEN: [&str; 47] = [
        "i understand",
        "i know how",
        "i know exactly",
        "i feel",
        "trust me",
        "i promise",
        "secret",
        "confidential",
        "nobody will",
        "no one will",
        "you are safe",
        "you're safe",
        "you should",
        "you must",
        "you have to",
        "you need to",
        "why did you",
        "why didn't",
        "your fault",
        "calm down",
        "confront",
        "forgive",
        "pray",
        "god",
        "depression",
        "disorder",
        "it will be fine",
        "everything will",
        "aku mengerti",
        "aku paham",
        "aku tahu rasanya",
        "aku janji",
        "rahasia",
        "percaya padaku",
        "kamu aman",
        "kamu harus",
        "seharusnya",
        "sebaiknya",
        "kenapa kamu",
        "salahmu",
        "hadapi dia",
        "maafkan",
        "doa",
        "tuhan",
        "allah",
        "depresi",
        "pasti baik",
    ];
    for [topic, language, reply] in REPLIES.iter() {
        let lower = format!(
            " {} ",
            reply.to_lowercase().replace(|letter: char| !letter.is_alphanumeric() && letter != '\'', " ")
        );
        for forbidden in FORBIDDEN {
            assert!(!lower.contains(&format!(" {forbidden} ")), "{topic} {language} contains {forbidden:?}: {reply}");
        }
    }
}

#[test]
fn urgent_replies_name_help_lines_and_other_replies_are_short() {
    for [topic, language, reply] in REPLIES.iter() {
        let case = format!("{topic} {language}: {reply}");
        match (topic.as_str(), language.as_str()) {
            ("self_harm", _) => {
                for help_line in ["healing119_phone", "healing119_web", "emergency_112"] {
                    assert!(reply.contains(value(help_line)), "{help_line}: {case}");
                }
            }
            ("danger", "id") => assert!(reply.contains(value("emergency_112")) && reply.contains("hapus"), "{case}"),
            ("danger", _) => assert!(reply.contains(value("emergency_112")) && reply.contains("erase"), "{case}"),
            ("greeting", _) => assert!(reply.contains("program"), "{case}"),
            _ => {}
        }
        let max_chars = if ["self_harm", "danger", "report"].contains(&topic.as_str()) { 420 } else { 220 };
        assert!(reply.chars().count() <= max_chars, "{case}");
    }
}

#[test]
fn every_topic_has_three_to_six_unique_replies() {
    let all = &*REPLIES;
    for [topic, language, text] in all {
        let same = all.iter().filter(|other| other[..2] == [topic.as_str(), language]).count();
        assert!((3..=6).contains(&same), "{topic} {language}: {same}");
        assert_eq!(all.iter().filter(|other| other[2] == *text).count(), 1, "{text}");
    }
}

proptest! {
    #[test]
    fn any_conversation_gets_a_reply_of_the_script(messages in prop::collection::vec((any::<bool>(), "\\PC{0,60}|[a-z' \u{2019}.\u{300}]{0,60}|(?s).{0,20}"), 0..6)) {
        let conversation: Vec<ChatMessage> =
            messages.iter().map(|(is_user, text)| if *is_user { user(text) } else { script(text) }).collect();
        let selected = reply(&conversation);
        prop_assert!(REPLIES.iter().any(|[_, _, text]| *text == selected), "{}", selected);
    }
}

#[test]
fn the_longest_message_is_answered_within_a_second() {
    let longest = ["\u{130}".repeat(4_096), "a ".repeat(2_048), "'".repeat(4_096), "bunuh ".repeat(682)];
    for text in longest {
        let before = Instant::now();
        pieces(&[user(&text)]);
        assert!(before.elapsed() < Duration::from_secs(1), "{text:.10}: {:?}", before.elapsed());
    }
}
