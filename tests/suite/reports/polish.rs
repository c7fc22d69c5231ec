//! What of a model's answer gets into a document: how sentences are joined, and nothing else.

use std::cell::Cell;
use std::collections::HashSet;

use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::TestRunner;
use safespace::document::{Block, Document};
use safespace::language::Language;
use safespace::report::{Facts, Templates};

use super::fixture::{Shown, any_answers, facts, templates, texts};

/// A document, and the text that a model is given of it.
fn document(templates: &Templates, language: Language) -> (Document, String) {
    let facts = Facts {
        occurred_at: Some("3 Maret".to_owned()),
        narrative: Some("Pelapor menyatakan 12 hal.\nDan lagi.".to_owned()),
        ..facts(language)
    };
    let document = templates.generate(&facts);
    let text = templates.polish_prompt(&document).text;
    (document, text)
}

fn paragraphs(document: &Document) -> Vec<&str> {
    let blocks = document.sections.iter().flat_map(|section| &section.blocks);
    let paragraphs = blocks.filter_map(|block| match block {
        Block::Paragraph(words) => Some(words.as_str()),
        _ => None,
    });
    paragraphs.collect()
}

/// Everything but the paragraphs.
fn without_paragraphs(document: &Document) -> Vec<String> {
    let mut document = document.clone();
    for section in &mut document.sections {
        section.blocks.retain(|block| !matches!(block, Block::Paragraph(_)));
    }
    texts(&document)
}

#[test]
fn a_model_is_given_the_sentences_and_connectives_and_no_word_of_the_person() {
    let templates = templates();
    for language in [Language::Indonesian, Language::English] {
        let facts = Facts {
            occurred_at: Some("OCCURRED".to_owned()),
            frequency: Some("FREQUENCY".to_owned()),
            narrative: Some("NARRATIVE".to_owned()),
            ..facts(language)
        };
        let document = templates.generate(&facts);
        let prompt = templates.polish_prompt(&document);

        let lines: Vec<_> = prompt.text.lines().collect();
        let headings = document.sections.iter().map(|section| section.heading.as_str());
        let mut expected: Vec<_> = headings.chain(paragraphs(&document)).collect();
        let mut sorted = lines.clone();
        expected.sort_unstable();
        sorted.sort_unstable();
        assert_eq!(sorted, expected);
        for word in ["OCCURRED", "FREQUENCY", "NARRATIVE"] {
            assert!(!prompt.text.contains(word) && !prompt.instruction.contains(word), "{word}");
        }
        let connectives = ["dan, serta", "and, also"];
        assert!(
            connectives.iter().any(|connectives| prompt.instruction.contains(connectives)),
            "{}",
            prompt.instruction
        );
    }
}

#[test]
fn sentences_are_joined_as_in_the_answer_with_the_words_of_the_file() {
    let templates = templates();
    for (language, between, expected) in [
        (Language::Indonesian, ", serta pelapor", "di kampus, serta pelapor menyatakan mengalami"),
        (Language::Indonesian, " dan pelapor", "di kampus dan pelapor menyatakan mengalami"),
        (Language::Indonesian, ". Selain itu, pelapor", "di kampus. Selain itu, pelapor menyatakan mengalami"),
        (Language::Indonesian, ". selain itu Pelapor", "di kampus. Selain itu Pelapor menyatakan mengalami"),
        (Language::Indonesian, ".  Adapun   pelapor", "di kampus. Adapun pelapor menyatakan mengalami"),
        (Language::English, ", and the", "at a university, and the reporting person states that they"),
        (
            Language::English,
            ". In addition, the",
            "at a university. In addition, the reporting person states that they",
        ),
    ] {
        let (document, text) = document(&templates, language);
        let joint = if language == Language::Indonesian { "kampus. Pelapor" } else { "university. The" };
        assert!(text.contains(joint), "{text}");
        let (place, _) = joint.split_once('.').unwrap();
        let answer = text.replacen(joint, &format!("{place}{between}"), 1);

        let Some(polished) = templates.polished(&document, &answer) else { panic!("{between}: it is refused") };

        assert!(
            paragraphs(&polished).iter().any(|words| words.contains(expected)),
            "{between}: {:#?}",
            texts(&polished)
        );
        assert_eq!(without_paragraphs(&polished), without_paragraphs(&document), "{between}");
    }
}

#[test]
fn space_around_lines_and_line_ends_of_any_system_make_no_difference() {
    let templates = templates();
    let (document, text) = document(&templates, Language::Indonesian);
    let answer = text.replacen("kampus. Pelapor", "kampus, dan pelapor", 1);
    let plain = templates.polished(&document, &answer).unwrap();

    for answer in [format!("\n\n{}\n", answer.replace('\n', "\n\n")), answer.replace('\n', " \r\n ")] {
        let polished = templates.polished(&document, &answer).unwrap_or_else(|| panic!("{answer:?}: it is refused"));
        assert_eq!(texts(&polished), texts(&plain), "{answer:?}");
    }
}

