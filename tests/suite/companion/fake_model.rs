//! The stand-in for a model notices what a real provider, or a person who trusts this service, would mind.

use serde_json::{Value, json};

use crate::support::model::Model;
use crate::support::model_schema::{API_KEY, MODEL};
use crate::support::raw::Raw;

const GOOD_HEAD: [&str; 4] = [
    "POST /v1/chat/completions HTTP/1.1",
    "Host: {host}",
    "Authorization: Bearer {key}",
    "Content-Type: application/json",
];

fn good_body() -> Value {
    let messages = json!([{"role": "system", "content": "be kind"}, {"role": "user", "content": "hello"}]);
    json!({"model": MODEL, "messages": messages, "stream": false, "store": false})
}

/// The status of the answer, and what the stand-in holds against it.
fn ask(model: &Model, head: &[String], body: &str) -> (u16, Vec<String>) {
    let head = head.join("\r\n").replace("{host}", &model.address.to_string()).replace("{key}", API_KEY);
    let request = format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let status = Raw::connect(model.address).ask(request.as_bytes()).status;
    (status, model.take_violations())
}

#[test]
fn a_good_request_is_answered_whole_or_as_a_stream() {
    let model = Model::start();
    let head = GOOD_HEAD.map(str::to_owned);
    for is_streamed in [false, true] {
        let mut body = good_body();
        body["stream"] = is_streamed.into();
        assert_eq!(ask(&model, &head, &body.to_string()), (200, Vec::new()));
    }
    let asked = model.asked();
    assert_eq!((asked.len(), asked[0].is_streamed, asked[1].is_streamed), (2, false, true));
}

#[test]
fn a_request_that_is_not_as_it_should_be_is_held_against_the_service() {
    let model = Model::start();
    let good = GOOD_HEAD.map(str::to_owned);
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
        let mut head = good.clone();
        line.clone_into(&mut head[at]);
        let (status, violations) = ask(&model, &head, &good_body().to_string());
        assert_eq!((status, violations.len()), (400, 1), "{line}: {violations:?}");
    }
    let person = json!({"role": "user", "content": "hello"});
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
        ("messages", json!([person])),
        ("messages", json!([system])),
        ("messages", json!([system, {"role": "model", "content": "x"}, person])),
        ("messages", json!([system, {"role": "user", "content": ["x"]}])),
        ("messages", json!([system, {"role": "user", "content": ""}])),
        ("messages", json!([system, {"role": "user", "content": "x", "name": "somebody"}])),
        ("messages", json!([system, {"role": "user", "content": "550E8400-E29B-41D4-A716-446655440000"}])),
        ("messages", json!([system, {"role": "user", "content": "550e8400e29b41d4a716446655440000"}])),
    ];
    for (field, value) in bodies {
        let mut body = good_body();
        body[field] = value;
        let (status, violations) = ask(&model, &good, &body.to_string());
        assert_eq!((status, violations.len()), (400, 1), "{body}: {violations:?}");
    }
    for missing in ["model", "messages", "store"] {
        let mut body = good_body();
        body.as_object_mut().unwrap().remove(missing);
        assert_eq!(ask(&model, &good, &body.to_string()).0, 400, "without {missing}");
    }
    assert_eq!(ask(&model, &good, "{").0, 400);
    assert!(model.asked().is_empty());
}
