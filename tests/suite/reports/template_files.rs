//! The file of `REPORT_TEMPLATES`: what is accepted, and how mistakes are reported.

use std::io::Write;

use proptest::prelude::*;
use safespace::data_file::{FileError, ParseError};
use safespace::language::Language;
use safespace::report::{Facts, Location, Templates};
use safespace::resources::Registry;
use tempfile::NamedTempFile;

use super::fixture::facts;

const EMBEDDED: &str = include_str!("../../../src/report/templates.toml");

/// Loads a file as the service does.
fn load(text: &str, registry: &Registry) -> Result<Templates, ParseError> {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    match Templates::load(Some(file.path()), registry) {
        Ok(templates) => Ok(templates),
        Err(FileError::Mistaken { variable: "REPORT_TEMPLATES", reason, .. }) => Err(reason),
        Err(other) => panic!("{other}"),
    }
}

fn registry() -> Registry {
    Registry::load(None).unwrap()
}

fn changed(old: &str, new: &str) -> String {
    assert!(EMBEDDED.contains(old), "{old}");
    EMBEDDED.replacen(old, new, 1)
}

#[test]
fn a_mistake_is_reported_with_its_line() {
    let long = format!("supervisor.id = \"{}", "x".repeat(1_000));
    // What is changed, what it becomes, in which line the mistake is, and what it says.
    let cases = [
        ("title.id = \"Laporan", "title.id = \"\" # \"", "title.id", "a text is empty"),
        ("title.id = \"Laporan", "title.ID = \"Laporan", "title.ID", "unknown field `ID`"),
        ("title.en = \"Report: Chronology of Events\"\n", "", "title.id", "no text in English (en)"),
        ("title.en = \"Report", "title.en = \"Report\nof", "title.en", "invalid basic string"),
        ("title.en = \"Report", "title.en = \"Report\\n", "title.en", "a text is one line"),
        ("title.en = \"Report", "title.en = \"Report 7", "title.en", "a text has no digits"),
        ("title.en = \"Report", "title.en = \"Report ٧", "title.en", "a text has no digits"),
        ("title.en = \"Report", "title.en = \"Report {occurred_at}", "title.en", "a text has no brackets"),
        ("title.en = \"Report", "title.en = \"[ISI] Report", "title.en", "a text has no brackets"),
        ("title.en = \"Report", "title.en = \"{resource:sapa129_phone}", "title.en", "a text has no brackets"),
        ("title.en = \"Report", "title.en = \"Report a@b.example", "title.en", "a text has no address"),
        ("title.en = \"Report", "title.en = \"Report https://a.example", "title.en", "a text has no address"),
        ("title.en = \"Report", "title.en = \"See bantuan.example.id", "title.en", "a text has no address"),
        ("title.en = \"Report", "title.en = \"(wa.me/help)", "title.en", "a text has no address"),
        ("title.en = \"Report", "title.en = \"Call ONE-one, two", "title.en", "a text has no number in words"),
        ("title.id = \"Laporan", "title.id = \"Telepon satu satu dua", "title.id", "a text has no number in words"),
        ("title.en = \"Report", "title.en = 7 # \"", "title.en", "put it in quotes: \"7\""),
        (
            "title.en = \"Report: Chronology of Events\"",
            "title.en = \u{201c}Report\u{201d}",
            "title.en",
            "these are typographic quotes; write \"",
        ),
        ("date = \"2022-05-09\"", "date = 9", "date = 9", "a day has the form \"2022-05-09\""),
        ("legal.id = \"bantuan hukum\"\n", "", "legal.en", "no text in Indonesian (id)"),
        ("di {resource:police_110}", "di {resource: police_110}", "{resource: police", "no space behind the colon"),
        (
            "connectives.id = [\"dan\"",
            "connectives.id = [\"tidak lalu\"",
            "connectives.id",
            "a connective has no \"tidak\"",
        ),
        ("connectives.en = [\"and\"", "connectives.en = [\"or\"", "connectives.en", "a connective has no \"or\""),
        ("supervisor.id = \"Menurut pelapor", &long, "supervisor.id = \"x", "a text has more than 1000 characters"),
        ("[[step]]\ntext.id", "[[step]]\nwhen.evidense = []\ntext.id", "when.evidense", "unknown field `evidense`"),
        ("when.evidence = [\"none\"]", "when.evidence = [\"nothing\"]", "\"nothing\"", "unknown variant `nothing`"),
        ("source = \"nnedv_safety\"", "source = \"nnedv\"", "source = \"nnedv\"", "there is no source \"nnedv\""),
        ("source = \"nnedv_safety\"", "sauce = \"nnedv\"", "sauce", "unknown field `sauce`"),
        (
            "di {resource:police_110}",
            "di {resource:police_nowhere}",
            "police_nowhere",
            "no help line \"police_nowhere\"",
        ),
        (
            "di {resource:police_110}",
            "di {resource:police_110 ",
            "{resource:police_110 ",
            "no help line \"police_110\"",
        ),
        ("di {resource:police_110}", "di 110", "di 110", "a text has no digits"),
        ("di {resource:police_110}", "di {police}", "di {police}", "no brackets but those of {resource:NAME}"),
        ("kampus.id = ", "# ", "kampus.en", "no text in Indonesian (id)"),
        (
            "[need]\nlegal.id = \"bantuan hukum\"\nlegal.en = \"legal help\"",
            "[need]",
            "[need]",
            "nothing for \"legal\"",
        ),
        ("stranger = \"rendah\"\n\n[risk", "\n\n[risk", "[power_imbalance]", "nothing for \"stranger\""),
        ("lecturer = \"tinggi\"", "lecturer = \"high\"", "lecturer = \"high\"", "unknown variant `high`"),
        ("[facts.frequency]", "[facts.frekuensi]", "[facts.frekuensi]", "unknown field `frekuensi`"),
        ("date = \"2022-05-09\"", "date = \"9 Mei 2022\"", "9 Mei", "a day has the form \"2022-05-09\""),
        ("title.en = \"Law Number", "title.en = \"\" # \"", "title.en = \"\"", "a part of a source is empty"),
        ("url = \"https://peraturan", "url = \" \" # \"", "url = \" \"", "a part of a source is empty"),
        ("article.id = \"Pasal 69", "article.id = \"\" # \"", "article.id = \"\"", "a part of a source is empty"),
        ("\nreviewed = ", "\n# ", "# What a report says", "missing field `reviewed`"),
        (
            "text.id = \"Menurut Undang-Undang",
            "text.id = \"{resource:police_110} Undang-Undang",
            "{resource:police_110} Undang-Undang",
            "a text has no brackets",
        ),
        ("connectives.en = [\"and\"", "connectives.en = [\"\"", "connectives.en", "a text is empty"),
        ("connectives.en = [\"and\"", "connectives.en = [\"and 2\"", "connectives.en", "a text has no digits"),
    ];
    let registry = registry();
    for (old, new, line, what) in cases {
        let text = changed(old, new);
        let Err(error) = load(&text, &registry) else { panic!("{new}: it is accepted") };
        let expected = 1 + text.lines().position(|written| written.contains(line)).unwrap();
        assert!(
            error.line == expected && error.what.contains(what),
            "{new}: expected line {expected}, {what}: {error}"
        );
    }
}

