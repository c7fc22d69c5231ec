//! Behaviour that every path shares: unknown paths, methods, common fields, errors, panics; and the root.

use crate::support::app::TestApp;

#[test]
fn the_root_returns_a_message_and_the_version() {
    let app = TestApp::start();
    let answer = app.client.get("/").assert_status(200);
    assert_eq!(answer.header("Content-Type"), Some("application/json"));
    let expected = serde_json::json!({"message": "SafeSpace backend is running", "version": env!("CARGO_PKG_VERSION")});
    assert_eq!(answer.json(), expected);
}

#[test]
fn a_query_does_not_change_the_route() {
    let app = TestApp::start();
    app.client.get("/?utm=1&x").assert_status(200);
    app.client.get("/health/live?probe=1").assert_status(200);
}

#[test]
fn an_unknown_path_gets_404() {
    let app = TestApp::start();
    for path in ["/nope", "/api", "/api/v1", "/api/v1/sessions/", "//", "/health", "/api/v1/sessions/a/b", "/Docs"] {
        let answer = app.client.get(path);
        assert_eq!(answer.status, 404, "{path}");
        answer.assert_problem(404);
        assert!(!answer.text().contains(path.trim_matches('/')) || path == "//", "{path} is echoed");
    }
}

#[test]
fn an_unsupported_method_gets_405_with_allow() {
    let app = TestApp::start();
    let id = "550e8400-e29b-41d4-a716-446655440000";
    for (method, path, allow) in [
        ("POST", "/", "GET, HEAD, OPTIONS"),
        ("GET", "/api/v1/sessions", "POST, OPTIONS"),
        ("HEAD", "/api/v1/sessions", "POST, OPTIONS"),
        ("PUT", &format!("/api/v1/sessions/{id}"), "GET, HEAD, PATCH, DELETE, OPTIONS"),
        ("DELETE", "/health/db", "GET, HEAD, OPTIONS"),
        ("BREW", "/", "GET, HEAD, OPTIONS"),
    ] {
        let answer = app.client.send(method, path);
        assert_eq!((answer.status, answer.header("Allow")), (405, Some(allow)), "{method} {path}");
        if method != "HEAD" {
            answer.assert_problem(405);
        }
    }
}

#[test]
fn options_returns_the_allowed_methods() {
    let app = TestApp::start();
    let answer = app.client.send("OPTIONS", "/api/v1/sessions").assert_status(204);
    assert_eq!(answer.header("Allow"), Some("POST, OPTIONS"));
    assert!(answer.body.is_empty());
    app.client.send("OPTIONS", "/nope").assert_problem(404);
}

#[test]
fn head_returns_the_fields_of_get_without_a_body() {
    let app = TestApp::start();
    let id = app.create_session();
    for path in ["/", "/health/db", "/openapi.json", &format!("/api/v1/sessions/{id}"), "/nope"] {
        let (get, head) = (app.client.get(path), app.client.send("HEAD", path));
        assert_eq!(head.status, get.status, "{path}");
        assert_eq!(head.header("Content-Type"), get.header("Content-Type"), "{path}");
        assert!(head.body.is_empty(), "{path}");
    }
}

#[test]
fn every_response_forbids_caching_and_referrers_and_has_a_unique_request_id() {
    let app = TestApp::start();
    let mut ids = Vec::new();
    for (method, path) in
        [("GET", "/"), ("GET", "/docs"), ("GET", "/nope"), ("POST", "/"), ("OPTIONS", "/"), ("HEAD", "/")]
    {
        let answer = app.client.send(method, path);
        assert_eq!(answer.header("Cache-Control"), Some("no-store"), "{method} {path}");
        assert_eq!(answer.header("X-Content-Type-Options"), Some("nosniff"), "{method} {path}");
        assert_eq!(answer.header("Referrer-Policy"), Some("no-referrer"), "{method} {path}");
        let id = answer.header("X-Request-Id").unwrap().to_owned();
        assert!(id.len() == 16 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{method} {path}: {id}");
        ids.push(id);
    }
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 6, "a request id was used twice");
}

#[test]
fn a_failed_statement_gets_500_and_the_next_request_succeeds() {
    let app = TestApp::start();
    let refuse =
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'sessions'; END $$;
                  CREATE TRIGGER refuse BEFORE INSERT ON sessions FOR EACH ROW EXECUTE FUNCTION refuse()";
    app.sql().batch_execute(refuse).unwrap();
    let detail = app.client.post("/api/v1/sessions").assert_problem(500);
    assert!(!detail.contains("sessions"), "{detail}");
    app.sql().batch_execute("DROP TRIGGER refuse ON sessions").unwrap();
    app.create_session();
}

#[test]
fn a_panic_gets_500_and_the_next_request_succeeds() {
    let app = TestApp::start();
    let id = app.create_session();
    // Reading a column of another type panics, as a bug in a handler would.
    app.sql().batch_execute("ALTER TABLE sessions ALTER sealed TYPE text").unwrap();
    for _ in 0..20 {
        app.client.get(&format!("/api/v1/sessions/{id}")).assert_problem(500);
    }
    app.sql().batch_execute("ALTER TABLE sessions ALTER sealed TYPE bytea USING sealed::bytea").unwrap();
    app.client.get(&format!("/api/v1/sessions/{id}")).assert_status(200);
}