#[test]
fn an_answer_that_changes_more_than_the_joints_is_refused() {
    let templates = templates();
    let (document, unchanged) = document(&templates, Language::Indonesian);
    // Without a second change it would be taken.
    let text = unchanged.replacen("kampus. Pelapor", "kampus, dan pelapor", 1);
    assert!(templates.polished(&document, &text).is_some());
    let line = |at: usize| text.lines().nth(at).unwrap();
    let with = |old: &str, new: &str| {
        assert!(text.contains(old), "{old}");
        text.replacen(old, new, 1)
    };
    let mut swapped: Vec<_> = text.lines().collect();
    swapped.swap(1, 3);
    let cases = [
        ("nothing", String::new()),
        ("no change", unchanged),
        ("a megabyte", "dan ".repeat(250_000)),
        ("a megabyte behind it", format!("{text}{}", "\n".repeat(1_000_000))),
        ("text before", format!("Berikut dokumennya:\n{text}")),
        ("text after", format!("{text}\nSemoga membantu.")),
        ("twice", format!("{text}\n{text}")),
        ("a fence", format!("```\n{text}\n```")),
        ("sentences of two sections swapped", swapped.join("\n")),
        ("a section left out", text.lines().take(4).collect::<Vec<_>>().join("\n")),
        ("a heading left out", with(line(2), "")),
        ("a heading in lower case", with("II. Identifikasi", "II. identifikasi")),
        ("a heading in Markdown", with("II. Identifikasi", "## II. Identifikasi")),
        ("a heading behind a sentence", with("\nII. Identifikasi", " II. Identifikasi")),
        ("a heading twice", with("\nII. Ident", "\nII. Identifikasi Pelaku\nII. Ident")),
        ("a line in two", with("dan pelapor", "\ndan pelapor")),
        ("two lines in one", with(&format!("{}\n{}", line(6), line(7)), &format!("{} {}", line(6), line(7)))),
        ("a name", with("adalah seorang dosen", "adalah seorang dosen bernama Budi")),
        ("a number", with("komentar", "12 komentar")),
        ("a number as a word", with("komentar", "dua komentar")),
        ("a month", with("di kampus", "di kampus pada Maret")),
        ("a place", with("di kampus", "di kampus Depok")),
        ("another word", with("kampus", "sekolah")),
        ("a negation added", with("menyatakan mengalami", "menyatakan tidak mengalami")),
        ("a negation dropped", with("tidak pantas", "pantas")),
        ("an adverb", with("menyatakan mengalami", "menyatakan sering mengalami")),
        ("a word dropped", with("Menurut pelapor, terlapor", "Terlapor")),
        ("words swapped", with("Pelapor menyatakan bahwa", "Bahwa pelapor menyatakan")),
        ("a word twice", with("komentar", "komentar komentar")),
        ("a connective within a sentence", with("tidak pantas", "tidak dan pantas")),
        ("a connective in place of a comma", with("Menurut pelapor, terlapor", "Menurut pelapor dan terlapor")),
        ("a connective for another", with("elektronik dan dokumen", "elektronik serta dokumen")),
        ("two connectives", with("dan pelapor", "dan selain itu pelapor")),
        ("a connective of another language", with("dan pelapor", "and pelapor")),
        ("half a connective", with("dan pelapor", "selain pelapor")),
        ("no full stop", with(", dan pelapor", " pelapor")),
        ("a comma alone", with(", dan pelapor", ", pelapor")),
        ("a question", with(", dan pelapor", "? Dan pelapor")),
        ("a full stop within a sentence", with("yang tidak pantas", "yang tidak. Pantas")),
        ("a comma within a sentence", with("yang tidak pantas", "yang tidak, pantas")),
        ("a comma left out", with("Menurut pelapor, terlapor", "Menurut pelapor terlapor")),
        ("quotation marks", with("komentar yang tidak pantas", "\"komentar yang tidak pantas\"")),
        ("parentheses", with("oleh terlapor", "(oleh terlapor)")),
        ("a capital within a sentence", with("di kampus", "di Kampus")),
        ("capitals", text.to_uppercase()),
        ("bold", with("komentar", "**komentar**")),
        ("a link", with("kampus", "[kampus](https://a.example)")),
        ("a link behind", with(", dan", ". https://a.example Dan")),
        ("a placeholder", with("kampus,", "kampus [ISI],")),
        ("a digit in a word", with("pantas", "pant4s")),
        ("a superscript", with("kampus", "kampus²")),
        ("a full-width digit", with("kampus", "kampus１")),
        ("a homoglyph", with("pantas", "p\u{430}ntas")),
        ("a Kelvin sign", with("komentar", "\u{212A}omentar")),
        ("a combining mark", with("pantas", "pa\u{301}ntas")),
        ("full width", with("pantas", "ｐａｎｔａｓ")),
        ("a zero-width space in a word", with("pantas", "pan\u{200B}tas")),
        ("a zero-width joiner between words", with("tidak pantas", "tidak\u{200D}pantas")),
        ("a soft hyphen", with("pantas", "pan\u{AD}tas")),
        ("a bidi override", with("pantas", "\u{202E}pantas\u{202C}")),
        ("a no-break space", with("tidak pantas", "tidak\u{A0}pantas")),
        ("a tab", with("tidak pantas", "tidak\tpantas")),
        ("a carriage return", with("tidak pantas", "tidak\rpantas")),
        ("a NUL", with("tidak pantas", "tidak \0pantas")),
        ("a hyphen between words", with("tidak pantas", "tidak-pantas")),
        ("an apostrophe", with("pantas", "panta's")),
        ("words joined", with("tidak pantas", "tidakpantas")),
        ("a word split", with("pantas", "pan tas")),
        ("a hyphen left out", with("Undang-Undang", "Undang Undang")),
        ("a byte order mark", format!("\u{FEFF}{text}")),
    ];
    for (case, answer) in cases {
        let polished = templates.polished(&document, &answer);
        assert!(polished.is_none(), "{case}: {:#?}", polished.map(|polished| texts(&polished)));
    }
}

