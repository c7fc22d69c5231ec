//! `/api/v1/sessions/{session_id}/chat` with the script as companion: messages, answers, and what is stored.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::app::TestApp;
use crate::support::chat::Chat;

const MAX_CHARS: usize = 4_096;

fn keys(value: &Value) -> Vec<&str> {
    // `serde_json` sorts the keys of a map.
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn a_message_is_answered_and_both_are_stored() {
    let app = TestApp::start();
    let chat = Chat::new(&app);
    let answer = chat.send("Halo, aku takut.").assert_status(200);
    assert_eq!(answer.header("Content-Type"), Some("application/json"));
    assert_eq!(answer.header("Cache-Control"), Some("no-store"));
    let answer = answer.json();
    assert_eq!(keys(&answer), ["ai", "content", "created_at", "id", "role", "session_id", "source"]);
    assert_eq!((&answer["ai"], &answer["role"], &answer["source"]), (&json!(true), &json!("model"), &json!("script")));
    assert_eq!(answer["session_id"], chat.id);
    assert!(answer["content"].as_str().is_some_and(|content| !content.trim().is_empty()), "{answer}");

    let history = chat.history("").assert_status(200).json();
    assert_eq!(keys(&history), ["messages", "session_id"]);
    assert_eq!(history["session_id"], chat.id);
    let messages = history["messages"].as_array().unwrap();
    assert_eq!(messages.len(), 2);
    assert_eq!((&messages[0]["role"], &messages[0]["content"]), (&json!("user"), &json!("Halo, aku takut.")));
    for message in messages {
        assert_eq!(keys(message), ["content", "created_at", "id", "role", "session_id"]);
        assert_eq!(message["session_id"], chat.id);
        let id = message["id"].as_str().unwrap();
        assert_eq!(id, id.parse::<Uuid>().unwrap().hyphenated().to_string());
        let created_at = message["created_at"].as_str().unwrap();
        assert!(created_at.ends_with('Z') && created_at.len() == 27, "{created_at}");
        let age = Utc::now() - created_at.parse::<DateTime<Utc>>().unwrap();
        assert!(age.num_seconds().abs() < 20, "{created_at}");
    }
    for field in ["id", "role", "content", "created_at", "session_id"] {
        assert_eq!(messages[1][field], answer[field], "{field}");
    }
}

#[test]
fn a_new_session_has_an_empty_history() {
    let app = TestApp::start();
    let chat = Chat::new(&app);
    assert_eq!(chat.history("").assert_status(200).json(), json!({"session_id": chat.id, "messages": []}));
    assert_eq!(
        chat.history("?limit=10").assert_status(200).json(),
        json!({"session_id": chat.id, "messages": [], "has_more": false})
    );
}

#[test]
fn an_invalid_message_is_422_and_is_not_stored() {
    let app = TestApp::start();
    let chat = Chat::new(&app);
    let too_long = "x".repeat(MAX_CHARS + 1);
    let too_long_and_astral = "\u{1f9ed}".repeat(MAX_CHARS + 1);
    let cases = [
        (json!({}), "message"),
        (json!({"Message": "x"}), "message"),
        (json!({"message": null}), "message"),
        (json!({"message": 1}), "message"),
        (json!({"message": ["x"]}), "message"),
        (json!({"message": {"message": "x"}}), "message"),
        (json!({"message": ""}), "message"),
        (json!({"message": " "}), "message"),
        (
            json!({"message": "\r\n\t \u{b}\u{c}\u{85}\u{a0}\u{1680}\u{2003}\u{2028}\u{2029}\u{202f}\u{205f}\u{3000}"}),
            "message",
        ),
        (json!({"message": "a\0b"}), "message"),
        (json!({"message": "\0"}), "message"),
        (json!({"message": too_long}), "message"),
        (json!({"message": too_long_and_astral}), "message"),
        (json!({"message": format!("x{}", " ".repeat(MAX_CHARS))}), "message"),
        (json!("message"), "body"),
        (json!(["message"]), "body"),
        (json!(null), "body"),
    ];
    for (body, field) in cases {
        let answer = app.client.post_json(&chat.path(), &body, &[]);
        answer.assert_problem(422);
        let shown: String = body.to_string().chars().take(60).collect();
        assert_eq!(answer.json()["errors"][0]["field"], field, "{shown}");
        assert_eq!(answer.json()["errors"].as_array().unwrap().len(), 1, "{shown}");
    }
    for (body, field) in
        [("", "message"), ("{", "body"), (r#"{"message": "x"} {}"#, "body"), ("{\"message\": \"a\nb\"}", "body")]
    {
        let answer = app.client.post_body(&chat.path(), "application/json", body.as_bytes());
        answer.assert_problem(422);
        assert_eq!(answer.json()["errors"][0]["field"], field, "{body}");
    }
    assert_eq!(chat.transcript(), [""; 0]);
}

#[test]
fn a_message_is_stored_exactly_as_sent() {
    let app = TestApp::start();
    let ascii = "x".repeat(MAX_CHARS);
    let astral = "\u{1f9ed}".repeat(MAX_CHARS);
    let nearly_blank = format!("{}x", " ".repeat(MAX_CHARS - 1));
    for message in [
        "x",
        "  spaces before and after \n\n",
        "\u{feff}a byte order mark, and a\u{feff}nother",
        "\u{202e}from the right \u{202c} e\u{301} \u{e9} \u{212b} \u{c5} \u{fb01}",
        "\u{1f469}\u{200d}\u{1f467} \u{1f1ee}\u{1f1e9} \u{200b}\u{2060}",
        "\u{200b}",
        "\u{1}\u{7f}\u{1b}[31m\u{80}\u{9f}",
        "a\r\nb\rc\nd\te\u{2028}f\u{85}g",
        "\u{fffe}\u{ffff}\u{10ffff}\u{e000}\u{fffd}",
        r#"\u0041 \\ " ' {"message": "x"} </script> $1 %00 ; DROP TABLE messages; --"#,
        "\u{985}\u{9ae}\u{9bf} \u{ba8}\u{bbf} \u{1780}\u{17d2}\u{1798} \u{627}\u{644}",
        &ascii,
        &astral,
        &nearly_blank,
    ] {
        let chat = Chat::new(&app);
        chat.send(message).assert_status(200);
        assert_eq!(chat.messages()[0]["content"], message, "{message:?}");
    }
    // The longest encoding of the longest message.
    let chat = Chat::new(&app);
    let body = format!(r#"{{"message": "{}"}}"#, r"\ud83e\udded".repeat(MAX_CHARS));
    app.client.post_body(&chat.path(), "application/json", body.as_bytes()).assert_status(200);
    assert_eq!(chat.messages()[0]["content"], astral.as_str());
}

#[test]
fn unknown_fields_of_the_body_are_ignored() {
    let app = TestApp::start();
    let chat = Chat::new(&app);
    let body = json!({"message": "halo", "role": "model", "content": "x", "session_id": "x", "stream": true, "": [{}]});
    let answer = app.client.post_json(&chat.path(), &body, &[("Accept", "application/json")]).assert_status(200);
    assert_eq!(answer.header("Content-Type"), Some("application/json"));
    assert_eq!(chat.transcript()[0], "user: halo");
}

#[test]
fn an_unknown_or_erased_session_is_404_and_stores_nothing() {
    let app = TestApp::start();
    let erased = Chat::new(&app);
    erased.send("halo").assert_status(200);
    erased.erase().assert_status(204);
    let unknown = Uuid::new_v4().to_string();
    for chat in [Chat::of(&app.client, &unknown), erased] {
        for (case, answer) in [
            ("send", chat.send("halo")),
            ("send with a key", chat.send_with_key("key", "halo")),
            ("history", chat.history("")),
            ("a page", chat.history("?limit=10")),
            ("stop", chat.stop()),
        ] {
            assert_eq!(answer.status, 404, "{case} of {}", chat.id);
            answer.assert_problem(404);
        }
    }
    assert_eq!(app.sql().query("SELECT FROM messages", &[]).unwrap().len(), 0);
}

#[test]
fn an_id_that_is_not_a_uuid_is_422_without_a_query() {
    let app = TestApp::start();
    // Without the tables every query is a 500.
    app.sql().batch_execute("DROP TABLE messages; ALTER TABLE sessions RENAME TO elsewhere").unwrap();
    for id in ["1", "not-a-uuid", "550e8400e29b41d4a716446655440000"] {
        let chat = Chat::of(&app.client, id);
        for (case, answer) in [("send", chat.send("halo")), ("history", chat.history("")), ("stop", chat.stop())] {
            assert_eq!(answer.status, 422, "{case} {id}");
            answer.assert_problem(422);
            assert_eq!(answer.json()["errors"][0]["field"], "session_id", "{case} {id}");
        }
    }
}

#[test]
fn a_wrong_media_type_size_or_method_is_refused() {
    let app = TestApp::start();
    let chat = Chat::new(&app);
    let large = json!({"message": "halo", "more": "x".repeat(65_536)}).to_string();
    for media_type in ["text/plain", "", "application/x-www-form-urlencoded", "text/event-stream"] {
        let answer = app.client.post_body(&chat.path(), media_type, br#"{"message": "halo"}"#);
        assert_eq!(answer.status, 415, "{media_type}");
        answer.assert_problem(415);
    }
    app.client.post_body(&chat.path(), "application/json", large.as_bytes()).assert_problem(413);
    app.client.send("PUT", &chat.path()).assert_problem(405);
    assert_eq!(app.client.send("PUT", &chat.path()).header("Allow").map(|allow| allow.contains("POST")), Some(true));
    app.client.get(&format!("{}/stop", chat.path())).assert_problem(405);
    app.client.get(&format!("{}/more", chat.path())).assert_problem(404);
    assert_eq!(chat.transcript(), [""; 0]);
}

#[test]
fn either_case_of_an_id_is_the_same_session() {
    let app = TestApp::start();
    let chat = Chat::new(&app);
    let upper = Chat::of(&app.client, &chat.id.to_uppercase());
    chat.send("one").assert_status(200);
    upper.send("two").assert_status(200);
    assert_eq!(upper.messages(), chat.messages());
    assert_eq!(chat.messages().len(), 4);
    assert!(upper.messages().iter().all(|message| message["session_id"] == chat.id));
}

#[test]
fn sessions_are_separate_and_the_script_is_deterministic() {
    let app = TestApp::start();
    let (one, other) = (Chat::new(&app), Chat::new(&app));
    let first = one.send("Aku merasa ini salahku.").assert_status(200).json();
    assert_eq!(other.transcript(), [""; 0]);
    let second = other.send("Aku merasa ini salahku.").assert_status(200).json();
    assert_eq!(first["content"], second["content"], "the script has no randomness");
    let ids: HashSet<String> =
        [&one, &other].iter().flat_map(|chat| chat.messages()).map(|message| message["id"].to_string()).collect();
    assert_eq!(ids.len(), 4);
}

#[test]
fn erasing_a_session_deletes_its_messages_and_no_others() {
    let app = TestApp::start();
    let (erased, other) = (Chat::new(&app), Chat::new(&app));
    erased.send_with_key("key", "halo").assert_status(200);
    other.send("halo").assert_status(200);
    erased.erase().assert_status(204);
    let left = app.sql().query("SELECT FROM messages", &[]).unwrap().len();
    assert_eq!((left, other.transcript().len()), (2, 2));
}
