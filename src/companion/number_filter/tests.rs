//! Tests of the filter: what stays, what goes, however it is disguised and however the answer is cut.

use std::sync::LazyLock;

use proptest::prelude::*;

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
const INVENTED: [&str; 73] = [
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

/// An answer of several sentences with a number or link in most of them.
fn answers() -> impl Strategy<Value = String> {
    let all: Vec<String> = ordinary().into_iter().chain(INVENTED.map(|case| case.replace('|', ""))).collect();
    prop::collection::vec(prop::sample::select(all), 0..8).prop_map(|sentences| sentences.join(" "))
}

/// Digits as a hostile model may write them.
fn disguised() -> impl Strategy<Value = (String, String)> {
    let digits = prop::collection::vec(0..10_u8, 3..15);
    let separators = [
        "", " ", "-", ".", "\u{200b}", " - ", "\u{2011}", "*", "_", "\u{a0}", ") ", " (", "\n", "\u{ad}", "\u{2060}",
        "/", ", ", "~",
    ];
    (digits, prop::sample::select(separators.to_vec()), 1..5_usize, 0..6_usize).prop_map(
        |(digits, separator, size, script)| {
            let zeros = ['0', '\u{ff10}', '\u{660}', '\u{966}', '\u{1d7ce}', '\u{1b50}'];
            let written = |digit: &u8| char::from_u32(u32::from(zeros[script]) + u32::from(*digit)).expect("a digit");
            let groups: Vec<String> = digits.chunks(size).map(|group| group.iter().map(written).collect()).collect();
            (groups.join(separator), digits.iter().map(|digit| char::from(b'0' + digit)).collect())
        },
    )
}

/// The digits in a text that are neither a number of the registry nor a year.
fn unknown_digits(text: &str) -> Vec<String> {
    let digits = tokens::tokens(text).filter_map(|token| match token.kind {
        tokens::Kind::Digits(digits) => Some(digits),
        _ => None,
    });
    digits.filter(|digits| !KNOWN.has_all(&[group(digits)]) && !judge::is_year(digits)).collect()
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
    fn no_invented_number_near_a_word_of_calling_survives(
        (written, digits) in disguised(),
        before in prop::sample::select(vec!["Call ", "Hubungi ", "Nomornya: ", "telepon ", "the hotline is ", "WhatsApp: ", "dial **"]),
        after in prop::sample::select(vec!["", " now", ".", " ya, mereka siap", "** please", "\nJaga diri."]),
    ) {
        let text = format!("{before}{written}{after}");
        let filtered = filter_pieces([text.as_str()]);
        let left = unknown_digits(&filtered).concat();
        // By chance it is a number of the registry, or a date, or somebody counts.
        let is_known = KNOWN.has_all(&[group(&digits)]) || filtered == text && (3..=8).contains(&digits.len());
        prop_assert!(left.len() < 3 || is_known, "{text:?} became {filtered:?}");
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
fn the_work_grows_with_the_length_of_an_answer() {
    for text in ["1 ", "12345678", "satu ", "a", "call 911, ", "1, ", "a.b", "9\n", "dot ", "\u{200b}1"] {
        let answer: String = text.chars().cycle().take(16_384).collect();
        let started = std::time::Instant::now();
        let filtered = filter_pieces(answer.split_inclusive(|_| true));
        assert!(started.elapsed() < std::time::Duration::from_secs(8), "{text:?}: {:?}", started.elapsed());
        println!("{text:?}: {:?}, {} characters", started.elapsed(), filtered.chars().count());
    }
}

#[test]
fn what_stands_before_a_known_link_is_looked_at_too() {
    let site = value("healing119_web");
    assert_eq!(filter_pieces([format!("0812345678,{site}").as_str()]), format!("{LINES},{site}"));
    assert_eq!(filter_pieces([format!("({site}),0812345678").as_str()]), format!("({site}),{LINES}"));
}
