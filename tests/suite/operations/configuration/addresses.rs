//! Hosts: names, IPv4 and IPv6 addresses, folders of sockets.

use super::{problems, read, server};
use crate::support::process::Binary;

/// Given, and as it is printed with its port.
const HOSTS: [(&str, &str); 11] = [
    ("localhost", "localhost:80"),
    ("db.example.org.", "db.example.org.:80"),
    ("my_db-1", "my_db-1:80"),
    ("xn--mnchen-3ya.de", "xn--mnchen-3ya.de:80"),
    ("127.0.0.1", "127.0.0.1:80"),
    ("::1", "[::1]:80"),
    ("[::1]", "[::1]:80"),
    ("::", "[::]:80"),
    ("2001:db8::5", "[2001:db8::5]:80"),
    ("fe80::1%eth0", "[fe80::1%eth0]:80"),
    (" [::1]\r", "[::1]:80"),
];

const NO_HOSTS: [(&str, &str); 20] = [
    ("http://localhost", "has a scheme"),
    ("tcp://10.0.0.1:5432", "has a scheme"),
    ("localhost:8000", "has a port"),
    ("127.0.0.1:8000", "has a port"),
    ("[::1]:8000", "is not an IPv6 address"),
    ("[localhost]", "is not an IPv6 address"),
    ("[::1", "is not an IPv6 address"),
    ("::1::2", "is not an IPv6 address"),
    ("::1%", "is not an IPv6 address"),
    ("local host", "is not the name"),
    ("one,two", "ho"),
    ("*", "is not the name"),
    ("user@host", "is not the name"),
    ("host?", "is not the name"),
    ("-host", "is not the name"),
    ("a..b", "is not the name"),
    ("münchen.de", "is not ASCII"),
    ("127.0.0.256", "is not an IPv4 address"),
    ("local\thost", "control character"),
    ("localhost\u{202e}x", "is not ASCII"),
];

#[test]
fn hosts_have_ipv6_addresses_with_and_without_brackets_and_are_printed_with_them() {
    for (host, printed) in HOSTS {
        let config = read(&[("HOME", "/h"), ("APP_HOST", host), ("APP_PORT", "80")]);
        assert_eq!(config.http.address.to_string(), printed, "APP_HOST={host}");
        let config = read(&[("HOME", "/h"), ("METRICS_HOST", host), ("METRICS_PORT", "80")]);
        assert_eq!(config.metrics.unwrap().to_string(), printed, "METRICS_HOST={host}");
        let config = read(&[("DB_HOST", host), ("DB_PORT", "80"), ("DB_PASSWORD", "p")]);
        assert_eq!(server(&config).to_string(), format!("safespace_dev as postgres at {printed}"), "DB_HOST={host}");
    }
}

#[test]
fn what_is_no_host_is_refused_by_its_variable() {
    for (host, problem) in NO_HOSTS {
        for (name, others) in
            [("APP_HOST", ("HOME", "/h")), ("METRICS_HOST", ("METRICS_PORT", "1")), ("DB_HOST", ("DB_PASSWORD", "p"))]
        {
            let found = problems(&[("HOME", "/h"), (name, host), others]);
            let is_found = |text: &String| text.starts_with(&format!("{name}: ")) && text.contains(problem);
            assert!(found.len() == 1 && is_found(&found[0]), "{name}={host:?}: {found:?}");
        }
    }
    let long = "a".repeat(255);
    assert!(problems(&[("HOME", "/h"), ("APP_HOST", &long)])[0].contains("more than 254 characters"));
}

#[test]
fn the_host_of_the_database_can_be_the_folder_of_a_socket() {
    let database = |host| server(&read(&[("HOME", "/home/x"), ("DB_HOST", host), ("DB_PASSWORD", "p")])).to_string();
    assert_eq!(database("/run/postgresql"), "safespace_dev as postgres at /run/postgresql, port 5432");
    assert_eq!(database("~/run"), "safespace_dev as postgres at /home/x/run, port 5432");
    for (host, problem) in [
        ("/run/.s.PGSQL.5432", "write its folder"),
        ("run/postgresql", "is not the name"),
        ("@postgresql", "is not the name"),
        ("one,two", "DATABASE_URL can have them"),
    ] {
        let found = problems(&[("DB_HOST", host), ("DB_PASSWORD", "p")]);
        assert!(found.len() == 1 && found[0].contains(problem), "{host}: {found:?}");
    }
}

#[test]
fn an_ipv6_address_has_brackets_in_errors_and_in_check() {
    let url = ("DATABASE_URL", "postgres://u:p@[::1]:1/d");
    let output = Binary::new(&[url, ("APP_HOST", "::1")]).argument("check").run();
    let findings = String::from_utf8(output.stdout).unwrap();
    assert!(findings.contains("Address      [::1]:8000"), "{findings}");
    assert!(findings.contains("Database     d as u at [::1]:1\n"), "{findings}");
    // An address for documentation, which no machine has (RFC 3849).
    let output = Binary::new(&[url, ("APP_HOST", "2001:db8::1"), ("APP_PORT", "8000")]).run();
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("cannot listen on [2001:db8::1]:8000"), "{error}");
}

#[test]
fn a_model_at_an_ipv6_address_needs_brackets_as_any_url() {
    let with = |url| [("HOME", "/h"), ("COMPANION_MODEL", "m"), ("OPENAI_BASE_URL", url)];
    assert_eq!(
        read(&with("http://[::1]:11434/v1")).companion.to_string(),
        "model m at [::1]:11434, egress any; script, embedded"
    );
    let found = problems(&with("http://::1:11434/v1"));
    assert!(found.len() == 1 && found[0].starts_with("OPENAI_BASE_URL: "), "{found:?}");
}

#[test]
fn a_trusted_proxy_can_have_brackets() {
    let config = read(&[("HOME", "/h"), ("TRUSTED_PROXIES", "[::1], fd00::/8")]);
    let proxies: Vec<String> = config.protection.trusted_proxies.iter().map(ToString::to_string).collect();
    assert_eq!(proxies, ["::1/128", "fd00::/8"]);
}
