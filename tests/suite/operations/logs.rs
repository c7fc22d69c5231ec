//! The log's content, what it never contains, and how it bears a standard error that is slow or gone.

use std::collections::HashSet;
use std::io::{self, BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::cluster::Schema;
use crate::support::eventually;
use crate::support::process::Binary;
use crate::support::raw::Raw;
use crate::support::requests::GET;
use crate::support::timing::PATIENCE;

/// Sends requests of every route, valid and invalid ones, and returns all their secrets with the log.
fn use_every_route(variables: &[(&str, &str)]) -> (Vec<String>, String) {
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
        client.send("PATCH", &path).assert_status(422);
        client.send("PUT", &path).assert_status(405);
        client.send("OPTIONS", &path).assert_status(204);
        client.send("HEAD", &path).assert_status(200);
        let bearer = format!("bearer {id}");
        client.send_with("GET", "/api/v1/session", &[("Authorization", &bearer)]).assert_status(200);
        client.send_with("GET", "/api/v1/session/chat", &[("Authorization", &format!("{bearer}0"))]).assert_status(422);
        client
            .send_with("GET", "/api/v1/session", &[("Authorization", &format!("secretword {id}"))])
            .assert_status(401);
        client.delete(&path).assert_status(204);
        client.delete(&path).assert_status(404);
        client.post_body("/api/v1/panic", "text/plain", id.as_bytes()).assert_status(204);
        let form = format!("session_id={id}&url=https://secretword.example");
        client.post_body("/api/v1/exit", "application/x-www-form-urlencoded", form.as_bytes()).assert_status(422);
        client.get(&format!("{path}/more")).assert_status(404);
        client.get(&format!("{path}0")).assert_status(422);
        let code = session.json()["recovery_code"].as_str().unwrap().to_owned();
        client.get(&format!("/api/v1/sessions/{code}")).assert_status(404);
        client.get(&format!("/api/v1/sessions/{code}0")).assert_status(422);
        client.post_body("/api/v1/panic", "text/plain", code.as_bytes()).assert_status(204);
        let form = [("session_id", code.as_str()), ("key", "secretword"), ("message", "secretword")];
        for (name, status) in [("read", 404), ("say", 404), ("end", 404), ("leave", 200)] {
            client.post_form(&format!("/page/{name}?secretword"), &form, &[]).assert_status(status);
        }
        secrets.push(id.replace('-', ""));
        secrets.push(code.replace('-', ""));
        secrets.push(code);
        secrets.push(id);
    }
    for path in [
        "/",
        "/health/db",
        "/health/live",
        "/health/ready",
        "/openapi.json",
        "/docs",
        "/api/v1/challenge",
        "/api/v1/privacy",
        "/secretword",
    ] {
        client.get(path);
    }
    client.post_body("/api/v1/sessions", "secretword/secretword", b"secretword").assert_status(415);
    client.post_body("/api/v1/sessions", "application/json", b"secretword").assert_status(422);
    client.raw(b"SECRETWORD /secretword HTTP/1.1\r\nHost: secretword\r\nX-Request-Id: secretword\r\nUser-Agent: secretword\r\nConnection: close\r\n\r\n");
    // Both kinds of internal error: a panic, and a statement that PostgreSQL refuses.
    let id = client.post("/api/v1/sessions").json()["session_id"].as_str().unwrap().to_owned();
    schema.client().batch_execute("ALTER TABLE sessions ALTER sealed TYPE text").unwrap();
    // A connection that has prepared the statement before refuses it, and is replaced.
    let path = format!("/api/v1/sessions/{id}");
    let status =
        |method| eventually(PATIENCE, || Some(client.send(method, &path).status).filter(|status| *status != 503));
    assert_eq!(status("GET"), 500);
    let refuse =
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'secretword'; END $$;
                  CREATE TRIGGER refuse BEFORE DELETE ON sessions FOR EACH ROW EXECUTE FUNCTION refuse()";
    schema.client().batch_execute(refuse).unwrap();
    assert_eq!(status("DELETE"), 500);
    secrets.push(id);
    (secrets, service.stop())
}

#[track_caller]
fn assert_no_secrets(secrets: &[String], log: &str) {
    let log = log.to_lowercase();
    for secret in secrets {
        assert!(!log.contains(&secret.to_lowercase()), "the log has {secret}");
    }
}

#[test]
fn no_line_contains_a_secret_of_a_session_at_trace_level() {
    let (secrets, log) = use_every_route(&[("RUST_LOG", "trace,tokio_postgres=trace,tokio_postgres::query=trace")]);
    assert!(log.lines().count() > 60, "{log}");
    assert_no_secrets(&secrets, &log);
}

