//! `POST /page/leave`: erases the session and leads away, whatever happens.

use super::html::{ACCEPT, begin};
use crate::support::app::TestApp;
use crate::support::chat::count_rows;
use crate::support::cluster::Cluster;
use crate::support::http::Answer;

const EXIT: (&str, &str) = ("WEB_EXIT_URL", "https://weather.example/");

fn leave(app: &TestApp, form: &[(&str, &str)], fields: &[(&str, &str)]) -> Answer {
    app.client.post_form("/page/leave?language=en", form, &[&ACCEPT, fields].concat())
}

#[track_caller]
fn assert_leads_away(answer: &Answer, status: u16) {
    assert_eq!(answer.status, status);
    assert_eq!(answer.header("Refresh"), Some("0; url=https://weather.example/"));
    assert!(answer.header("Location").is_none(), "browsers apply form-action to a redirection");
    assert_eq!(answer.header("Cache-Control"), Some("no-store"));
    let page = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>…</title><link rel=\"icon\" href=\"data:,\"><p>";
    let link = "https://weather.example/";
    assert_eq!(answer.text(), format!("{page}<a href=\"{link}\">{link}</a>"));
}

#[test]
fn leaving_erases_the_session_and_clears_the_browser_whatever_the_id_is() {
    let app = TestApp::with(&[EXIT]);
    let page = begin(&app);
    let expected = leave(&app, &[("session_id", &page.field("leave", "session_id"))], &[]);
    assert_leads_away(&expected, 200);
    assert_eq!(count_rows(&mut app.sql()), 0);
    assert_eq!(expected.header("Clear-Site-Data"), Some("\"cache\", \"storage\""));
    let code = begin(&app).code();
    for id in [code.as_str(), "550e8400-e29b-41d4-a716-446655440000", "x", ""] {
        let answer = leave(&app, &[("session_id", id)], &[]);
        assert_leads_away(&answer, 200);
        assert_eq!(answer.constant_fields(), expected.constant_fields(), "{id}");
    }
    assert_eq!(count_rows(&mut app.sql()), 0);
    assert_leads_away(&leave(&app, &[], &[]), 200);
    // Loaded again, and from a text browser that sends a form without fields so.
    assert_leads_away(&app.client.get("/page/leave?language=en"), 200);
}

#[test]
fn a_person_leaves_also_where_the_form_is_refused_or_the_database_is_down() {
    let mut cluster = Cluster::start();
    let app = TestApp::at(&cluster.url(), &[EXIT, ("DB_ACQUIRE_TIMEOUT_MS", "500")]);
    let page = begin(&app);
    let id = page.field("leave", "session_id");
    let form = [("session_id", id.as_str())];
    assert_leads_away(&leave(&app, &form, &[("Sec-Fetch-Site", "cross-site")]), 403);
    assert_leads_away(&leave(&app, &form, &[("Content-Encoding", "gzip")]), 415);
    assert_leads_away(&leave(&app, &[form[0], ("more", &"x".repeat(1024))], &[]), 413);
    app.client.get(&format!("/api/v1/sessions/{id}")).assert_status(200);
    cluster.stop(None);
    let answer = leave(&app, &form, &[]);
    assert_leads_away(&answer, 503);
    assert!(answer.header("Retry-After").is_some());
}
