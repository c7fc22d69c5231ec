//! `GET /openapi.json`: the description of every route, made from the handlers and their types.

use std::sync::LazyLock;

use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::Operation;
use utoipa::openapi::{Content, Header, Object, OpenApi, Ref, RefOr, Required, Response, Type};

use super::problem::{FieldError, Problem};
use super::responder::{Answer, Context};
use super::{challenge, chat, docs, health, respond, sessions};
use crate::http::Request;

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "SafeSpace",
        description = "The backend of an anonymous chatbot. There are no accounts: the client that holds a session's id owns the session, \
                       so an id is a secret. Errors are RFC 9457 problem details. Every path also answers OPTIONS, and HEAD where it has GET.",
        license(name = "MIT", identifier = "MIT"),
    ),
    // Relative to this document, so that it also holds below a proxy's prefix.
    servers((url = "./")),
    tags(
        (name = "Sessions", description = "Anonymous sessions"),
        (name = "Chat", description = "What is said in a session"),
        (name = "Health", description = "For operators"),
        (name = "Service", description = "The service itself and its description"),
    ),
    paths(
        health::root, health::database, health::live, health::ready, document, docs::page, docs::asset,
        challenge::read, sessions::create, sessions::read, sessions::delete, chat::history, chat::send, chat::stop,
    ),
    components(schemas(Problem, FieldError)),
)]
struct Described;

/// The description of every route, with what all of them have in common.
#[must_use]
pub fn describe() -> OpenApi {
    let mut document = <Described as utoipa::OpenApi>::openapi();
    for (path, item) in &mut document.paths.paths {
        for operation in [&mut item.get, &mut item.post, &mut item.delete].into_iter().flatten() {
            add_common_parts(path, operation);
        }
    }
    // The macro can make a body optional only by allowing null in it.
    let create = document.paths.paths.get_mut("/api/v1/sessions").and_then(|item| item.post.as_mut());
    if let Some(RefOr::T(body)) = create.and_then(|operation| operation.request_body.as_mut()) {
        body.required = Some(Required::False);
    }
    document
}

/// The errors of every operation with a body, with a session, with the database, and of all: a bug, and the server's own
/// bounds. Every answer has a request id, and every error that does not say otherwise is a problem document.
fn add_common_parts(path: &str, operation: &mut Operation) {
    let (has_body, has_session) = (operation.request_body.is_some(), path.contains("{session_id}"));
    let uses_database = path.starts_with("/api/v1/sessions");
    let bounds = "Not HTTP (400), too slow (408), too large (413, 414, 431), or more than there is room for (503)";
    let responses = &mut operation.responses.responses;
    for (applies, status, description) in [
        (has_session, "404", "There is no such session"),
        (has_body, "413", "The body is too large"),
        (has_body, "415", "The body is not application/json"),
        (has_session, "422", "The id is not a UUID"),
        (true, "500", "A bug; the next request is served as usual"),
        (uses_database, "503", "The database is not available"),
        (uses_database, "504", "The database took too long"),
        (true, "default", bounds),
    ] {
        if applies {
            responses.entry(status.to_owned()).or_insert_with(|| Response::new(description).into());
        }
    }
    let is_limited = has_session && responses.contains_key("429");
    for (status, response) in responses {
        let RefOr::T(response) = response else { continue };
        let request_id = header(Type::String, "Random, for finding this request in the log");
        response.headers.insert("X-Request-Id".to_owned(), request_id);
        if is_limited {
            let policy = "The rate, as in draft-ietf-httpapi-ratelimit-headers-10";
            response.headers.insert("RateLimit-Policy".to_owned(), header(Type::String, policy));
            let left = "What is left of it, and the seconds until there is more";
            response.headers.insert("RateLimit".to_owned(), header(Type::String, left));
        }
        if matches!(status.as_str(), "409" | "503") || (status == "429" && is_limited) {
            let retry_after = header(Type::Integer, "Seconds to wait before the next try");
            response.headers.insert("Retry-After".to_owned(), retry_after);
        }
        if status.as_str() >= "400" && response.content.is_empty() {
            let problem = Content::new(Some(Ref::from_schema_name("Problem")));
            response.content.insert("application/problem+json".to_owned(), problem.into());
        }
    }
}

fn header(kind: Type, description: &str) -> RefOr<Header> {
    HeaderBuilder::new().schema(Some(Object::with_type(kind))).description(Some(description)).build().into()
}

static DOCUMENT: LazyLock<Vec<u8>> = LazyLock::new(|| respond::to_json(&describe()));

/// Describes every route in OpenAPI 3.1
#[utoipa::path(get, path = "/openapi.json", tag = "Service", responses(
    (status = 200, description = "The description", content_type = "application/json", body = Object),
))]
pub(super) fn document(_: &Context, _: &Request, _: &str) -> Result<Answer<'static>, Problem> {
    Ok(respond::with_body(200, "application/json", DOCUMENT.as_slice()).into())
}
