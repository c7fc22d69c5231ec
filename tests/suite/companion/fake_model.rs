//! The fake model itself: it accepts valid requests and reports every violation of the schema.

use serde_json::{Value, json};

use crate::support::fake_model::{API_KEY, FakeModel, MODEL};
use crate::support::raw::Raw;

const VALID_HEAD: [&str; 4] = [
    "POST /v1/chat/completions HTTP/1.1",
    "Host: {host}",
    "Authorization: Bearer {key}",
    "Content-Type: application/json",
];

fn valid_body() -> Value {
    let messages = json!([{"role": "system", "content": "be kind"}, {"role": "user", "content": "hello"}]);
    json!({"model": MODEL, "messages": messages, "stream": false, "store": false})
}

/// The status of the response, and the violations.
fn send(model: &FakeModel, head: &[String], body: &str) -> (u16, Vec<String>) {
    let head = head.join("\r\n").replace("{host}", &model.address.to_string()).replace("{key}", API_KEY);
    let request = format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let status = Raw::connect(model.address).ask(request.as_bytes()).status;
    (status, model.take_violations())
}

#[test]
fn a_valid_request_is_answered_complete_or_as_a_stream() {
    let model = FakeModel::start();
    let head = VALID_HEAD.map(str::to_owned);
    for is_streamed in [false, true] {
        let mut body = valid_body();
        body["stream"] = is_streamed.into();
        assert_eq!(send(&model, &head, &body.to_string()), (200, Vec::new()), "streamed: {is_streamed}");
    }
    let streamed: Vec<bool> = model.requests().iter().map(|request| request.is_streamed).collect();
    assert_eq!(streamed, [false, true]);
}

#[test]
fn an_invalid_request_is_refused_and_reported() {
    let model = FakeModel::start();
    let valid = VALID_HEAD.map(str::to_owned);
    let heads = [
        (0, "GET /v1/chat/completions HTTP/1.1"),
        (0, "POST /chat/completions HTTP/1.1"),
        (0, "POST /v1/chat/completions?user=1 HTTP/1.1"),
        (1, "Host: elsewhere"),
        (2, "Authorization: Bearer another"),
        (2, "X-Api-Key: {key}"),
        (3, "Content-Type: text/plain"),
        (3, "Content-Type: application/json\r\nX-Request-Id: 1"),
        (3, "Content-Type: application/json\r\nX-Forwarded-For: 192.0.2.1"),
        (3, "Content-Type: application/json\r\nUser-Agent: 550e8400-e29b-41d4-a716-446655440000"),
        (3, "Content-Type: application/json\r\nContent-Type: application/json"),
    ];
    for (at, line) in heads {
        let mut head = valid.clone();
        line.clone_into(&mut head[at]);
        let (status, violations) = send(&model, &head, &valid_body().to_string());
        assert_eq!((status, violations.len()), (400, 1), "{line}: {violations:?}");
    }
    let user = json!({"role": "user", "content": "hello"});
    let system = json!({"role": "system", "content": "be kind"});
    let bodies = [
        ("model", json!(null)),
        ("model", json!("another")),
        ("user", json!("a person")),
        ("metadata", json!({"session": "1"})),
        ("safety_identifier", json!("1")),
        ("store", json!(true)),
        ("stream", json!("true")),
        ("temperature", json!(3)),
        ("max_tokens", json!("many")),
        ("messages", json!([])),
        ("messages", json!([user])),
        ("messages", json!([system])),
        ("messages", json!([system, {"role": "model", "content": "x"}, user])),
        ("messages", json!([system, {"role": "user", "content": ["x"]}])),
        ("messages", json!([system, {"role": "user", "content": ""}])),
        ("messages", json!([system, {"role": "user", "content": "x", "name": "somebody"}])),
        ("messages", json!([system, {"role": "user", "content": "550E8400-E29B-41D4-A716-446655440000"}])),
        ("messages", json!([system, {"role": "user", "content": "550e8400e29b41d4a716446655440000"}])),
    ];
    for (field, value) in bodies {
        let mut body = valid_body();
        body[field] = value;
        let (status, violations) = send(&model, &valid, &body.to_string());
        assert_eq!((status, violations.len()), (400, 1), "{body}: {violations:?}");
    }
    for missing in ["model", "messages", "store"] {
        let mut body = valid_body();
        body.as_object_mut().unwrap().remove(missing);
        assert_eq!(send(&model, &valid, &body.to_string()).0, 400, "without {missing}");
    }
    assert_eq!(send(&model, &valid, "{").0, 400);
    assert!(model.requests().is_empty());
}
