//! What a document says: the texts of the five answers, the other facts verbatim, and placeholders.

use std::collections::HashSet;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use safespace::document::{self, Block, Document};
use safespace::language::Language;
use safespace::report::{Description, Evidence, Facts, Level, Need, Perpetrator, Templates, UserGoal, missing};
use toml::{Table, Value};

use super::fixture::{Shown, any_facts, every_answer, facts, templates, texts};

/// The file as an editor sees it, to compare documents with.
fn file() -> Table {
    include_str!("../../../src/report/templates.toml").parse().unwrap()
}

/// The text of a table for a value and a language.
fn text<'a>(file: &'a Table, table: &str, value: &str, language: Language) -> &'a str {
    file[table][value][language.tag()].as_str().unwrap()
}

/// The texts for the five answers, in the order of the sections.
fn five_texts(file: &Table, facts: &Facts) -> [String; 5] {
    [
        ("user_goal", facts.user_goal.value()),
        ("perpetrator", facts.perpetrator.value()),
        ("location", facts.location.value()),
        ("description", facts.description.value()),
        ("evidence", facts.evidence.value()),
    ]
    .map(|(table, value)| text(file, table, value, facts.language).to_owned())
}

fn placeholders(document: &Document) -> usize {
    let blocks = document.sections.iter().flat_map(|section| &section.blocks);
    blocks.filter(|block| matches!(block, Block::Field { value: document::Value::Placeholder(_), .. })).count()
}

#[test]
fn a_document_in_indonesian_has_the_four_headings_of_the_first_version() {
    let document = templates().generate(&facts(Language::Indonesian));

    let headings: Vec<_> = document.sections.iter().map(|section| section.heading.as_str()).collect();
    let of_the_first_version =
        ["I. Identifikasi Kebutuhan", "II. Identifikasi Pelaku", "III. Kronologi Kejadian", "IV. Bukti Terlampir"];
    assert_eq!(headings, of_the_first_version, "{:#?}", texts(&document));
}

#[test]
fn name_and_signature_are_lines_below_the_sections_and_not_evidence() {
    for (language, attachments, name, signature) in [
        (Language::Indonesian, "Daftar lampiran", "Nama pelapor", "Tanda tangan"),
        (Language::English, "List of attachments", "Name of the reporting person", "Signature"),
    ] {
        let document = templates().generate(&facts(language));

        let evidence = document.sections.last().unwrap();
        let by_hand: Vec<_> = (evidence.blocks.iter())
            .filter_map(|block| match block {
                Block::Field { label, value: document::Value::Blank } => Some(label.as_str()),
                _ => None,
            })
            .collect();
        assert_eq!(by_hand, [attachments]);
        assert!(document.closing[0].starts_with(name), "{}", document.closing[0]);
        assert_eq!(document.closing.last().unwrap(), signature);
    }
}

#[test]
fn every_answer_in_both_languages_gives_its_five_sentences_in_their_sections() {
    let (templates, file) = (templates(), file());
    for facts in every_answer() {
        let document = templates.generate(&facts);

        let sections: Vec<String> = (document.sections.iter())
            .map(|section| texts(&Document { sections: vec![section.clone()], ..document.clone() }).join("\n"))
            .collect();
        let [goal, perpetrator, location, description, evidence] = five_texts(&file, &facts);
        for (section, sentence) in
            [(0, goal), (1, perpetrator), (2, format!("{location} {description}")), (3, evidence)]
        {
            assert!(sections[section].contains(&sentence), "{sentence}\n{}", sections[section]);
        }
    }
}

#[test]
fn a_fact_that_was_not_given_is_a_placeholder_and_one_that_was_is_verbatim() {
    let templates = templates();
    let none = facts(Language::Indonesian);
    let without = texts(&templates.generate(&none)).join("\n");
    assert_eq!(missing(&none), ["occurred_at", "frequency", "narrative", "needs"]);
    assert!(without.contains("[tanggal dan waktu kejadian]"), "{without}");

    let all = Facts {
        occurred_at: Some("kira-kira 3 Maret".to_owned()),
        frequency: Some("2 kali".to_owned()),
        narrative: Some("Baris satu\n  baris [dua] 08:15".to_owned()),
        needs: vec![Need::Legal, Need::Shelter],
        ..none
    };
    let document = templates.generate(&all);
    let with = texts(&document).join("\n");
    assert_eq!((missing(&all), placeholders(&document)), (vec![], 0), "{with}");
    for fact in [": kira-kira 3 Maret", ": 2 kali", "Baris satu\n  baris [dua] 08:15", "hukum; tempat tinggal"] {
        assert!(with.contains(fact), "{fact}: {with}");
    }
}

