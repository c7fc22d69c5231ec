//! What the client of a model sends.

use std::sync::Arc;

use safespace::companion::{ChatMessage, Finish, Unavailable};
use safespace::config::ModelSettings;
use safespace::message::Role;
use serde_json::{Value, json};

use super::fixture::{LONG, answer, ask, build, build_model, call, client, file, gzip, message, model_settings, path};
use crate::support::fake_model::{FakeModel, answers};

/// The request that a model with these variables gets for a conversation.
fn request(pairs: &[(&str, &str)], conversation: &[(Role, &str)]) -> String {
    let model = FakeModel::without_schema();
    let prompt = file(b"Listen.");
    let url = format!("{}/", model.base_url());
    let own =
        [("OPENAI_BASE_URL", url.as_str()), ("COMPANION_MODEL", "llama3.1:8b"), ("COMPANION_PROMPT", path(&prompt))];
    let conversation: Vec<_> = conversation.iter().map(|(role, text)| message(*role, text)).collect();
    answer(&build(&[&own, pairs].concat()), &conversation, &call(LONG)).0.unwrap();
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
        ("accept-encoding", "identity"),
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
    let expected = json!({"model": "llama3.1:8b", "messages": messages, "stream": true, "store": false,
        "max_tokens": 4096});
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
    assert_eq!(ask(&build_model(settings).unwrap(), &call(LONG)).0, Ok(Finish::Complete));
    let body = body(&model.raw_requests()[0]);
    let names: Vec<&String> = body.as_object().unwrap().keys().collect();
    assert_eq!(names, ["max_tokens", "messages", "model", "stream"]);
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

/// The names of the optional fields in a request.
fn options(request: &str) -> String {
    let body = body(request);
    let names = ["max_tokens", "max_completion_tokens", "store"];
    names.into_iter().filter(|name| body.get(name).is_some()).collect::<Vec<_>>().join(" ")
}

#[test]
fn a_request_is_sent_again_without_the_field_that_the_server_refuses() {
    const BOTH: &str = "max_tokens store";
    const OTHER: &str = "max_completion_tokens store";
    const NO_BOUND: &str = "store";
    let swap =
        "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.";
    let too_long = "This model's maximum context length is 4096 tokens. However, you requested 5000.";
    let too_large = "'max_tokens' or 'max_completion_tokens' is too large: 4096";
    let extra =
        r#"{"detail":[{"type":"extra_forbidden","loc":["body","store"],"input":false},{"loc":["body","max_tokens"]}]}"#;
    for (case, refusals, requests, later) in [
        ("OpenAI", vec![(400, swap)], vec![BOTH, OTHER], OTHER),
        ("by its name alone", vec![(422, "max_tokens: extra fields not permitted")], vec![BOTH, OTHER], OTHER),
        ("through a gateway", vec![(500, swap)], vec![BOTH, OTHER], BOTH),
        ("both", vec![(400, swap), (400, "max_completion_tokens")], vec![BOTH, OTHER, NO_BOUND], BOTH),
        ("a small context", vec![(400, too_long)], vec![BOTH, NO_BOUND], BOTH),
        ("a small limit", vec![(400, too_large)], vec![BOTH, NO_BOUND], BOTH),
        (
            "store",
            vec![(400, "property 'store' is unsupported, did you mean 'stop'?")],
            vec![BOTH, "max_tokens"],
            "max_tokens",
        ),
        ("Google", vec![(400, "Unknown name \"store\": Cannot find field.")], vec![BOTH, "max_tokens"], "max_tokens"),
        ("store, perhaps", vec![(500, "'store' is not supported")], vec![BOTH, "max_tokens"], BOTH),
        ("store and the bound", vec![(422, extra)], vec![BOTH, "max_completion_tokens"], "max_completion_tokens"),
    ] {
        let model = FakeModel::without_schema();
        for (status, text) in refusals {
            let body = json!({"error": {"message": text}}).to_string();
            let body = if text.starts_with('{') { text.to_owned() } else { body };
            model.next(move |reply| reply.respond(&format!("{status} No"), "application/json", &body));
        }
        let url = model.base_url();
        let client = build(&[("OPENAI_BASE_URL", &url), ("COMPANION_MODEL", "m")]);
        for _ in 0..2 {
            assert_eq!(ask(&client, &call(LONG)).0, Ok(Finish::Complete), "{case}");
        }
        let sent: Vec<String> = model.raw_requests().iter().map(|request| options(request)).collect();
        assert_eq!(sent, [requests, vec![later]].concat(), "{case}");
    }
}

#[test]
fn a_conversation_that_is_longer_than_the_context_of_the_model_is_shortened() {
    let model = FakeModel::without_schema();
    let refusal = "{\"error\":{\"message\":\"request exceeds the available context size\",\"type\":\"exceed_context_size_error\"}}";
    model.always(Arc::new(move |reply| match reply.length {
        4000.. => reply.respond("400 No", "application/json", refusal),
        _ => reply.delta("a").and_then(|()| reply.finish("stop")),
    }));
    let prompt = file(b"Listen.");
    let url = model.base_url();
    let pairs = [("OPENAI_BASE_URL", url.as_str()), ("COMPANION_MODEL", "m"), ("COMPANION_PROMPT", path(&prompt))];
    let client = build(&pairs);
    let long = "x".repeat(900);
    let mut conversation: Vec<ChatMessage> = Vec::new();
    for turn in 0..12 {
        conversation.push(message(Role::User, &long));
        let result = client.answer(&conversation, None, &call(LONG), &mut |_| {});
        assert_eq!(result, Ok(Finish::Complete), "turn {turn}");
        conversation.push(message(Role::Model, "a"));
    }
    // What is too long alone is not sent again and again.
    let asked = model.raw_requests().len();
    let result = client.answer(&[message(Role::User, &"x".repeat(4000))], None, &call(LONG), &mut |_| {});
    assert_eq!(result, Err(Unavailable::Refused(400)));
    assert_eq!(model.raw_requests().len(), asked + 2, "with a bound and without");
}

#[test]
fn a_compressed_refusal_is_read() {
    let model = FakeModel::without_schema();
    model.next(|reply| {
        let body = gzip(b"{\"error\":{\"message\":\"max_tokens is not supported\"}}");
        reply.send(format!("HTTP/1.1 400 No\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes())?;
        reply.send(&body)
    });
    let client = build(&[("OPENAI_BASE_URL", &model.base_url()), ("COMPANION_MODEL", "m")]);
    assert_eq!(ask(&client, &call(LONG)).0, Ok(Finish::Complete));
}

#[test]
fn a_refusal_of_anything_else_is_not_sent_again() {
    for (status, body) in [
        (400, "{\"error\":{\"message\":\"the store has no such model\"}}"),
        (400, "{\"error\":\"unsupported value\",\"request\":{\"store\": false,\"max_tokens\":4096}}"),
        (400, "{\"error\":\"invalid: {\\\"store\\\":false,\\\"max_tokens\\\":4096}\"}"),
        (401, "{\"error\":{\"message\":\"'max_tokens'\"}}"),
        (400, ""),
    ] {
        let model = FakeModel::without_schema();
        model.always(Arc::new(move |reply| reply.respond(&format!("{status} No"), "application/json", body)));
        let client = build(&[("OPENAI_BASE_URL", &model.base_url()), ("COMPANION_MODEL", "m")]);
        assert_eq!(ask(&client, &call(LONG)).0, Err(Unavailable::Refused(status)), "{body}");
        assert_eq!(model.raw_requests().len(), 1, "{body}");
    }
}

#[test]
fn a_prompt_whose_role_the_server_refuses_is_joined_with_the_first_message() {
    let model = FakeModel::without_schema();
    let refusal = "{\"object\":\"error\",\"message\":\"System role not supported\",\"code\":400}";
    model.next(move |reply| reply.respond("400 No", "application/json", refusal));
    let prompt = file(b"Listen.");
    let url = model.base_url();
    let pairs = [("OPENAI_BASE_URL", url.as_str()), ("COMPANION_MODEL", "m"), ("COMPANION_PROMPT", path(&prompt))];
    let client = build(&pairs);
    for _ in 0..2 {
        assert_eq!(ask(&client, &call(LONG)).0, Ok(Finish::Complete));
    }
    let messages: Vec<Value> = model.raw_requests().iter().map(|request| body(request)["messages"].clone()).collect();
    let joined = json!([{"role": "user", "content": "Listen.\n\nhelp"}]);
    let separate = json!([{"role": "system", "content": "Listen."}, {"role": "user", "content": "help"}]);
    assert_eq!(messages, [separate, joined.clone(), joined]);
}

#[test]
fn a_text_is_rewritten_under_its_own_instruction_and_returned_whole_or_not_at_all() {
    let model = FakeModel::start();
    let client = client(&model);
    model.next(answers(&["I am ", "calm."]));
    assert_eq!(client.rewrite("Smooth this.", "I calm.", &call(LONG)), Ok(Some("I am calm.".to_owned())));
    let sent = &model.requests()[0];
    assert_eq!((sent.messages[0].1.as_str(), sent.question()), ("Smooth this.", "I calm."));
    model.next(|reply| {
        reply.delta("I am ")?;
        reply.finish("length")
    });
    assert_eq!(client.rewrite("Smooth this.", "I calm.", &call(LONG)), Err(Unavailable::Interrupted));
    assert_eq!(build(&[]).rewrite("Smooth this.", "I calm.", &call(LONG)), Ok(None), "without a model");
}
