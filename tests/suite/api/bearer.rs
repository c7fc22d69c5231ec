//! `Authorization: Bearer <session_id>`: the routes of a session without its id in the path.

use safespace::api::routes::ROUTES;
use serde_json::json;
use uuid::Uuid;

use crate::support::app::TestApp;
use crate::support::http::Answer;
use crate::support::raw::Raw;
use crate::support::reports::answers;

/// The method, the path and the path with the id in braces of each route that has its id in the path.
fn routes() -> Vec<(&'static str, String, String)> {
    let with_id = ROUTES.iter().filter(|route| route.pattern.contains("{session_id}"));
    let routes: Vec<_> = with_id
        .map(|route| {
            let pattern = route.pattern.replace("{report_id}", "7d3c9f0e-4b1a-4c57-9e59-6a8f2f1f0c11");
            (route.method, pattern.replace("sessions/{session_id}", "session"), pattern)
        })
        .collect();
    assert!(routes.iter().any(|(method, ..)| *method == "PATCH"), "{routes:?}");
    routes
}

fn send(app: &TestApp, method: &str, path: &str, fields: &[(&str, &str)]) -> Answer {
    match method {
        "POST" if path.ends_with("/chat") => app.client.post_json(path, &json!({"message": "hello"}), fields),
        "POST" if path.ends_with("/report") => app.client.post_json(path, &answers(), fields),
        "PATCH" if path.contains("/reports/") => app.client.send_json(method, path, &json!({}), fields),
        "PATCH" => app.client.send_json(method, path, &json!({"idle_timeout_seconds": 60}), fields),
        _ => app.client.send_with(method, path, fields),
    }
}

#[test]
fn a_session_is_used_from_its_creation_to_its_deletion_without_its_id_in_a_path() {
    let app = TestApp::start();
    let session = app.client.post("/api/v1/sessions").json();
    let id = session["session_id"].as_str().unwrap();
    let bearer = format!("Bearer {id}");
    let fields = [("Authorization", bearer.as_str())];
    let send = |method: &str, path: &str| send(&app, method, path, &fields);
    assert_eq!(send("GET", "/api/v1/session").assert_status(200).json(), session);
    assert_eq!(send("HEAD", "/api/v1/session").assert_status(200).body, b"");
    let answer = send("POST", "/api/v1/session/chat").assert_status(200).json();
    let history = send("GET", "/api/v1/session/chat?limit=1").assert_status(200).json();
    assert_eq!((&history["messages"][0]["id"], &history["has_more"]), (&answer["id"], &true.into()));
    send("POST", "/api/v1/session/chat/stop").assert_status(204);
    assert_eq!(send("PATCH", "/api/v1/session").assert_status(200).json()["idle_timeout_seconds"], 60);
    let counted = [fields[0], ("Prefer", "return=representation")];
    let erased = app.client.send_with("DELETE", "/api/v1/session", &counted).assert_status(200);
    assert_eq!(erased.json(), json!({"deleted": {"sessions": 1, "messages": 2, "reports": 0}}));
    for (method, path, _) in routes() {
        assert_eq!(send(method, &path).json()["code"], "session_not_found", "{method} {path}");
    }
}

#[test]
fn each_route_answers_an_unknown_or_malformed_id_as_the_one_with_the_id_in_the_path() {
    let app = TestApp::start();
    for id in [&Uuid::new_v4().to_string(), "1", "not-a-uuid", "550e8400e29b41d4a716446655440000"] {
        for (method, path, pattern) in routes() {
            let in_field = send(&app, method, &path, &[("Authorization", &format!("Bearer {id}"))]);
            let in_path = send(&app, method, &pattern.replace("{session_id}", id), &[]);
            assert_eq!(in_field.status, in_path.status, "{method} {path} {id}");
            assert_eq!(in_field.json(), in_path.json(), "{method} {path} {id}");
        }
    }
}

#[test]
fn without_exactly_one_bearer_credential_each_route_gets_401_with_a_challenge() {
    let app = TestApp::start();
    let id = app.create_session();
    let (bearer, basic, digest) = (format!("Bearer {id}"), format!("Basic {id}"), format!("BearerX {id}"));
    for fields in [
        [].as_slice(),
        &[("Authorization", "")],
        &[("Authorization", "Bearer")],
        &[("Authorization", "Bearer  ")],
        &[("Authorization", &id)],
        &[("Authorization", &basic)],
        &[("Authorization", &digest)],
        &[("Authorization", &bearer), ("Authorization", &bearer)],
        &[("Proxy-Authorization", &bearer)],
    ] {
        for (method, path, _) in routes() {
            let answer = send(&app, method, &path, fields);
            answer.assert_problem(401);
            assert_eq!(answer.json()["code"], "authorization_required", "{method} {path} {fields:?}");
            assert_eq!(answer.header("WWW-Authenticate"), Some("Bearer realm=\"session\""));
            assert!(!answer.text().contains(&id));
        }
    }
    app.client.get(&format!("/api/v1/sessions/{id}")).assert_status(200);
}

#[test]
fn the_scheme_is_case_insensitive_and_may_have_more_spaces_behind_it() {
    let app = TestApp::start();
    let id = app.create_session();
    for field in [format!("bearer {id}"), format!("BEARER {id}"), format!("Bearer   {}", id.to_uppercase())] {
        app.client.send_with("GET", "/api/v1/session", &[("Authorization", &field)]).assert_status(200);
    }
}

#[test]
fn a_body_is_not_asked_for_without_a_credential() {
    let app = TestApp::start();
    let request = "POST /api/v1/session/chat HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
                   Content-Length: 20\r\nExpect: 100-continue\r\n\r\n";
    Raw::connect(app.client.address()).ask(request.as_bytes()).assert_problem(401);
}

#[test]
fn a_path_of_a_session_ignores_the_credential() {
    let app = TestApp::start();
    let (id, other) = (app.create_session(), app.create_session());
    let path = format!("/api/v1/sessions/{id}");
    app.client.send_with("DELETE", &path, &[("Authorization", &format!("Bearer {other}"))]).assert_status(204);
    app.client.get(&format!("/api/v1/sessions/{other}")).assert_status(200);
}
