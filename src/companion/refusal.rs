//! A refusal of a model's server: its status, how long the server wants no further request, and what it refuses.

use std::io::Read;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;
use ureq::Body;
use ureq::http::Response;

use super::gzip;
use super::interface::Unavailable;
use super::lenient_json::{array, object, string};

/// Bytes of a refusal that are read.
const MAX_BODY_BYTES: u64 = 64 * 1024;

/// The longest time that a server can ask for: a daily quota must not silence a model that an operator pays for meanwhile.
const MAX_DELAY: Duration = Duration::from_secs(3600);

/// The fields with the delay: the standard one, and that in which LiteLLM passes on what its own provider asks for.
const DELAY_FIELDS: [&str; 2] = ["retry-after", "llm_provider-retry-after"];

/// Words with which servers refuse a field, in lower case.
const REFUSING: [&str; 10] = [
    "support",
    "unknown",
    "unrecogni",
    "unexpected",
    "extra",
    "not permitted",
    "not allowed",
    "forbid",
    "invalid",
    "cannot find",
];

/// A response with a status other than 200. It cannot be printed: servers quote the request in what they say.
pub(super) struct Refusal {
    pub(super) status: u16,
    delay: Option<Duration>,
    pub(super) body: String,
}

impl Refusal {
    /// Reads a refusal. What cannot be read of its body is left out.
    pub(super) fn read(response: Response<Body>) -> Refusal {
        let status = response.status().as_u16();
        let fields = DELAY_FIELDS.iter().filter_map(|name| response.headers().get(*name)?.to_str().ok());
        let asked = fields.into_iter().find_map(|value| delay(value, Utc::now()));
        let mut body = Vec::new();
        let _ = gzip::decoded(response.into_body().into_reader())
            .and_then(|text| text.take(MAX_BODY_BYTES).read_to_end(&mut body));
        let body = String::from_utf8_lossy(&body).into_owned();
        let asked = asked.or_else(|| google_delay(&body));
        // Zero asks for nothing.
        let delay = asked.filter(|delay| matches!(status, 429 | 503) && !delay.is_zero());
        Refusal { status, delay: delay.map(|delay| delay.min(MAX_DELAY)), body }
    }

    pub(super) fn reason(&self) -> Unavailable {
        // Azure and OpenRouter refuse a conversation that their filters flag.
        let is_filtered = match self.status {
            400 => self.names("content_filter"),
            403 => self.names("flagged_input"),
            _ => false,
        };
        match self.delay {
            _ if is_filtered => Unavailable::Filtered,
            Some(delay) => Unavailable::RetryAfter { status: self.status, delay },
            None => Unavailable::Refused(self.status),
        }
    }

    /// Whether it is about the content of the request. Gateways pass such a refusal of another server on as 500.
    pub(super) fn is_of_request(&self) -> bool {
        matches!(self.status, 400 | 416 | 422 | 500)
    }

    /// Whether it has this text.
    pub(super) fn says(&self, text: &str) -> bool {
        self.body.contains(text)
    }

    /// Whether it has this word between quotation marks, in JSON or in a text in JSON.
    pub(super) fn names(&self, word: &str) -> bool {
        self.places(word).any(is_quoted)
    }

    /// Whether it mentions this field otherwise than in the request, which many servers quote.
    pub(super) fn mentions(&self, field: &str) -> bool {
        self.places(field).any(is_mention)
    }

    /// Whether it names this field, otherwise than in the request, and says that something is not accepted.
    pub(super) fn refuses(&self, field: &str) -> bool {
        let body = self.body.to_ascii_lowercase();
        let is_named = self.places(field).any(|place| is_quoted(place) && is_mention(place));
        is_named && REFUSING.iter().any(|words| body.contains(words))
    }

    /// What stands before and behind a word, wherever it occurs.
    fn places<'a>(&'a self, word: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.body.match_indices(word).map(|(at, _)| (&self.body[..at], &self.body[at + word.len()..]))
    }
}

fn is_quoted((before, after): (&str, &str)) -> bool {
    before.ends_with(is_quote) && after.starts_with(is_quote)
}

/// Whether a name is no member of an object: that is followed by a colon. So is the name in the words of Google's servers,
/// `Unknown name "store": Cannot find field.`
fn is_mention((before, after): (&str, &str)) -> bool {
    let is_member = after.starts_with(is_quote) && after.trim_start_matches(is_quote).trim_start().starts_with(':');
    !is_member || before.trim_end_matches(is_quote).ends_with("name ")
}

fn is_quote(char: char) -> bool {
    matches!(char, '"' | '\'' | '`' | '\\')
}

/// The delay of a `Retry-After`: seconds, of which some servers send decimals, or a date (RFC 9110, section 10.2.3). `None` for
/// anything else.
fn delay(value: &str, now: DateTime<Utc>) -> Option<Duration> {
    let value = value.trim();
    if value.starts_with(|first: char| first.is_ascii_digit()) {
        return seconds(value);
    }
    let date = DateTime::parse_from_rfc2822(value).ok()?;
    Some((date.with_timezone(&Utc) - now).to_std().unwrap_or_default())
}

/// A decimal number of seconds, rounded up.
fn seconds(value: &str) -> Option<Duration> {
    let seconds = value.parse::<f64>().ok().filter(|seconds| seconds.is_finite())?;
    Some(Duration::from_secs(seconds.ceil() as u64))
}

/// The delay in a body of Google's API, which sends no `Retry-After`: `"retryDelay": "45.8s"` in one of the error's details.
fn google_delay(body: &str) -> Option<Duration> {
    let body: &RawValue = serde_json::from_str(body).ok()?;
    let first = array(body).and_then(|list| list.first().copied()).unwrap_or(body);
    let error = object(object(first)?.get("error")?)?;
    let details = array(error.get("details")?)?;
    let delay = details.into_iter().filter_map(object).find_map(|detail| detail.get("retryDelay").copied())?;
    seconds(str::from_utf8(&string(delay)?).ok()?.strip_suffix('s')?)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date_and_anything_else_is_none() {
        let now = DateTime::parse_from_rfc3339("2026-11-25T23:29:00.5Z").unwrap().with_timezone(&Utc);
        for (value, expected) in [
            ("60", Some(60)),
            (" 60 ", Some(60)),
            ("0", Some(0)),
            ("1.5", Some(2)),
            ("99999999999999999999", Some(u64::MAX)),
            ("Wed, 25 Nov 2026 23:30:00 GMT", Some(59)),
            ("Wed, 25 Nov 2026 23:00:00 GMT", Some(0)),
            ("", None),
            ("-1", None),
            ("soon", None),
            ("1h", None),
            ("inf", None),
            ("NaN", None),
        ] {
            assert_eq!(
                delay(value, now).map(|delay| delay.as_secs()),
                expected.map(|seconds: u64| seconds),
                "{value:?}"
            );
        }
    }

    #[test]
    fn the_delay_of_google_is_in_the_body() {
        let error = r#"{"error":{"code":429,"details":[{"@type":"x"},{"@type":"y","retryDelay":"45.837906927s"}]}}"#;
        for body in [error.to_owned(), format!("[{error}\n]\n")] {
            assert_eq!(google_delay(&body), Some(Duration::from_secs(46)), "{body}");
        }
        for body in ["", "[]", "{}", r#"{"error":"x"}"#, r#"{"error":{"details":[{"retryDelay":"soon"}]}}"#] {
            assert_eq!(google_delay(body), None, "{body}");
        }
    }
}
