//! Tests of the filter: what stays, what goes, however it is disguised and however the answer is cut.

use std::sync::LazyLock;

use proptest::prelude::*;

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
        format!("Hubungi {emergency} {police} sekarang."),
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
    let others = [
        "Umurku 17, dan 3 hari lagi ulang tahunku.",
        "Pada 12 Mei 2022, pukul 08.00-17.00.",
        "Tanggal 12-05-2024 dan 2024-05-12 dan 12/05/2024.",
        "UU No. 12 Tahun 2022 tentang TPKS, dan Permendikbudristek 55/2024.",
        "Pasal 281 KUHP mengatur itu.",
        "Harganya Rp50.000, atau Rp 1.250.000, atau $300.",
        "Itu 350 ribu rupiah.",
        "Sekitar 500 orang mengalami hal yang sama, kata 75% responden.",
        "Coba teknik 4-7-8: tarik napas 4 hitungan.",
        "Tarik napas, hitung satu, dua, tiga, empat.",
        "Count 1, 2, 3, 4 and breathe out.",
        "Salah satu cara adalah berbicara dengan satu atau dua orang.",
        "You can call one or two friends.",
        "It has been 10-15 minutes. I am here for the next 24 hours.",
        "In 2019-2024 that happened 3 times.",
        "e.g. that, dll. Aku di sini. Selesai.Kita lanjut.",
        "Kamu bisa cerita kapan saja; aku dengar. Versi 3.5 itu beda.",
        "5-4-3-2-1: lihat 5 benda.",
        "At 10:30 pm, or 22.30.",
        "Nomor satu yang penting: kamu.",
        "",
        " \n",
    ];
    all.extend(others.map(str::to_owned));
    all
}

/// Texts with one number or link that no help line has, between bars.
const INVENTED: [&str; 80] = [
    "Call |911| now.",
    "Hubungi |113| sekarang.",
    "Hubungi |119| hari ini juga.",
    "|988| is there for you.",
    "Kamu bisa menghubungi |0812-3456-7890|.",
    "Kamu bisa menghubungi |0812 3456 7890| ya.",
    "Hubungi |+62 812 3456 7890| ya.",
    "Hubungi |+6281234567890|",
    "Call |1-800-273-8255| please",
    "Text HOME to |741741|.",
    "Hotline |116 123| is free.",
    "Hubungi |021 390 3963 99|",
    "Hubungi |satu satu tiga|.",
    "Dial |nine one one|.",
    "Dial |nine-one-one|.",
    "Call |nine eleven|.",
    "Dial |triple nine|.",
    "Hubungi |seratus tiga belas|.",
    "Hubungi |satu-satu-tiga| ya",
    "Call |9 1 1|.",
    "Call |9-1-1|.",
    "Call |9.1.1|.",
    "Call |9, 1, 1|.",
    "Call |9/1/1|.",
    "Call |9\n1\n1|.",
    "Call |9*1*1|.",
    "Call **|911|**.",
    "Call |9\u{200b}1\u{200b}1|.",
    "Call |9\u{ad}1\u{2060}1|.",
    "Call |\u{ff19}\u{ff11}\u{ff11}|.",
    "Call |\u{669}\u{661}\u{661}|.",
    "Call |\u{6f9}\u{6f1}\u{6f1}|.",
    "Call |\u{1d7d7}\u{1d7cf}\u{1d7cf}|.",
    "Call |\u{2468}\u{2460}\u{2460}|.",
    "Call |\u{277e}\u{2776}\u{2776}|.",
    "Call |\u{2079}\u{b9}\u{b9}|.",
    "Call |9\u{fe0f}\u{20e3}1\u{fe0f}\u{20e3}1\u{fe0f}\u{20e3}|",
    "Call |9ll|.",
    "Hubungi |O812345678|.",
    "Hubungi |119 ext 9|.",
    "Hubungi |119 ekstensi 9|.",
    "Hubungi |119, lalu tekan 9|.",
    "Layanan 24 jam di |0800 111 222|.",
    "Nomornya |08123456|, simpan ya.",
    "Just |113|!",
    "Nomor daruratnya |1945|.",
    "Hubungi |12345| orang",
    "SAPA |1290|.",
    "See |https://help.example.com/x| now.",
    "See |http://healing119.id.evil.com|.",
    "Buka |healing119.com|.",
    "Buka |healing119.co.id|.",
    "Buka |www.bantuan-kita.id|",
    "Buka |bit.ly/abc123|.",
    "Chat |wa.me/6281234567890| ya",
    "Chat |t.me/bantuan|",
    "Write to |help@example.org|.",
    "Write to |mailto:help@example.org|",
    "Buka |example[.]com|",
    "Buka |hxxps://example.com/a|",
    "Buka example |dot com| ya",
    "Buka contoh |titik com|",
    "Buka |ex\u{200b}ample.com|",
    "Buka |example\u{ff0e}com|",
    "[Klik](|https://example.com|)",
    "Lihat (|example.com|).",
    "a |pengaduan@komnasperempuan.com| b",
    "b |orang@komnasperempuan.go.id| c",
    "Telepon: |0812.3456.789|",
    "Telepon (|0812) 345678|",
    "Telepon |kosong delapan satu dua tiga empat lima|",
    "Telepon |0812 tiga empat 5678|",
    "Call |nine 1 one| now",
    "Buka |healing119.id/081234567890| ya",
    "Buka |https://www.healing119.id/call-911| ya",
    "Buka |https://healing119.id?q=911| ya",
    "Buka |healing119.id/satu-satu-tiga| ya",
    "Buka |bantuan.store| ya",
    "Buka |tolong.center| ya",
    "Buka |help.ngo| ya",
];

