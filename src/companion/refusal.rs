//! A refusal of a model's server: its status, how long the server wants no further request, and what it refuses.

use std::io::Read;
use std::time::Duration;

use chrono::{DateTime, NaiveDateTime, Utc};
use serde_json::value::RawValue;
use ureq::Body;
use ureq::http::{HeaderMap, Response};

use super::decoding;
use super::interface::Unavailable;
use super::lenient_json::{array, object, string};

/// Bytes of a refusal that are read.
const MAX_BODY_BYTES: u64 = 64 * 1024;

/// The longest time that a server can ask for: a daily quota must not silence a model that an operator pays for meanwhile.
const MAX_DELAY: Duration = Duration::from_secs(3600);

/// The fields with the delay: the standard one, and that in which LiteLLM passes on what its own provider asks for.
const DELAY_FIELDS: [&str; 2] = ["retry-after", "llm_provider-retry-after"];

/// The fields with the delay in milliseconds, of OpenAI and Azure.
const DELAY_FIELDS_MS: [&str; 2] = ["retry-after-ms", "x-ms-retry-after-ms"];

/// A larger number of seconds, and of milliseconds, is a time since 1970.
const MIN_EPOCH_S: f64 = 1e9;
const MIN_EPOCH_MS: f64 = 1e12;

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
        let asked = delay_in(response.headers());
        let mut body = Vec::new();
        let _ = decoding::decoded(response.into_body().into_reader())
            .and_then(|text| text.take(MAX_BODY_BYTES).read_to_end(&mut body));
        let body = String::from_utf8_lossy(&body).into_owned();
        Refusal { status, delay: asked.or_else(|| google_delay(&body)), body }
    }

    pub(super) fn reason(&self) -> Unavailable {
        // Azure and OpenRouter refuse a conversation that their filters flag.
        let is_filtered = match self.status {
            400 => self.names("content_filter"),
            403 => self.names("flagged_input"),
            _ => false,
        };
        if is_filtered { Unavailable::Filtered } else { reason(self.status, self.delay) }
    }

    /// Whether it is about the content of the request. Gateways pass such a refusal of another server on as 500.
    pub(super) fn is_of_request(&self) -> bool {
        matches!(self.status, 400 | 413 | 416 | 422 | 500)
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

/// What a refusal with this status means, whose head asks for this delay.
pub(super) fn reason(status: u16, delay: Option<Duration>) -> Unavailable {
    // Zero asks for nothing. With other statuses it is about one request.
    match delay.filter(|delay| !delay.is_zero() && is_transient(status)) {
        Some(delay) => Unavailable::RetryAfter { status, delay: delay.min(MAX_DELAY) },
        None => Unavailable::Refused(status),
    }
}

/// Whether the same request may succeed a moment later. 498 is Groq's for a lack of capacity, 520 to 524 are Cloudflare's, 529 is
/// Anthropic's for an overload.
pub(super) fn is_transient(status: u16) -> bool {
    matches!(status, 408 | 425 | 429 | 498 | 500 | 502..=504 | 520..=524 | 529)
}

/// The delay that the head of a response asks for.
pub(super) fn delay_in(head: &HeaderMap) -> Option<Duration> {
    let value = |name: &&str| head.get(*name)?.to_str().ok();
    let milliseconds = DELAY_FIELDS_MS.iter().filter_map(value).find_map(|value| value.trim().parse::<u32>().ok());
    let milliseconds = milliseconds.map(|delay| Duration::from_millis(delay.into()));
    DELAY_FIELDS.iter().filter_map(value).find_map(|value| delay(value, Utc::now())).or(milliseconds)
}

/// The delay of a `Retry-After`: seconds, of which some servers send decimals, or a date (RFC 9110, section 10.2.3), of which some
/// send the seconds since 1970. `None` for anything else.
fn delay(value: &str, now: DateTime<Utc>) -> Option<Duration> {
    let value = value.trim().trim_matches('"');
    if value.starts_with(|first: char| first.is_ascii_digit())
        && let Some(number) = number(value.split([',', ';']).next().unwrap_or_default().trim())
    {
        let since_1970 = now.timestamp_millis() as f64 / 1000.0;
        return Some(match number {
            number if number >= MIN_EPOCH_MS => rounded_up(number / 1000.0 - since_1970),
            number if number >= MIN_EPOCH_S => rounded_up(number - since_1970),
            number => rounded_up(number),
        });
    }
    Some((date(value)? - now).to_std().unwrap_or_default())
}

/// A date in each of the forms of HTTP (RFC 9110, section 5.6.7), whatever its weekday, or in that of ISO 8601.
fn date(value: &str) -> Option<DateTime<Utc>> {
    if let Ok(date) = DateTime::parse_from_rfc3339(value) {
        return Some(date.with_timezone(&Utc));
    }
    let (_, date) = value.split_once([',', ' '])?;
    let date = date.trim().trim_end_matches("GMT").trim_end_matches("UTC").trim();
    let forms = ["%d %b %Y %H:%M:%S", "%d-%b-%y %H:%M:%S", "%b %e %H:%M:%S %Y"];
    forms.iter().find_map(|form| NaiveDateTime::parse_from_str(date, form).ok()).map(|date| date.and_utc())
}

/// A decimal number, perhaps with `s` for seconds behind it.
fn number(value: &str) -> Option<f64> {
    let digits = value.strip_suffix('s').unwrap_or(value);
    digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.').then(|| digits.parse().ok())?
}

fn rounded_up(seconds: f64) -> Duration {
    Duration::from_secs(seconds.ceil().max(0.0) as u64)
}

/// The delay in a body of Google's API, which sends no `Retry-After`: `"retryDelay": "45.8s"` in one of the error's details.
fn google_delay(body: &str) -> Option<Duration> {
    let body: &RawValue = serde_json::from_str(body).ok()?;
    let first = array(body).and_then(|list| list.first().copied()).unwrap_or(body);
    let error = object(object(first)?.get("error")?)?;
    let details = array(error.get("details")?)?;
    let delay = details.into_iter().filter_map(object).find_map(|detail| detail.get("retryDelay").copied())?;
    number(str::from_utf8(&string(delay)?).ok()?).map(rounded_up)
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
            ("7s", Some(7)),
            ("\"7\"", Some(7)),
            ("7, 8", Some(7)),
            ("1e3", None),
            ("1795649400", Some(60)),
            ("1795649400000", Some(60)),
            ("1795649000", Some(0)),
            ("Wed, 25 Nov 2026 23:30:00 GMT", Some(59)),
            ("Mon, 25 Nov 2026 23:30:00 UTC", Some(59)),
            ("Wednesday, 25-Nov-26 23:30:00 GMT", Some(59)),
            ("Wed Nov 25 23:30:00 2026", Some(59)),
            ("2026-11-25T23:30:00Z", Some(59)),
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
