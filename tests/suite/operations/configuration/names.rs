//! Variables that are not used because of their names: misspelled, injected by an orchestrator, or of libpq.

use super::{problems, read, server};
use crate::support::process::Binary;

#[test]
fn misspelled_variables_are_told_with_the_name_that_was_meant() {
    for (name, meant) in [
        ("DB_PASWORD", Some("DB_PASSWORD")),
        ("DATABASE_URI", Some("DATABASE_URL")),
        ("database_url", Some("DATABASE_URL")),
        ("ENVIROMENT", Some("ENVIRONMENT")),
        ("OPENAI_BASEURL", Some("OPENAI_BASE_URL")),
        ("PGBIN", Some("PG_BIN")),
        ("App_Port", Some("APP_PORT")),
        ("LOGLEVEL", Some("LOG_LEVEL")),
        ("WEB_LANGUAGE", Some("WEB_LANGUAGES")),
        ("DB_POOL_MAX", None),
        ("WEB_EMBED_SITES", None),
        ("SAFESPACE_PROMPT", None),
        ("OPENAI_BASE_URL_FILE", None),
        ("DB_HOST_FILE", None),
    ] {
        let warnings = read(&[("HOME", "/h"), (name, "x")]).warnings();
        let end = meant.map_or(";".to_owned(), |meant| format!("; did you mean {meant}?"));
        let expected = format!("{name} is set and means nothing{end} --help lists the variables there are");
        assert_eq!(warnings, [expected], "{name}");
    }
    for name in [
        "PATH",
        "LANG",
        "HOSTNAME",
        "PG_VERSION",
        "RUST_BACKTRACE",
        "LOG_FILE",
        "OPENAI_ORG_ID",
        "DATABASE_DSN",
        "WEB_CONCURRENCY",
    ] {
        assert_eq!(read(&[("HOME", "/h"), (name, "x")]).warnings(), Vec::<String>::new(), "{name}");
    }
    assert_eq!(read(&[("HOME", "/h"), ("DB_PASWORD", " ")]).warnings(), Vec::<String>::new());
}

#[test]
fn misspelled_variables_are_told_together_with_every_problem() {
    let found = problems(&[("DB_PASWORD", "hunter2"), ("DB_HOST", "localhost"), ("APP_PORTS", "1"), ("APP_PORT", "x")]);
    for part in ["DB_PASSWORD: required", "APP_PORT: \"x\"", "DB_PASWORD is set", "APP_PORTS is set"] {
        assert!(found.iter().any(|problem| problem.starts_with(part)), "{part}: {found:?}");
    }
    assert!(found.len() == 4 && !found.concat().contains("hunter2"), "{found:?}");
    let output = Binary::new(&[("DB_PASWORD", "x"), ("DB_HOST", "localhost")]).argument("check").run();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(error.contains("DB_PASSWORD: required") && error.contains("did you mean DB_PASSWORD?"), "{error}");
}

