//! Builds responses and their values, and adds the fields that every response has.

use std::borrow::Cow;
use std::io::Cursor;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;

use crate::http::{Response, ResponseBody};

/// Sent with every response: nothing is cached, sniffed, or passed on to the next page.
const COMMON_FIELDS: [(&str, &str); 3] =
    [("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff"), ("Referrer-Policy", "no-referrer")];

/// Fields of most responses, for which there is room at once: of their own, the common ones, those of CORS, and the id.
const USUAL_FIELDS: usize = 10;

/// Adds the fields that every response has, but for those that it has already.
pub(super) fn with_common_fields(response: Response) -> Response {
    COMMON_FIELDS.into_iter().fold(response, |response, (name, value)| {
        let has_it = response.headers.iter().any(|(own, _)| own == name);
        if has_it { response } else { response.with_additional_header(name, value) }
    })
}

/// Names another field of the request on which the response depends (RFC 9110, section 12.5.5).
pub(super) fn with_vary(mut response: Response, name: &'static str) -> Response {
    match response.headers.iter_mut().find(|(field, _)| field == "Vary") {
        Some((_, names)) => *names = [names, ", ", name].concat().into(),
        None => response.headers.push(("Vary".into(), name.into())),
    }
    response
}

/// A JSON document with a status.
pub(super) fn json<T: Serialize>(status: u16, value: &T) -> Response {
    with_body(status, "application/json", to_json(value))
}

/// 204.
pub(super) fn no_content() -> Response {
    without_body(204)
}

/// A status alone.
pub(super) fn without_body(status: u16) -> Response {
    Response {
        status_code: status,
        headers: Vec::with_capacity(USUAL_FIELDS),
        data: ResponseBody::empty(),
        upgrade: None,
    }
}

/// Any body with its media type. A static one is not copied, however many clients read it slowly.
pub(super) fn with_body(
    status: u16,
    media_type: impl Into<Cow<'static, str>>,
    body: impl Into<Cow<'static, [u8]>>,
) -> Response {
    let body = body.into();
    let length = body.len();
    let mut headers = Vec::with_capacity(USUAL_FIELDS);
    headers.push(("Content-Type".into(), media_type.into()));
    Response {
        status_code: status,
        headers,
        data: ResponseBody::from_reader_and_size(Cursor::new(body), length),
        upgrade: None,
    }
}

/// Whether `If-None-Match` names this entity tag (RFC 9110, section 13.1.2).
pub(super) fn names_etag(tags: &str, etag: &str) -> bool {
    tags.split(',').map(str::trim).any(|tag| tag == "*" || tag.trim_start_matches("W/") == etag)
}

/// A page that leads to another one at once, and says nothing else: somebody may look at the screen.
pub(super) fn page_leading_to(status: u16, url: &str) -> Response {
    // The configuration allows no quotes and angle brackets in it.
    let link = url.replace('&', "&amp;");
    // Without an icon, browsers ask for one.
    let page = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>…</title><link rel=\"icon\" href=\"data:,\"><p><a href=\"{link}\">{link}</a>"
    );
    with_body(status, "text/html; charset=utf-8", page.into_bytes())
        .with_additional_header("Refresh", format!("0; url={url}"))
}

/// The bytes of a JSON document.
pub(super) fn to_json<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).expect("our own types have string keys and nothing that can fail")
}

/// A time in JSON: UTC with microseconds, `2026-02-21T10:30:45.123456Z` (RFC 3339), always with six decimals.
pub(super) fn timestamp(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Micros, true)
}
