//! The script: which reply it gives to what, and that no reply says what it must not.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use safespace::companion::{Call, Companion, Cut, Said, Script, Source, Speaker, Unavailable};
use toml::{Table, Value};

const FILE: &str = include_str!("../../../src/companion/script.toml");

static EMBEDDED: LazyLock<Script> = LazyLock::new(Script::embedded);

/// The embedded script as a file.
static PARSED: LazyLock<Table> = LazyLock::new(|| toml::from_str(FILE).unwrap());

/// Every reply of it: topic, language, text.
static REPLIES: LazyLock<Vec<[String; 3]>> = LazyLock::new(|| texts("replies"));

fn person(text: &str) -> Said {
    Said { speaker: Speaker::Person, text: text.to_owned() }
}

fn companion(text: &str) -> Said {
    Said { speaker: Speaker::Companion, text: text.to_owned() }
}

fn call() -> Call {
    Call { deadline: Instant::now() + Duration::from_secs(10), is_streamed: true, cut: Cut::default() }
}

fn pieces(script: &Script, conversation: &[Said]) -> Vec<String> {
    let mut pieces = Vec::new();
    script.answer(conversation, &call(), &mut |piece| pieces.push(piece.to_owned())).unwrap();
    pieces
}

fn answer(conversation: &[Said]) -> String {
    pieces(&EMBEDDED, conversation).concat()
}

/// What stands under a key of every topic: topic, language, text.
fn texts(key: &str) -> Vec<[String; 3]> {
    let mut all = Vec::new();
    for topic in PARSED["topic"].as_array().unwrap() {
        for (language, texts) in topic.get(key).and_then(Value::as_table).into_iter().flatten() {
            for text in texts.as_array().unwrap() {
                let [name, text] = [&topic["name"], text].map(|value| value.as_str().unwrap().to_owned());
                all.push([name, language.clone(), text]);
            }
        }
    }
    all
}

/// The topic and the language of a reply, such as `fear en`.
fn kind(reply: &str) -> String {
    let found = REPLIES.iter().find(|[_, _, text]| text == reply);
    found.map_or_else(|| panic!("no reply of the file: {reply}"), |[topic, language, _]| format!("{topic} {language}"))
}

#[test]
fn every_topic_is_chosen_by_what_people_write() {
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
        ("fear id", &["Aku takut pulang", "akhir-akhir ini saya cemas terus", "TAKUUUUT", "jantungku deg-degan"]),
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
            assert_eq!(kind(&answer(&[person(message)])), expected, "{message}");
        }
    }
}

#[test]
fn every_word_of_the_file_selects_its_topic() {
    for [topic, language, word] in texts("words") {
        let chosen = kind(&answer(&[person(&word)]));
        assert!(chosen.starts_with(&format!("{topic} ")), "{word:?} of {topic} {language} selects {chosen}");
    }
}

#[test]
fn what_is_more_urgent_comes_first() {
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
        assert_eq!(kind(&answer(&[person(message)])), expected, "{message}");
    }
}

#[test]
fn only_whole_words_count() {
    for (message, expected) in [
        ("my helpful sister has a shampoo", "fallback en"),
        ("the history of this machine", "fallback en"),
        ("aku suka permalinan dan takutlah", "fallback id"),
        ("I'll be at the lawyers' office... 'scared'", "fear en"),
    ] {
        assert_eq!(kind(&answer(&[person(message)])), expected, "{message}");
    }
}

#[test]
fn a_short_message_keeps_the_language_of_what_was_said_before() {
    for (before, message, expected) in [
        ("I live with my aunt", "ok", "fallback en"),
        ("I live with my aunt", "...", "silence en"),
        ("aku tinggal sama nenek", "thanks", "thanks id"),
        ("aku tinggal sama nenek", "ok", "fallback id"),
        ("I live with my aunt", "sekarang aku mau cerita", "fallback id"),
        ("I live with my aunt", "aku dia, my she", "fallback en"),
    ] {
        let conversation = [person("halo kamu"), person(before), companion("Ya, aku dan kamu."), person(message)];
        assert_eq!(kind(&answer(&conversation)), expected, "{before}: {message}");
    }
    assert_eq!(kind(&answer(&[person("ok")])), "fallback id", "the first language of the file");
}

#[test]
fn the_language_of_the_last_reply_holds_where_nothing_else_tells() {
    let reply = |topic: &str, language: &str| {
        let mut found = REPLIES.iter().filter(|reply| reply[0] == topic && reply[1] == language);
        found.next().unwrap()[2].clone()
    };
    // What the person wrote in it is out of sight by now.
    let conversation = [companion(&reply("fear", "en")), person("ok")];
    assert_eq!(kind(&answer(&conversation)), "fallback en");
    let conversation = [companion(&reply("fear", "en")), companion(&reply("shame", "id")), person("ok")];
    assert_eq!(kind(&answer(&conversation)), "fallback id");
    let conversation = [companion(&reply("fear", "id")), person("I am here with my son")];
    assert_eq!(kind(&answer(&conversation)), "fallback en");
}

#[test]
fn a_message_without_letters_and_digits_is_silence() {
    for message in ["...", "\u{1F622}", "?!", " \n\t", "", "\u{2764}\u{FE0F}", "''", "\u{2026}\u{2019}"] {
        assert_eq!(kind(&answer(&[person(message)])), "silence id", "{message:?}");
    }
    assert_eq!(kind(&answer(&[])), "silence id");
    assert_eq!(kind(&answer(&[companion("Halo.")])), "silence id");
    for message in ["7", "x", "\u{4F60}\u{597D}"] {
        assert_eq!(kind(&answer(&[person(message)])), "fallback id", "{message}");
    }
}