#[test]
fn a_narrative_that_was_not_given_has_lines_to_write_it_by_hand() {
    let has_lines = |facts: &Facts| {
        let document = templates().generate(facts);
        let chronology = &document.sections[2].blocks;
        let after = chronology.iter().position(|block| matches!(block, Block::Lines));
        after.map(|at| match &chronology[at - 1] {
            Block::Field { value: document::Value::Placeholder(what), .. } => what.clone(),
            _ => panic!("no placeholder above the lines"),
        })
    };
    let none = facts(Language::English);
    assert_eq!(has_lines(&none).as_deref(), Some("what happened, in your own words"));
    assert_eq!(has_lines(&Facts { narrative: Some("He came.".to_owned()), ..none }), None);
}

#[test]
fn the_notice_speaks_of_missing_facts_and_of_law_only_where_they_are() {
    let templates = templates();
    let given = |language| Facts {
        occurred_at: Some("3 Maret".to_owned()),
        frequency: Some("2 kali".to_owned()),
        narrative: Some("Dia datang.".to_owned()),
        needs: vec![Need::Legal],
        ..facts(language)
    };
    for (language, missing, law) in [
        (Language::Indonesian, "ditandai dengan kata ISI", "Aturan yang dikutip"),
        (Language::English, "Parts marked FILL IN", "The rules that are quoted"),
    ] {
        for (facts, has_missing, has_law) in [
            (facts(language), true, true),
            (Facts { evidence: Evidence::None, ..facts(language) }, true, false),
            (given(language), false, true),
        ] {
            let document = templates.generate(&facts);
            assert_eq!(document.notice.contains(missing), has_missing, "{}", document.notice);
            assert_eq!(document.notice.contains(law), has_law, "{}", document.notice);
            assert_eq!(document.sources.is_empty(), !has_law);
        }
    }
}

#[test]
fn a_source_says_what_its_date_is() {
    for (language, date) in [
        (Language::Indonesian, "(tanggal sumber: 2022-05-09)"),
        (Language::English, "(date of the source: 2022-05-09)"),
    ] {
        let sources = templates().generate(&facts(language)).sources;
        assert!(!sources.is_empty() && sources.iter().all(|source| source.ends_with(date)), "{sources:?}");
    }
}

#[test]
fn levels_are_those_of_the_first_version() {
    let templates = templates();
    for (perpetrator, level) in [
        (Perpetrator::Supervisor, Level::High),
        (Perpetrator::Lecturer, Level::High),
        (Perpetrator::Colleague, Level::Medium),
        (Perpetrator::Client, Level::Medium),
        (Perpetrator::Stranger, Level::Low),
    ] {
        let facts = Facts { perpetrator, ..facts(Language::Indonesian) };
        assert_eq!(templates.power_imbalance(perpetrator), level, "{perpetrator:?}");
        assert_eq!(templates.risk_level(&facts), level, "{perpetrator:?}");
    }
}

#[test]
fn every_answer_has_steps_with_a_source() {
    let templates = templates();
    for facts in every_answer() {
        let steps = templates.recommended_steps(&facts);
        assert!((5..=16).contains(&steps.len()), "{} steps", steps.len());
        let place = |word: &str| steps.iter().position(|step| step.text.contains(word));
        let (sapa, police) = (place("SAPA ("), place("UPTD PPA)"));
        assert!(
            sapa.is_some_and(|sapa| police == Some(sapa + 1)),
            "SAPA, and that services tell the police: {steps:#?}"
        );
        let is_threat = facts.description == Description::ThreatOrCoercion;
        let danger = place("bahaya sekarang").or(place("danger now"));
        assert_eq!(danger, is_threat.then_some(0), "danger comes first");
        let asks_for_it = [UserGoal::ConsiderReporting, UserGoal::UnderstandTheRisk].contains(&facts.user_goal);
        assert_eq!(place("LPSK (").is_some(), asks_for_it, "{steps:#?}");
        for step in &steps {
            let has_reference = step.text.contains('{');
            assert!(!has_reference && !step.source.is_empty(), "{step:?}");
        }
    }
    let of_others = templates.recommended_steps(&Facts { needs: vec![Need::Medical], ..facts(Language::English) });
    let has = |word: &str| of_others.iter().any(|step| step.text.contains(word));
    assert!(has("health services") && has("university") && !has("legal services"), "{of_others:#?}");
}

