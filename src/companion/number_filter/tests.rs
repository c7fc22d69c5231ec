//! Tests of the filter: what stays, what goes, however it is disguised and however the answer is cut.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::cases_of_tests::{INVENTED, ORDINARY, REASONS};
use super::judge::Reason;
use super::*;
use crate::resources::Registry;

/// What the first number becomes.
const LINES: &str = "(help)";

static REGISTRY: LazyLock<Registry> =
    LazyLock::new(|| Registry::load(None).expect("the embedded help lines are valid"));

static KNOWN: LazyLock<Known> = LazyLock::new(|| Known::new(&REGISTRY));

fn filter_pieces<'a>(pieces: impl IntoIterator<Item = &'a str>) -> String {
    let mut filter = NumberFilter::new(&KNOWN, LINES.to_owned());
    let mut text: String = pieces.into_iter().map(|piece| filter.push(piece)).collect();
    text += &filter.finish();
    text
}

fn value(id: &str) -> String {
    REGISTRY.get(id).expect("a name of the file").value.clone()
}

/// Sentences that stay as they are.
fn ordinary() -> Vec<String> {
    let [emergency, police, sapa, healing, site] =
        ["emergency_112", "police_110", "sapa129_phone", "healing119_phone", "healing119_web"].map(value);
    let (whatsapp, mail) = (value("sapa129_whatsapp"), value("komnas_perempuan_email"));
    let bare: String = whatsapp.chars().filter(char::is_ascii_digit).collect();
    let mut all = vec![
        format!("Kamu bisa menelepon {healing} atau membuka {site}."),
        format!("Hubungi {emergency}, polisi {police}, atau SAPA {sapa} (WhatsApp {whatsapp})."),
        format!("Hubungi {emergency}, {police} sekarang."),
        format!("Telepon {}", healing.replace(" ext ", " kemudian tekan ")),
        format!("Telepon {}", healing.replace(" ext ", " lalu tekan angka ")),
        format!("Telepon {}", healing.replace(" ext ", " pilih opsi ")),
        format!("Telepon {}", healing.replace(" ext ", " ext no. ")),
        format!("Telepon {}", healing.replace(" ext ", " #")),
        format!("Telepon {}", healing.replace(" ext ", "x")),
        "Healing119 siap membantu, (healing119) juga.".to_owned(),
        format!("Situs:{}", site.replace("https://www.", "")),
        format!("\u{2018}{}\u{2019}", site.replace("https://www.", "")),
        format!("SAPA {sapa} 24 jam, atau {sapa} 24/7."),
        format!("WhatsApp +62 {} bisa juga.", &bare[1..]),
        format!("WhatsApp {bare}."),
        format!("1. Hubungi {emergency}\n2. Cari tempat aman\n3. Hubungi {police}"),
        format!("{} (Komnas Perempuan)", mail),
        format!("Telepon {}", healing.replace(" ext ", ", ekstensi ")),
        format!("Buka {}/artikel/abc ya.", site),
        site.replace("https://www.", ""),
        site.replace("https://", "http://"),
        format!("**{emergency}** atau `{police}`"),
    ];
    all.extend(ORDINARY.map(str::to_owned));
    all
}

#[test]
fn ordinary_numbers_and_those_of_the_registry_stay() {
    let changed = ordinary().into_iter().map(|text| (filter_pieces([text.as_str()]), text));
    let changed: Vec<_> = changed.filter(|(filtered, text)| filtered != text).collect();
    assert!(changed.is_empty(), "{changed:#?}");
}

#[test]
fn an_invented_number_or_link_becomes_the_help_lines_in_every_disguise() {
    let filtered = INVENTED.map(|case| {
        let case = case.replace("SITE", &value("healing119_web").replace("https://www.", ""));
        let parts: Vec<&str> = case.split('|').collect();
        let [before, invented, after] = parts[..] else { panic!("{case}") };
        let text = format!("{before}{invented}{after}");
        (filter_pieces([text.as_str()]), format!("{before}{LINES}{after}"))
    });
    let wrong: Vec<_> = filtered.into_iter().filter(|(filtered, expected)| filtered != expected).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The parts of the run at the beginning of a text, and why each stays or goes.
fn reasons<'a>(before: &str, text: &'a str) -> Vec<(&'a str, Reason)> {
    let run = Run::read(text, true).expect("the text is whole");
    judge::parts(&run, before, text, &KNOWN).into_iter().map(|(range, reason)| (&text[range], reason)).collect()
}

