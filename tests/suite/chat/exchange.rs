//! `/api/v1/sessions/{session_id}/chat`: what is said, what is answered, and what is kept, with the script as companion.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::app::TestApp;
use crate::support::talk::Talk;

const MOST_CHARS: usize = 4_096;

fn keys(value: &Value) -> Vec<&str> {
    // A map that knows no order has them sorted.
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn what_a_person_says_is_answered_and_both_are_kept() {
    let app = TestApp::start();
    let talk = Talk::new(&app);
    let answer = talk.say("Halo, aku takut.").assert_status(200);
    assert_eq!(answer.header("Content-Type"), Some("application/json"));
    assert_eq!(answer.header("Cache-Control"), Some("no-store"));
    let answer = answer.json();
    assert_eq!(keys(&answer), ["content", "created_at", "id", "role", "session_id", "source"]);
    assert_eq!((&answer["role"], &answer["source"]), (&json!("model"), &json!("script")));
    assert_eq!(answer["session_id"], talk.id);
    assert!(answer["content"].as_str().is_some_and(|content| !content.trim().is_empty()), "{answer}");

    let history = talk.history("").assert_status(200).json();
    assert_eq!(keys(&history), ["messages", "session_id"]);
    assert_eq!(history["session_id"], talk.id);
    let messages = history["messages"].as_array().unwrap();
    assert_eq!(messages.len(), 2);
    assert_eq!((&messages[0]["role"], &messages[0]["content"]), (&json!("user"), &json!("Halo, aku takut.")));
    for message in messages {
        assert_eq!(keys(message), ["content", "created_at", "id", "role", "session_id"]);
        assert_eq!(message["session_id"], talk.id);
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
fn a_new_session_has_said_nothing() {
    let app = TestApp::start();
    let talk = Talk::new(&app);
    assert_eq!(talk.history("").assert_status(200).json(), json!({"session_id": talk.id, "messages": []}));
    assert_eq!(
        talk.history("?limit=10").assert_status(200).json(),
        json!({"session_id": talk.id, "messages": [], "has_more": false})
    );
}

#[test]
fn a_message_that_is_none_is_422_and_is_not_kept() {
    let app = TestApp::start();
    let talk = Talk::new(&app);
    let too_long = "x".repeat(MOST_CHARS + 1);
    let too_long_and_astral = "\u{1f9ed}".repeat(MOST_CHARS + 1);
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
        (json!({"message": format!("x{}", " ".repeat(MOST_CHARS))}), "message"),
        (json!("message"), "body"),
        (json!(["message"]), "body"),
        (json!(null), "body"),
    ];
    for (body, field) in cases {
        let answer = app.client.post_json(&talk.path(), &body, &[]);
        answer.assert_problem(422);
        let shown: String = body.to_string().chars().take(60).collect();
        assert_eq!(answer.json()["errors"][0]["field"], field, "{shown}");
        assert_eq!(answer.json()["errors"].as_array().unwrap().len(), 1, "{shown}");
    }
    for (body, field) in [
        ("", "message"),
        ("{", "body"),
        (r#"{"message": "\ud800"}"#, "body"),
        (r#"{"message": "x"} {}"#, "body"),
        ("{\"message\": \"a\nb\"}", "body"),
    ] {
        let answer = app.client.post_body(&talk.path(), "application/json", body.as_bytes());
        answer.assert_problem(422);
        assert_eq!(answer.json()["errors"][0]["field"], field, "{body}");
    }
    assert_eq!(talk.said(), [""; 0]);
}

#[test]
fn a_message_is_kept_exactly_as_it_was_sent() {
    let app = TestApp::start();
    let ascii = "x".repeat(MOST_CHARS);
    let astral = "\u{1f9ed}".repeat(MOST_CHARS);
    let nearly_blank = format!("{}x", " ".repeat(MOST_CHARS - 1));
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
        let talk = Talk::new(&app);
        talk.say(message).assert_status(200);
        assert_eq!(talk.messages()[0]["content"], message);
    }
    // The same in the longest way to write it.
    let talk = Talk::new(&app);
    let body = format!(r#"{{"message": "{}"}}"#, r"\ud83e\udded".repeat(MOST_CHARS));
    app.client.post_body(&talk.path(), "application/json", body.as_bytes()).assert_status(200);
    assert_eq!(talk.messages()[0]["content"], astral.as_str());
}

#[test]
fn further_fields_are_ignored() {
    let app = TestApp::start();
    let talk = Talk::new(&app);
    let body = json!({"message": "halo", "role": "model", "content": "x", "session_id": "x", "stream": true, "": [{}]});
    let answer = app.client.post_json(&talk.path(), &body, &[("Accept", "application/json")]).assert_status(200);
    assert_eq!(answer.header("Content-Type"), Some("application/json"));
    assert_eq!(talk.said()[0], "user: halo");
}

#[test]
fn without_such_a_session_it_is_404_and_nothing_is_kept() {
    let app = TestApp::start();
    let erased = Talk::new(&app);
    erased.say("halo").assert_status(200);
    erased.erase().assert_status(204);
    let unknown = Uuid::new_v4().to_string();
    for talk in [Talk::with(&app.client, &unknown), erased] {
        talk.say("halo").assert_problem(404);
        talk.say_as("key", "halo").assert_problem(404);
        talk.history("").assert_problem(404);
        talk.history("?limit=10").assert_problem(404);
        talk.stop().assert_problem(404);
    }
    assert_eq!(app.sql().query("SELECT FROM messages", &[]).unwrap().len(), 0);
}

#[test]
fn an_id_that_is_not_a_uuid_is_422_and_asks_no_database() {
    let app = TestApp::start();
    // With the tables gone, a query would be a 500.
    app.sql().batch_execute("DROP TABLE messages; ALTER TABLE sessions RENAME TO elsewhere").unwrap();
    for id in ["1", "not-a-uuid", "550e8400e29b41d4a716446655440000"] {
        let talk = Talk::with(&app.client, id);
        for answer in [talk.say("halo"), talk.history(""), talk.stop()] {
            answer.assert_problem(422);
            assert_eq!(answer.json()["errors"][0]["field"], "session_id");
        }
    }
}

#[test]
fn a_body_is_json_and_no_larger_than_allowed() {
    let app = TestApp::start();
    let talk = Talk::new(&app);
    let large = json!({"message": "halo", "more": "x".repeat(65_536)}).to_string();
    for media_type in ["text/plain", "", "application/x-www-form-urlencoded", "text/event-stream"] {
        app.client.post_body(&talk.path(), media_type, br#"{"message": "halo"}"#).assert_problem(415);
    }
    app.client.post_body(&talk.path(), "application/json", large.as_bytes()).assert_problem(413);
    app.client.send("PUT", &talk.path()).assert_problem(405);
    assert_eq!(app.client.send("PUT", &talk.path()).header("Allow").map(|allow| allow.contains("POST")), Some(true));
    app.client.get(&format!("{}/stop", talk.path())).assert_problem(405);
    app.client.get(&format!("{}/more", talk.path())).assert_problem(404);
    assert_eq!(talk.said(), [""; 0]);
}

#[test]
fn a_session_is_the_same_in_either_case_of_its_id() {
    let app = TestApp::start();
    let talk = Talk::new(&app);
    let upper = Talk::with(&app.client, &talk.id.to_uppercase());
    talk.say("one").assert_status(200);
    upper.say("two").assert_status(200);
    assert_eq!(upper.messages(), talk.messages());
    assert_eq!(talk.messages().len(), 4);
    assert!(upper.messages().iter().all(|message| message["session_id"] == talk.id));
}

#[test]
fn sessions_do_not_see_each_other_and_the_script_answers_alike() {
    let app = TestApp::start();
    let (one, other) = (Talk::new(&app), Talk::new(&app));
    let first = one.say("Aku merasa ini salahku.").assert_status(200).json();
    assert_eq!(other.said(), [""; 0]);
    let second = other.say("Aku merasa ini salahku.").assert_status(200).json();
    assert_eq!(first["content"], second["content"], "it has no dice");
    let ids: HashSet<String> =
        [&one, &other].iter().flat_map(|talk| talk.messages()).map(|message| message["id"].to_string()).collect();
    assert_eq!(ids.len(), 4);
}

#[test]
fn an_erased_session_leaves_no_message() {
    let app = TestApp::start();
    let (erased, other) = (Talk::new(&app), Talk::new(&app));
    erased.say_as("key", "halo").assert_status(200);
    other.say("halo").assert_status(200);
    erased.erase().assert_status(204);
    let left = app.sql().query("SELECT FROM messages", &[]).unwrap().len();
    assert_eq!((left, other.said().len()), (2, 2));
}
