//! The texts of the page: each in every language, used, and true of the running service.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::support::app::TestApp;

/// Sections, keys, languages and texts of `src/web/texts.toml`.
fn texts() -> Vec<(String, String, toml::Table)> {
    let file: toml::Table = toml::from_str(include_str!("../../../src/web/texts.toml")).unwrap();
    let sections = file.into_iter().flat_map(|(section, texts)| {
        let toml::Value::Table(texts) = texts else { panic!("{section}") };
        texts.into_iter().map(move |(key, text)| (section.clone(), key, text.as_table().unwrap().clone()))
    });
    sections.collect()
}

/// Everything of the page's source that names texts.
fn sources() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = ["src/web", "src/api/web"].into_iter().flat_map(|folder| fs::read_dir(root.join(folder)).unwrap());
    let named = files.map(|file| file.unwrap().path()).filter(|path| {
        path.extension().is_some_and(|extension| ["html", "js", "rs"].iter().any(|allowed| extension == *allowed))
    });
    named.map(|path| fs::read_to_string(path).unwrap()).collect()
}

/// The words in quotes that follow `before`.
fn quoted_after<'a>(text: &'a str, before: &str) -> Vec<&'a str> {
    text.split(before).skip(1).filter_map(|rest| rest.split('"').next()).collect()
}

#[test]
fn every_text_is_there_in_both_languages_with_the_same_values() {
    let values = |text: &str| text.split('{').skip(1).map(|rest| rest.split('}').next().unwrap().to_owned()).collect();
    let mut keys = BTreeSet::new();
    for (section, key, text) in texts() {
        assert!(text.keys().eq(["en", "id"]), "{section}.{key}: {text:?}");
        let in_each = ["en", "id"].map(|language| text[language].as_str().unwrap().trim());
        assert!(in_each.iter().all(|text| !text.is_empty() && text.chars().count() <= 400), "{section}.{key}");
        let [en, id]: [BTreeSet<String>; 2] = in_each.map(values);
        assert_eq!(en, id, "{section}.{key}");
        assert!(keys.insert(key.clone()), "{key} is in two sections");
    }
    assert!(keys.len() > 50);
}

#[test]
fn every_text_that_is_used_is_there() {
    let (sources, texts) = (sources(), texts());
    let keys: BTreeSet<&str> = texts.iter().map(|(_, key, _)| key.as_str()).collect();
    let used: Vec<&str> = ["m::text(texts, \"", "texts.get(\"", "texts().get(\"", "words(\"", "show(\"#notice\", \""]
        .into_iter()
        .flat_map(|before| quoted_after(&sources, before))
        .collect();
    assert!(used.len() > 20, "{used:?}");
    let missing: Vec<_> = used.iter().filter(|key| !keys.contains(*key)).collect();
    assert!(missing.is_empty(), "not in texts.toml: {missing:?}");
}

#[test]
fn every_text_is_used() {
    let (sources, texts) = (sources(), texts());
    let problems: toml::Table = toml::from_str(include_str!("../../../src/api/problems.toml")).unwrap();
    let is_problem = |key: &str| key == "other" || problems["problems"].as_table().unwrap().contains_key(key);
    let is_used = |section: &str, key: &str| match section {
        "problems" => is_problem(key),
        _ => sources.contains(&format!("\"{key}\"")),
    };
    let unused = texts.iter().filter(|(section, key, _)| !is_used(section, key));
    let unused: Vec<String> = unused.map(|(section, key, _)| format!("{section}.{key}")).collect();
    assert!(unused.is_empty(), "in texts.toml, and not used: {unused:?}");
}

#[test]
fn the_page_says_when_a_session_ends_in_exact_words() {
    // SESSION_IDLE_TIMEOUT, SESSION_MAX_AGE, and what people read.
    for (idle, maximum, english, indonesian) in [
        (
            "604800",
            "2592000",
            "7 days after you last wrote, or at the latest 30 days after",
            "7 hari setelah Anda terakhir menulis, atau paling lambat 30 hari ",
        ),
        (
            "3600",
            "86400",
            "1 hour after you last wrote, or at the latest 1 day after",
            "1 jam setelah Anda terakhir menulis, atau paling lambat 1 hari ",
        ),
        (
            "5400",
            "7200",
            "90 minutes after you last wrote, or at the latest 2 hours after",
            "90 menit setelah Anda terakhir menulis, atau paling lambat 2 jam ",
        ),
        (
            "60",
            "129600",
            "1 minute after you last wrote, or at the latest 36 hours after",
            "1 menit setelah Anda terakhir menulis, atau paling lambat 36 jam ",
        ),
        (
            "61",
            "3601",
            "61 seconds after you last wrote, or at the latest 3601 seconds after",
            "61 detik setelah Anda terakhir menulis, atau paling lambat 3601 detik ",
        ),
    ] {
        let app = TestApp::with(&[("SESSION_IDLE_TIMEOUT", idle), ("SESSION_MAX_AGE", maximum)]);
        for (language, expected) in [("en", english), ("id", indonesian)] {
            let page = app.client.get_as(&format!("/?language={language}"), "text/html").assert_status(200).text();
            assert!(page.replace('\u{a0}', " ").contains(expected), "{expected}: {page}");
        }
    }
}

#[test]
fn the_page_says_who_answers() {
    let script = TestApp::start();
    let page = script.client.get_as("/?language=en", "text/html").text();
    assert!(page.contains("data-t=\"answers_script\"") && !page.contains("answers_model"), "{page}");
    let model = TestApp::with(&[("OPENAI_BASE_URL", "http://model.example:1/v1"), ("COMPANION_MODEL", "m")]);
    let page = model.client.get_as("/?language=en", "text/html").text();
    assert!(page.contains("is sent to model.example") && !page.contains("answers_script"), "{page}");
}
