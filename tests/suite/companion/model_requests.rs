//! What the client of a model sends.

use std::time::Duration;

use safespace::config::ModelSettings;
use safespace::message::Role;
use serde_json::{Value, json};

use super::fixture::{answer, ask, build, build_model, call, file, message, model_settings, path};
use crate::support::fake_model::FakeModel;

/// The request that a model with these variables gets for a conversation.
fn request(pairs: &[(&str, &str)], conversation: &[(Role, &str)]) -> String {
    let model = FakeModel::without_schema();
    let prompt = file(b"Listen.");
    let url = format!("{}/", model.base_url());
    let own =
        [("OPENAI_BASE_URL", url.as_str()), ("COMPANION_MODEL", "llama3.1:8b"), ("COMPANION_PROMPT", path(&prompt))];
    let conversation: Vec<_> = conversation.iter().map(|(role, text)| message(*role, text)).collect();
    answer(&*build(&[&own, pairs].concat()), &conversation, &call(Duration::from_secs(5))).0.unwrap();
    model.raw_requests().remove(0)
}

fn body(request: &str) -> Value {
    serde_json::from_str(request.split_once("\r\n\r\n").unwrap().1).unwrap()
}

#[test]
fn a_request_has_the_prompt_and_the_conversation_and_nothing_else() {
    let conversation = [(Role::User, "hello"), (Role::Model, "hi"), (Role::User, "he \"hit\" me\n")];
    let request = request(&[("OPENAI_API_KEY", "sk-1")], &conversation);
    let (head, _) = request.split_once("\r\n\r\n").unwrap();
    let mut lines = head.lines();
    assert_eq!(lines.next(), Some("POST /v1/chat/completions HTTP/1.1"));
    let mut fields: Vec<(&str, &str)> = lines.map(|line| line.split_once(": ").unwrap()).collect();
    fields.sort_unstable();
    fields.retain(|(name, value)| match *name {
        "host" => !value.starts_with("127.0.0.1:"),
        "content-length" => value.parse::<usize>().is_err(),
        _ => true,
    });
    let expected = [
        ("accept", "*/*"),
        ("authorization", "Bearer sk-1"),
        ("content-type", "application/json"),
        ("user-agent", concat!("safespace/", env!("CARGO_PKG_VERSION"))),
    ];
    assert_eq!(fields, expected);
    let messages = json!([
        {"role": "system", "content": "Listen."},
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": "hi"},
        {"role": "user", "content": "he \"hit\" me\n"},
    ]);
    let expected = json!({"model": "llama3.1:8b", "messages": messages, "stream": true, "store": false});
    assert_eq!(body(&request), expected);
}

#[test]
fn without_a_key_a_request_has_no_authorization() {
    let request = request(&[], &[(Role::User, "hello")]);
    assert!(!request.to_lowercase().contains("authorization"), "{request}");
}

#[test]
fn a_provider_that_refuses_store_gets_none() {
    let google = model_settings(&[("GOOGLE_API_KEY", "k")]);
    assert!(!google.sends_store);
    let same_host = [("OPENAI_BASE_URL", &*google.base_url.to_string()), ("COMPANION_MODEL", "m")];
    assert!(!model_settings(&same_host).sends_store);
    let model = FakeModel::without_schema();
    let settings = ModelSettings { base_url: model.base_url().parse().unwrap(), ..google };
    assert_eq!(ask(&*build_model(settings).unwrap(), &call(Duration::from_secs(5))).0, Ok(()));
    let body = body(&model.raw_requests()[0]);
    let names: Vec<&String> = body.as_object().unwrap().keys().collect();
    assert_eq!(names, ["messages", "model", "stream"]);
    assert_eq!(body["model"], "gemini-2.5-flash-lite");
}

#[test]
fn the_last_messages_within_the_character_limit_are_sent_from_one_of_the_user_on() {
    let (long, half) = ("é".repeat(1001), "é".repeat(500));
    let rest = &half[..996];
    let user = |text| (Role::User, text);
    let model = |text| (Role::Model, text);
    for (case, conversation, expected) in [
        ("the last alone is too long", vec![user("a"), model("b"), user(&long)], vec![long.as_str()]),
        ("the limit falls before an answer", vec![user("a"), model(&half), user(&half)], vec![half.as_str()]),
        ("exactly the limit", vec![user("a"), model("b"), user("c"), model(&half), user(rest)], vec!["c", &half, rest]),
        ("a turn without an answer", vec![user("a"), user("b"), model("c"), user("d")], vec!["a\n\nb", "c", "d"]),
        ("answers of the script", vec![user("a"), (Role::Script, "b"), user("c")], vec!["a", "b", "c"]),
    ] {
        let body = body(&request(&[("COMPANION_CONTEXT_CHARS", "1000")], &conversation));
        let messages = body["messages"].as_array().unwrap().iter().skip(1);
        let contents: Vec<&str> = messages.map(|message| message["content"].as_str().unwrap()).collect();
        assert_eq!(contents, expected, "{case}");
    }
}
