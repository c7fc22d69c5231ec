//! The one place for numbers: no file but that of the help lines has one.
//!
//! - A telephone number, an address of a website or of e-mail that the registry has may stand in no other file.
//! - A short code of it, such as that of the police, may stand only where no word of calling stands beside it: three digits are
//!   also a number of lines. Sentences in tests are what people write, and may have one.
//! - Outside the tests, whose inputs are made up, nothing may have the form of a telephone number at all.

use std::fs;
use std::path::{Path, PathBuf};

use safespace::resources::{HardCodedValue, Registry};

/// The one place.
const PLACE: &str = "src/resources/resources.toml";

/// What is no source: what git and cargo keep, and a configuration of one's own.
const NO_SOURCES: [&str; 4] = [".git", "target", ".env", "Cargo.lock"];

/// What has the form of a telephone number and is none.
const NO_NUMBERS: [&str; 1] = ["0123456789"];

/// A line with one of these words speaks of calling.
const WORDS: [&str; 18] = [
    "call",
    "dial",
    "phone",
    "number",
    "hotline",
    "help line",
    "whatsapp",
    "emergency",
    "police",
    "sapa",
    "telepon",
    "hubungi",
    "menghubungi",
    "nomor",
    "darurat",
    "polisi",
    "ext ",
    "extension",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let sources = entries.filter(|path| !NO_SOURCES.iter().any(|name| path.ends_with(name)));
    sources.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// Why the value may not stand in this line of this file.
fn fault(file: &str, line: &str, value: &HardCodedValue) -> Option<&'static str> {
    let digits = value.text.bytes().filter(u8::is_ascii_digit).count();
    let is_number = value.text.starts_with(|first: char| first.is_ascii_digit() || first == '+');
    let is_test = file.starts_with("tests/") || file.ends_with("tests.rs");
    let lower = line.to_lowercase();
    match &value.id {
        Some(_) if !is_number || digits > 4 => Some("it is the value of a help line"),
        Some(_) if !is_test && WORDS.iter().any(|word| lower.contains(word)) => {
            Some("it is the short code of a help line")
        }
        None if !is_test
            && value.text.starts_with(['0', '+'])
            && (8..=15).contains(&digits)
            && !NO_NUMBERS.contains(&&*value.text) =>
        {
            Some("it has the form of a telephone number")
        }
        _ => None,
    }
}

fn faults(registry: &Registry, file: &str, text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.lines().collect();
    let values = registry.hard_coded_values(text);
    let faults = values.iter().filter_map(|value| Some((value, fault(file, lines[value.line - 1], value)?)));
    faults.map(|(value, why)| format!("{file}, line {}: {:?}: {why}", value.line, value.text)).collect()
}

#[test]
fn no_other_file_has_a_number_or_an_address_of_help() {
    let registry = Registry::load(None).unwrap();
    let (mut found, mut count) = (Vec::new(), 0);
    for path in files(root()) {
        let file = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
        let Ok(text) = fs::read_to_string(&path) else { continue };
        count += 1;
        if file != PLACE {
            found.extend(faults(&registry, &file, &text));
        }
    }
    assert!(count > 200, "only {count} files were read");
    assert!(
        found.is_empty(),
        "write {{resource:NAME}}, or name the route GET /api/v1/resources:\n{}",
        found.join("\n")
    );
}

#[test]
fn a_planted_number_is_found_in_every_form() {
    let registry = Registry::load(None).unwrap();
    let value = |id: &str| registry.get(id).unwrap().value.clone();
    let (whatsapp, police, web) = (value("sapa129_whatsapp"), value("police_110"), value("healing119_web"));
    let bare: String = whatsapp.chars().filter(char::is_ascii_digit).collect();
    for (file, line, is_found) in [
        ("docs/x.md", format!("WhatsApp {whatsapp}"), true),
        ("src/x.rs", format!("let number = \"{bare}\";"), true),
        ("tests/x.rs", format!("\"{}\"", whatsapp.replace('-', " ")), true),
        ("README.md", web.clone(), true),
        ("README.md", web.replace("https://www.", "http://"), true),
        ("docs/x.md", format!("see {}.", web.replace("https://www.", "")), true),
        ("docs/x.md", format!("| {}/chat |", web.replace("https://www.", "").to_uppercase()), true),
        ("tests/x.rs", format!("+62 {}", &whatsapp[1..]), true),
        ("docs/x.md", "+62 21 555 0100".to_owned(), true),
        ("tests/x.rs", format!("mailto:{}", value("komnas_perempuan_email")), true),
        ("tests/x.rs", value("komnas_perempuan_email").to_uppercase(), true),
        ("docs/x.md", format!("Call the police: {police}."), true),
        ("tests/x.toml", format!("call {police} now"), false),
        ("docs/x.md", format!("it took {police} ms"), false),
        ("docs/x.md", "{resource:police_110}, or call the police".to_owned(), false),
        ("docs/x.md", "0800 1234 5678".to_owned(), true),
        ("tests/x.md", "0800 1234 5678".to_owned(), false),
        ("src/x/tests.rs", "0800 1234 5678".to_owned(), false),
        ("src/x/tests.rs", bare.clone(), true),
    ] {
        assert_eq!(!faults(&registry, file, &line).is_empty(), is_found, "{file}: {line}");
    }
}