#[test]
fn service_links_of_kubernetes_are_ignored_with_one_warning() {
    // What a pod has beside Services called db, app, metrics and safespace, with two ports, UDP and IPv6.
    let links = [
        ("KUBERNETES_SERVICE_HOST", "10.0.0.1"),
        ("KUBERNETES_PORT", "tcp://10.0.0.1:443"),
        ("APP_PORT", "tcp://10.0.0.7:80"),
        ("APP_PORT_80_TCP_ADDR", "10.0.0.7"),
        ("APP_SERVICE_PORT_HTTP", "80"),
        ("DB_PORT", "tcp://[fd00::1]:5432"),
        ("DB_PORT_53_UDP", "udp://10.0.0.5:53"),
        ("DB_PORT_5432_TCP", "tcp://10.0.0.5:5432"),
        ("DB_PORT_5432_TCP_ADDR", "10.0.0.5"),
        ("DB_PORT_5432_TCP_PORT", "5432"),
        ("DB_PORT_5432_TCP_PROTO", "tcp"),
        ("DB_SERVICE_HOST", "10.0.0.5"),
        ("DB_SERVICE_PORT", "5432"),
        ("METRICS_PORT", "tcp://10.0.0.8:9090"),
        ("SAFESPACE_PORT", "sctp://10.0.0.9:8000"),
        ("SAFESPACE_SERVICE_HOST", "10.0.0.9"),
    ];
    let with = |own: &[(&'static str, &'static str)]| [links.as_slice(), own].concat();
    let config = read(&with(&[("HOME", "/h")]));
    let names: Vec<&str> = links[2..].iter().map(|(name, _)| *name).collect();
    let warnings = config.warnings();
    assert!(warnings.len() == 1 && warnings[0].starts_with(&format!("{}: ignored", names.join(", "))), "{warnings:?}");
    assert!(warnings[0].contains("set them for services of those names;"), "{warnings:?}");
    let of_one = read(&[("HOME", "/h"), ("APP_PORT", "tcp://10.0.0.7:80")]).warnings();
    let one = "APP_PORT: ignored, because Kubernetes or Docker set it for a service of that name;";
    assert!(of_one.len() == 1 && of_one[0].starts_with(one), "{of_one:?}");
    assert!(warnings[0].contains("enableServiceLinks: false"));
    assert_eq!((config.http.address.port, config.metrics), (8000, None));
    // They are no database variables, beside a URL or alone.
    let config = read(&with(&[("DATABASE_URL", "postgres://u:p@localhost/d")]));
    assert_eq!(server(&config).to_string(), "d as u at localhost:5432");
    // With a problem they are told too, since they may explain it.
    let found = problems(&with(&[("DB_HOST", "h")]));
    assert!(found.len() == 2 && found[0].starts_with("DB_PASSWORD: required") && found[1] == warnings[0], "{found:?}");
}

#[test]
fn the_name_and_the_environment_of_a_docker_link_are_ignored_with_it() {
    let links = [
        ("APP_ENV_LANG", "C"),
        ("APP_NAME", "/web/app"),
        ("APP_PORT", "tcp://172.17.0.4:80"),
        ("DB_ENV_PGDATA", "/var/lib/postgresql/data"),
        ("DB_NAME", "/web/db"),
        ("DB_PORT", "tcp://172.17.0.5:5432"),
    ];
    let with = |own: &[(&'static str, &'static str)]| [links.as_slice(), own].concat();
    let warnings = read(&with(&[("HOME", "/h")])).warnings();
    let names = "APP_ENV_LANG, APP_NAME, APP_PORT, DB_ENV_PGDATA, DB_NAME, DB_PORT: ignored";
    assert!(warnings.len() == 1 && warnings[0].starts_with(names), "{warnings:?}");
    // What the operator sets beside them is read.
    let own = [("DB_HOST", "/run/postgresql"), ("DB_USER", "u"), ("DB_PASSWORD", "p")];
    let config = read(&with(&own));
    assert!(server(&config).to_string().contains("/run/postgresql"), "{}", server(&config));
    let config = read(&[own.as_slice(), &[("DB_NAME", "d")]].concat());
    assert!(server(&config).to_string().starts_with("d as u"), "{}", server(&config));
    // Without a link the name is a name.
    let config = read(&[own.as_slice(), &[("DB_NAME", "/web/db")]].concat());
    assert!(server(&config).to_string().starts_with("/web/db as u"), "{}", server(&config));
}

#[test]
fn ports_that_look_like_no_service_link_are_read() {
    for value in ["http://10.0.0.5:80", "10.0.0.5:80", "tcp"] {
        let found = problems(&[("HOME", "/h"), ("APP_PORT", value)]);
        assert!(found.len() == 1 && found[0].starts_with("APP_PORT: "), "{value}: {found:?}");
    }
    let warnings = read(&[("HOME", "/h"), ("DB_PORT_NUMBER", "5")]).warnings();
    assert!(warnings[0].starts_with("DB_PORT_NUMBER is set and means nothing"), "{warnings:?}");
}

#[test]
fn variables_of_libpq_are_told_since_they_are_not_used() {
    let warnings = read(&[("DATABASE_URL", "postgres://u:p@localhost/d"), ("PGPORT", "1"), ("PGHOST", "h")]).warnings();
    let expected =
        "PGHOST, PGPORT: set for libpq and not used here; SafeSpace reads DATABASE_URL or the DB_* variables";
    assert_eq!(warnings, [expected]);
}
