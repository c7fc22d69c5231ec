//! Examples in the description of the API: each error of each operation, and each successful response.

use serde_json::{Map, Value};
use utoipa::openapi::example::{Example, ExampleBuilder};

use super::body::MAX_FORM_BYTES;
use super::catalogue::{Code, FieldCode};
use super::leaving;
use super::problem::Problem;
use super::reports::MAX_BODY_BYTES as MAX_REPORT_BYTES;
use crate::admission::{Challenge, Denied, ProofRequired};
use crate::http::Refusal;
use crate::language::Language;
use crate::message;

/// An error of an operation.
pub(super) struct ErrorExample {
    /// The status as a key of the description: a number, or `default`.
    pub(super) status: String,
    pub(super) name: String,
    pub(super) title: String,
    pub(super) value: Example,
}

/// The errors of an operation.
pub(super) fn of_operation(method: &str, path: &str) -> Vec<ErrorExample> {
    use Code::{
        AnswerStopped, AnswerTimeout, BodyTooLarge, ContentEncodingUnsupported, DatabaseRefuses, DatabaseTimeout,
        DatabaseUnavailable, ForeignOrigin, InternalError, MediaTypeUnsupported, NetworkLimited, NoAnswer, Overloaded,
        PathNotFound, PdfInProgress, ProofOfWork, RateLimited, ReportNotFound, ReportsFull, SchemaMismatch,
        SessionFull, SessionNotFound, Stopping, StorageFull, TurnInProgress,
    };
    use FieldCode::{
        BeforeInvalid, BodyNotJson, BodyNotObject, BodyNotUtf8, BodyTooDeep, IdempotencyKeyInvalid,
        IdempotencyKeyReused, IdleTimeoutInvalid, LimitInvalid, MessageBlank, MessageHasNul, MessageMissing,
        MessageTooLong, ReportIdInvalid, SessionIdInvalid,
    };
    let (mut codes, mut fields) = (vec![InternalError], Vec::new());
    let body = [BodyNotJson, BodyNotObject, BodyNotUtf8, BodyTooDeep];
    if path.starts_with("/api/v1/sessions") {
        codes.extend([DatabaseUnavailable, DatabaseRefuses, DatabaseTimeout]);
    }
    if path.contains("{session_id}") {
        codes.push(SessionNotFound);
        fields.push(SessionIdInvalid);
    }
    if method != "get" {
        codes.push(ForeignOrigin);
    }
    if method == "post" || method == "patch" {
        codes.extend([BodyTooLarge, ContentEncodingUnsupported]);
    }
    if method == "patch" || method == "post" && path.starts_with("/api/v1/sessions") {
        codes.push(MediaTypeUnsupported);
    }
    match (method, path) {
        ("post", "/api/v1/sessions") => {
            codes.extend([ProofOfWork, StorageFull]);
            fields.push(IdleTimeoutInvalid);
            fields.extend(body);
        }
        ("patch", "/api/v1/sessions/{session_id}") => {
            fields.push(IdleTimeoutInvalid);
            fields.extend(body);
        }
        ("post", "/api/v1/sessions/{session_id}/chat") => {
            codes.extend([TurnInProgress, AnswerStopped, SessionFull, RateLimited, NetworkLimited]);
            codes.extend([StorageFull, NoAnswer, AnswerTimeout, Overloaded]);
            fields.extend([MessageMissing, MessageTooLong, MessageBlank, MessageHasNul]);
            fields.extend([IdempotencyKeyInvalid, IdempotencyKeyReused]);
            fields.extend(body);
        }
        ("get", "/api/v1/sessions/{session_id}/chat") => fields.extend([LimitInvalid, BeforeInvalid]),
        (_, EXPORT_PATH) => codes.push(NetworkLimited),
        (_, REPORT_PATH | REPORTS_PATH | ONE_REPORT_PATH) => {
            codes.extend((path != REPORTS_PATH && method != "post").then_some(ReportNotFound));
            codes.extend((method == "post").then_some(ReportsFull));
            codes.extend((method != "delete").then_some(NetworkLimited));
            codes.extend((method == "get" && path != REPORTS_PATH).then_some(PdfInProgress));
            fields.extend((path == ONE_REPORT_PATH).then_some(ReportIdInvalid));
            if method == "post" || method == "patch" {
                codes.extend([RateLimited, StorageFull]);
                fields.extend(REPORT_FIELDS);
                fields.extend(body);
            }
        }
        (_, leaving::PANIC_PATH) => codes.extend([DatabaseUnavailable, DatabaseRefuses, DatabaseTimeout]),
        (_, "/health/ready") => codes.extend([Stopping, SchemaMismatch, DatabaseUnavailable, DatabaseRefuses]),
        // Its errors are pages, which are described with it.
        (_, leaving::EXIT_PATH) => codes.clear(),
        ("post", path) if path.starts_with("/page/") => codes.clear(),
        (_, "/docs/{asset}" | "/page/{asset}" | "/widget.js") => codes.push(PathNotFound),
        _ => {}
    }
    let max_bytes = match path {
        leaving::PANIC_PATH => MAX_FORM_BYTES,
        REPORT_PATH | ONE_REPORT_PATH => MAX_REPORT_BYTES,
        _ => 65_536,
    };
    let refusals = [Refusal::Malformed("it has no field Host"), Refusal::HeadTooLarge(16_384), Refusal::Busy];
    let by_code = codes.into_iter().map(|code| example(None, &problem(code, max_bytes)));
    let by_field = fields.into_iter().map(|code| example(None, &invalid(code)));
    let by_server = refusals.into_iter().map(|refusal| example(Some("default"), &refusal.into()));
    by_code.chain(by_field).chain(by_server).collect()
}

