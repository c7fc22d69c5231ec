//! What of the page is the same in every state: languages, what is in no head, refusals, and no page at all.

use super::html::{ACCEPT, Html, begin, say, send};
use crate::support::app::TestApp;
use crate::support::raw::Raw;

const FORMS: [&str; 5] = ["begin", "say", "read", "end", "leave"];

#[test]
fn a_form_answers_in_the_language_of_its_address_or_of_the_browser() {
    let app = TestApp::start();
    let english_first = TestApp::with(&[("WEB_LANGUAGES", "en,id")]);
    for (path, accepted, language) in [
        ("?language=id", "en", "id"),
        ("?language=en", "id", "en"),
        ("", "id-ID,id;q=0.9", "id"),
        ("?language=xx", "en", "en"),
        ("?language=", "id", "id"),
        // The default is the first of WEB_LANGUAGES.
        ("", "jv,su;q=0.9", "id"),
        ("", "*", "id"),
        ("", "de,en;q=0.5", "en"),
        ("?language=xx", "", "id"),
    ] {
        let answer = app.client.post_form(&format!("/page/begin{path}"), &[], &[("Accept-Language", accepted)]);
        assert_eq!(answer.header("Content-Language"), Some(language), "{path} {accepted}");
        let page = Html::of(&answer);
        assert!(page.text.contains(&format!("<html lang=\"{language}\">")));
        assert!(page.text.contains(&format!("action=\"/page/say?language={language}#state\"")));
    }
    let answer = english_first.client.send_with("GET", "/", &[("Accept", "text/html"), ("Accept-Language", "jv")]);
    assert_eq!(answer.header("Content-Language"), Some("en"));
}

#[test]
fn the_id_is_in_no_address_and_in_no_field_of_a_head() {
    let app = TestApp::start();
    let page = begin(&app);
    let (id, key, code) = (page.field("say", "session_id"), page.field("say", "key"), page.code());
    let addresses = page.text.split(" action=\"").chain(page.text.split(" href=\"")).skip(1);
    assert!(addresses.map(|rest| rest.split('"').next().unwrap()).all(|it| !it.contains(&id) && !it.contains(&code)));
    for name in ["say", "read", "end", "leave"] {
        let form = [("session_id", id.as_str()), ("key", &key), ("message", "Hello")];
        let answer = app.client.post_form(&format!("/page/{name}"), &form, &ACCEPT);
        let head = format!("{:?}", answer.constant_fields());
        assert!(!head.contains(&id) && !head.contains(&code) && !head.contains(&key), "{name}: {head}");
    }
}

#[test]
fn what_the_server_refuses_is_a_page_for_a_browser_and_json_for_everybody_else() {
    let app = TestApp::start();
    let long = "x".repeat(20_000);
    for (head, status) in [
        (format!("POST /page/say HTTP/1.1\r\nHost: x\r\nX-Long: {long}"), 431),
        ("POST /page/say HTTP/1.1\r\nHost: x\r\nContent-Length: 900000".to_owned(), 413),
        ("POST /page/say HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip".to_owned(), 501),
    ] {
        let (line, rest) = head.split_once("\r\n").unwrap();
        let ask = |accept: &str| {
            let request = format!("{line}\r\nAccept: {accept}\r\nAccept-Language: id\r\n{rest}\r\n\r\n");
            Raw::connect(app.client.address()).ask(request.as_bytes())
        };
        let answer = ask("text/html,*/*;q=0.8");
        let page = Html::of(&answer);
        assert_eq!((page.status, answer.header("Content-Language")), (status, Some("id")), "{line}");
        assert!(!page.notice().is_empty() && page.text.contains("<a href=\"/?language=id\">"));
        assert_small(&page);
        for accept in ["application/json", "*/*", "text/html;q=0", "text/htmlx"] {
            ask(accept).assert_problem(status);
        }
    }
    let answer = app.client.post_body("/page/say", "application/json", b"{}");
    assert_eq!(Html::of(&answer).status, 415);
}

