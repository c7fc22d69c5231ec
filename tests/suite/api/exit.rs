//! `POST /api/v1/exit`: a form that erases the session and leads to another page.

use serde_json::json;

use crate::support::app::TestApp;
use crate::support::chat::count_rows;
use crate::support::cluster::Cluster;
use crate::support::http::Answer;
use crate::support::lock_table;
use crate::support::raw::Raw;

const URLS: (&str, &str) = ("EXIT_URLS", "https://weather.example/, https://news.example/?a=1&b=2");

fn exit(app: &TestApp, form: &str) -> Answer {
    let answer = app.client.post_body("/api/v1/exit", "application/x-www-form-urlencoded", form.as_bytes());
    assert_eq!(answer.header("Clear-Site-Data"), Some("\"cache\", \"storage\""), "{form}");
    assert_eq!(answer.header("Referrer-Policy"), Some("no-referrer"), "{form}");
    answer
}

/// Asserts that this is a page that leads to a URL and says nothing else.
#[track_caller]
fn assert_page(answer: &Answer, status: u16, url: &str) {
    assert_eq!(answer.status, status, "{}", answer.text());
    assert_eq!(answer.header("Content-Type"), Some("text/html; charset=utf-8"));
    assert_eq!(answer.header("Refresh"), Some(format!("0; url={url}").as_str()));
    let link = url.replace('&', "&amp;");
    let page = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>…</title><link rel=\"icon\" href=\"data:,\"><p>";
    assert_eq!(answer.text(), format!("{page}<a href=\"{link}\">{link}</a>"));
}

#[test]
fn exit_erases_the_session_and_leads_to_the_first_url_or_the_one_that_the_form_names() {
    let app = TestApp::with(&[URLS]);
    for (url, location) in [
        ("", "https://weather.example/"),
        ("&url=", "https://weather.example/"),
        ("&url=https%3A%2F%2Fweather.example%2F", "https://weather.example/"),
        ("&url=https%3A%2F%2Fnews.example%2F%3Fa%3D1%26b%3D2", "https://news.example/?a=1&b=2"),
        // enctype="text/plain".
        ("\r\nurl=https://news.example/?a=1&b=2\r\n", "https://news.example/?a=1&b=2"),
        ("\r\nurl=\r\n", "https://weather.example/"),
    ] {
        let answer = exit(&app, &format!("session_id={}{url}", app.create_session())).assert_status(303);
        assert_eq!((answer.header("Location"), answer.body.len()), (Some(location), 0));
        assert_eq!(count_rows(&mut app.sql()), 0);
    }
    let unknown = exit(&app, "session_id=550e8400-e29b-41d4-a716-446655440000").assert_status(303).constant_fields();
    for form in ["session_id=1", "", "url="] {
        assert_eq!(exit(&app, form).assert_status(303).constant_fields(), unknown, "{form}");
    }
}

#[test]
fn multipart_forms_and_json_lead_to_their_url_whatever_surrounds_them() {
    let app = TestApp::with(&[URLS]);
    let part = "--b\r\nContent-Disposition: form-data; name=";
    let url = "https://news.example/?a=1&b=2";
    for make in [
        |form: &str, _: &str| form.to_owned(),
        |form: &str, _: &str| form.replace("\r\n", "\n"),
        |form: &str, _: &str| format!("A preamble.\r\n\r\n{form}"),
        |_: &str, json: &str| json.to_owned(),
        |_: &str, json: &str| format!("\u{feff}{json}\r\n"),
    ] {
        let id = app.create_session();
        let form = format!("{part}\"session_id\"\r\n\r\n{id}\r\n{part}\"url\"\r\n\r\n{url}\r\n--b--\r\n");
        let answer = exit(&app, &make(&form, &json!({"session_id": id, "url": url}).to_string())).assert_status(303);
        assert_eq!((answer.header("Location"), count_rows(&mut app.sql())), (Some(url), 0), "{form:?}");
    }
}

