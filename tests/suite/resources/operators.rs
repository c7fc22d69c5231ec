//! What an operator is told of the help lines: by `safespace check`, at the start, and by the metrics.

use std::sync::Arc;

use safespace::companion;
use safespace::config::Config;
use safespace::report::Templates;
use safespace::resources::{Registry, Resource};

use super::{EMBEDDED, SMALL, file_of};
use crate::support::app::TestApp;
use crate::support::cluster::Schema;
use crate::support::process::Binary;
use crate::support::variables;

const SCRIPT: &str = include_str!("../../../src/companion/script.toml");
const PROMPT: &str = include_str!("../../../src/companion/prompt.md");

/// What `safespace check` prints with these variables, and whether the service would serve.
fn check(further: &[(&str, &str)]) -> (String, bool) {
    let schema = Schema::new();
    let url = schema.url();
    let variables = [&[("DATABASE_URL", url.as_str())], further].concat();
    let output = Binary::new(&variables).argument("check").run();
    let text = [output.stdout, output.stderr].concat();
    (String::from_utf8(text).unwrap(), output.status.success())
}

/// The warnings of a script or a prompt with this text.
fn warnings(variable: &str, text: &str) -> Vec<String> {
    let file = file_of(text);
    let model = [("OPENAI_BASE_URL", "http://127.0.0.1:1/v1"), ("COMPANION_MODEL", "m")];
    let kind: &[(&str, &str)] = if variable == "COMPANION_PROMPT" { &model } else { &[] };
    let pairs = [&[("HOME", "/h"), (variable, file.path().to_str().unwrap())], kind].concat();
    let config = Config::from_variables(&variables(&pairs)).unwrap();
    companion::warnings(&config.companion, &Registry::load(None).unwrap())
}

/// The embedded help lines, all but the first of them verified today.
fn verified() -> String {
    let today = format!("verified_at = \"{}\"\nsource = ", chrono::Utc::now().date_naive());
    let (first, rest) = EMBEDDED.split_once("\nsource = ").unwrap();
    format!("{first}\nsource = {}", rest.replace("\nsource = ", &format!("\n{today}")))
}

#[test]
fn check_lists_each_help_line_that_a_person_must_call_with_its_source() {
    let registry = Registry::load(None).unwrap();
    let (found, would_serve) = check(&[]);
    assert!(would_serve, "{found}");
    let count = registry.resources.len();
    assert!(found.contains(&format!("Help lines   {count}\n")), "{found}");
    assert!(
        found.contains(&format!("Warning      {count} of {count} help lines were not verified in the last 180 days: "))
    );
    for resource in &registry.resources {
        let line = format!(
            "Verify       {}: {}, {}, never verified, found at {}\n",
            resource.id, resource.name, resource.value, resource.source
        );
        assert!(found.contains(&line), "{line}\n{found}");
    }
    let file = file_of(&verified());
    let path = file.path().to_str().unwrap();
    let (found, _) = check(&[("RESOURCES", path)]);
    assert!(
        found.contains(&format!("Warning      1 of {count} help lines were not verified in the last 180 days: ")),
        "{found}"
    );
    assert_eq!(found.matches("Verify       ").count(), 1, "{found}");
}

#[test]
fn check_says_that_a_verification_is_old() {
    let text = EMBEDDED.replacen("source = ", "verified_at = \"2024-02-29\"\nsource = ", 1);
    let file = file_of(&text);
    let path = file.path().to_str().unwrap();
    let (found, _) = check(&[("RESOURCES", path)]);
    assert!(found.contains(", verified on 2024-02-29, found at "), "{found}");
    let (found, _) = check(&[("RESOURCES", path), ("RESOURCES_MAX_AGE", "3650")]);
    assert!(!found.contains("verified on 2024-02-29"), "{found}");
}

#[test]
fn check_names_the_line_of_a_mistake_and_the_text_that_needs_a_missing_help_line() {
    let file = file_of(&EMBEDDED.replacen("kind = \"phone\"", "kind = \"fax\"", 1));
    let (found, would_serve) = check(&[("RESOURCES", file.path().to_str().unwrap())]);
    assert!(!would_serve);
    let line = 1 + EMBEDDED.lines().position(|line| line == "kind = \"phone\"").unwrap();
    assert!(
        found.contains(&format!("RESOURCES: {}: line {line}: unknown variant `fax`", file.path().display())),
        "{found}"
    );

    let file = file_of(SMALL);
    let (found, would_serve) = check(&[("RESOURCES", file.path().to_str().unwrap())]);
    assert!(!would_serve);
    assert!(found.contains("COMPANION_SCRIPT: the embedded text: line "), "{found}");
    assert!(found.contains("add one to the file of RESOURCES, or change the reference"), "{found}");
    assert!(found.contains("; to change the embedded text, copy its file from SafeSpace's source"), "{found}");
}

#[test]
fn a_help_line_that_only_reports_name_can_be_deleted_and_check_and_the_start_name_the_step() {
    let (before, rest) = EMBEDDED.split_once("[resources.kpai_email]").unwrap();
    let file = file_of(&format!("{before}[{}", rest.split_once("\n[").unwrap().1));
    let variables = [("RESOURCES", file.path().to_str().unwrap())];
    let warning = "REPORT_TEMPLATES: the embedded text: line ";
    let (found, would_serve) = check(&variables);
    assert!(would_serve && found.contains(&format!("Warning      {warning}")), "{found}");
    assert!(found.contains("no report has this step: there is no help line \"kpai_email\""), "{found}");

    let schema = Schema::new();
    let service = Binary::new(&[("DATABASE_URL", schema.url().as_str()), variables[0]]).serve();
    let log = service.log();
    assert!(log.contains(warning) && log.contains("no lawyer or counsellor has reviewed the texts"), "{log}");
}