#[test]
fn every_number_stays_or_goes_for_one_reason() {
    let judged = REASONS.map(|(expected, case)| {
        let parts: Vec<&str> = case.split('|').collect();
        let [before, number, after] = parts[..] else { panic!("{case}") };
        let text = format!("{number}{after}");
        let reason = reasons(before, &text).into_iter().find(|(own, _)| *own == number).map(|(_, reason)| reason);
        let becomes = if expected.goes() { LINES } else { number };
        let filtered = filter_pieces([format!("{before}{text}").as_str()]);
        (reason == Some(expected) && filtered == format!("{before}{becomes}{after}"), case, expected, reason, filtered)
    });
    let wrong: Vec<_> = judged.into_iter().filter(|judged| !judged.0).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// An answer of several sentences with a number or link in most of them.
fn answers() -> impl Strategy<Value = String> {
    let all: Vec<String> = ordinary().into_iter().chain(INVENTED.map(|case| case.replace('|', ""))).collect();
    prop::collection::vec(prop::sample::select(all), 0..8).prop_map(|sentences| sentences.join(" "))
}

/// Digits as a hostile model may write them.
fn disguised(lengths: std::ops::Range<usize>) -> impl Strategy<Value = String> {
    let digits = prop::collection::vec(0..10_u8, lengths);
    let separators = [
        "", " ", "-", ".", "\u{200b}", " - ", "\u{2011}", "*", "_", "\u{a0}", ") ", " (", "\n", "\u{ad}", "\u{2060}",
        "/", ", ", "~", ":",
    ];
    (digits, prop::sample::select(separators.to_vec()), 1..5_usize, 0..6_usize).prop_map(
        |(digits, separator, size, script)| {
            let zeros = ['0', '\u{ff10}', '\u{660}', '\u{966}', '\u{1d7ce}', '\u{1b50}'];
            let written = |digit: &u8| char::from_u32(u32::from(zeros[script]) + u32::from(*digit)).expect("a digit");
            let groups: Vec<String> = digits.chunks(size).map(|group| group.iter().map(written).collect()).collect();
            groups.join(separator)
        },
    )
}

/// The digits in a text that are no number of the registry.
fn unknown_digits(text: &str) -> Vec<String> {
    let digits = tokens::tokens(text).filter_map(|token| match token.kind {
        tokens::Kind::Digits(digits) => Some(digits),
        _ => None,
    });
    digits.filter(|digits| !KNOWN.has_all(&[group(digits)])).collect()
}

fn group(digits: &str) -> run::Group {
    let digits = digits.to_owned();
    run::Group { range: 0..0, digits, is_word: false, is_extension: false, is_divided: false }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(10_000) })]

    #[test]
    fn however_an_answer_is_cut_its_text_is_the_same(answer in answers(), cuts in prop::collection::vec(1..40_usize, 1..20)) {
        let chars: Vec<char> = answer.chars().collect();
        let (mut pieces, mut at, mut sizes) = (Vec::new(), 0, cuts.iter().cycle());
        while at < chars.len() {
            let end = chars.len().min(at + sizes.next().expect("it is endless"));
            pieces.push(chars[at..end].iter().collect::<String>());
            at = end;
        }
        prop_assert_eq!(filter_pieces(pieces.iter().map(String::as_str)), filter_pieces([answer.as_str()]));
    }

    #[test]
    fn no_invented_number_behind_a_word_of_calling_survives(
        written in disguised(3..15),
        before in prop::sample::select(vec![
            "Call ", "Hubungi ", "Hubungi saja ", "Nomornya: ", "telepon ", "the hotline is ", "WhatsApp: ", "dial **", "Call $",
            "Hubungi Rp ", "Hubungi \u{a3}",
        ]),
        after in prop::sample::select(vec!["", " now", ".", " ya, mereka siap", "** please", "\nJaga diri."]),
    ) {
        let text = format!("{before}{written}{after}");
        let filtered = filter_pieces([text.as_str()]);
        // By chance a number of the registry, or a date.
        let is_excused = reasons(before, &format!("{written}{after}")).iter().all(|(written, reason)| match reason {
            Reason::Known => true,
            Reason::Time => written.len() >= 8,
            _ => false,
        });
        prop_assert!(unknown_digits(&filtered).concat().len() < 3 || is_excused, "{text:?} became {filtered:?}");
    }

    #[test]
    fn no_long_invented_number_survives_anywhere(written in disguised(9..15)) {
        let text = format!("Aku di sini: {written} ya.");
        let filtered = filter_pieces([text.as_str()]);
        let left = unknown_digits(&filtered).concat().len();
        let is_divided = written.contains([',', '(', '\n', '/']);
        let has_excuse = reasons("Aku di sini: ", &format!("{written} ya.")).iter().any(|(_, reason)| {
            matches!(reason, Reason::Known | Reason::Time | Reason::Amount | Reason::Count)
        });
        prop_assert!(left < 3 || is_divided || has_excuse, "{text:?} became {filtered:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(500) })]

    #[test]
    fn any_text_keeps_little_back(pieces in prop::collection::vec("\\PC{0,40}|[0-9 .,-]{0,80}|(?s).{0,20}", 0..20)) {
        let mut filter = NumberFilter::new(&KNOWN, LINES.to_owned());
        for piece in &pieces {
            filter.push(piece);
            prop_assert!(filter.held.chars().count() <= 800, "{}", filter.held.chars().count());
        }
        filter.finish();
        prop_assert!(filter.held.is_empty());
    }
}

#[test]
fn the_work_grows_with_the_length_of_an_answer_and_no_faster() {
    let time = |text: &str, chars| {
        let answer: String = text.chars().cycle().take(chars).collect();
        let started = std::time::Instant::now();
        filter_pieces(answer.split_inclusive(|_| true));
        started.elapsed()
    };
    for text in [
        "1 ",
        "12345678",
        "satu ",
        "a",
        "call 911, ",
        "1, ",
        "a.b",
        "9\n",
        "dot ",
        "\u{200b}1",
        "a.id,",
        "satusatu",
        "at ",
        "x1",
        "[.]",
        "http:/",
        "oneon",
    ] {
        // Four times as much; sixteen times, if it were quadratic. Other programs may run during some attempts.
        let is_linear = (0..10).any(|_| time(text, 16_384) < time(text, 4_096) * 9);
        assert!(is_linear, "{text:?}");
    }
}

#[test]
fn what_stands_before_a_known_link_is_looked_at_too() {
    let site = value("healing119_web");
    assert_eq!(filter_pieces([format!("0812345678,{site}").as_str()]), format!("{LINES},{site}"));
    assert_eq!(filter_pieces([format!("({site}),0812345678").as_str()]), format!("({site}),{LINES}"));
}
