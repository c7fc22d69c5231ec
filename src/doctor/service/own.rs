//! Asks the service at its own address.

use std::net::IpAddr;

use super::checks;
use super::http::{Answer, Asker};
use crate::config::Address;
use crate::doctor::finding::Report;

/// What `GET /` says.
const GREETING: &str = "SafeSpace backend is running";

/// An origin that nobody allows: the name cannot exist (RFC 6761).
pub(super) const FOREIGN_ORIGIN: &str = "https://other.invalid";

/// The URL of the service from this machine; `None` where its port is chosen at its start.
pub(super) fn base_url(address: &Address) -> Option<String> {
    let host = match address.host.parse() {
        Ok(IpAddr::V4(ip)) if ip.is_unspecified() => "127.0.0.1".to_owned(),
        Ok(IpAddr::V6(ip)) if ip.is_unspecified() => "[::1]".to_owned(),
        Ok(IpAddr::V6(ip)) => format!("[{ip}]"),
        _ => address.host.clone(),
    };
    (address.port != 0).then(|| format!("http://{host}:{}", address.port))
}

/// Asks, and returns whether SafeSpace answers.
pub(super) fn examine(asker: &Asker, base: &str, report: &mut Report) -> bool {
    let greeting = match asker.get(&format!("{base}/"), &[("Origin", FOREIGN_ORIGIN)]) {
        Ok(greeting) => greeting,
        Err(error) => {
            report.find(checks::DOWN, format_args!("the service does not answer at {base}: {error}"));
            return false;
        }
    };
    if greeting.text("message").as_deref() != Some(GREETING) {
        report.find(checks::OTHER, format_args!("what answers at {base} is not SafeSpace"));
        return false;
    }
    let (running, own) = (greeting.text("version").unwrap_or_default(), env!("CARGO_PKG_VERSION"));
    if running != own {
        let running: String = running.chars().filter(char::is_ascii_graphic).take(20).collect();
        report.find(checks::OTHER_VERSION, format_args!("SafeSpace {running} runs, and this is {own}"));
    }
    foreign_origin(&greeting, "the service", report);
    match asker.get(&format!("{base}/health/ready"), &[]) {
        Ok(ready) if ready.status == 200 => {}
        Ok(ready) => {
            let code = ready.text("code").unwrap_or_default();
            let code: String = code.chars().filter(|it| it.is_ascii_lowercase() || *it == '_').collect();
            report.find(checks::NOT_READY, format_args!("/health/ready is {}, with the code {code}", ready.status));
        }
        Err(error) => report.find(checks::NOT_READY, format_args!("/health/ready was not answered: {error}")),
    }
    true
}

/// Finds an answer to [`FOREIGN_ORIGIN`] that a page of it could read.
pub(super) fn foreign_origin(answer: &Answer, whose: &str, report: &mut Report) {
    let allowed = answer.field("Access-Control-Allow-Origin");
    if let Some(allowed) = allowed.filter(|allowed| [FOREIGN_ORIGIN, "*"].contains(&allowed.as_str())) {
        report.find(checks::CORS, format_args!("{whose} allows the origin {allowed}"));
    }
}
