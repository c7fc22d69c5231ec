//! `GET /openapi.json`: the description of every route, made from the handlers and their types.

use std::sync::LazyLock;

use serde_json::Value;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::Operation;
use utoipa::openapi::{Content, Header, Object, Ref, RefOr, Required, Response, Type};

use super::examples;
use super::problem::{FieldError, Problem, ProblemDocument};
use super::responder::{Answer, Context};
use super::{challenge, chat, docs, health, respond, sessions};
use crate::http::Request;

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "SafeSpace",
        description = "The backend of an anonymous chatbot. There are no accounts: the client that holds a session's id owns the session, \
                       so an id is a secret. Errors are RFC 9457 problem details; each `code` is explained at `/docs/errors`. \
                       Every path also answers OPTIONS, and HEAD where it has GET.",
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
        health::root, health::database, health::live, health::ready, document, docs::page, docs::errors, docs::asset,
        challenge::read, sessions::create, sessions::read, sessions::delete, chat::history, chat::send, chat::stop,
    ),
    components(schemas(ProblemDocument<'static>, FieldError, chat::ChatEvents)),
)]
struct Described;

/// The description of every route, with what all of them have in common.
#[must_use]
pub fn describe() -> Value {
    let mut document = <Described as utoipa::OpenApi>::openapi();
    for (path, item) in &mut document.paths.paths {
        for (method, operation) in [("get", &mut item.get), ("post", &mut item.post), ("delete", &mut item.delete)] {
            if let Some(operation) = operation {
                add_common_parts(method, path, operation);
            }
        }
    }
    // The macro can make a body optional only by allowing null in it.
    let create = document.paths.paths.get_mut("/api/v1/sessions").and_then(|item| item.post.as_mut());
    if let Some(RefOr::T(body)) = create.and_then(|operation| operation.request_body.as_mut()) {
        body.required = Some(Required::False);
    }
    let mut document = serde_json::to_value(&document).expect("a description is JSON");
    remove_null(&mut document);
    examples::add_to_contents(&mut document);
    document
}

/// The errors of an operation, each with its examples. Every response has a request id, and every error that does not say
/// otherwise is a problem document.
fn add_common_parts(method: &str, path: &str, operation: &mut Operation) {
    let responses = &mut operation.responses.responses;
    let errors = examples::of_operation(method, path);
    let is_limited = errors.iter().any(|example| example.name == "rate_limited");
    for example in errors {
        let response = responses.entry(example.status).or_insert_with(|| Response::new("").into());
        let RefOr::T(response) = response else { continue };
        if response.description.is_empty() {
            response.description.clone_from(&example.title);
        }
        let new = || Content::new(Some(Ref::from_schema_name("Problem")));
        let content = response.content.entry("application/problem+json".to_owned()).or_insert_with(|| new().into());
        if let RefOr::T(content) = content {
            content.examples.insert(example.name, example.value.into());
        }
    }
    for (status, response) in responses {
        let RefOr::T(response) = response else { continue };
        let mut add = |name: &str, kind, description| {
            response.headers.insert(name.to_owned(), header(kind, description));
        };
        add("X-Request-Id", Type::String, "Random, for finding this request in the log");
        if is_limited {
            add("RateLimit-Policy", Type::String, "The rate, as in draft-ietf-httpapi-ratelimit-headers-10");
            add("RateLimit", Type::String, "What is left of it, and the seconds until there is more");
        }
        if matches!(status.as_str(), "409" | "503") || (status == "429" && is_limited) {
            add("Retry-After", Type::Integer, "Seconds to wait before the next try");
        }
        if status == "415" {
            add("Accept-Encoding", Type::String, "`identity`, where the body was compressed");
        }
        if status.as_str() >= "400" {
            add("Content-Language", Type::String, "`en`, or `id` where `Accept-Language` prefers it");
        }
    }
}

fn header(kind: Type, description: &str) -> RefOr<Header> {
    HeaderBuilder::new().schema(Some(Object::with_type(kind))).description(Some(description)).build().into()
}

/// No value of the API is ever null: what may be missing is missing. The macros describe an `Option` as nullable, and generated
/// clients would then send a header of null.
fn remove_null(value: &mut Value) {
    match value {
        Value::Object(object) => {
            if let Some(Value::Array(types)) = object.get_mut("type")
                && types.contains(&"null".into())
            {
                types.retain(|kind| kind != "null");
                let only = types.pop();
                object.extend(only.map(|only| ("type".to_owned(), only)));
            }
            if let Some(Value::Array(mut schemas)) = object.remove("oneOf") {
                schemas.retain(|schema| schema["type"] != "null");
                match (schemas.len(), schemas.pop()) {
                    (1, Some(Value::Object(only))) => object.extend(only),
                    (_, last) => {
                        schemas.extend(last);
                        object.insert("oneOf".to_owned(), Value::Array(schemas));
                    }
                }
            }
            object.values_mut().for_each(remove_null);
        }
        Value::Array(array) => array.iter_mut().for_each(remove_null),
        _ => {}
    }
}

static DOCUMENT: LazyLock<Vec<u8>> = LazyLock::new(|| respond::to_json(&describe()));

/// Describes every route in OpenAPI 3.1
#[utoipa::path(get, path = "/openapi.json", tag = "Service", responses(
    (status = 200, description = "The description", content_type = "application/json", body = Object,
     example = json!({"openapi": "3.1.0"})),
))]
pub(super) fn document(_: &Context, _: &Request, _: &str) -> Result<Answer<'static>, Problem> {
    Ok(respond::with_body(200, "application/json", DOCUMENT.as_slice()).into())
}
