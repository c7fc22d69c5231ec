//! `GET /docs`: Swagger UI and the page of errors, every byte of them from this binary.

use std::fmt::Write;
use std::sync::{Arc, LazyLock};

use utoipa_swagger_ui::Config;

use super::catalogue::{CATALOGUE, Code};
use super::problem::Problem;
use super::respond;
use super::responder::{Answer, Context};
use crate::http::Request;
use crate::language::Language::{English, Indonesian};

/// Swagger UI keeps styles in the page, so those are allowed inline; everything else comes from this service, and
/// nothing goes anywhere else.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
     img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Shows this description as a page
#[utoipa::path(get, path = "/docs", tag = "Service", responses(
    (status = 200, description = "Swagger UI", content_type = "text/html", body = String),
))]
pub(super) fn page(_: &Context, _: &Request, _: &str) -> Result<Answer<'static>, Problem> {
    let page = respond::with_body(200, "text/html; charset=utf-8", include_bytes!("docs.html").as_slice());
    Ok(page.with_additional_header("Content-Security-Policy", CONTENT_SECURITY_POLICY).into())
}

/// Explains every code of an error
///
/// The `type` of a problem document leads here.
#[utoipa::path(get, path = "/docs/errors", tag = "Service", responses(
    (status = 200, description = "The page", content_type = "text/html", body = String),
))]
pub(super) fn errors(_: &Context, _: &Request, _: &str) -> Result<Answer<'static>, Problem> {
    let page = respond::with_body(200, "text/html; charset=utf-8", ERRORS.as_bytes());
    Ok(page.with_additional_header("Content-Security-Policy", ERRORS_SECURITY_POLICY).into())
}

/// The page needs nothing but itself.
const ERRORS_SECURITY_POLICY: &str = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

static ERRORS: LazyLock<String> = LazyLock::new(|| {
    let mut page = String::from(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>SafeSpace errors</title>\n<h1>Errors</h1>\n\
         <p>The <code>code</code> of a problem document says what went wrong. Texts are in English and Indonesian. \
         Words in braces stand for values.</p>\n",
    );
    // Writing to a String never fails.
    for (code, entry) in &CATALOGUE.problems {
        let (name, status) = (code.name(), entry.status);
        let _ = writeln!(
            page,
            "<h2 id=\"{name}\">{name}</h2>\n<p>Status {status}. What a client does: {}.</p>",
            with_code(&entry.client)
        );
        for (language, tag) in [(English, "en"), (Indonesian, "id")] {
            let (title, detail) = (escaped(entry.title.get(language)), escaped(entry.detail.get(language)));
            let _ = writeln!(page, "<p lang=\"{tag}\"><b>{title}</b>: {detail}</p>");
        }
    }
    page.push_str("<h2 id=\"fields\">The errors of a 422</h2>\n");
    for (code, entry) in &CATALOGUE.fields {
        let [english, indonesian] = [English, Indonesian].map(|language| escaped(entry.message.get(language)));
        let field = &entry.field;
        let name = code.name();
        let _ = writeln!(
            page,
            "<p id=\"{name}\"><code>{name}</code>: {field} {english}. <i lang=\"id\">{field} {indonesian}.</i></p>"
        );
    }
    page
});

/// A text as HTML.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// A text as HTML, in which what is between backticks is code.
fn with_code(text: &str) -> String {
    let mut html = String::new();
    for (number, part) in escaped(text).split('`').enumerate() {
        if number % 2 == 0 {
            html.push_str(part);
        } else {
            let _ = write!(html, "<code>{part}</code>");
        }
    }
    html
}

/// Serves a file of the page
#[utoipa::path(get, path = "/docs/{asset}", tag = "Service",
    params(("asset" = String, Path, description = "Name of the file", example = "swagger-ui.css")),
    responses(
    (status = 200, description = "The file",
     content((String = "text/css"), (String = "text/javascript"), (Vec<u8> = "image/png"))),
    (status = 404, description = "There is no such file"),
))]
pub(super) fn asset(_: &Context, _: &Request, asset: &str) -> Result<Answer<'static>, Problem> {
    if asset == "initializer.js" {
        let script = include_bytes!("docs.js").as_slice();
        return Ok(respond::with_body(200, "text/javascript; charset=utf-8", script).into());
    }
    // Swagger UI has a page of its own, which would come without the policy.
    let is_used = ["swagger-ui.css", "swagger-ui-bundle.js", "favicon-32x32.png"].contains(&asset);
    match utoipa_swagger_ui::serve(asset, Arc::new(Config::default())) {
        Ok(Some(file)) if is_used => Ok(respond::with_body(200, file.content_type, file.bytes).into()),
        _ => Err(Problem::new(Code::PathNotFound)),
    }
}
