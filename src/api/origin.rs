//! Refuses what a page of a foreign origin sends. A browser hides the response from such a page, but has sent the request.

use super::catalogue::Code;
use super::cors;
use super::problem::Problem;
use crate::config::AllowedOrigins;
use crate::http::Request;

/// No origin but the service's own.
pub(super) const NONE: AllowedOrigins = AllowedOrigins::Listed(Vec::new());

/// Checks a request before it has any effect.
///
/// # Errors
/// 403 if the request may change something, and a browser says that a page sent it whose origin is neither allowed nor the
/// service's own.
pub(super) fn check(request: &Request, allowed: &AllowedOrigins) -> Result<(), Problem> {
    let is_allowed = match (site(request), cors::origin(request)) {
        _ if ["GET", "HEAD", "OPTIONS"].contains(&request.method()) => true,
        (_, Some(origin)) if allowed.contains(origin) => true,
        // A form of an own page with `Referrer-Policy: no-referrer` has it, and a sandboxed page of any site.
        (site, Some("null")) => site == Some("same-origin"),
        // The browser compared the origins itself, whatever a proxy made of `Host`. `none` is the person, not a page.
        (Some(site), _) => ["same-origin", "none"].contains(&site),
        (None, Some(origin)) => is_origin_of(origin, request.header("Host").unwrap_or_default()),
        (None, None) => true,
    };
    if is_allowed { Ok(()) } else { Err(Problem::new(Code::ForeignOrigin)) }
}

/// `Sec-Fetch-Site`; no browser sends it several times, so that is as from another site.
fn site(request: &Request) -> Option<&str> {
    let mut sites = request.headers().filter(|(name, _)| name.eq_ignore_ascii_case("Sec-Fetch-Site"));
    let (first, second) = (sites.next(), sites.next());
    first.map(|(_, site)| if second.is_none() { site } else { "cross-site" })
}

/// Whether an origin has this host and port. The scheme is not compared: a proxy may have ended TLS.
fn is_origin_of(origin: &str, host: &str) -> bool {
    let authority = |prefix, port| {
        let rest = origin.strip_prefix(prefix)?;
        Some(!rest.is_empty() && rest.eq_ignore_ascii_case(host.strip_suffix(port).unwrap_or(host)))
    };
    authority("https://", ":443").or_else(|| authority("http://", ":80")).unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_compared_with_the_host_and_port() {
        for (origin, host, is_own) in [
            ("https://safe.example", "safe.example", true),
            ("https://safe.example", "Safe.Example:443", true),
            ("http://safe.example", "safe.example:80", true),
            ("http://127.0.0.1:8000", "127.0.0.1:8000", true),
            ("http://[::1]:8000", "[::1]:8000", true),
            ("https://safe.example", "safe.example:8443", false),
            ("https://safe.example:8443", "safe.example", false),
            ("https://safe.example.evil.example", "safe.example", false),
            ("https://evil.example", "safe.example", false),
            ("null", "null", false),
            ("", "", false),
            ("https://", "safe.example", false),
            ("http://", "", false),
            ("http://", ":80", false),
        ] {
            assert_eq!(is_origin_of(origin, host), is_own, "{origin} at {host}");
        }
    }
}