#[test]
fn every_request_is_one_json_line_with_its_route() {
    let (secrets, log) = use_every_route(&[("LOG_FORMAT", "json"), ("LOG_LEVEL", "debug")]);
    assert_no_secrets(&secrets, &log);
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.iter().all(|line| line["timestamp"].is_string() && line["level"].is_string()));

    let requests: Vec<&Value> = lines.iter().filter(|line| line["request_id"].is_string()).collect();
    // 5 rounds of 23, 9 paths, 3 odd requests, 3 around the internal errors, without those that met an outdated statement.
    let outdated = requests.iter().filter(|line| line["status"] == 503).count();
    assert_eq!(requests.len() - outdated, 5 * 23 + 9 + 3 + 3);
    let ids: HashSet<&str> = requests.iter().map(|line| line["request_id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), requests.len());
    let count = |method: &str, route: &str, status: u16| {
        let wanted = |line: &&&Value| line["method"] == method && line["route"] == route && line["status"] == status;
        requests.iter().filter(wanted).count()
    };
    assert_eq!(count("DELETE", "/api/v1/sessions/{session_id}", 204), 5);
    assert_eq!(count("GET", "/api/v1/sessions/{session_id}", 422), 10);
    assert_eq!(count("PUT", "/api/v1/sessions/{session_id}", 405), 5);
    assert_eq!(count("PATCH", "/api/v1/sessions/{session_id}", 422), 5);
    assert_eq!(count("GET", "none", 404), 6);
    assert_eq!(count("OTHER", "none", 404), 1);
    assert!(requests.iter().all(|line| line["duration_ms"].is_number()));

    let messages = |text: &str| lines.iter().filter(|line| line["message"] == text).count();
    assert_eq!(messages("Session created"), 6);
    assert_eq!(messages("Session deleted"), 5);
    assert_eq!(messages("Panicked"), 1);
    let errors: Vec<&&Value> = requests.iter().filter(|line| line["level"] == "error").collect();
    assert_eq!(errors.len(), 2, "{errors:?}");
    assert_eq!(errors[1]["cause"], "the database refused the statement (SQLSTATE P0001)");
}

#[test]
fn rust_log_overrides_log_level() {
    let schema = Schema::new();
    let log = |variables: &[(&str, &str)]| {
        let url = schema.url();
        let mut all = vec![("DATABASE_URL", url.as_str())];
        all.extend_from_slice(variables);
        let mut service = Binary::new(&all).serve();
        service.client.get("/").assert_status(200);
        service.stop()
    };
    let warnings = log(&[("LOG_LEVEL", "warn")]);
    let expected = [" help lines were not verified ", "has reviewed the texts of reports"];
    assert!(warnings.lines().count() == 2 && expected.iter().all(|text| warnings.contains(text)), "{warnings}");
    assert_eq!(log(&[("LOG_LEVEL", "error")]), "");
    let filtered = log(&[("LOG_LEVEL", "warn"), ("RUST_LOG", "safespace::api=info")]);
    assert!(filtered.contains("Request method=GET route=/ status=200"), "{filtered}");
}

/// Sends requests one after the other on each of four connections at once.
fn send_requests(address: SocketAddr, count: usize) {
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut raw = Raw::connect(address);
                for _ in 0..count / 4 {
                    assert_eq!(raw.ask(GET).status, 200);
                }
            });
        }
    });
}

#[test]
fn lines_are_in_the_order_of_the_requests_of_a_connection() {
    let schema = Schema::new();
    let mut service = Binary::new(&[("DATABASE_URL", &schema.url())]).serve();
    let mut raw = Raw::connect(service.address);
    let answered: Vec<String> =
        (0..200).map(|_| raw.ask(GET).header("X-Request-Id").expect("an id").to_owned()).collect();
    let log = service.stop();
    let logged: Vec<&str> = log.lines().filter_map(|line| line.split("request_id=").nth(1)).collect();
    assert_eq!(logged, answered);
    assert!(log.ends_with("Stopped\n"), "{log}");
}

#[test]
fn a_panic_is_in_the_log_before_its_request_is_answered() {
    let schema = Schema::new();
    let service = Binary::new(&[("DATABASE_URL", &schema.url()), ("DB_ACQUIRE_TIMEOUT_MS", "10000")]).serve();
    let session = service.client.post("/api/v1/sessions").assert_status(201).json();
    let id = session["session_id"].as_str().unwrap();
    schema.client().batch_execute("ALTER TABLE sessions ALTER sealed TYPE text").unwrap();
    service.client.get(&format!("/api/v1/sessions/{id}")).assert_status(500);
    assert!(service.log().contains("ERROR Panicked place="), "{}", service.log());
}

