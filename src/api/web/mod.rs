//! `/` in a browser and `/page/…`: the page, the files that it loads, and its forms, which work without JavaScript.
//!
//! - `forms`: what each form does, with the functions of the API.
//! - `conversation`: the newest messages of a session, or those before one, as the page shows them.
//! - `page`: the page in one of its states as a response.
//! - `help_line`: a help line as a link.

mod conversation;
mod forms;
mod help_line;
mod page;

pub use conversation::MAX_PAGE_READS_OF_PEER;
pub(super) use forms::{
    __path_begin, __path_end, __path_leave, __path_read, __path_say, END_PATH, LEAVE_PATH, MAX_MESSAGE_FORM_BYTES,
    begin, end, leave, read, say,
};

use rouille::input::parse_priority_header;

use super::catalogue::Code;
use super::health;
use super::problem::{ErrorBody, Problem};
use super::respond::{self, with_vary};
use super::responder::{Answer, Context};
use crate::http::{RefusedFields, Request, Response};
use crate::language::Language;
use crate::web::{Asset, Talk, View};
use page::Page;

/// The media type of the page.
pub(super) const HTML: &str = "text/html";

/// Where the paths of the API begin, whose errors are for programs.
const OF_API: [&str; 4] = ["/api/", "/docs", "/health/", "/openapi.json"];

const BEGIN_PATH: &str = "/page/begin";

/// The forms but that to leave: a browser that loads one of these addresses again, without what was sent, begins at the beginning.
const FORMS: [&str; 4] = ["begin", "say", "read", "end"];

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
    if context.site.is_none() {
        return Ok(health::service().into());
    }
    let page = accepts_html(request.header("Accept")).then(|| Page::of(context, request)).flatten();
    let response = page.map(|page| page.response(View::Start, None, Talk::default()));
    Ok(response.unwrap_or_else(|| with_vary(health::service(), "Accept")).into())
}

/// A file of the page
#[utoipa::path(get, path = "/page/{asset}", operation_id = "page_asset", tag = "Page",
    params(("asset" = String, Path, description = "Name of the file", example = "style.css")),
    responses(
    (status = 200, description = "The file",
     content((String = "text/css"), (String = "text/javascript"), (String = "image/svg+xml"), (String = "image/png"))),
    (status = 303, description = "It is the address of a form, other than that to leave, which leads away; leads to `/`, in the language of the page"),
    (status = 304, description = "It is the one of `If-None-Match`"),
    (status = 404, description = "There is no such file"),
))]
pub(super) fn asset<'a>(context: &'a Context, request: &Request, name: &str) -> Result<Answer<'a>, Problem> {
    let site = context.site.as_ref().ok_or_else(|| Problem::new(Code::PathNotFound))?;
    if name == "leave" {
        return Ok(respond::page_leading_to(200, &site.exit_url).into());
    }
    if FORMS.contains(&name)
        && let Some(page) = Page::of(context, request)
    {
        return Ok(respond::without_body(303).with_additional_header("Location", page.address()).into());
    }
    Ok(file(request, site.assets.get(name).ok_or_else(|| Problem::new(Code::PathNotFound))?).into())
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
    // A site that is cross-origin isolated (COEP) loads nothing from other origins without it.
    let response = file(request, &site.assets.widget);
    Ok(response.with_additional_header("Cross-Origin-Resource-Policy", "cross-origin").into())
}

/// What a browser gets where a form fails, or is refused: the first view, or where a person leaves, a page that leads away.
pub(super) fn error_body(context: &Context, request: &Request, path: &str) -> ErrorBody {
    match Page::of(context, request) {
        Some(page) if path == LEAVE_PATH => ErrorBody::Leading(page.site.exit_url.clone()),
        Some(page) => page.error_body(View::Start, if path == BEGIN_PATH { "begin_failed" } else { "failed" }),
        None => ErrorBody::Document,
    }
}

/// What a client gets whose request the server refuses: a browser that asked for a page, a small one.
pub(super) fn refusal_body(context: &Context, fields: &RefusedFields, preferred: Option<Language>) -> ErrorBody {
    let page = Page::in_language(context, preferred).filter(|_| accepts_html(fields.accept.as_deref()));
    page.map_or(ErrorBody::Document, |page| page.error_body(View::Ended, "failed"))
}

/// What a client gets whose request fails elsewhere: a browser that asked for a page, a small one, unless it asked a part of the API.
pub(super) fn browser_body(context: &Context, request: &Request) -> ErrorBody {
    if !accepts_html(request.header("Accept")) || OF_API.iter().any(|part| request.raw_url().starts_with(part)) {
        return ErrorBody::Document;
    }
    Page::of(context, request).map_or(ErrorBody::Document, |page| page.error_body(View::Ended, "failed"))
}

/// Whether `Accept` names HTML, whatever the client prefers.
pub(super) fn accepts_html(accept: Option<&str>) -> bool {
    let is_html = |(media_type, weight): (&str, f32)| media_type.eq_ignore_ascii_case(HTML) && weight > 0.0;
    accept.is_some_and(|accept| parse_priority_header(accept).any(is_html))
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
