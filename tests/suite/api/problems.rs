//! What an error says: codes, all that is wrong at once, the language, and where a body is wrong.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::support::app::TestApp;
use crate::support::chat::Chat;
use crate::support::events::Events;
use crate::support::fake_model::FakeModel;
use crate::support::http::Answer;

/// The codes of the errors of a 422.
#[track_caller]
fn codes(answer: &Answer) -> Vec<String> {
    answer.assert_problem(422);
    let code = |error: &Value| error["code"].as_str().unwrap().to_owned();
    answer.json()["errors"].as_array().unwrap().iter().map(code).collect()
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let app = TestApp::start();
    let chat = Chat::new(&app);
    let both = ["limit_invalid", "before_invalid"];
    let answer = chat.history("?limit=0&before=x");
    assert_eq!(codes(&answer), both);
    let detail = answer.assert_problem(422);
    assert!(detail.contains("limit must") && detail.contains("before must"), "{detail}");
    let all = ["session_id_invalid", "limit_invalid", "before_invalid"];
    assert_eq!(codes(&app.client.get("/api/v1/sessions/1/chat?limit=0&before=x")), all);
    let no_key = [("Idempotency-Key", "")];
    let answer = app.client.post_json("/api/v1/sessions/1/chat", &json!({"message": " "}), &no_key);
    assert_eq!(codes(&answer), ["session_id_invalid", "idempotency_key_invalid", "message_blank"]);
    let answer = app.client.post_json(&chat.path(), &json!([]), &no_key);
    assert_eq!(codes(&answer), ["idempotency_key_invalid", "body_not_object"]);
}

#[test]
fn each_wrong_message_has_its_code() {
    let app = TestApp::start();
    let chat = Chat::new(&app);
    for (message, code) in [
        (json!(null), "message_missing"),
        (json!(1), "message_missing"),
        (json!(""), "message_blank"),
        (json!("x".repeat(4_097)), "message_too_long"),
        (json!("a\0b"), "message_has_nul"),
    ] {
        let answer = app.client.post_json(&chat.path(), &json!({"message": message}), &[]);
        assert_eq!(codes(&answer), [code], "{message}");
    }
}

#[test]
fn a_body_that_is_wrong_is_told_where_and_not_echoed() {
    let app = TestApp::start();
    let deep = format!("{}1", r#"{"a":"#.repeat(200));
    let cases: &[(&[u8], &str, Option<u64>)] = &[
        (b"{", "body_not_json", Some(1)),
        (b"{'marker': 1}", "body_not_json", Some(2)),
        (b"{\n \"a\": marker}", "body_not_json", Some(9)),
        (b"\xef\xbb\xbf{'marker': 1}", "body_not_json", Some(5)),
        (b"{}marker", "body_not_json", Some(3)),
        (b" ", "body_not_json", Some(1)),
        (b"{\"a\": \"marker\xff\"}", "body_not_utf8", Some(14)),
        (b"\xff\xfe{\0}\0", "body_not_utf8", Some(1)),
        (deep.as_bytes(), "body_too_deep", Some(636)),
        (b"[\"marker\"]", "body_not_object", None),
        (b"null", "body_not_object", None),
    ];
    for (body, code, position) in cases {
        let answer = app.client.post_body("/api/v1/sessions", "application/json", body);
        let case = String::from_utf8_lossy(&body[..body.len().min(20)]).into_owned();
        assert_eq!(codes(&answer), [*code], "{case}");
        assert_eq!(answer.json()["errors"][0]["position"].as_u64(), *position, "{case}");
        assert!(!answer.text().contains("marker"), "{case} is echoed");
    }
}

#[test]
fn one_byte_order_mark_and_halves_of_surrogate_pairs_lose_no_message() {
    let app = TestApp::start();
    for (body, stored) in [
        ("\u{feff}{\"message\": \"hello\"}", "hello"),
        (r#"{"message": "I feel \ud83d"}"#, "I feel \u{fffd}"),
        (r#"{"message": "\uDE42 x \uD83Dy"}"#, "\u{fffd} x \u{fffd}y"),
        (r#"{"message": "\ud83d\ud83d\ude42"}"#, "\u{fffd}\u{1f642}"),
        (r#"{"message": "\ud83d\n\ude42"}"#, "\u{fffd}\n\u{fffd}"),
        (r#"{"message": "\\ud83d \\\ud83d"}"#, "\\ud83d \\\u{fffd}"),
        (r#"{"message": "\ud83d\ude42"}"#, "\u{1f642}"),
    ] {
        let chat = Chat::new(&app);
        app.client.post_body(&chat.path(), "application/json", body.as_bytes()).assert_status(200);
        assert_eq!(chat.messages()[0]["content"], stored, "{body}");
    }
}

#[test]
fn a_compressed_body_gets_415_with_what_is_accepted() {
    let app = TestApp::start();
    let gzip = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xab\xae\x05\x00\x43\xbf\xa6\xa3\x02\x00\x00\x00";
    for (encoding, body, status) in [
        ("gzip", gzip.as_slice(), 415),
        ("br", b"{}", 415),
        ("identity, gzip", b"{}", 415),
        ("Identity", b"{}", 201),
        ("", b"{}", 201),
        ("gzip", b"", 201),
    ] {
        let head =
            "POST /api/v1/sessions HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n";
        let head = format!("{head}Content-Encoding: {encoding}\r\nContent-Length: {}\r\n\r\n", body.len());
        let answer = app.client.raw(&[head.as_bytes(), body].concat());
        assert_eq!(answer.status, status, "{encoding}: {}", answer.text());
        if status == 415 {
            answer.assert_problem(415);
            assert_eq!(answer.json()["code"], "content_encoding_unsupported", "{encoding}");
            assert_eq!(answer.header("Accept-Encoding"), Some("identity"), "{encoding}");
        }
    }
}

#[test]
fn errors_are_in_the_language_that_the_client_prefers() {
    let app = TestApp::start();
    for (accepted, language, title) in [
        ("id-ID,id;q=0.9,en;q=0.8", "id", "Permintaan tidak sah"),
        ("en, id;q=0.5", "en", "The request is not valid"),
        ("de", "en", "The request is not valid"),
    ] {
        let request = format!(
            "GET /api/v1/sessions/1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAccept-Language: {accepted}\r\n\r\n"
        );
        let answer = app.client.raw(request.as_bytes());
        let detail = answer.assert_problem(422);
        assert_eq!(answer.json()["title"], title, "{accepted}");
        assert!(detail.starts_with(title) && detail.contains("session_id"), "{accepted}: {detail}");
        assert_eq!(answer.header("Content-Language"), Some(language), "{accepted}");
        assert_eq!(answer.header("Vary"), Some("Accept-Language, Origin"), "{accepted}");
    }
}

#[test]
fn the_error_of_a_stream_has_the_code_the_delay_and_the_language_too() {
    let model = FakeModel::start();
    model.always(Arc::new(|reply| reply.refuse(500)));
    let app = model.app(&[]);
    let request = Chat::new(&app).request("text/event-stream\r\nAccept-Language: id", None, "hello");
    let error = Events::request(app.client.address(), &request).expect("a stream").error(503);
    assert_eq!((&error["code"], &error["retry_after"]), (&json!("no_answer"), &json!(1)));
    assert!(error["detail"].as_str().unwrap().starts_with("Saat ini belum ada jawaban."), "{error}");
}
