//! Malformed and hostile input: a client error each time, never a 500, and no input in the response.

use crate::support::app::TestApp;

const MAX_BODY_BYTES: usize = 65_536;

#[test]
fn an_invalid_body_gets_its_status() {
    let app = TestApp::start();
    let deep = "[".repeat(100_000);
    let deep_object = format!("{}{}", r#"{"a":"#.repeat(5_000), "1");
    let large = format!(r#"{{"a": "{}"}}"#, "x".repeat(MAX_BODY_BYTES));
    let fits = format!(r#"{{"a": "{}"}}"#, "x".repeat(MAX_BODY_BYTES - 9));
    assert_eq!(fits.len(), MAX_BODY_BYTES);
    let json = "application/json";
    let cases: &[(&str, &[u8], u16)] = &[
        // Not JSON, or not an object.
        (json, b"{", 422),
        (json, b"{}{}", 422),
        (json, b"{'a': 1}", 422),
        (json, b"null", 422),
        (json, b"[]", 422),
        (json, b"\"text\"", 422),
        (json, b"1e999", 422),
        (json, b" ", 422),
        (json, b"\0", 422),
        (json, b"{\"a\": \"\xff\"}", 422),
        (json, b"\xef\xbb\xbf", 422),
        (json, b"\xef\xbb\xbf\xef\xbb\xbf{}", 422),
        (json, deep_object.as_bytes(), 422),
        // Another media type than JSON, or none.
        ("text/plain", b"{}", 415),
        ("application/x-www-form-urlencoded", b"a=1", 415),
        ("application/jsonp", b"{}", 415),
        ("application/problem+json", b"{}", 415),
        ("", b"{}", 415),
        ("json", b"{}", 415),
        // Too large, with any media type.
        (json, large.as_bytes(), 413),
        (json, deep.as_bytes(), 413),
        ("text/plain", large.as_bytes(), 413),
        (json, fits.as_bytes(), 201),
    ];
    for (media_type, body, status) in cases {
        let answer = app.client.post_body("/api/v1/sessions", media_type, body);
        let beginning = String::from_utf8_lossy(&body[..body.len().min(40)]).into_owned();
        assert_eq!(answer.status, *status, "{media_type} {beginning}: {}", answer.text());
        if *status >= 400 {
            answer.assert_problem(*status);
        }
    }
    let stored: i64 = app.sql().query_one("SELECT count(*) FROM sessions", &[]).unwrap().get(0);
    assert_eq!(stored, 1, "only the accepted body created a session");
}

#[test]
fn every_route_refuses_a_body_by_media_type_and_size() {
    let app = TestApp::start();
    let large = "x".repeat(MAX_BODY_BYTES + 1);
    for (method, path) in
        [("GET", "/"), ("DELETE", "/api/v1/sessions/1"), ("GET", "/health/live"), ("POST", "/api/v1/sessions")]
    {
        for (media_type, body, status) in [("text/plain", "x", 415), ("application/json", large.as_str(), 413)] {
            let head = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n");
            let request = format!("{head}Content-Type: {media_type}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            let answer = app.client.raw(request.as_bytes());
            assert_eq!(answer.status, status, "{method} {path}, {media_type}");
            answer.assert_problem(status);
        }
    }
}

#[test]
fn the_body_limit_is_configurable_and_applies_to_chunked_bodies() {
    let app = TestApp::with(&[("APP_MAX_BODY_BYTES", "1024")]);
    app.client.post_body("/api/v1/sessions", "application/json", &[b' '; 1025]).assert_problem(413);
    let chunks = format!("400\r\n{}\r\n1\r\nx\r\n0\r\n\r\n", " ".repeat(1024));
    let head = "POST /api/v1/sessions HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n";
    app.client.raw(format!("{head}Transfer-Encoding: chunked\r\n\r\n{chunks}").as_bytes()).assert_problem(413);
    let chunks = "2\r\n{}\r\n0\r\n\r\n";
    app.client.raw(format!("{head}Transfer-Encoding: chunked\r\n\r\n{chunks}").as_bytes()).assert_status(201);
}

#[test]
fn an_invalid_target_gets_its_status() {
    let app = TestApp::start();
    let long = "a".repeat(4_000);
    for (method, path, status) in [
        ("GET", "/%", 404),
        ("GET", "/%zz", 404),
        ("GET", "/%00", 404),
        ("GET", "/%ff%fe", 404),
        ("GET", "/..", 404),
        ("GET", "/../../etc/passwd", 404),
        ("GET", "/docs/../../../etc/passwd", 404),
        ("GET", "/docs/..%2f..%2fetc%2fpasswd", 404),
        ("GET", "/docs/%2e%2e", 404),
        ("GET", "/docs/", 404),
        ("GET", "/api/v1/sessions/%", 422),
        ("GET", "/api/v1/sessions/%00", 422),
        ("GET", "/api/v1/sessions/%ff%fe", 422),
        ("GET", "/api/v1/sessions/%2f", 422),
        ("GET", "/api/v1/sessions/a%2fb", 422),
        ("GET", "/api/v1/sessions/..%2f", 422),
        ("GET", "/api/v1/sessions/'%20OR%20'1'='1", 422),
        ("GET", "/api/v1/sessions/550e8400-e29b-41d4-a716-44665544000g", 422),
        ("GET", "/api/v1/sessions/550e8400-e29b-41d4-a716-4466554400000", 422),
        ("GET", "/api/v1/sessions/550e8400%2De29b-41d4-a716-446655440000", 404),
        ("DELETE", "/api/v1/sessions/%F0%9F%98%80", 422),
        ("GET", &format!("/api/v1/sessions/{long}"), 422),
        ("GET", &format!("/{long}"), 404),
        ("GET", "/api/v1%2fsessions", 404),
        ("GET", "/%68ealth/live", 200),
    ] {
        // As raw bytes, since an HTTP client would normalise or refuse these targets.
        let answer =
            app.client.raw(format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes());
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.text());
        if status >= 400 {
            answer.assert_problem(status);
            let last = path.rsplit(['/', '\'']).next().unwrap();
            assert!(last.len() < 4 || !answer.text().contains(last), "{path} is echoed");
        }
    }
}

#[test]
fn an_unknown_method_gets_405_and_is_not_echoed() {
    let app = TestApp::start();
    let answer = app.client.raw(b"SECRETWORD / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    answer.assert_problem(405);
    assert!(!answer.text().contains("SECRETWORD"));
}