const REPORT_PATH: &str = "/api/v1/sessions/{session_id}/report";
const EXPORT_PATH: &str = "/api/v1/sessions/{session_id}/export";
const REPORTS_PATH: &str = "/api/v1/sessions/{session_id}/reports";
const ONE_REPORT_PATH: &str = "/api/v1/sessions/{session_id}/reports/{report_id}";

/// The fields of a report that can be wrong.
const REPORT_FIELDS: [FieldCode; 11] = [
    FieldCode::LocationInvalid,
    FieldCode::PerpetratorInvalid,
    FieldCode::DescriptionInvalid,
    FieldCode::EvidenceInvalid,
    FieldCode::UserGoalInvalid,
    FieldCode::OccurredAtInvalid,
    FieldCode::FrequencyInvalid,
    FieldCode::NarrativeInvalid,
    FieldCode::NeedsInvalid,
    FieldCode::ReportLanguageInvalid,
    FieldCode::PolishInvalid,
];

/// The error of an operation without the session's id in `Authorization`.
pub(super) fn without_authorization() -> ErrorExample {
    example(None, &Problem::new(Code::AuthorizationRequired))
}

fn problem(code: Code, max_bytes: usize) -> Problem {
    match code {
        Code::RateLimited => Denied { retry_after_s: 3 }.into(),
        Code::NetworkLimited | Code::PdfInProgress | Code::TurnInProgress => Problem::new(code).after(1),
        Code::BodyTooLarge => Refusal::BodyTooLarge(max_bytes).into(),
        Code::ProofOfWork => {
            let text = "0000000000001f4e5d0c4b2a190f7e630c6b9f1d2e3a4b5c6d7e8f90a1b2c3d4e5".to_owned();
            let challenge = Challenge { text, difficulty: 12, expires_at: message::now() };
            ProofRequired { invalid: None, challenge }.into()
        }
        _ => Problem::new(code),
    }
}

fn invalid(code: FieldCode) -> Problem {
    match code {
        FieldCode::BodyNotJson | FieldCode::BodyNotUtf8 | FieldCode::BodyTooDeep => Problem::invalid_at(code, 17),
        FieldCode::IdleTimeoutInvalid => Problem::invalid_number(code, 604_800),
        _ => Problem::invalid(code),
    }
}

fn example(status: Option<&str>, problem: &Problem) -> ErrorExample {
    let value = serde_json::to_value(problem.document(Language::English)).expect("a document is JSON");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    ErrorExample {
        status: status.map_or_else(|| value["status"].to_string(), ToOwned::to_owned),
        name: text(value.pointer("/errors/0/code").unwrap_or(&value["code"])),
        title: text(&value["title"]),
        value: ExampleBuilder::new().value(Some(value)).build(),
    }
}

/// Adds an example to each content that has none, made from the examples in its schema.
pub(super) fn add_to_contents(document: &mut Value) {
    let schemas = document["components"]["schemas"].clone();
    let Some(paths) = document["paths"].as_object_mut() else { return };
    let operations = paths.values_mut().filter_map(Value::as_object_mut).flat_map(|item| item.values_mut());
    for operation in operations {
        let Some(responses) = operation["responses"].as_object_mut() else { continue };
        for content in responses.values_mut().filter_map(|response| response.get_mut("content")?.as_object_mut()) {
            for content in content.values_mut().filter_map(Value::as_object_mut) {
                if !content.contains_key("example") && !content.contains_key("examples") {
                    let example = of_schema(&content["schema"], &schemas);
                    content.insert("example".to_owned(), example);
                }
            }
        }
    }
}

/// An example of a schema.
fn of_schema(schema: &Value, schemas: &Value) -> Value {
    if let Some(name) = schema["$ref"].as_str() {
        return of_schema(&schemas[name.rsplit('/').next().unwrap_or_default()], schemas);
    }
    let given = [&schema["example"], &schema["examples"][0], &schema["enum"][0]];
    if let Some(given) = given.into_iter().find(|given| !given.is_null()) {
        return given.clone();
    }
    let (parts, properties) = (schema["allOf"].as_array(), schema["properties"].as_object());
    let mut object = Map::new();
    for part in parts.into_iter().flatten() {
        object.extend(of_schema(part, schemas).as_object().cloned().unwrap_or_default());
    }
    for (name, property) in properties.into_iter().flatten() {
        object.insert(name.clone(), of_schema(property, schemas));
    }
    match schema["type"].as_str() {
        Some("array") => Value::Array(vec![of_schema(&schema["items"], schemas)]),
        Some("boolean") => false.into(),
        Some("string") => String::new().into(),
        _ => Value::Object(object),
    }
}
