//! Forms from pages of other origins.

use super::html::{ACCEPT, Html, begin};
use crate::support::app::TestApp;
use crate::support::chat::count_rows;

const ALLOWED: &str = "https://front.example";

#[test]
fn a_form_of_another_origin_is_refused_on_every_route_also_where_the_origin_is_allowed_for_the_api() {
    let app = TestApp::with(&[("CORS_ALLOWED_ORIGINS", ALLOWED)]);
    let id = begin(&app).field("say", "session_id");
    let form = [("session_id", id.as_str()), ("key", "k"), ("message", "Hello")];
    for origin in [
        [("Origin", "https://evil.example")].as_slice(),
        &[("Origin", ALLOWED)],
        &[("Origin", ALLOWED), ("Sec-Fetch-Site", "cross-site")],
        &[("Origin", "null")],
        &[("Origin", "null"), ("Sec-Fetch-Site", "cross-site")],
        &[("Sec-Fetch-Site", "cross-site")],
        &[("Sec-Fetch-Site", "same-site")],
        &[("Sec-Fetch-Site", "same-origin"), ("Sec-Fetch-Site", "cross-site")],
    ] {
        let fields = [&ACCEPT, origin].concat();
        for name in ["begin", "say", "read", "end", "leave"] {
            let answer = app.client.post_form(&format!("/page/{name}"), &form, &fields).assert_status(403);
            assert_eq!(answer.header("Refresh").is_some(), name == "leave", "{name} {origin:?}");
            assert!(answer.header("Clear-Site-Data").is_none() && !answer.text().contains(&id));
            if name != "leave" {
                let page = Html::of(&answer);
                assert!(!page.notice().is_empty() && page.text.contains("id=\"begin\""));
            }
        }
    }
    let rows = count_rows(&mut app.sql());
    assert_eq!(
        (rows, app.client.get(&format!("/api/v1/sessions/{id}/chat")).json()["messages"].as_array().unwrap().len()),
        (1, 0)
    );
}

#[test]
fn a_form_of_the_page_itself_is_accepted() {
    let app = TestApp::start();
    let own = format!("http://{}", app.client.address());
    for origin in [
        [].as_slice(),
        &[("Origin", own.as_str())],
        &[("Origin", own.as_str()), ("Sec-Fetch-Site", "same-origin")],
        &[("Origin", "null"), ("Sec-Fetch-Site", "same-origin")],
        &[("Sec-Fetch-Site", "none")],
    ] {
        app.client.post_form("/page/begin", &[], &[&ACCEPT, origin].concat()).assert_status(200);
    }
}