#[test]
fn a_browser_at_a_wrong_address_gets_a_page_and_a_program_json() {
    let app = TestApp::start();
    for (method, path, status) in
        [("GET", "/abc?language=en", 404), ("GET", "/page/abc", 404), ("GET", "/page/leave/", 404), ("PUT", "/", 405)]
    {
        let answer = app.client.send_with(method, path, &[ACCEPT[0], ("Accept-Language", "en")]);
        let page = Html::of(&answer);
        assert_eq!((page.status, answer.header("Allow").is_some()), (status, status == 405), "{path}");
        assert!(page.notice().starts_with("That did not work"), "{}", page.notice());
        assert_small(&page);
        app.client.send(method, path).assert_problem(status);
    }
    for path in ["/api/v1/abc", "/api/v1/session", "/docs/abc", "/health/abc"] {
        let answer = app.client.send_with("GET", path, &ACCEPT);
        assert_eq!(answer.header("Content-Type"), Some("application/problem+json"), "{path}");
    }
}

#[test]
fn without_a_page_there_are_no_forms_and_every_error_is_json() {
    let app = TestApp::with(&[("WEB_PAGE", "off")]);
    for form in FORMS {
        app.client.post_form(&format!("/page/{form}"), &[("session_id", "x")], &ACCEPT).assert_problem(404);
        app.client.get(&format!("/page/{form}")).assert_problem(404);
    }
    let too_large =
        format!("POST / HTTP/1.1\r\nHost: x\r\nAccept: text/html\r\nX-Long: {}\r\n\r\n", "x".repeat(20_000));
    Raw::connect(app.client.address()).ask(too_large.as_bytes()).assert_problem(431);
}

/// With its head it has less than the 4,096 bytes that the server's budget does not count.
#[track_caller]
fn assert_small(page: &Html) {
    assert!(page.text.len() < 3_000, "{} bytes", page.text.len());
}

#[test]
fn the_page_says_what_happens_with_the_words_as_the_api_does() {
    let app = TestApp::with(&[("OPENAI_BASE_URL", "http://model.example:1/v1"), ("COMPANION_MODEL", "m")]);
    for language in ["id", "en"] {
        let said = app.client.send_with("GET", "/api/v1/privacy", &[("Accept-Language", language)]).json();
        let said =
            said["summary"].as_array().unwrap().iter().map(|sentence| sentence["text"].as_str().unwrap().to_owned());
        let start = Html::of(&app.client.get_as(&format!("/?language={language}"), "text/html"));
        let talk = Html::of(&app.client.post_form(&format!("/page/begin?language={language}"), &[], &ACCEPT));
        assert_eq!((start.promise(), talk.promise()), (said.clone().collect(), said.collect()), "{language}");
        for page in [&start, &talk] {
            assert!(page.without_script().contains("<details id=\"promise\">"), "only with a script");
        }
    }
}

#[test]
fn every_state_of_the_page_has_the_button_to_leave_and_the_help_lines() {
    let app = TestApp::start();
    let page = begin(&app);
    let said = say(&app, &page, "Hello");
    let id = said.field("say", "session_id");
    let (ended, wrong) = (send(&app, "end", &[("session_id", &id)]), send(&app, "read", &[("session_id", "x")]));
    let start = Html::of(&app.client.get_as("/?language=en", "text/html"));
    let emergency = &safespace::resources::Registry::load(None).unwrap().resources[0].value;
    for state in [&start, &page, &said, &wrong] {
        let (_, help) = state.text.split_once("<details id=\"help\">").unwrap();
        let first = help.split("<li>").nth(1).unwrap();
        assert!(first.contains(emergency), "an emergency comes first: {first}");
    }
    assert!(start.text.contains(" id=\"lines\"") && ended.text.contains("<a href=\"/?language=en#lines\">"));
    assert_small(&ended);
    for state in [start, page, said, wrong, ended] {
        let leave = "<form id=\"leave\" method=\"post\" action=\"/page/leave?language=en\" target=\"_top\">";
        assert!(state.text.contains(leave));
    }
}
