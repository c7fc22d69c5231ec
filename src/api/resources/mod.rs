//! `GET /api/v1/resources`: the help lines, for pages that show them without a session.

pub(super) mod listing;

use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::problem::Problem;
use super::respond;
use super::responder::{Answer, Context};
use crate::http::{Request, Response};
use crate::resources::Selection;
use listing::ResourceDocument;

/// A page may show what it has for an hour, and then asks whether it has changed.
const CACHE_CONTROL: &str = "public, max-age=3600";

/// Help lines.
#[derive(Serialize, ToSchema)]
pub(super) struct HelpLines<'a> {
    /// The country of the help lines; missing if there are none of that country.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "ID")]
    country: Option<&'a str>,
    /// The help lines, the most important one first. Empty only for a country of which there are none: show a text such as
    /// "call your local emergency number".
    #[schema(value_type = Vec<ResourceDocument<'static>>)]
    resources: Vec<&'a RawValue>,
    /// The parameters that were ignored because no help line fits: then all help lines of the country are here.
    #[schema(example = json!([]))]
    ignored: Vec<&'static str>,
    /// Every country of which there are help lines.
    #[schema(example = json!(["ID"]))]
    countries: Vec<&'a str>,
    /// Every topic that a help line can have.
    #[schema(example = json!(["emergency", "violence"]))]
    topics: &'a [String],
}

/// Lists the help lines
///
/// For everybody, without a session. It never fails for its parameters: a person in danger must get something. A country of which
/// nothing is known gets no numbers of another one. The answer may be cached for an hour.
#[utoipa::path(get, path = "/api/v1/resources", operation_id = "resources", tag = "Service",
    params(
        ("country" = Option<String>, Query, description = "A country (ISO 3166-1 alpha-2), such as `ID`; if missing, that of the service"),
        ("topic" = Option<String>, Query, description = "Only help lines with this topic; an unknown one, or one that no help line of the country has, is ignored, which the answer says"),
        ("language" = Option<String>, Query, description = "Help lines that speak this language (BCP 47) come first"),
    ),
    responses(
        (status = 200, description = "The help lines", body = HelpLines<'static>, headers(
            ("Cache-Control" = String, description = "`public, max-age=3600`"),
            ("ETag" = String, description = "Changes when a help line does, or its verification becomes old"),
        )),
        (status = 304, description = "They are those of `If-None-Match`"),
    ),
)]
pub(super) fn list<'a>(context: &'a Context, request: &Request, _: &str) -> Result<Answer<'a>, Problem> {
    let listing = context.resources.listing();
    let with_cache_fields = |response: Response| {
        let etag = listing.etag.clone();
        response.with_additional_header("Cache-Control", CACHE_CONTROL).with_additional_header("ETag", etag)
    };
    if request.header("If-None-Match").is_some_and(|tags| respond::names_etag(tags, &listing.etag)) {
        return Ok(with_cache_fields(respond::without_body(304)).into());
    }
    let registry = &*context.resources.registry;
    let query = request.raw_url().split_once('?').map_or("", |(_, query)| query);
    let wanted = |name: &str| {
        let mut values =
            form_urlencoded::parse(query.as_bytes()).filter(|(own, value)| own == name && !value.is_empty());
        values.next().map(|(_, value)| value)
    };
    let (country, topic, language) = (wanted("country"), wanted("topic"), wanted("language"));
    let countries = registry.countries();
    let country = country.as_deref().unwrap_or(&registry.country);
    let country = countries.iter().find(|own| own.eq_ignore_ascii_case(country)).copied();
    let select = |topic| registry.select(Selection { country, topic, language: language.as_deref() });
    let (mut selected, mut ignored) = (Vec::new(), Vec::new());
    if country.is_some() {
        selected = select(topic.as_deref());
        if selected.is_empty() {
            selected = select(None);
            ignored.push("topic");
        }
    }
    let body =
        HelpLines { country, resources: listing.documents(&selected), ignored, countries, topics: &registry.topics };
    Ok(with_cache_fields(respond::json(200, &body)).into())
}
