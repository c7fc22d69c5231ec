//! `GET /docs`: Swagger UI, every byte of it from this binary.

use std::sync::Arc;

use utoipa_swagger_ui::Config;

use super::problem::Problem;
use super::respond;
use super::responder::{Answer, Context};
use crate::http::Request;

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
        _ => Err(Problem::no_such_path()),
    }
}