#[test]
fn abbreviations_degrees_and_single_digits_in_words_are_no_address_or_number() {
    let text = changed("title.en = \"Report", "title.en = \"S.H., M.Hum. (e.g. a.n., dll.): one or two, three");
    load(&text, &registry()).unwrap();
}

#[test]
fn embedded_steps_that_name_a_missing_help_line_are_left_out_and_in_a_file_of_ones_own_that_is_a_mistake() {
    let mut registry = registry();
    assert!(Templates::load(None, &registry).unwrap().left_out().is_empty());
    registry.resources.retain(|resource| resource.id != "kpai_email");

    let templates = Templates::load(None, &registry).unwrap();
    let line = 1 + EMBEDDED.lines().position(|line| line.contains("{resource:kpai_email}")).unwrap();
    let [warning] = templates.left_out() else { panic!("{:?}", templates.left_out()) };
    let (place, what) = (format!("the embedded text: line {line}: "), "no help line \"kpai_email\"");
    assert!(warning.contains(&place) && warning.contains(what), "{warning}");
    let at_school = Facts { location: Location::Sekolah, ..facts(Language::English) };
    let steps = templates.recommended_steps(&at_school);
    assert!(steps.len() > 3 && !steps.iter().any(|step| step.text.contains("KPAI can be reached")), "{steps:#?}");

    let error = load(EMBEDDED, &registry).err().expect("it is refused");
    assert!(error.line == line && error.what.contains(what), "{error}");
}

#[test]
fn a_step_has_the_help_lines_that_its_text_names_in_their_order() {
    let (registry, templates) = (registry(), Templates::load(None, &registry()).unwrap());
    let at_school = Facts { location: Location::Sekolah, ..facts(Language::English) };
    for step in templates.recommended_steps(&at_school) {
        let mut named: Vec<_> = registry.resources.iter().filter(|it| step.text.contains(&it.value)).collect();
        named.sort_by_key(|it| step.text.find(&it.value));
        assert_eq!(step.resources.iter().collect::<Vec<_>>(), named, "{}", step.text);
    }
}

#[test]
fn a_reference_is_replaced_by_the_help_line_that_the_registry_has() {
    let registry = registry();
    let number = &registry.get("police_110").unwrap().value;
    let text = changed(
        "[[step]]\ntext.id = \"Kalau",
        "[[step]]\ntext.id = \"Telepon {resource:police_110}. Lagi: {resource:police_110}. Kalau",
    );

    let steps = load(&text, &registry).unwrap().recommended_steps(&facts(safespace::language::Language::Indonesian));

    assert!(steps[0].text.starts_with(&format!("Telepon {number}. Lagi: {number}. Kalau")), "{}", steps[0].text);
}

#[test]
fn the_texts_say_who_reviewed_them() {
    let registry = registry();
    let line = EMBEDDED.lines().find(|line| line.starts_with("reviewed = ")).unwrap();
    for (written, reviewed) in [(" ", None), (" A lawyer, November 2026 ", Some("A lawyer, November 2026"))] {
        let text = changed(line, &format!("reviewed = \"{written}\""));
        assert_eq!(load(&text, &registry).unwrap().reviewed(), reviewed, "{written:?}");
    }
}

proptest! {
    #[test]
    fn any_text_is_a_file_of_texts_or_has_a_mistake_in_one_of_its_lines(
        at in 0..EMBEDDED.len(), junk in "(?s).{0,8}", length in 0..20_usize
    ) {
        let floor = |at: usize| (0..=at.min(EMBEDDED.len())).rev().find(|at| EMBEDDED.is_char_boundary(*at)).unwrap();
        let mut text = EMBEDDED.to_owned();
        text.replace_range(floor(at)..floor(at + length), &junk);
        if let Err(error) = load(&text, &registry()) {
            prop_assert!((1..=text.split('\n').count()).contains(&error.line), "{}", error);
        }
    }
}