#[test]
fn ordinary_numbers_and_those_of_the_registry_stay() {
    let changed = ordinary().into_iter().map(|text| (filter_pieces([text.as_str()]), text));
    let changed: Vec<_> = changed.filter(|(filtered, text)| filtered != text).collect();
    assert!(changed.is_empty(), "{changed:#?}");
}

#[test]
fn an_invented_number_or_link_becomes_the_help_lines_in_every_disguise() {
    let filtered = INVENTED.map(|case| {
        let parts: Vec<&str> = case.split('|').collect();
        let [before, invented, after] = parts[..] else { panic!("{case}") };
        let text = format!("{before}{invented}{after}");
        (filter_pieces([text.as_str()]), format!("{before}{LINES}{after}"))
    });
    let wrong: Vec<_> = filtered.into_iter().filter(|(filtered, expected)| filtered != expected).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Numbers between bars, and why each stays or goes.
const REASONS: [(Reason, &str); 84] = [
    (Reason::Known, "Hubungi |112| sekarang."),
    (Reason::Known, "Call |1 1 2| now."),
    (Reason::Known, "SAPA |129, 24| jam."),
    (Reason::Known, "Telepon |119 ext 8| ya."),
    (Reason::Small, "Umurku |17|."),
    (Reason::Small, "Hubungi |2| orang teman."),
    (Reason::Small, "Call them in |10| minutes."),
    (Reason::Small, "Pasal |6| UU TPKS."),
    (Reason::Small, "|1|. Tarik napas."),
    (Reason::Time, "Kejadiannya |12-05-2024|."),
    (Reason::Time, "Kejadiannya |9.11|, kan?"),
    (Reason::Time, "Itu |08.00-17.00|."),
    (Reason::Time, "Telepon mereka pukul |08.00-17.00|."),
    (Reason::Time, "Call them at |9:11|."),
    (Reason::Time, "Call them |9:11| pm."),
    (Reason::Time, "Hotline itu buka |08.00-17.00|."),
    (Reason::Time, "Hotline itu |22.30| WIB."),
    (Reason::Time, "Sejak |2019| dia begitu."),
    (Reason::Time, "|2019-2024| adalah masa sulit."),
    (Reason::Time, "The hotline exists since |2019|."),
    (Reason::Time, "UU Nomor 12 Tahun |2022|."),
    (Reason::Time, "Polisi menerima kasus itu tahun |2022|."),
    (Reason::Time, "SAPA siap |24/7|."),
    (Reason::Time, "Hubungi mereka sebelum |12/05/2024|."),
    (Reason::Time, "Hubungi mereka 12 Mei |2024|."),
    (Reason::Count, "Hitung |1, 2, 3, 4| lalu buang napas."),
    (Reason::Count, "|3-2-1|, lepaskan."),
    (Reason::Count, "Setelah telepon, hitung |satu, dua, tiga|."),
    (Reason::Amount, "Biayanya |1.250.000|."),
    (Reason::Amount, "Biayanya Rp|50.000|."),
    (Reason::Amount, "It costs $|300|."),
    (Reason::Amount, "Dia ambil Rp |150000000| dariku."),
    (Reason::Measure, "Biayanya Rp |50.000|, kata mereka di telepon."),
    (Reason::Measure, "You can call; it costs about $|300|."),
    (Reason::Measure, "Sekitar |500| orang."),
    (Reason::Measure, "It takes |365| days."),
    (Reason::Measure, "Pasal |281| KUHP."),
    (Reason::Measure, "Pasal 285 dan |289|."),
    (Reason::Measure, "Pasal 285, 286, atau |289|."),
    (Reason::Measure, "Kamar |1204|, kata petugas hotline."),
    (Reason::Measure, "Kata |750|% responden."),
    (Reason::Uncalled, "Ada |12345| di layar."),
    (Reason::Uncalled, "Kodenya |9021|."),
    (Reason::Words, "Ada |seratus dua puluh| orang."),
    (Reason::Words, "I read |twenty two| pages."),
    (Reason::Words, "Call them |twenty two| times."),
    (Reason::Extension, "Lewat |119 ext 9|."),
    (Reason::Called, "Nomor daruratnya |1945|."),
    (Reason::Called, "Hubungi saja |1945|."),
    (Reason::Long, "Hubungi saja |1945-2011|."),
    (Reason::Called, "Text HOME to |2019|."),
    (Reason::Called, "Call us at |1945|."),
    (Reason::Called, "Telepon |satu, dua, tiga|."),
    (Reason::Called, "Call |11.19|."),
    (Reason::Called, "Call |11:19|."),
    (Reason::Called, "Hubungi |12345| orang."),
    (Reason::Called, "Text HOME to |74174|."),
    (Reason::Called, "Dial |1, 2, 3|."),
    (Reason::Called, "Dial |nine eleven|."),
    (Reason::Called, "Call $|1234|."),
    (Reason::Called, "Hubungi Rp |1234| saja."),
    (Reason::ShortCode, "Ada |113|."),
    (Reason::ShortCode, "Call $|911| now."),
    (Reason::ShortCode, "Call \u{20ac}|911| now."),
    (Reason::ShortCode, "Hubungi Rp |113| ya."),
    (Reason::ShortCode, "Call |9.11|."),
    (Reason::ShortCode, "Call |9:11|."),
    (Reason::ShortCode, "Call the hotline, |9:11|."),
    (Reason::ShortCode, "Hubungi |1.13|."),
    (Reason::ShortCode, "Nomornya adalah |1.13|."),
    (Reason::ShortCode, "Call |365| days."),
    (Reason::ShortCode, "Hubungi |500| orang ini."),
    (Reason::Long, "Ini: |0812-3456-7890|."),
    (Reason::Long, "Ini: |+62 812 3456 7890|."),
    (Reason::Long, "Ini: |812 3456 7890|."),
    (Reason::Long, "Hubungi \u{a3}|0812-3456-7890|."),
    (Reason::Long, "Hubungi Rp |081234567890|."),
    (Reason::Long, "Ini: Rp |081234567890|."),
    (Reason::Long, "Ini: Rp |6281234567890|."),
    (Reason::Long, "Hubungi Rp |812.345.678|."),
    (Reason::Long, "Hubungi |08.11-12.34|."),
    (Reason::Long, "Call |20:11-19:11| now."),
    (Reason::Long, "Nomor |812.345.678| itu."),
    (Reason::Long, "Dia lahir |0812345| kali."),
];

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
    // The least of some, since other programs run meanwhile.
    let time = |text: &str, chars| {
        let answer: String = text.chars().cycle().take(chars).collect();
        let times = (0..3).map(|_| {
            let started = std::time::Instant::now();
            filter_pieces(answer.split_inclusive(|_| true));
            started.elapsed()
        });
        times.min().unwrap_or_default()
    };
    for text in ["1 ", "12345678", "satu ", "a", "call 911, ", "1, ", "a.b", "9\n", "dot ", "\u{200b}1"] {
        let (quarter, whole) = (time(text, 4_096), time(text, 16_384));
        // Four times as much; sixteen times, if it were quadratic.
        assert!(whole < quarter * 9, "{text:?}: {quarter:?}, and {whole:?} for four times the text");
    }
}

#[test]
fn what_stands_before_a_known_link_is_looked_at_too() {
    let site = value("healing119_web");
    assert_eq!(filter_pieces([format!("0812345678,{site}").as_str()]), format!("{LINES},{site}"));
    assert_eq!(filter_pieces([format!("({site}),0812345678").as_str()]), format!("({site}),{LINES}"));
}
