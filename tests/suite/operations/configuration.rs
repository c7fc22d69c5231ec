//! The configuration: defaults, `.env`, secrets from files, and every problem at once.

mod addresses;
mod connection_url;
mod dotenv;
mod names;
mod origins;
mod values;

use std::time::Duration;

use safespace::app;
use safespace::config::{Config, Database, Environment, LogFormat, SslMode, StorageReserve};

use crate::support::process::Binary;
use crate::support::{Variables, variables};

fn read(pairs: &[(&str, &str)]) -> Config {
    Config::from_variables(&variables(pairs)).unwrap()
}

/// The problems of a configuration that cannot be used, a line each.
#[track_caller]
fn problems(pairs: &[(&str, &str)]) -> Vec<String> {
    Config::from_variables(&variables(pairs)).unwrap_err().0
}

fn server(config: &Config) -> &safespace::config::Server {
    match &config.database {
        Database::Server(server) => server,
        Database::Private(_) => panic!("a private PostgreSQL"),
    }
}

#[test]
fn without_any_variable_everything_has_its_default() {
    let config = Config::from_variables(&variables(&[("HOME", "/home/someone")])).unwrap();
    assert_eq!(config.environment, Environment::Development);
    assert!(matches!(config.database, Database::Private(_)));
    assert_eq!((config.pool.min_size, config.pool.max_size), (10, 20));
    assert_eq!(config.pool.query_timeout, Duration::from_secs(30));
    assert_eq!(config.pool.connection_timeout, Duration::from_secs(10));
    assert_eq!(config.pool.acquire_timeout, Duration::from_secs(1));
    assert_eq!(config.http.address.to_string(), "0.0.0.0:8000");
    assert_eq!(config.http.max_body_bytes, 65_536);
    assert_eq!((config.log.level, config.log.format), (log::LevelFilter::Info, LogFormat::Text));
    assert!(config.companion.model.is_none() && config.companion.script.is_none());
    assert_eq!(config.http.workers, 32);
    assert_eq!((config.companion.timeout, config.companion.concurrency), (Duration::from_secs(12), 128));
}

