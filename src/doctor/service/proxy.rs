//! Asks the service at its public address: what the proxy in front adds, takes away and forwards.

use ureq::Error;

use super::checks;
use super::http::{Answer, Asker, is_of_tls};
use super::own;
use super::probe::{self, Probe};
use super::public_url::PublicUrl;
use crate::doctor::finding::Report;

/// Fields that SafeSpace sends with every answer of its API.
const PROTECTIONS: [(&str, &str); 2] = [("X-Content-Type-Options", "nosniff"), ("Referrer-Policy", "no-referrer")];

/// What only SafeSpace's metrics, and only `/health/db`, have in their answers.
const OF_METRICS: &str = "safespace_";
const OF_HEALTH: &str = "connection_pool";

/// Asks, and returns whether SafeSpace answered through the proxy.
pub(super) fn examine(asker: &Asker, url: &PublicUrl, probe: &Probe, is_trusted: bool, report: &mut Report) -> bool {
    if !url.is_https() && !url.is_onion() {
        report.find(checks::NO_TLS, format_args!("the public address is {url}"));
    }
    let answer = match probe.send(asker) {
        Ok(answer) if probe::is_expected(&answer) => answer,
        Ok(answer) => {
            let because = format!("{url} answers with {}, and not as SafeSpace does", answer.status);
            report.skip("the proxy", because, "look whether it forwards /api/ to the service, and that is ready");
            return false;
        }
        Err(error) if is_of_tls(&error) => {
            report.find(checks::CERTIFICATE, format_args!("the certificate of {url} is not valid here: {error}"));
            report.skip(
                "what the proxy adds and forwards",
                "its certificate is not valid",
                "run the doctor again then",
            );
            return false;
        }
        Err(error) => {
            report.skip("the proxy", not_reached(url, &error), "run the doctor where its address can be reached");
            return false;
        }
    };
    headers(&answer, url, report);
    own::foreign_origin(&answer, "the proxy", report);
    paths(asker, url, report);
    if let Some(plain) = url.plain() {
        plain_http(asker, &plain, report);
    }
    if !is_trusted {
        report.find(checks::NOT_TRUSTED, "there is a proxy, and TRUSTED_PROXIES is not set");
    }
    report.skip(
        "whether the proxy overwrites X-Forwarded-For",
        "no answer shows it",
        "look into its configuration (docs/operations.md, The address of a client)",
    );
    true
}

fn not_reached(url: &PublicUrl, error: &Error) -> String {
    format!("{url} does not answer here: {error}")
}

fn headers(answer: &Answer, url: &PublicUrl, report: &mut Report) {
    let cache = answer.field("Cache-Control").unwrap_or_default().to_ascii_lowercase();
    let mut directives = cache.split(',').map(str::trim);
    if !directives.any(|directive| directive == "no-store") {
        report.find(checks::CACHE_CONTROL, "Cache-Control has no no-store behind the proxy");
    }
    for (name, expected) in PROTECTIONS {
        if answer.field(name).is_none_or(|value| !value.eq_ignore_ascii_case(expected)) {
            report.find(checks::HEADERS, format_args!("{name} is not {expected} behind the proxy"));
        }
    }
    if answer.field("Set-Cookie").is_some() {
        report.find(checks::COOKIE, "the proxy sets a cookie");
    }
    match answer.field("Strict-Transport-Security") {
        Some(value) => {
            let value: String = value.chars().filter(char::is_ascii).take(60).collect();
            report.find(checks::HSTS, format_args!("Strict-Transport-Security is {value}"));
        }
        None if url.is_https() => report.find(checks::NO_HSTS, "there is no Strict-Transport-Security"),
        None => {}
    }
}

/// Paths that need not be public.
fn paths(asker: &Asker, url: &PublicUrl, report: &mut Report) {
    let has = |path: &str, text: &str| {
        asker.get(&format!("{url}{path}"), &[]).is_ok_and(|answer| answer.status == 200 && answer.body.contains(text))
    };
    if has("/metrics", OF_METRICS) {
        report.find(checks::METRICS_PUBLIC, format_args!("{url}/metrics answers"));
    }
    if has("/health/db", OF_HEALTH) {
        report.find(checks::HEALTH_PUBLIC, format_args!("{url}/health/db answers"));
    }
    if has("/openapi.json", "\"openapi\"") {
        report.find(checks::DOCS_PUBLIC, format_args!("{url}/openapi.json answers"));
    }
}

/// The port to which browsers go without a scheme.
fn plain_http(asker: &Asker, url: &str, report: &mut Report) {
    let probe = Probe::new(url);
    // Nothing listens there: as good as a redirect.
    let Ok(answer) = probe.send(asker) else { return };
    let leads_to_https = answer.field("Location").is_some_and(|location| location.starts_with("https://"));
    let redirects = (300..400).contains(&answer.status) && leads_to_https;
    if !redirects && (answer.status < 400 || probe::is_expected(&answer)) {
        report.find(checks::PLAIN_HTTP, format_args!("{url} answers with {} and leads to no https", answer.status));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// What is found of a server that answers in this way to http.
    fn found_behind(answer: &'static str) -> Vec<&'static str> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let _ = stream.read(&mut [0; 4096]);
                let _ = stream.write_all(answer.as_bytes());
            }
        });
        let mut report = Report::default();
        plain_http(&Asker::new(None), &url, &mut report);
        report.findings.iter().map(|finding| finding.code).collect()
    }

    #[test]
    fn plain_http_is_a_fault_unless_it_leads_to_https() {
        let moved =
            "HTTP/1.1 301 Moved\r\nLocation: https://chat.example/\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        assert!(found_behind(moved).is_empty());
        assert!(found_behind("HTTP/1.1 403 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").is_empty());
        let elsewhere =
            "HTTP/1.1 302 Moved\r\nLocation: http://chat.example/\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        let itself =
            "HTTP/1.1 404 No\r\nContent-Length: 28\r\nConnection: close\r\n\r\n{\"code\":\"session_not_found\"}";
        for answer in ["HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", elsewhere, itself] {
            assert_eq!(found_behind(answer), ["proxy.plain_http"], "{answer}");
        }
    }
}
