//! `/` in a browser and `/page/…`: the page, the files that it loads, and its forms, which work without JavaScript.

use std::fmt::Write;

use rouille::input::parse_priority_header;

use super::catalogue::Code;
use super::health;
use super::language;
use super::problem::Problem;
use super::respond::{self, with_vary};
use super::responder::{Answer, Context};
use crate::http::{Request, Response};
use crate::language::Language;
use crate::resources::{Kind, Selection};
use crate::web::{Asset, HelpLine, PageView, Site, Talk, View};

/// A browser asks each time whether a file has changed.
const CACHE_CONTROL: &str = "no-cache";

/// The page, or says that the service runs
///
/// A client whose `Accept` names `text/html` gets the page, unless `WEB_PAGE` is off. Everybody else gets JSON.
#[utoipa::path(get, path = "/", operation_id = "root", tag = "Service",
    params(("language" = Option<String>, Query, description = "The language of the page: `id` or `en`; by default that of the browser", example = "en")),
    responses(
    (status = 200, description = "It runs", content(
        (health::Service = "application/json"), (String = "text/html"),
    )),
))]
pub(super) fn root<'a>(context: &'a Context, request: &Request, _: &str) -> Result<Answer<'a>, Problem> {
    let Some(site) = &context.site else { return Ok(health::service().into()) };
    if !accepts_html(request) {
        return Ok(with_vary(health::service(), "Accept").into());
    }
    let language = language_of(site, request);
    Ok(page(context, site, language, View::Start, None, Talk::default()).into())
}

/// A file of the page
#[utoipa::path(get, path = "/page/{asset}", operation_id = "page_asset", tag = "Page",
    params(("asset" = String, Path, description = "Name of the file", example = "style.css")),
    responses(
    (status = 200, description = "The file",
     content((String = "text/css"), (String = "text/javascript"), (String = "image/svg+xml"))),
    (status = 304, description = "It is the one of `If-None-Match`"),
    (status = 404, description = "There is no such file"),
))]
pub(super) fn asset<'a>(context: &'a Context, request: &Request, name: &str) -> Result<Answer<'a>, Problem> {
    let asset = context.site.as_ref().and_then(|site| site.assets.get(name));
    Ok(file(request, asset.ok_or_else(|| Problem::new(Code::PathNotFound))?).into())
}

/// The script for other sites
///
/// It adds a button that opens the page in a frame. `WEB_EMBED_ORIGINS` names the sites that may show it.
#[utoipa::path(get, path = "/widget.js", tag = "Page", responses(
    (status = 200, description = "The script", content_type = "text/javascript", body = String),
    (status = 304, description = "It is the one of `If-None-Match`"),
))]
pub(super) fn widget<'a>(context: &'a Context, request: &Request, _: &str) -> Result<Answer<'a>, Problem> {
    let site = context.site.as_ref().ok_or_else(|| Problem::new(Code::PathNotFound))?;
    Ok(file(request, &site.assets.widget).into())
}

/// Whether the client names HTML in `Accept`, whatever it prefers.
fn accepts_html(request: &Request) -> bool {
    parse_priority_header(request.header("Accept").unwrap_or_default())
        .any(|(media_type, weight)| media_type.eq_ignore_ascii_case("text/html") && weight > 0.0)
}

fn language_of(site: &Site, request: &Request) -> Language {
    let wanted = request.get_param("language");
    let named = site.languages.iter().find(|own| wanted.as_deref() == Some(own.tag()));
    let preferred = || site.languages.iter().find(|own| **own == language::of(request));
    *named.or_else(preferred).unwrap_or(&site.languages[0])
}

fn file(request: &Request, asset: &Asset) -> Response {
    let is_known = request.header("If-None-Match").is_some_and(|tags| respond::names_etag(tags, &asset.etag));
    let response = if is_known {
        respond::without_body(304)
    } else {
        respond::with_body(200, asset.media_type, asset.body.clone())
            .with_additional_header("Content-Security-Policy", "default-src 'none'")
    };
    response.with_additional_header("Cache-Control", CACHE_CONTROL).with_additional_header("ETag", asset.etag.clone())
}

/// The page in one of its states.
fn page(
    context: &Context,
    site: &Site,
    language: Language,
    view: View,
    notice: Option<String>,
    talk: Talk<'_>,
) -> Response {
    let help = help_lines(context, language);
    let view = PageView { site, language, texts: site.texts(language), view, help, notice, talk };
    let html = askama::Template::render(&view).expect("writing to a String never fails");
    let response = respond::with_body(200, "text/html; charset=utf-8", html.into_bytes())
        .with_additional_header("Content-Language", language.tag())
        .with_additional_header("Content-Security-Policy", content_security_policy(site))
        // With `no-referrer`, a browser would not say that a form is the page's own.
        .with_additional_header("Referrer-Policy", "same-origin");
    with_vary(with_vary(response, "Accept"), "Accept-Language")
}

fn content_security_policy(site: &Site) -> String {
    let mut policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors"
        .to_owned();
    if site.embed_origins.is_empty() {
        policy.push_str(" 'none'");
    }
    for origin in &site.embed_origins {
        // Writing to a String never fails.
        let _ = write!(policy, " {origin}");
    }
    policy
}

/// The help lines of the service's country.
fn help_lines(context: &Context, language: Language) -> Vec<HelpLine<'_>> {
    let registry = &context.resources.registry;
    let wanted = Selection { country: Some(&registry.country), topic: None, language: Some(language.tag()) };
    let lines = registry.select(wanted).into_iter().map(|line| {
        let digits: String = line.value.chars().filter(|char| char.is_ascii_digit() || *char == '+').collect();
        let (label, href) = match line.kind {
            Kind::Phone => (line.value.clone(), format!("tel:{digits}")),
            Kind::Whatsapp => {
                (format!("WhatsApp {}", line.value), format!("https://wa.me/{}", digits.trim_start_matches('+')))
            }
            Kind::Email => (line.value.clone(), format!("mailto:{}", line.value)),
            Kind::Chat | Kind::Web => (line.value.clone(), line.value.clone()),
        };
        let verified = context.resources.is_verified(line);
        HelpLine { name: &line.name, label, href, hours: &line.hours, verified }
    });
    lines.collect()
}