#[test]
fn proxies_are_addresses_and_networks_and_the_reserve_is_bytes_or_a_percentage() {
    let networks = |text: &str| {
        let config = read(&[("HOME", "/h"), ("TRUSTED_PROXIES", text)]);
        config.protection.trusted_proxies.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(networks(""), Vec::<String>::new());
    assert_eq!(networks(" 127.0.0.1, 10.0.0.0/8,::1 "), ["127.0.0.1/32", "10.0.0.0/8", "::1/128"]);
    for (text, reserve) in [
        ("", StorageReserve::Default),
        ("5%", StorageReserve::Percent(5)),
        ("0", StorageReserve::Bytes(0)),
        ("1073741824", StorageReserve::Bytes(1 << 30)),
    ] {
        let config = read(&[("HOME", "/h"), ("STORAGE_RESERVE", text)]);
        assert_eq!(config.storage.reserve, reserve, "{text}");
    }
    for text in ["1125899906842625", "5", "-1", "1GB", "100%"] {
        let found = problems(&[("HOME", "/h"), ("STORAGE_RESERVE", text)]);
        assert!(matches!(found.as_slice(), [one] if one.starts_with("STORAGE_RESERVE: ")), "{text}: {found:?}");
    }
}

#[test]
fn one_database_variable_is_enough_for_the_others_to_have_defaults() {
    let config = read(&[("DB_PASSWORD", "secret")]);
    let connect = &server(&config).connect;
    assert_eq!(connect.get_hosts(), [postgres::config::Host::Tcp("localhost".to_owned())]);
    assert_eq!(connect.get_ports(), [5432]);
    assert_eq!(connect.get_dbname(), Some("safespace_dev"));
    assert_eq!(connect.get_user(), Some("postgres"));
    assert_eq!(server(&config).ssl_mode, SslMode::Prefer);
}

#[test]
fn every_problem_is_reported_by_its_variable() {
    let found = problems(&[
        ("ENVIRONMENT", "staging"),
        ("DB_HOST", "db"),
        ("DB_PORT", "70000"),
        ("DB_SSLMODE", "sometimes"),
        ("DB_POOL_MIN_SIZE", "30"),
        ("DB_POOL_MAX_SIZE", "20"),
        ("DB_QUERY_TIMEOUT", "0"),
        ("DB_CONNECTION_TIMEOUT", "ten"),
        ("DB_ACQUIRE_TIMEOUT_MS", "-1"),
        ("APP_PORT", "http"),
        ("APP_WORKERS", "0"),
        ("APP_MAX_BODY_BYTES", "1"),
        ("APP_SHUTDOWN_DELAY", "301"),
        ("APP_SHUTDOWN_GRACE", "1.5"),
        ("APP_ANSWER_MEMORY", "1"),
        ("SESSION_MAX_BYTES", "1024"),
        ("RATE_LIMIT", "auto"),
        ("RATE_LIMIT_BY_ADDRESS", "yes"),
        ("CORS_ALLOWED_ORIGINS", "*"),
        ("TRUSTED_PROXIES", "10.0.0.0/8, proxy.example.org"),
        ("PROOF_OF_WORK", "on"),
        ("EXIT_URLS", "google.com"),
        ("STORAGE_RESERVE", "100%"),
        ("LOG_LEVEL", "loud"),
        ("LOG_FORMAT", "xml"),
    ]);
    let names: Vec<&str> = found.iter().map(|problem| problem.split(':').next().unwrap()).collect();
    let mut expected = vec![
        "ENVIRONMENT",
        "DB_PORT",
        "DB_PASSWORD",
        "DB_SSLMODE",
        "DB_POOL_MIN_SIZE",
        "DB_QUERY_TIMEOUT",
        "DB_CONNECTION_TIMEOUT",
        "DB_ACQUIRE_TIMEOUT_MS",
        "APP_PORT",
        "APP_WORKERS",
        "APP_MAX_BODY_BYTES",
        "APP_SHUTDOWN_DELAY",
        "APP_SHUTDOWN_GRACE",
        "APP_ANSWER_MEMORY",
        "SESSION_MAX_BYTES",
        "RATE_LIMIT",
        "RATE_LIMIT_BY_ADDRESS",
        "CORS_ALLOWED_ORIGINS",
        "TRUSTED_PROXIES",
        "PROOF_OF_WORK",
        "EXIT_URLS",
        "STORAGE_RESERVE",
        "LOG_LEVEL",
        "LOG_FORMAT",
    ];
    let mut sorted = names.clone();
    sorted.sort_unstable();
    expected.sort_unstable();
    assert_eq!(sorted, expected, "{found:#?}");
    assert!(found.contains(&"APP_WORKERS: \"0\" is not a whole number from 1 to 1024".to_owned()), "{found:#?}");
}

#[test]
fn contradictions_are_problems() {
    let url = ("DATABASE_URL", "postgres://u:p@h/d");
    for (pairs, problem) in [
        (vec![url, ("DB_HOST", "h"), ("DB_PASSWORD", "p")], "DATABASE_URL: DB_HOST, DB_PASSWORD are set too"),
        (vec![("DB_HOST", "h")], "DB_PASSWORD: required"),
        (vec![("DB_PASSWORD", "")], ""),
        (vec![("ENVIRONMENT", "production")], "DATABASE_URL: required in production"),
        (vec![("DATABASE_URL", "h")], "DATABASE_URL: not a URL"),
        (vec![("DATABASE_URL", "host=h user=u")], "DATABASE_URL: not a URL"),
        (vec![("DATABASE_URL", "postgres://u:p@ss@h/d")], "DATABASE_URL: not a URL"),
        (vec![("DATABASE_URL", "postgres://u:p@h/d?pool=5")], "DATABASE_URL: its parameter pool"),
        (vec![("DATABASE_URL", "postgres:///d")], "DATABASE_URL: it names no host"),
        (vec![("DATABASE_URL", "postgres:///d?host=/var/run/postgresql")], ""),
        (vec![("DATABASE_URL", "postgres://u:p@h:port/d")], "DATABASE_URL: its port is not"),
        (vec![("DATABASE_URL", "mysql://u:p@h/d")], "DATABASE_URL: it must begin with postgres"),
        (vec![("DATABASE_URL", "postgres://u:p@h/d?sslmode=always")], "DATABASE_URL: its sslmode"),
        (
            vec![("DATABASE_URL", "postgres://h/d?sslmode=require"), ("DB_SSLMODE", "require")],
            "DB_SSLMODE: DATABASE_URL",
        ),
        (vec![url, ("DB_SSLMODE", "verify-full")], "DB_SSLROOTCERT: required with verify"),
        (vec![url, ("DB_SSLMODE", "verify-ca"), ("DB_SSLROOTCERT", "system")], "DB_SSLROOTCERT: 'system' needs"),
        (
            vec![url, ("DB_SSLMODE", "verify-ca"), ("DB_SSLROOTCERT", "/nowhere")],
            "DB_SSLROOTCERT: cannot read /nowhere",
        ),
        (vec![url, ("DB_SSLMODE", "verify-ca"), ("DB_SSLROOTCERT", "/dev/null")], "DB_SSLROOTCERT: /dev/null holds no"),
        (vec![url, ("DATABASE_URL_FILE", "/dev/null")], "DATABASE_URL_FILE: DATABASE_URL is set too"),
        (vec![("DB_PASSWORD_FILE", "/nowhere"), ("DB_HOST", "h")], "DB_PASSWORD_FILE: cannot read /nowhere"),
        (vec![("DB_SSLMODE", "require")], "DB_SSLMODE: set without DATABASE_URL"),
        (vec![("DB_DISTRIBUTE", "citus")], "DB_DISTRIBUTE: set without DATABASE_URL"),
        (vec![url, ("DB_DISTRIBUTE", "CITUS")], ""),
        (vec![url, ("DB_DISTRIBUTE", "on")], "DB_DISTRIBUTE: \"on\" is not one of off, citus"),
    ] {
        let mut all: Variables = variables(&pairs);
        all.insert("HOME".to_owned(), "/home/someone".to_owned());
        match Config::from_variables(&all) {
            Ok(_) => assert!(problem.is_empty(), "{pairs:?} is accepted"),
            Err(found) => assert!(!problem.is_empty() && found.to_string().contains(problem), "{pairs:?}: {found}"),
        }
    }
}

#[test]
fn a_small_maximum_lowers_the_default_minimum_of_the_pool() {
    assert_eq!(read(&[("HOME", "/h"), ("DB_POOL_MAX_SIZE", "4")]).pool.min_size, 4);
}

#[test]
fn every_session_ends_within_the_bounds() {
    for (variables, idle, max_age) in [
        (vec![], 604_800, 2_592_000),
        (vec![("SESSION_IDLE_TIMEOUT", "60"), ("SESSION_MAX_AGE", "60")], 60, 60),
        (vec![("SESSION_MAX_AGE", "31622400")], 604_800, 31_622_400),
        // The default timeout is lowered to a shorter age.
        (vec![("SESSION_MAX_AGE", "86400")], 86_400, 86_400),
    ] {
        let retention = read(&[&[("HOME", "/h")], variables.as_slice()].concat()).retention;
        assert_eq!((retention.idle_timeout_seconds, retention.max_age_seconds), (idle, max_age), "{variables:?}");
    }
    for (variables, words) in [
        (vec![("SESSION_IDLE_TIMEOUT", "0")], "SESSION_IDLE_TIMEOUT: 0 does not mean never"),
        (vec![("SESSION_MAX_AGE", "00")], "SESSION_MAX_AGE: 0 does not mean never"),
        (
            vec![("SESSION_IDLE_TIMEOUT", "59")],
            "SESSION_IDLE_TIMEOUT: \"59\" is not a whole number from 60 to 31622400",
        ),
        (vec![("SESSION_MAX_AGE", "31622401")], "SESSION_MAX_AGE: \"31622401\" is not a whole number"),
        (vec![("SESSION_IDLE_TIMEOUT", "7d")], "SESSION_IDLE_TIMEOUT: \"7d\" is not a whole number"),
        (
            vec![("SESSION_IDLE_TIMEOUT", "90000"), ("SESSION_MAX_AGE", "86400")],
            "SESSION_IDLE_TIMEOUT: 90000 is more than SESSION_MAX_AGE, 86400",
        ),
    ] {
        let found = problems(&[&[("HOME", "/h")], variables.as_slice()].concat());
        assert!(matches!(found.as_slice(), [one] if one.starts_with(words)), "{found:?}");
    }
}

#[test]
fn a_password_is_in_no_debug_output_and_no_problem() {
    for pairs in [
        vec![("DB_HOST", "h"), ("DB_PASSWORD", "hunter2")],
        vec![("DATABASE_URL", "postgres://u:hunter2@h/d")],
        vec![("DATABASE_URL", "postgres://u:a?hunter2=hunter2@h/d")],
        vec![("DATABASE_URL", "postgres://u:hunter2@h:port/d")],
        vec![("DATABASE_URL", "hunter2")],
        vec![("DATABASE_URL", "postgres://u:hunter2@h/d"), ("DB_PASSWORD", "hunter2")],
    ] {
        let text = format!("{:?}", Config::from_variables(&variables(&pairs)));
        assert!(!text.contains("hunter2"), "{text}");
    }
}

#[test]
fn the_binary_reports_all_problems_and_exits_with_2() {
    let output = Binary::new(&[("APP_PORT", "none"), ("LOG_FORMAT", "xml"), ("DB_HOST", "h")]).argument("check").run();
    assert_eq!(output.status.code(), Some(2));
    let errors = String::from_utf8(output.stderr).unwrap();
    for name in ["APP_PORT:", "LOG_FORMAT:", "DB_PASSWORD:"] {
        assert!(errors.contains(name), "{errors}");
    }
}

#[test]
fn an_unknown_variable_and_a_plain_text_connection_are_warnings() {
    let warnings = |pairs: &[(&str, &str)]| read(pairs).warnings().join("\n");
    assert_eq!(warnings(&[("HOME", "/h"), ("PATH", "/bin"), ("DB_PASSWORD_FILE", ""), ("DB_PASSWORD", "p")]), "");
    assert!(warnings(&[("HOME", "/h"), ("DB_POOL_MAXSIZE", "5")]).contains("DB_POOL_MAXSIZE is set and means nothing"));
    let local = ("APP_HOST", "127.0.0.1");
    let production = |url| warnings(&[("ENVIRONMENT", "production"), local, ("DATABASE_URL", url)]);
    assert!(production("postgres://u:p@db.example.org/d").contains("DB_SSLMODE is weaker"));
    assert_eq!(production("postgres://u:p@db.example.org/d?sslmode=require"), "");
    assert_eq!(production("postgres://u:p@localhost/d"), "");
    assert!(production("postgres://u:p@localhost/d?hostaddr=10.0.0.5").contains("DB_SSLMODE is weaker"));
}

#[test]
fn production_on_every_address_without_a_proxy_is_a_warning() {
    let warnings = |environment, host, proxies| {
        let url = ("DATABASE_URL", "postgres://u:p@localhost/d");
        let given = [url, ("ENVIRONMENT", environment), ("APP_HOST", host), ("TRUSTED_PROXIES", proxies)];
        app::warnings(&read(&given)).join("\n")
    };
    for host in ["0.0.0.0", "::"] {
        let found = warnings("production", host, "");
        assert!(found.starts_with(&format!("APP_HOST is {host} and TRUSTED_PROXIES is not set")), "{found}");
        assert_eq!(warnings("production", host, "10.0.0.5"), "");
        assert_eq!(warnings("development", host, ""), "");
    }
    for host in ["127.0.0.1", "::1", "localhost"] {
        assert_eq!(warnings("production", host, ""), "", "{host}");
    }
}

#[test]
fn protection_that_is_off_in_production_is_a_warning() {
    let production = |name, value| {
        let url = ("DATABASE_URL", "postgres://u:p@localhost/d");
        read(&[("ENVIRONMENT", "production"), ("APP_HOST", "127.0.0.1"), url, (name, value)]).warnings().join("\n")
    };
    assert!(production("RATE_LIMIT", "off").starts_with("RATE_LIMIT is off"));
    assert!(production("PROOF_OF_WORK", "off").starts_with("PROOF_OF_WORK is off"));
    assert_eq!(production("PROOF_OF_WORK", "always"), "");
    assert_eq!(read(&[("HOME", "/h"), ("RATE_LIMIT", "off")]).warnings().join("\n"), "");
    let unused = read(&[("HOME", "/h"), ("RATE_LIMIT", "off"), ("PROOF_OF_WORK", "always")]).warnings();
    assert_eq!(unused, ["PROOF_OF_WORK is set and not used: RATE_LIMIT is off"]);
}

#[test]
fn as_many_workers_as_a_hanging_database_can_block_are_a_warning() {
    let warnings = |pairs: &[(&str, &str)]| app::warnings(&read(pairs));
    // The maximum of blocked workers follows from the statements of requests and their batches in flight.
    for (workers, count) in [("24", 1), ("25", 0)] {
        let found = warnings(&[("HOME", "/h"), ("APP_WORKERS", workers)]);
        assert_eq!(found.len(), count, "{workers}: {found:?}");
        assert!(
            found.iter().all(|text| text.starts_with("APP_WORKERS is 24 and should be more than 24: ")),
            "{found:?}"
        );
    }
    assert_eq!(warnings(&[("HOME", "/h")]), Vec::<String>::new());
    let unknown = warnings(&[("HOME", "/h"), ("APP_WORKER", "8")]);
    assert!(unknown.len() == 1 && unknown[0].starts_with("APP_WORKER is set and means nothing"), "{unknown:?}");
}