#[test]
fn the_document_for_operators_names_exactly_the_help_lines_that_may_not_be_deleted() {
    let document = include_str!("../../../docs/resources.md");
    let line = document.lines().find(|line| line.contains("Delete what does not answer")).unwrap();
    let model = [("HOME", "/h"), ("OPENAI_BASE_URL", "http://127.0.0.1:1/v1"), ("COMPANION_MODEL", "m")];
    let config = Config::from_variables(&variables(&model)).unwrap();
    let all = Registry::load(None).unwrap();
    for Resource { id, .. } in &all.resources {
        let mut registry = all.clone();
        registry.resources.retain(|resource| resource.id != *id);
        let registry = Arc::new(registry);
        let is_needed = companion::build(&config.companion, &registry).is_err();
        assert_eq!(line.contains(&format!("`{id}`")), is_needed, "{id}");
        assert!(Templates::load(None, &registry).is_ok(), "{id}");
    }
}

#[test]
fn a_reference_that_no_help_line_has_is_a_mistake_with_its_line() {
    let registry = Arc::new(Registry::load(None).unwrap());
    let config =
        |pairs: &[(&str, &str)]| Config::from_variables(&variables(&[&[("HOME", "/h")], pairs].concat())).unwrap();
    let script = file_of(
        "[[language]]\ncode = \"en\"\nmarkers = [\"i\"]\n\n[[topic]]\nname = \"silence\"\nreplies.en = [\"…\"]\n\n\
         [[topic]]\nname = \"fallback\"\nreplies.en = [\n    \"Call {resource:police_110}.\",\n    \"Call {resource:nobody}.\",\n]\n",
    );
    let prompt = file_of("# Who you are\n\nA program.\nCall {resource:police_110}, or\nwrite to {resource:nobody}.\n");
    let (script, prompt) = (script.path().to_str().unwrap(), prompt.path().to_str().unwrap());
    for (line, pairs) in [
        (13, vec![("COMPANION_SCRIPT", script)]),
        (5, vec![("COMPANION_PROMPT", prompt), ("OPENAI_BASE_URL", "http://127.0.0.1:1/v1"), ("COMPANION_MODEL", "m")]),
    ] {
        let built = companion::build(&config(&pairs).companion, &registry);
        let error = built.err().expect("it is refused").to_string();
        assert!(
            error.contains(&format!("line {line}: there is no help line \"nobody\" for {{resource:nobody}}")),
            "{error}"
        );
    }
}

#[test]
fn a_number_in_a_script_or_prompt_is_a_warning_with_its_line_and_the_reference_to_write() {
    let registry = Registry::load(None).unwrap();
    for (variable, text) in [("COMPANION_SCRIPT", SCRIPT), ("COMPANION_PROMPT", PROMPT)] {
        assert_eq!(warnings(variable, text), [""; 0], "{variable}");
        for resource in &registry.resources {
            let found = warnings(variable, &format!("{text}call {} now", resource.value));
            let line = text.lines().count() + 1;
            assert!(found[0].starts_with(&format!("{variable}: line {line}: ")), "{found:?}");
            assert!(found[0].contains(&format!("write {{resource:{}}}", resource.id)), "{}: {found:?}", resource.id);
        }
    }
    for (text, is_found) in [
        ("call 555", true),
        ("call 0555 (01) 00-99.", true),
        ("call +00-555-0100", true),
        ("write to help@example.org", true),
        ("see https://help.example/chat or www.help.example", true),
        ("since 2024, in 1999", false),
        ("at 12:30, for 3 days, 10 %", false),
        ("v555 and sha555 and {resource:police_110}", false),
        ("10,000 times", false),
        ("\u{661}\u{662}\u{663}", false),
        ("", false),
    ] {
        let found = warnings("COMPANION_PROMPT", &format!("Be kind.\n{text}"));
        assert_eq!(!found.is_empty(), is_found, "{text}: {found:?}");
        assert!(found.iter().all(|warning| warning.starts_with("COMPANION_PROMPT: line 2: ")), "{found:?}");
    }
    assert_eq!(warnings("COMPANION_PROMPT", &"call 555 now\n".repeat(100)).len(), 20);
    let file = file_of("Call 555.");
    let model = [("OPENAI_BASE_URL", "http://127.0.0.1:1/v1"), ("COMPANION_MODEL", "m")];
    let (found, _) = check(&[&model[..], &[("COMPANION_PROMPT", file.path().to_str().unwrap())]].concat());
    assert!(found.contains("Warning      COMPANION_PROMPT: line 1: \"555\" looks like a number"), "{found}");
}

#[test]
fn the_metric_says_which_help_lines_nobody_verified_within_the_age() {
    let count = Registry::load(None).unwrap().resources.len();
    let file = file_of(&verified());
    let path = file.path().to_str().unwrap();
    let old = file_of(&EMBEDDED.replace("\nsource = ", "\nverified_at = \"2024-02-29\"\nsource = "));
    let old = old.path().to_str().unwrap();
    for (variables, expected) in [
        (vec![], count),
        (vec![("RESOURCES", path)], 1),
        (vec![("RESOURCES", old)], count),
        (vec![("RESOURCES", old), ("RESOURCES_MAX_AGE", "3650")], 0),
    ] {
        let app = TestApp::with(&[&[("METRICS_PORT", "0")], &variables[..]].concat());
        let metrics = app.metrics();
        let marked = |value: &str| {
            let is_it = |line: &&str| line.starts_with("safespace_resources_unverified{") && line.ends_with(value);
            metrics.lines().filter(is_it).count()
        };
        assert_eq!((marked("} 1"), marked("} 0")), (expected, count - expected), "{variables:?}: {metrics}");
    }
}