#[test]
fn health_checks_that_succeed_and_requests_that_anybody_can_repeat_are_logged_at_debug() {
    for (level, is_logged) in [("info", false), ("debug", true)] {
        let schema = Schema::new();
        let mut service = Binary::new(&[
            ("DATABASE_URL", &schema.url()),
            ("LOG_LEVEL", level),
            ("RATE_LIMIT", "on"),
            ("PROOF_OF_WORK", "always"),
        ])
        .serve();
        for route in ["live", "ready", "db"] {
            service.client.get(&format!("/health/{route}")).assert_status(200);
        }
        service.client.get("/invented").assert_status(404);
        service.client.post("/api/v1/sessions").assert_status(429);
        service.client.get("/").assert_status(200);
        schema.client().batch_execute("DROP TABLE refinery_schema_history").unwrap();
        service.client.get("/health/ready").assert_status(503);
        let log = service.stop();
        for route in ["live", "ready", "db"] {
            let line = format!("route=/health/{route} status=200");
            assert_eq!(log.contains(&line), is_logged, "{level}: {log}");
        }
        for line in ["route=none status=404", "route=/api/v1/sessions status=429"] {
            assert_eq!(log.contains(line), is_logged, "{level}: {log}");
        }
        for line in ["route=/health/ready status=503", "route=/ status=200"] {
            assert!(log.contains(line), "{level}: {log}");
        }
    }
}

#[test]
fn an_unread_standard_error_costs_lines_that_are_counted_and_no_request() {
    const REQUESTS: usize = 20_000;
    let schema = Schema::new();
    let (stderr, writer) = io::pipe().unwrap();
    let service = Binary::new(&[("DATABASE_URL", &schema.url()), ("METRICS_PORT", "0")]).serve_with_stderr(writer);
    send_requests(service.address, REQUESTS);
    let metrics = service.metrics().get("/metrics").text();
    let counted = metrics.lines().find_map(|line| line.strip_prefix("safespace_log_lines_dropped_total "));
    let counted: usize = counted.expect("the metric").parse().unwrap();
    assert!(counted > 0, "everything fitted");

    let mut lines = BufReader::new(stderr).lines().map(Result::unwrap);
    let before: Vec<String> = lines.by_ref().take_while(|line| !line.contains("lines dropped")).collect();
    let requests = before.iter().filter(|line| line.contains(" INFO  Request method=GET route=/ status=200 ")).count();
    assert_eq!(requests + counted, REQUESTS);
    service.client.get("/openapi.json").assert_status(200);
    assert!(lines.next().unwrap().contains("route=/openapi.json"));
}

#[test]
fn the_report_of_dropped_lines_is_a_line_of_the_chosen_format() {
    let json = "\"level\":\"warn\",\"message\":\"Standard error is too slow, lines dropped\"";
    for (format, start, content) in
        [("text", "20", " WARN  Standard error is too slow, lines dropped dropped="), ("json", "{\"dropped\":", json)]
    {
        let schema = Schema::new();
        let (stderr, writer) = io::pipe().unwrap();
        let service = Binary::new(&[("DATABASE_URL", &schema.url()), ("LOG_FORMAT", format)]).serve_with_stderr(writer);
        send_requests(service.address, 20_000);
        let line = BufReader::new(stderr).lines().map(Result::unwrap).find(|line| line.contains("lines dropped"));
        let line = line.expect("a report");
        assert!(line.starts_with(start) && line.contains(content), "{format}: {line}");
    }
}

#[test]
fn an_unread_standard_error_delays_the_stop_by_a_second_and_tears_no_line() {
    let schema = Schema::new();
    let (mut stderr, writer) = io::pipe().unwrap();
    let mut service = Binary::new(&[("DATABASE_URL", &schema.url())]).serve_with_stderr(writer);
    send_requests(service.address, 4_000);
    let started = Instant::now();
    service.signal("TERM");
    assert_eq!(service.wait().code(), Some(0));
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    let mut log = String::new();
    stderr.read_to_string(&mut log).unwrap();
    assert!(log.ends_with('\n') && log.len() > 32 * 1024, "{} bytes", log.len());
    let is_whole = |line: &&str| line.starts_with("20") && (line.contains(" INFO  ") || line.contains(" WARN  "));
    let torn = log.lines().find(|line| !is_whole(line));
    assert_eq!(torn, None);
}

#[test]
fn a_closed_standard_error_ends_nothing() {
    let closed = || {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        writer
    };
    let schema = Schema::new();
    let url = schema.url();
    let mut service = Binary::new(&[("DATABASE_URL", &url)]).serve_with_stderr(closed());
    send_requests(service.address, 400);
    service.signal("TERM");
    assert_eq!(service.wait().code(), Some(0));

    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let failing = [("DATABASE_URL", url.as_str()), ("APP_HOST", "127.0.0.1"), ("APP_PORT", &port)];
    assert_eq!(Binary::new(&failing).run_with_stderr(closed()).code(), Some(1), "a port in use");
    assert_eq!(Binary::new(&[("APP_PORT", "none")]).run_with_stderr(closed()).code(), Some(2), "a wrong variable");
}
