//! `GET /api/v1/resources`: what is listed, and how it is cached.

use safespace::resources::Registry;
use serde_json::{Value, json};

use super::{EMBEDDED, SMALL, file_of};
use crate::support::app::TestApp;
use crate::support::http::Answer;

const PATH: &str = "/api/v1/resources";

/// A service with the embedded help lines, which its texts name, and with two of the country XX.
fn start(verified_at: &str) -> TestApp {
    let (_, resources) = SMALL.split_once("\n\n").unwrap();
    let resources = resources.replace("\"ID\"", "\"XX\"").replace("2026-01-31", verified_at);
    let file = file_of(&format!("{}\n{resources}", EMBEDDED));
    TestApp::with(&[("RESOURCES", file.path().to_str().unwrap())])
}

/// The names of the help lines in an answer.
#[track_caller]
fn ids(answer: &Answer) -> Vec<String> {
    let resources = answer.json()["resources"].as_array().unwrap().clone();
    resources.iter().map(|resource| resource["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_help_line_has_its_fields_and_says_whether_it_is_verified() {
    let today = chrono::Utc::now().date_naive().to_string();
    let old = (chrono::Utc::now() - chrono::TimeDelta::days(181)).date_naive().to_string();
    for (verified_at, verified) in [(&today, true), (&old, false)] {
        let app = start(verified_at);
        let answer = app.client.get(&format!("{PATH}?country=xx")).assert_status(200).json();
        let never = json!({
            "id": "rescue", "name": "Rescue", "kind": "phone", "value": "555", "topics": ["emergency"], "country": "XX",
            "regions": [], "languages": ["id"], "hours": "", "source": "https://example.org/rescue", "verified": false,
        });
        let once = json!({
            "id": "advice", "name": "Advice", "kind": "web", "value": "https://advice.example", "topics": ["violence"],
            "country": "XX", "regions": ["Jakarta"], "languages": ["id", "en-GB"], "hours": "9-17",
            "source": "https://example.org/advice", "verified_at": verified_at, "verified": verified,
        });
        let topics = &Registry::load(None).unwrap().topics;
        let expected = json!({
            "country": "XX", "resources": [never, once], "ignored": [], "countries": ["ID", "XX"], "topics": topics,
        });
        assert_eq!(answer, expected, "{verified_at}");
    }
}

#[test]
fn country_topic_and_language_select_and_nothing_is_a_dead_end() {
    let app = start("2026-01-31");
    let both: &[&str] = &["rescue", "advice"];
    for (query, expected, ignored) in [
        ("country=XX", both, &[][..]),
        ("country=xx&topic=violence", &["advice"], &[]),
        ("country=XX&topic=VIOLENCE", &["advice"], &[]),
        ("country=XX&language=en", &["advice", "rescue"], &[]),
        ("country=XX&language=en-US&topic=emergency", &["rescue"], &[]),
        ("country=XX&language=%E2%9C%93", both, &[]),
        ("country=XX&topic=&language=", both, &[]),
        ("country=&country=XX", both, &[]),
        // A topic that no help line has, and one that does not exist.
        ("country=XX&topic=legal", both, &["topic"]),
        ("country=XX&topic=violins&language=en", &["advice", "rescue"], &["topic"]),
        // A country of which nothing is known gets no numbers of another one.
        ("country=MY", &[], &[]),
        ("country=MY&topic=violence", &[], &[]),
        ("country=Malaysia", &[], &[]),
        ("unknown=1&%ff=%ff&&=&country=XX", both, &[]),
    ] {
        let answer = app.client.get(&format!("{PATH}?{query}")).assert_status(200);
        assert_eq!(ids(&answer), expected, "{query}");
        assert_eq!(answer.json()["ignored"], json!(ignored), "{query}");
        let country = if expected.is_empty() { Value::Null } else { json!("XX") };
        assert_eq!(answer.json()["country"], country, "{query}");
        assert_eq!(answer.json()["countries"], json!(["ID", "XX"]), "{query}");
        assert!(!answer.text().contains("MY") && !answer.text().contains("Malaysia"), "it is echoed: {query}");
    }
    for query in ["", "?", "?country=", "?country=ID"] {
        let answer = app.client.get(&format!("{PATH}{query}")).assert_status(200);
        assert_eq!((&answer.json()["country"], &*ids(&answer)[0]), (&json!("ID"), "emergency_112"), "{query}");
    }
}

#[test]
fn a_cached_answer_is_confirmed_by_its_entity_tag() {
    let app = TestApp::with(&[("CORS_ALLOWED_ORIGINS", "https://chat.example")]);
    let first = app.client.get(PATH).assert_status(200);
    let etag = first.header("ETag").unwrap();
    assert_eq!(first.header("Cache-Control"), Some("public, max-age=3600"));
    let head = app.client.send("HEAD", PATH).assert_status(200);
    assert_eq!((head.header("ETag"), head.body.len()), (Some(etag), 0));
    for tags in [etag, "*", &format!("W/{etag}"), &format!("\"other\", {etag}")] {
        let fields = [("If-None-Match", tags), ("Origin", "https://chat.example")];
        let answer = app.client.send_with("GET", PATH, &fields).assert_status(304);
        assert_eq!((answer.header("ETag"), answer.body.len()), (Some(etag), 0), "{tags}");
        assert_eq!(answer.header("Cache-Control"), Some("public, max-age=3600"), "{tags}");
        assert_eq!(answer.header("Access-Control-Allow-Origin"), Some("https://chat.example"), "{tags}");
        assert_eq!(answer.header("Vary"), Some("Origin"), "{tags}");
    }
    for tags in ["", "\"\"", "\"other\"", etag.trim_matches('"')] {
        app.client.send_with("GET", PATH, &[("If-None-Match", tags)]).assert_status(200);
    }
    let other = start("2026-01-31");
    assert_ne!(other.client.get(PATH).header("ETag"), Some(etag), "other help lines have the same tag");
}

#[test]
fn the_embedded_help_lines_are_listed_without_a_session() {
    let app = TestApp::start();
    let answer = app.client.get(&format!("{PATH}?topic=emergency")).assert_status(200).json();
    assert_eq!(answer["resources"][0]["id"], "emergency_112");
    for resource in answer["resources"].as_array().unwrap() {
        assert_eq!(resource["verified"], false, "{resource}");
    }
}
