//! What the log says of requests, and what it never says.

use std::collections::HashSet;

use serde_json::Value;

use crate::support::cluster::Schema;
use crate::support::process::Binary;

/// Uses the whole API, well and badly, and returns every secret that was in it with the log.
fn use_everything(variables: &[(&str, &str)]) -> (Vec<String>, String) {
    let schema = Schema::new();
    let url = schema.url();
    let mut all = vec![("DATABASE_URL", url.as_str())];
    all.extend_from_slice(variables);
    let mut service = Binary::new(&all).serve();
    let client = &service.client;
    let mut secrets = vec!["127.0.0.1".to_owned(), "secretword".to_owned(), "SECRETWORD".to_owned()];
    for _ in 0..5 {
        let session = client.post_body("/api/v1/sessions?secretword", "application/json", br#"{"a": "secretword"}"#);
        let id = session.json()["session_id"].as_str().unwrap().to_owned();
        let path = format!("/api/v1/sessions/{id}");
        client.get(&path).assert_status(200);
        client.get(&path.to_uppercase().replace("API", "api").replace("SESSIONS", "sessions").replace("V1", "v1"));
        client.send("PATCH", &path).assert_status(405);
        client.send("OPTIONS", &path).assert_status(204);
        client.send("HEAD", &path).assert_status(200);
        client.delete(&path).assert_status(204);
        client.delete(&path).assert_status(404);
        client.get(&format!("{path}/more")).assert_status(404);
        client.get(&format!("{path}0")).assert_status(422);
        secrets.push(id.replace('-', ""));
        secrets.push(id);
    }
    for path in ["/", "/health/db", "/health/live", "/health/ready", "/openapi.json", "/docs", "/secretword"] {
        client.get(path);
    }
    client.post_body("/api/v1/sessions", "secretword/secretword", b"secretword").assert_status(415);
    client.post_body("/api/v1/sessions", "application/json", b"secretword").assert_status(422);
    client.raw(b"SECRETWORD /secretword HTTP/1.1\r\nHost: secretword\r\nX-Request-Id: secretword\r\nUser-Agent: secretword\r\nConnection: close\r\n\r\n");
    // Both kinds of internal error: a statement that is refused, and a panic.
    let id = client.post("/api/v1/sessions").json()["session_id"].as_str().unwrap().to_owned();
    schema.client().batch_execute("ALTER TABLE sessions ALTER sealed TYPE text").unwrap();
    client.get(&format!("/api/v1/sessions/{id}")).assert_status(500);
    schema.client().batch_execute("DROP TABLE sessions CASCADE").unwrap();
    client.delete(&format!("/api/v1/sessions/{id}")).assert_status(500);
    secrets.push(id);
    service.signal("TERM");
    assert!(service.wait().success());
    (secrets, service.log())
}

#[track_caller]
fn assert_discreet(secrets: &[String], log: &str) {
    let log = log.to_lowercase();
    for secret in secrets {
        assert!(!log.contains(&secret.to_lowercase()), "the log has {secret}");
    }
}

#[test]
fn no_log_line_holds_anything_of_a_session_even_at_trace_level() {
    let (secrets, log) = use_everything(&[("RUST_LOG", "trace,tokio_postgres=trace,tokio_postgres::query=trace")]);
    assert!(log.lines().count() > 60, "{log}");
    assert_discreet(&secrets, &log);
}

#[test]
fn every_request_is_one_json_line_with_its_route() {
    let (secrets, log) = use_everything(&[("LOG_FORMAT", "json")]);
    assert_discreet(&secrets, &log);
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.iter().all(|line| line["timestamp"].is_string() && line["level"].is_string()));

    let requests: Vec<&Value> = lines.iter().filter(|line| line["request_id"].is_string()).collect();
    // 5 rounds of 10, 7 paths, 3 odd requests, 3 around the internal errors.
    assert_eq!(requests.len(), 5 * 10 + 7 + 3 + 3);
    let ids: HashSet<&str> = requests.iter().map(|line| line["request_id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), requests.len());
    let count = |method: &str, route: &str, status: u16| {
        let wanted = |line: &&&Value| line["method"] == method && line["route"] == route && line["status"] == status;
        requests.iter().filter(wanted).count()
    };
    assert_eq!(count("DELETE", "/api/v1/sessions/{session_id}", 204), 5);
    assert_eq!(count("GET", "/api/v1/sessions/{session_id}", 422), 5);
    assert_eq!(count("PATCH", "/api/v1/sessions/{session_id}", 405), 5);
    assert_eq!(count("GET", "none", 404), 6);
    assert_eq!(count("OTHER", "none", 404), 1);
    assert!(requests.iter().all(|line| line["duration_ms"].is_number()));

    let messages = |text: &str| lines.iter().filter(|line| line["message"] == text).count();
    assert_eq!(messages("Session created"), 6);
    assert_eq!(messages("Session deleted"), 5);
    assert_eq!(messages("Panicked"), 1);
    let errors: Vec<&&Value> = requests.iter().filter(|line| line["level"] == "error").collect();
    assert_eq!(errors.len(), 2, "{errors:?}");
    assert_eq!(errors[1]["cause"], "the database refused the statement (SQLSTATE 42P01)");
}

#[test]
fn the_log_level_can_be_set_and_rust_log_wins() {
    let schema = Schema::new();
    let log = |variables: &[(&str, &str)]| {
        let url = schema.url();
        let mut all = vec![("DATABASE_URL", url.as_str())];
        all.extend_from_slice(variables);
        let service = Binary::new(&all).serve();
        service.client.get("/").assert_status(200);
        service.log()
    };
    assert_eq!(log(&[("LOG_LEVEL", "warn")]), "");
    let filtered = log(&[("LOG_LEVEL", "warn"), ("RUST_LOG", "safespace::api=info")]);
    assert!(filtered.contains("Request method=GET route=/ status=200"), "{filtered}");
}
