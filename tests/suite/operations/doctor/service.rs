//! What the doctor finds in the settings, and at the service's own address.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::thread;

use super::deployment::Production;
use super::{Found, NO_POSTGRES};
use crate::support::process::Binary;

/// The doctor with settings, without a service.
#[track_caller]
fn examine(variables: &[(&str, &str)]) -> Found {
    let mut all = vec![NO_POSTGRES, ("APP_PORT", "0")];
    all.extend(variables);
    Found::with(&all, &[])
}

const PRODUCTION: (&str, &str) = ("ENVIRONMENT", "production");

#[test]
fn each_setting_that_weakens_a_protection_is_found() {
    let model = |url| [("OPENAI_BASE_URL", url), ("COMPANION_MODEL", "m")];
    let quiet = examine(&[PRODUCTION, ("APP_HOST", "127.0.0.1")]);
    for (variables, code) in [
        (vec![("CORS_ALLOWED_ORIGINS", "https://a.example,http://b.example")], "service.cors_plain_http"),
        (vec![("METRICS_PORT", "9000"), ("METRICS_HOST", "0.0.0.0")], "service.metrics"),
        (vec![("METRICS_PORT", "9000"), ("METRICS_HOST", "192.0.2.7")], "service.metrics"),
        (vec![("RATE_LIMIT", "off")], "service.rate_limit"),
        (vec![("PROOF_OF_WORK", "off")], "service.proof_of_work"),
        (vec![("LOG_LEVEL", "debug")], "service.log_level"),
        (vec![("RUST_LOG", "warn,safespace=trace")], "service.log_level"),
        (vec![("SESSION_MAX_AGE", "2592001")], "service.retention"),
        (vec![("SESSION_IDLE_TIMEOUT", "604801")], "service.retention"),
        (vec![("DB_LOSS_ACCEPTED", "true")], "service.loss_accepted"),
        (vec![("APP_HOST", "0.0.0.0")], "service.exposed"),
        (model("http://192.0.2.1/v1").to_vec(), "service.model_plain_http"),
        (model("http://10.0.0.1/v1").to_vec(), "service.model_network"),
        (model("https://192.0.2.1/v1").to_vec(), "service.model_public"),
        (model("http://127.0.0.1:11434/v1").to_vec(), "service.model_egress"),
        (vec![("RESOURCES", "/nowhere.toml")], "service.file_unusable"),
        (vec![("ENVIRONMENT", "development")], "service.development"),
    ] {
        quiet.assert_lacks(code);
        let mut all = vec![PRODUCTION, ("APP_HOST", "127.0.0.1")];
        all.retain(|(name, _)| !variables.iter().any(|(other, _)| other == name));
        all.extend(variables);
        examine(&all).assert_has(code);
    }
}

#[test]
fn settings_that_are_as_strict_as_the_defaults_are_quiet() {
    for (variables, codes) in [
        (vec![("METRICS_PORT", "9000")], vec!["service.metrics"]),
        (vec![("METRICS_PORT", "9000"), ("METRICS_HOST", "10.0.0.7")], vec!["service.metrics"]),
        (vec![("SESSION_MAX_AGE", "86400")], vec!["service.retention"]),
        (vec![("RUST_LOG", "warn")], vec!["service.log_level"]),
        (vec![PRODUCTION, ("APP_HOST", "0.0.0.0"), ("TRUSTED_PROXIES", "10.0.0.1")], vec!["service.exposed"]),
        (
            vec![
                ("OPENAI_BASE_URL", "http://127.0.0.1:11434/v1"),
                ("COMPANION_MODEL", "m"),
                ("COMPANION_EGRESS", "local"),
            ],
            vec!["service.model_egress", "service.model_plain_http", "service.model_network", "service.model_public"],
        ),
    ] {
        let found = examine(&variables);
        codes.into_iter().for_each(|code| found.assert_lacks(code));
    }
}

#[test]
fn texts_that_nobody_verified_or_that_are_ones_own_are_found() {
    let found = examine(&[]);
    found.assert_has("service.help_lines");
    found.assert_has("service.report_texts");
    found.assert_lacks("service.overridden");
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("script.toml");
    // It has no words of danger.
    let small = "[[language]]\ncode = \"id\"\nmarkers = [\"aku\"]\n\n[[topic]]\nname = \"silence\"\nreplies.id = [\"...\"]\n\n\
        [[topic]]\nname = \"fallback\"\nreplies.id = [\"Ya?\"]\n";
    fs::write(&script, small).unwrap();
    let found = examine(&[("COMPANION_SCRIPT", script.to_str().unwrap())]);
    assert!(found.what("service.overridden").unwrap().starts_with("COMPANION_SCRIPT is "), "{:#}", found.json);
    found.assert_has("service.danger_words");
    found.assert_lacks("service.hard_coded_numbers");
    fs::write(&script, small.replace("Ya?", "Lihat https://help.example")).unwrap();
    examine(&[("COMPANION_SCRIPT", script.to_str().unwrap())]).assert_has("service.hard_coded_numbers");
}

#[test]
fn a_running_service_is_asked_and_one_that_is_not_ready_is_found() {
    let production = Production::start();
    let found = production.examine(&[], &[]);
    for code in [
        "service.down",
        "service.other",
        "service.not_ready",
        "service.cors",
        "service.other_version",
        "service.id_in_log",
    ] {
        found.assert_lacks(code);
    }
    production.postgres.run("REVOKE DELETE ON sessions FROM safespace_app");
    let found = production.examine(&[], &[]);
    assert_eq!(found.what("service.not_ready"), Some("/health/ready is 503, with the code database_refuses"));
}

/// A server that answers every request with the same status and fields.
fn answering(head: &'static str, body: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 8192]);
            let length = body.len();
            let _ = write!(stream, "HTTP/1.1 {head}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}");
        }
    });
    address
}

#[test]
fn what_is_not_the_service_of_this_version_is_found() {
    let examine_at = |address: SocketAddr| {
        let port = address.port().to_string();
        Found::with(&[NO_POSTGRES, ("APP_HOST", "127.0.0.1"), ("APP_PORT", &port)], &[])
    };
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    examine_at(closed).assert_has("service.down");
    examine_at(answering("200 OK", "<html>")).assert_has("service.other");
    let found = examine_at(answering("200 OK", r#"{"message":"SafeSpace backend is running","version":"9.9.9"}"#));
    assert_eq!(found.what("service.other_version").unwrap().split(" runs").next(), Some("SafeSpace 9.9.9"));
    let open = answering(
        "200 OK\r\nAccess-Control-Allow-Origin: *",
        r#"{"message":"SafeSpace backend is running","version":"9.9.9"}"#,
    );
    examine_at(open).assert_has("service.cors");
}

#[test]
fn a_service_on_every_address_is_asked_on_the_loopback_address() {
    let folder = crate::support::cluster::DataFolder::new();
    let variables = [("SAFESPACE_DATA_DIR", folder.path().to_str().unwrap()), ("APP_HOST", "0.0.0.0")];
    let service = Binary::new(&variables).serve();
    let port = service.address.port().to_string();
    let found = Found::with(&[variables[0], variables[1], ("APP_PORT", &port)], &[]);
    found.assert_lacks("service.down");
    found.assert_lacks("service.not_ready");
}
