//! `safespace doctor`: each check is loud on a deployment made to fail it, and all are quiet on one as docs/setup.md has it.

mod deployment;
mod host;
mod postgres;
mod proxy;
mod service;

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Output;
use std::time::{Duration, Instant};

use safespace::doctor::{Check, checks};
use serde_json::Value;

use crate::support::process::Binary;

/// A PostgreSQL that is not there.
const NO_POSTGRES: (&str, &str) = ("DATABASE_URL", "postgres://u:hunter2@127.0.0.1:1/d");

/// What a run found.
struct Found {
    json: Value,
    output: Output,
}

impl Found {
    /// Runs the doctor with these variables and arguments.
    #[track_caller]
    fn with(variables: &[(&str, &str)], arguments: &[&str]) -> Found {
        let binary = Binary::new(variables).argument("doctor").argument("--json");
        let output = arguments.iter().fold(binary, |binary, argument| binary.argument(argument)).run();
        let text = String::from_utf8_lossy(&output.stdout);
        let json = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}{output:?}"));
        Found { json, output }
    }

    fn findings(&self) -> &[Value] {
        self.json["findings"].as_array().unwrap()
    }

    /// Asserts that PostgreSQL was asked and answered.
    #[track_caller]
    fn of_postgres(self) -> Found {
        self.assert_lacks("postgres.unreachable");
        assert!(self.not_checked("state of PostgreSQL").is_none(), "{:#}", self.json);
        self
    }

    /// The codes of all findings.
    fn codes(&self) -> BTreeSet<&str> {
        self.findings().iter().map(|finding| finding["code"].as_str().unwrap()).collect()
    }

    /// What was found by a check.
    fn what(&self, code: &str) -> Option<&str> {
        let finding = self.findings().iter().find(|finding| finding["code"] == code)?;
        finding["what"].as_str()
    }

    #[track_caller]
    fn assert_has(&self, code: &str) {
        assert!(self.what(code).is_some(), "no {code} in {:#}", self.json);
    }

    #[track_caller]
    fn assert_lacks(&self, code: &str) {
        assert!(self.what(code).is_none(), "{code} in {:#}", self.json);
    }

    /// The serious findings and warnings.
    fn loud(&self) -> Vec<&Value> {
        self.findings().iter().filter(|finding| finding["severity"] != "note").collect()
    }

    /// What was not checked whose name contains this.
    fn not_checked(&self, what: &str) -> Option<&Value> {
        self.json["not_checked"].as_array().unwrap().iter().find(|it| it["what"].as_str().unwrap().contains(what))
    }
}

/// A test of a check names its code; this finds the ones that no test names.
#[test]
fn every_check_has_a_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut tests = String::new();
    for folder in ["tests/suite/operations/doctor", "src/doctor/host", "src/doctor/service"] {
        for entry in fs::read_dir(root.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.file_name().unwrap() != "checks.rs" {
                tests += &fs::read_to_string(path).unwrap();
            }
        }
    }
    let untested: Vec<&str> =
        checks().map(|check| check.code).filter(|code| !tests.contains(&format!("\"{code}\""))).collect();
    assert!(untested.is_empty(), "{untested:?}");
}

#[test]
fn the_document_has_every_check_in_its_order() {
    let document = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/doctor.md")).unwrap();
    let rows: Vec<&str> =
        document.lines().filter(|line| line.starts_with("| `") && line.matches(" | ").count() == 3).collect();
    let expected: Vec<String> = checks()
        .map(|Check { code, severity, meaning, remedy }| format!("| `{code}` | {severity} | {meaning} | {remedy} |"))
        .collect();
    assert_eq!(rows, expected);
    let codes: BTreeSet<&str> = checks().map(|check| check.code).collect();
    assert_eq!(codes.len(), expected.len(), "a code names two checks");
}

#[test]
fn a_serious_finding_makes_the_exit_code_1_and_the_text_has_one_line_for_each() {
    let variables = [NO_POSTGRES, ("APP_PORT", "0")];
    let output = Binary::new(&variables).argument("doctor").run();
    let (text, error) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(output.status.code(), Some(1), "{text}{error}");
    assert!(error.contains("serious faults of the deployment: 1"), "{error}");
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("serious      postgres.unreachable: d as u at 127.0.0.1:1: "), "{text}");
    assert!(lines[0].ends_with("; run `safespace check`, which says why there is no connection"), "{text}");
    assert!(
        lines.iter().any(|line| line.starts_with("not checked  the running service, because APP_PORT is 0")),
        "{text}"
    );
    assert!(lines.last().unwrap().starts_with("1 serious, "), "{text}");
    assert!(!text.contains("hunter2") && !error.contains("hunter2"), "{text}{error}");

    let found = Found::with(&variables, &[]);
    assert_eq!(found.output.status.code(), Some(1));
    assert_eq!(found.json["serious"], 1);
    assert_eq!(
        found.findings().len() as u64,
        ["serious", "warnings", "notes"].map(|key| found.json[key].as_u64().unwrap()).iter().sum::<u64>()
    );
}

#[test]
fn arguments_and_settings_that_cannot_be_used_make_the_exit_code_2() {
    let run = |variables: &[(&str, &str)], arguments: &[&str]| {
        let binary = Binary::new(variables).argument("doctor");
        arguments.iter().fold(binary, |binary, argument| binary.argument(argument)).run()
    };
    for output in [
        run(&[NO_POSTGRES], &["--public-url", "chat.example"]),
        run(&[NO_POSTGRES], &["--public-url", "https://chat.example/path"]),
        run(&[NO_POSTGRES, ("APP_PORT", "many")], &[]),
    ] {
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{error}");
        assert!(error.contains("not a URL of the form https://host") || error.contains("APP_PORT"), "{error}");
    }
}

/// A server that accepts connections and says nothing.
fn silent() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

#[test]
fn where_everything_hangs_it_ends_within_half_a_minute() {
    let servers = [silent(), silent(), silent()];
    let [postgres, service, proxy] = servers.each_ref().map(|server| server.local_addr().unwrap());
    let (url, port) = (format!("postgres://u:p@{postgres}/d"), service.port().to_string());
    let began = Instant::now();
    let variables = [("DATABASE_URL", url.as_str()), ("APP_HOST", "127.0.0.1"), ("APP_PORT", &port)];
    let found = Found::with(&variables, &["--public-url", &format!("http://{proxy}")]);
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    assert_eq!(found.output.status.code(), Some(1));
    found.assert_has("postgres.unreachable");
    found.assert_has("service.down");
    assert!(found.not_checked("the proxy").is_some(), "{:#}", found.json);
}
