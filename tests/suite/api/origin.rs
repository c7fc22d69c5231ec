//! Requests from pages of other origins: refused before they have an effect.

use serde_json::json;

use crate::support::app::TestApp;
use crate::support::chat::{Chat, count_rows};

#[test]
fn a_post_from_a_page_of_another_origin_has_no_effect() {
    let app = TestApp::start();
    let chat = Chat::new(&app);
    let own = format!("http://{}", app.client.address());
    let rows = count_rows(&mut app.sql());
    for path in ["/api/v1/sessions", &chat.path(), &format!("{}/stop", chat.path())] {
        for fields in [
            [("Origin", "https://evil.example"), ("X", "")],
            [("Origin", "null"), ("X", "")],
            [("Origin", "http://127.0.0.1:1"), ("X", "")],
            [("Origin", "https://evil.example"), ("Sec-Fetch-Site", "cross-site")],
            [("Origin", &own), ("Sec-Fetch-Site", "same-site")],
            [("X", ""), ("Sec-Fetch-Site", "cross-site")],
        ] {
            let answer = app.client.post_json(path, &json!({"message": "hello"}), &fields);
            answer.assert_problem(403);
            assert_eq!(answer.json()["code"], "foreign_origin", "{path} {fields:?}");
        }
    }
    assert_eq!(count_rows(&mut app.sql()), rows);
}

#[test]
fn a_post_from_an_own_page_or_from_no_page_is_answered() {
    let app = TestApp::start();
    let own = format!("http://{}", app.client.address());
    for fields in [
        [("Origin", own.as_str()), ("X", "")],
        // A proxy has ended TLS.
        [("Origin", &own.replace("http", "https")), ("X", "")],
        [("Origin", &own), ("Sec-Fetch-Site", "same-origin")],
        // A proxy has changed Host.
        [("Origin", "https://safe.example"), ("Sec-Fetch-Site", "same-origin")],
        [("X", ""), ("Sec-Fetch-Site", "none")],
    ] {
        app.client.post_json("/api/v1/sessions", &json!({}), &fields).assert_status(201);
    }
}