#[test]
fn the_last_thing_that_the_person_said_is_answered() {
    let conversation = [person("I am scared"), companion("I want to die"), person("hello"), companion("help me")];
    assert_eq!(kind(&answer(&conversation)), "greeting en");
}

#[test]
fn all_replies_of_a_topic_come_in_turn_and_none_twice_in_a_row() {
    for (message, kind_of_it) in
        [("I am scared", "fear en"), ("hari ini hujan", "fallback id"), ("tolong", "danger id")]
    {
        let expected: Vec<&String> = REPLIES
            .iter()
            .filter(|[topic, language, _]| format!("{topic} {language}") == kind_of_it)
            .map(|[_, _, text]| text)
            .collect();
        let mut conversation = Vec::new();
        for turn in 0..3 * expected.len() {
            conversation.push(person(message));
            let reply = answer(&conversation);
            assert_eq!(&reply, expected[turn % expected.len()], "{kind_of_it}, turn {turn}");
            conversation.push(companion(&reply));
        }
        let used_elsewhere = [companion(expected[2]), companion(expected[0]), person(message)];
        assert_eq!(&answer(&used_elsewhere), expected[1], "{kind_of_it}");
    }
}

#[test]
fn where_only_the_last_replies_are_known_the_last_is_not_repeated() {
    let mut last = answer(&[person("I am scared")]);
    for _ in 0..10 {
        let next = answer(&[companion(&last), person("I am scared")]);
        assert_ne!(next, last);
        last = next;
    }
}

#[test]
fn the_same_conversation_gets_the_same_reply() {
    let conversation = || [person("I am scared"), companion("Why?"), person("dia marah, I don't know")];
    let first = answer(&conversation());
    for _ in 0..20 {
        assert_eq!(answer(&conversation()), first);
    }
}

#[test]
fn a_reply_comes_in_sentences_that_join_to_it() {
    let said = pieces(&EMBEDDED, &[person("Hello")]);
    assert!(said.len() > 2, "{said:?}");
    assert_eq!(kind(&said.concat()), "greeting en");
    let said = pieces(&EMBEDDED, &[person("aku mau mati")]);
    assert!(said.iter().any(|piece| piece.contains("healing119.id.")), "an address stays whole: {said:?}");
}

#[test]
fn a_cut_ends_it_between_two_pieces() {
    let call = call();
    let mut said = 0;
    let result = EMBEDDED.answer(&[person("Hello")], &call, &mut |_| {
        said += 1;
        call.cut.now();
    });
    assert_eq!((result, said), (Err(Unavailable::Cut), 1));
    let mut silent = |piece: &str| panic!("it said {piece}");
    assert_eq!(EMBEDDED.answer(&[person("Hello")], &call, &mut silent), Err(Unavailable::Cut));
}

#[test]
fn it_says_what_it_is_and_how_much_it_uses() {
    let script = &*EMBEDDED;
    assert_eq!((script.source(), script.context_chars()), (Source::Script, 2_000));
}

#[test]
fn no_reply_says_what_it_must_not() {
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
            assert!(!lower.contains(&format!(" {forbidden} ")), "{topic} {language} says {forbidden:?}: {reply}");
        }
    }
}

#[test]
fn urgent_replies_name_numbers_and_others_are_short() {
    for [topic, language, reply] in REPLIES.iter() {
        let place = format!("{topic} {language}: {reply}");
        match (topic.as_str(), language.as_str()) {
            ("self_harm", _) => {
                assert!(["119 ext 8", "healing119.id", "112"].iter().all(|one| reply.contains(one)), "{place}");
            }
            ("danger", "id") => assert!(reply.contains("112") && reply.contains("hapus"), "{place}"),
            ("danger", _) => assert!(reply.contains("112") && reply.contains("erase"), "{place}"),
            ("greeting", _) => assert!(reply.contains("program"), "{place}"),
            _ => {}
        }
        let most = if ["self_harm", "danger", "report"].contains(&topic.as_str()) { 420 } else { 220 };
        assert!(reply.chars().count() <= most, "{place}");
    }
}

#[test]
fn every_topic_has_three_to_six_replies_that_nothing_else_says() {
    let all = &*REPLIES;
    for [topic, language, text] in all {
        let same = all.iter().filter(|other| other[..2] == [topic.as_str(), language]).count();
        assert!((3..=6).contains(&same), "{topic} {language}: {same}");
        assert_eq!(all.iter().filter(|other| other[2] == *text).count(), 1, "{text}");
    }
}

proptest! {
    #[test]
    fn any_conversation_gets_a_reply_of_the_file(said in prop::collection::vec((any::<bool>(), "\\PC{0,60}|[a-z' \u{2019}.\u{300}]{0,60}|(?s).{0,20}"), 0..6)) {
        let conversation: Vec<Said> =
            said.iter().map(|(is_person, text)| if *is_person { person(text) } else { companion(text) }).collect();
        let reply = answer(&conversation);
        prop_assert!(REPLIES.iter().any(|[_, _, text]| *text == reply), "{}", reply);
    }
}

#[test]
fn the_longest_message_is_answered_at_once() {
    let longest = ["\u{130}".repeat(4_096), "a ".repeat(2_048), "'".repeat(4_096), "bunuh ".repeat(682)];
    let script = &*EMBEDDED;
    for message in longest {
        let before = Instant::now();
        pieces(script, &[person(&message)]);
        assert!(before.elapsed() < Duration::from_secs(1), "{:?}", before.elapsed());
    }
}