/// What a hostile model puts into an answer.
const HOSTILE: [&str; 24] = [
    "Budi",
    "Jakarta",
    "Maret",
    "kemarin",
    "tidak",
    "not",
    "dua",
    "17",
    "3x",
    "jam",
    "jl.",
    "Mr",
    "ia",
    "adalah",
    "atau",
    "or",
    "\u{200B}",
    "\u{202E}",
    "0812-0000-0000",
    "https://a.example",
    "[x]",
    "II.",
    "?",
    "\"",
];

/// Words in lower case, without signs.
fn plain(text: &str) -> Vec<String> {
    let words = text.split(|sign: char| !sign.is_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_lowercase).collect()
}

/// Whether a polished document says what the document says: the same words in the same order, between them words of connectives only,
/// and no other signs.
fn says_the_same(polished: &Document, document: &Document, connectives: &str) -> bool {
    let connective_words = plain(connectives);
    let same = paragraphs(polished).into_iter().zip(paragraphs(document)).all(|(polished, text)| {
        let mut words = plain(text).into_iter().peekable();
        let added = plain(polished).into_iter().filter(|word| words.next_if_eq(word).is_none()).collect::<Vec<_>>();
        let signs: HashSet<char> = text.chars().chain(",.".chars()).chain(connectives.chars()).collect();
        words.next().is_none()
            && added.iter().all(|word| connective_words.contains(word))
            && polished.chars().all(|sign| signs.contains(&sign) || signs.contains(&sign.to_ascii_lowercase()))
    });
    same && without_paragraphs(polished) == without_paragraphs(document)
}

#[test]
fn ten_thousand_answers_of_a_hostile_model_add_nothing_to_a_document() {
    let templates = templates();
    let mutation = (0..6_u8, any::<Index>(), any::<Index>(), select(&HOSTILE));
    let answers = (any_answers(), any::<Index>(), prop::collection::vec(mutation, 0..3));
    let mut runner =
        TestRunner::new(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(10_000) });
    let taken = Cell::new(0);
    let checked = runner.run(&answers, |(Shown(facts), connective, mutations)| {
        let document = templates.generate(&facts);
        let prompt = templates.polish_prompt(&document);
        let connectives: Vec<_> = prompt.instruction.rsplit(": ").next().unwrap().split(", ").collect();
        let connective = *connective.get::<&str>(&connectives);
        let mut words: Vec<_> = prompt.text.split_inclusive([' ', '\n']).map(str::to_owned).collect();
        let joint =
            1 + words.iter().position(|word| word.ends_with(". ") && word.starts_with(char::is_lowercase)).unwrap();
        words[joint] = format!("{connective}, {}", words[joint].to_lowercase());
        for (kind, at, other, hostile) in mutations {
            let (at, other) = (at.index(words.len()), other.index(words.len()));
            match kind {
                0 => words[at] = words[at].replace(['.', ','], "") + connective + " ",
                1 => words.insert(at, format!("{hostile} ")),
                2 => words[at] = words[at].trim_end().to_owned() + hostile + " ",
                3 => words.swap(at, other),
                4 => drop(words.remove(at)),
                _ => words.insert(at, words[other].clone()),
            }
        }
        let polished = templates.polished(&document, &words.concat());
        taken.set(taken.get() + u32::from(polished.is_some()));
        let polished = polished.unwrap_or_else(|| document.clone());
        prop_assert!(says_the_same(&polished, &document, &connectives.join(" ")), "{:#?}", texts(&polished));
        Ok(())
    });
    checked.unwrap_or_else(|failure| panic!("{failure}"));
    let taken = taken.get();
    assert!(taken > 1_000, "{taken} answers were taken, so the test has hardly seen one that is");
}
