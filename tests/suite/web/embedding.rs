//! Which sites may show the page in a frame, and what they may load.

use crate::support::app::TestApp;
use crate::support::http::Answer;

const SITES: &str = "https://www.example.org, http://localhost:5173";

fn page(app: &TestApp) -> Answer {
    app.client.get_as("/", "text/html").assert_status(200)
}

/// What `frame-ancestors` names.
fn frame_ancestors(answer: &Answer) -> &str {
    let policy = answer.header("Content-Security-Policy").unwrap();
    policy.split("; ").find_map(|directive| directive.strip_prefix("frame-ancestors ")).unwrap()
}

#[test]
fn no_site_may_show_the_page_unless_the_operator_lists_it() {
    let answer = page(&TestApp::start());
    assert_eq!(frame_ancestors(&answer), "'none'");
    let answer = page(&TestApp::with(&[("WEB_EMBED_ORIGINS", SITES)]));
    assert_eq!(frame_ancestors(&answer), "https://www.example.org http://localhost:5173");
}

#[test]
fn a_listed_site_that_is_cross_origin_isolated_may_show_the_page() {
    for (sites, policies) in [("", [None, None]), (SITES, [Some("require-corp"), Some("cross-origin")])] {
        let answer = page(&TestApp::with(&[("WEB_EMBED_ORIGINS", sites)]));
        let names = ["Cross-Origin-Embedder-Policy", "Cross-Origin-Resource-Policy"];
        assert_eq!(names.map(|name| answer.header(name)), policies, "sites {sites:?}");
    }
}

#[test]
fn a_page_that_opened_the_page_has_no_hold_on_it() {
    assert_eq!(page(&TestApp::start()).header("Cross-Origin-Opener-Policy"), Some("same-origin"));
}

#[test]
fn every_site_may_load_the_widget_and_it_stays_small() {
    let answer = TestApp::start().client.get("/widget.js").assert_status(200);
    assert_eq!(answer.header("Content-Type"), Some("text/javascript; charset=utf-8"));
    assert_eq!(answer.header("Cross-Origin-Resource-Policy"), Some("cross-origin"));
    assert!(answer.body.len() < 5 * 1024, "{} bytes", answer.body.len());
}