#[test]
fn a_url_of_200_bytes_fits_into_a_form_even_if_a_browser_escapes_each_byte() {
    let url = format!("https://weather.example/{}", "~".repeat(176));
    let app = TestApp::with(&[("EXIT_URLS", &format!("https://news.example/,{url}"))]);
    let escaped: String = url.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let answer = exit(&app, &format!("session_id={}&url={escaped}", app.create_session())).assert_status(303);
    assert_eq!((answer.header("Location"), count_rows(&mut app.sql())), (Some(url.as_str()), 0));
}

#[test]
fn what_is_refused_before_it_is_read_leads_to_the_first_url_and_clears_nothing() {
    let app = TestApp::with(&[URLS]);
    let id = app.create_session();
    let body = format!("session_id={id}&url=https://news.example/?a=1%26b=2");
    let large = format!("{body}&more={}", "x".repeat(1_024));
    for (fields, body, status) in [
        ("Origin: https://evil.example\r\n", &body, 403),
        ("Origin: null\r\n", &body, 403),
        ("Content-Encoding: gzip\r\n", &body, 415),
        ("", &large, 413),
    ] {
        for expect in ["", "Expect: 100-continue\r\n"] {
            let head = format!("POST /api/v1/exit HTTP/1.1\r\nHost: x\r\n{fields}{expect}");
            let request = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
            let answer = Raw::connect(app.client.address()).ask(request.as_bytes());
            assert_page(&answer, status, "https://weather.example/");
            // A page of another origin could log a person out of a front-end with it.
            assert!(answer.header("Clear-Site-Data").is_none(), "{status}");
        }
    }
    app.client.get(&format!("/api/v1/sessions/{id}")).assert_status(200);
}

#[test]
fn a_statement_that_fails_leads_to_the_url_too() {
    let app = TestApp::with(&[URLS]);
    let refuse =
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'sessions'; END $$;
                  CREATE TRIGGER refuse BEFORE DELETE ON sessions FOR EACH ROW EXECUTE FUNCTION refuse()";
    app.sql().batch_execute(refuse).unwrap();
    let answer = exit(&app, &format!("session_id={}&url=https://news.example/?a=1%26b=2", app.create_session()));
    assert_page(&answer, 500, "https://news.example/?a=1&b=2");
}

#[test]
fn a_url_that_is_not_exactly_one_of_exit_urls_gets_422_and_a_page_that_leads_to_the_first() {
    let app = TestApp::with(&[URLS]);
    for url in ["https://evil.example/", "https://weather.example", "https://news.example/", "//evil.example", "x"] {
        let answer = exit(&app, &format!("url={url}&session_id={}", app.create_session()));
        assert_page(&answer, 422, "https://weather.example/");
        assert!(answer.header("Location").is_none());
        assert_eq!(count_rows(&mut app.sql()), 0, "the session is erased all the same");
    }
}

#[test]
fn without_a_database_the_page_of_the_503_leads_to_the_url() {
    let mut cluster = Cluster::start();
    let app = TestApp::at(&cluster.url(), &[URLS, ("DB_ACQUIRE_TIMEOUT_MS", "500")]);
    let id = app.create_session();
    cluster.stop(None);
    let answer = exit(&app, &format!("session_id={id}&url=https://news.example/?a=1%26b=2"));
    assert_page(&answer, 503, "https://news.example/?a=1&b=2");
    assert!(answer.header("Retry-After").is_some());
    assert_page(&exit(&app, "session_id=malformed"), 503, "https://weather.example/");
}

#[test]
fn while_the_deletion_waits_the_page_of_the_504_leads_to_the_url_after_five_seconds() {
    let app = TestApp::start();
    let (mut sql, id) = (app.sql(), app.create_session());
    let lock = lock_table(&mut sql, "sessions");
    assert_page(&exit(&app, &format!("session_id={id}")), 504, "https://www.google.com/");
    lock.commit().unwrap();
}

#[test]
fn exit_is_a_post_only() {
    let app = TestApp::start();
    for path in ["/api/v1/exit", "/api/v1/panic"] {
        let answer = app.client.get(path);
        answer.assert_problem(405);
        assert_eq!(answer.header("Allow"), Some("POST, OPTIONS"));
    }
}
