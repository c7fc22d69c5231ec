//! `GET /openapi.json`: the description of every route, made from the handlers and their types.

use std::sync::LazyLock;

use serde_json::Value;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{Operation, Parameter, PathItem};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{Content, Header, Object, OpenApi, Ref, RefOr, Required, Response, Type};

use super::examples::{self, ErrorExample};
use super::problem::{FieldError, Problem, ProblemDocument};
use super::responder::{Answer, Context};
use super::{challenge, chat, docs, export, health, leaving, privacy, reports, resources, respond, sessions, web};
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
        (name = "Reports", description = "Documents that a person prepares"),
        (name = "Leaving", description = "Erasing a session in the worst moment"),
        (name = "Page", description = "The page that people open in a browser"),
        (name = "Health", description = "For operators"),
        (name = "Service", description = "The service itself and its description"),
    ),
    paths(
        web::root, web::asset, web::widget, web::begin, web::say, web::read, web::end, web::leave, health::database, health::live, health::ready, document, docs::page, docs::errors, docs::asset,
        resources::list, privacy::read, challenge::read, sessions::create, sessions::read, sessions::change, sessions::delete, chat::history, chat::send, chat::stop,
        reports::create, reports::newest, reports::list, reports::read, reports::change, reports::delete, export::export,
        leaving::panic, leaving::exit,
    ),
    components(schemas(ProblemDocument<'static>, FieldError, chat::ChatEvents)),
)]
struct Described;

/// The description of every route, with what all of them have in common.
#[must_use]
pub fn describe() -> Value {
    let mut document = <Described as utoipa::OpenApi>::openapi();
    for (path, item) in &mut document.paths.paths {
        for (method, operation) in operations(item) {
            add_errors(operation, examples::of_operation(method, path));
        }
    }
    add_bearer_paths(&mut document);
    for (path, item) in &mut document.paths.paths {
        for (method, operation) in operations(item) {
            add_fields(operation, method, path);
        }
    }
    // The macro can make a body optional only by allowing null in it.
    let create = document.paths.paths.get_mut("/api/v1/sessions").and_then(|item| item.post.as_mut());
    if let Some(RefOr::T(body)) = create.and_then(|operation| operation.request_body.as_mut()) {
        body.required = Some(Required::False);
    }
    let mut document = serde_json::to_value(&document).expect("a description is JSON");
    remove_null(&mut document);
    for property in NULLABLE {
        if let Some(kind) = document.pointer_mut(&format!("/components/schemas/{property}/type")) {
            *kind = serde_json::json!([kind, "null"]);
        }
    }
    examples::add_to_contents(&mut document);
    document
}

/// Where null means something: PATCH goes back to the timeout of the service, or takes back what was said in a report.
const NULLABLE: [&str; 5] = [
    "IdleTimeoutRequest/properties/idle_timeout_seconds",
    "ReportChanges/allOf/0/properties/occurred_at",
    "ReportChanges/allOf/0/properties/frequency",
    "ReportChanges/allOf/0/properties/narrative",
    "ReportChanges/allOf/0/properties/needs",
];

fn operations(item: &mut PathItem) -> impl Iterator<Item = (&'static str, &mut Operation)> {
    let all =
        [("get", &mut item.get), ("post", &mut item.post), ("patch", &mut item.patch), ("delete", &mut item.delete)];
    all.into_iter().filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}

/// Adds errors to an operation, each with its example. Every error that does not say otherwise is a problem document.
fn add_errors(operation: &mut Operation, errors: Vec<ErrorExample>) {
    for error in errors {
        let response = operation.responses.responses.entry(error.status).or_insert_with(|| Response::new("").into());
        let RefOr::T(response) = response else { continue };
        if response.description.is_empty() {
            response.description.clone_from(&error.title);
        }
        let new = || Content::new(Some(Ref::from_schema_name("Problem")));
        let content = response.content.entry("application/problem+json".to_owned()).or_insert_with(|| new().into());
        if let RefOr::T(content) = content {
            content.examples.insert(error.name, error.value.into());
        }
    }
}

/// Adds the paths that take the session's id from `Authorization`: each is as the one that has it in the path.
fn add_bearer_paths(document: &mut OpenApi) {
    let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some("The session's id")).build();
    let components = document.components.get_or_insert_default();
    components.add_security_scheme(BEARER, SecurityScheme::Http(scheme));
    let mut paths = Vec::new();
    for (path, item) in &document.paths.paths {
        let Some((before, after)) = path.split_once("s/{session_id}") else { continue };
        let mut item = item.clone();
        for (_, operation) in operations(&mut item) {
            operation.operation_id = operation.operation_id.take().map(|id| format!("{id}_by_bearer"));
            let is_id = |parameter: &RefOr<Parameter>| matches!(parameter, RefOr::T(it) if it.name == "session_id");
            operation.parameters.iter_mut().for_each(|all| all.retain(|parameter| !is_id(parameter)));
            operation.security = Some(vec![SecurityRequirement::new(BEARER, [] as [&str; 0])]);
            add_errors(operation, vec![examples::without_authorization()]);
        }
        paths.push((format!("{before}{after}"), item));
    }
    document.paths.paths.extend(paths);
}

/// The name of the security scheme.
const BEARER: &str = "bearer";

/// Adds the fields of the responses of an operation. Every response has a request id.
fn add_fields(operation: &mut Operation, method: &str, path: &str) {
    let is_limited = method == "post" && path.ends_with("/chat");
    // Creating a session has 429 for proof of work, which takes no waiting.
    let waits = if path == "/api/v1/sessions" { &["409", "503"][..] } else { &["409", "429", "503"] };
    for (status, response) in &mut operation.responses.responses {
        let RefOr::T(response) = response else { continue };
        let mut add = |name: &str, kind, description| {
            response.headers.insert(name.to_owned(), header(kind, description));
        };
        add("X-Request-Id", Type::String, "Random, for finding this request in the log");
        if is_limited {
            add("RateLimit-Policy", Type::String, "The rate, as in draft-ietf-httpapi-ratelimit-headers-10");
            add("RateLimit", Type::String, "What is left of it, and the seconds until there is more");
        }
        if waits.contains(&status.as_str()) {
            add("Retry-After", Type::Integer, "Seconds to wait before the next try");
        }
        if status == "401" {
            add("WWW-Authenticate", Type::String, "`Bearer realm=\"session\"`");
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

/// No value of a response is ever null: what may be missing is missing. The macros describe an `Option` as nullable, and generated
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