/// Words of a text: what is between white space, without signs around it.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let signs = |sign: char| !sign.is_alphanumeric() && sign != '_';
    text.split_whitespace().map(move |word| word.trim_matches(signs)).filter(|word| !word.is_empty())
}

/// Every text of a part of the file, in a language, but for what it cites.
fn all_texts<'a>(value: &'a Value, language: Language, texts: &mut Vec<&'a str>) {
    match value {
        Value::Table(table) => {
            for (key, value) in table {
                match value {
                    _ if key == "article" || key == "source" => {}
                    Value::String(text) if !["id", "en"].contains(&key.as_str()) || key == language.tag() => {
                        texts.push(text);
                    }
                    value => all_texts(value, language, texts),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| all_texts(value, language, texts)),
        _ => {}
    }
}

/// Every piece of a document by itself, without its sources.
fn pieces(document: &Document) -> Vec<&str> {
    let mut pieces = vec![document.title.as_str(), &document.notice];
    for section in &document.sections {
        pieces.push(&section.heading);
        for block in &section.blocks {
            match block {
                Block::Paragraph(words) | Block::Quotation(words) => pieces.push(words),
                Block::Lines => {}
                Block::Field { label, value } => {
                    pieces.extend([label.as_str(), words_of(value)]);
                }
            }
        }
    }
    pieces.extend(document.closing.iter().map(String::as_str));
    pieces
}

fn words_of(value: &document::Value) -> &str {
    match value {
        document::Value::Text(words) | document::Value::Placeholder(words) => words,
        document::Value::Blank => "",
    }
}

/// The words that every document of a language may have: those of the file but for the texts of answers.
fn common_words(file: &Table, language: Language) -> HashSet<&str> {
    let mut texts = Vec::new();
    for part in ["title", "notice", "notice_missing", "notice_law", "own_words", "sections", "closing", "facts"] {
        all_texts(&file[part], language, &mut texts);
    }
    texts.into_iter().flat_map(words).collect()
}

/// Whether a document cites only sources of the file.
fn cites_the_file(file: &Table, document: &Document) -> bool {
    let titles: Vec<&str> = file["sources"]
        .as_table()
        .unwrap()
        .values()
        .map(|source| source["title"][document.language.tag()].as_str().unwrap())
        .collect();
    document.sources.iter().all(|source| titles.iter().any(|title| source.starts_with(title)))
}

/// What is wrong with a document, if something is: a fact that is missing or not verbatim, or a word from elsewhere.
fn fault(templates: &Templates, file: &Table, common: &HashSet<&str>, facts: &Facts) -> Option<String> {
    let document = templates.generate(facts);
    let mut pieces = pieces(&document);
    for given in [&facts.occurred_at, &facts.frequency, &facts.narrative].into_iter().flatten() {
        let Some(at) = pieces.iter().position(|piece| piece == given) else { return Some(format!("no {given:?}")) };
        pieces.remove(at);
    }
    let five = five_texts(file, facts);
    let needs = facts.needs.iter().map(|need| text(file, "need", need.value(), facts.language));
    let answered: HashSet<&str> = five.iter().map(String::as_str).chain(needs).flat_map(words).collect();
    let word = pieces.into_iter().flat_map(words).find(|word| !common.contains(word) && !answered.contains(word));
    let (has, expected) = (placeholders(&document), missing(facts).len());
    let foreign = (!cites_the_file(file, &document)).then(|| "a source from elsewhere".to_owned());
    word.map(|word| format!("the word {word:?}"))
        .or(foreign)
        .or((has != expected).then(|| format!("{has} placeholders")))
}

#[test]
fn no_word_of_ten_thousand_documents_is_from_anything_but_the_answers_and_their_texts() {
    let (templates, file) = (templates(), file());
    let common = [Language::English, Language::Indonesian].map(|language| (language, common_words(&file, language)));
    let mut runner =
        TestRunner::new(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(10_000) });
    let checked = runner.run(&any_facts(), |Shown(facts)| {
        let (_, common) = common.iter().find(|(language, _)| *language == facts.language).unwrap();
        fault(&templates, &file, common, &facts).map_or(Ok(()), |fault| Err(TestCaseError::fail(fault)))
    });
    checked.unwrap_or_else(|failure| panic!("{failure}"));
}
