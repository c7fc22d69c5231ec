//! `/api/v1/sessions`: creating, reading and deleting a session.

use std::collections::HashSet;
use std::thread;

use chrono::{DateTime, Utc};
use safespace::message;
use safespace::sealing::SealingKey;
use safespace::session_id::SessionId;
use uuid::Uuid;

use crate::support::app::TestApp;
use crate::support::raw::Raw;
use crate::support::{lock_table, wait_for_lock};

#[test]
fn a_new_session_has_a_random_id_and_its_creation_time() {
    let app = TestApp::start();
    let session = app.client.post("/api/v1/sessions").assert_status(201).json();
    let id = session["session_id"].as_str().unwrap();
    let uuid: Uuid = id.parse().unwrap();
    assert_eq!(uuid.get_version_num(), 4);
    assert_eq!(id, uuid.hyphenated().to_string(), "lower case, with hyphens");
    let created_at = session["created_at"].as_str().unwrap();
    assert!(created_at.ends_with('Z') && created_at.len() == 27, "{created_at}");
    let age = Utc::now() - created_at.parse::<DateTime<Utc>>().unwrap();
    assert!(age.num_seconds().abs() < 10);
    let code: SessionId = session["recovery_code"].as_str().unwrap().parse().unwrap();
    assert_eq!(*code.expose(), uuid);
    assert_eq!(session.as_object().unwrap().len(), 5);
}

#[test]
fn an_empty_body_or_any_json_object_creates_a_session() {
    let app = TestApp::start();
    for body in ["", "{}", r#"{"name": "ignored", "nested": {"a": [1]}}"#, " {\n} "] {
        app.client.post_body("/api/v1/sessions", "application/json", body.as_bytes()).assert_status(201);
    }
    app.client.post_body("/api/v1/sessions", "Application/JSON; charset=utf-8", b"{}").assert_status(201);
    app.client.post_body("/api/v1/sessions", "text/plain", b"").assert_status(201);
}

#[test]
fn a_session_is_committed_before_its_response() {
    let app = TestApp::start();
    let session = app.client.post("/api/v1/sessions").json();
    let id: SessionId = session["session_id"].as_str().unwrap().parse().unwrap();
    let key = SealingKey::derive(&id);
    let row = app.sql().query_one("SELECT sealed FROM sessions WHERE id = $1", &[key.lookup().expose()]).unwrap();
    let created_at: DateTime<Utc> = session["created_at"].as_str().unwrap().parse().unwrap();
    assert_eq!(message::open_creation_time(&key, row.get(0)), Ok(created_at));
}

#[test]
fn each_post_creates_another_session() {
    let app = TestApp::start();
    let ids: HashSet<String> = (0..20).map(|_| app.create_session()).collect();
    assert_eq!(ids.len(), 20);
    let rows = app.sql().query_one("SELECT count(*) FROM sessions", &[]).unwrap();
    assert_eq!(rows.get::<_, i64>(0), 20);
}

#[test]
fn a_session_id_is_case_insensitive() {
    let app = TestApp::start();
    let session = app.client.post("/api/v1/sessions").json();
    let id = session["session_id"].as_str().unwrap();
    assert_eq!(app.client.get(&format!("/api/v1/sessions/{id}")).assert_status(200).json(), session);
    let upper = format!("/api/v1/sessions/{}", id.to_uppercase());
    assert_eq!(app.client.get(&upper).assert_status(200).json(), session);
}

#[test]
fn a_recovery_code_is_accepted_wherever_an_id_is_however_a_person_types_it() {
    let app = TestApp::start();
    let session = app.client.post("/api/v1/sessions").json();
    let code = session["recovery_code"].as_str().unwrap();
    for typed in [code.to_owned(), code.to_lowercase(), code.replace('-', " "), code.replace('0', "O")] {
        let path = format!("/api/v1/sessions/{}", typed.replace(' ', "%20"));
        assert_eq!(app.client.get(&path).assert_status(200).json(), session, "{typed}");
        let bearer = [("Authorization", &*format!("Bearer {typed}"))];
        assert_eq!(app.client.send_with("GET", "/api/v1/session", &bearer).assert_status(200).json(), session);
    }
    // A code with a mistake is malformed, not unknown.
    let last = if code.ends_with('0') { "1" } else { "0" };
    let mistaken = format!("{}{last}", &code[..code.len() - 1]);
    let answer = app.client.get(&format!("/api/v1/sessions/{mistaken}"));
    answer.assert_problem(422);
    assert_eq!(answer.json()["errors"][0]["code"], "session_id_invalid");
    app.client.delete(&format!("/api/v1/sessions/{code}")).assert_status(204);
    app.client.get(&format!("/api/v1/sessions/{code}")).assert_problem(404);
}

#[test]
fn an_unknown_session_gets_404() {
    let app = TestApp::start();
    for id in [Uuid::new_v4(), Uuid::nil(), Uuid::max()] {
        app.client.get(&format!("/api/v1/sessions/{id}")).assert_problem(404);
        app.client.delete(&format!("/api/v1/sessions/{id}")).assert_problem(404);
    }
}

#[test]
fn delete_removes_the_row_of_that_session_only() {
    let app = TestApp::start();
    let (id, other) = (app.create_session(), app.create_session());
    let answer = app.client.delete(&format!("/api/v1/sessions/{id}")).assert_status(204);
    assert!(answer.body.is_empty());

    let left: Vec<Uuid> =
        app.sql().query("SELECT id FROM sessions", &[]).unwrap().iter().map(|row| row.get(0)).collect();
    assert_eq!(left, [*other.parse::<SessionId>().unwrap().lookup().expose()]);
    app.client.get(&format!("/api/v1/sessions/{id}")).assert_problem(404);
    app.client.delete(&format!("/api/v1/sessions/{id}")).assert_problem(404);
}

#[test]
fn exactly_one_of_concurrent_deletes_succeeds() {
    let app = TestApp::start();
    for _ in 0..10 {
        let path = format!("/api/v1/sessions/{}", app.create_session());
        let mut statuses: Vec<u16> = thread::scope(|scope| {
            let deletes: Vec<_> = (0..4).map(|_| scope.spawn(|| app.client.delete(&path).status)).collect();
            deletes.into_iter().map(|delete| delete.join().unwrap()).collect()
        });
        statuses.sort_unstable();
        assert_eq!(statuses, [204, 404, 404, 404]);
    }
}

#[test]
fn an_invalid_session_id_gets_422_without_a_query() {
    let app = TestApp::start();
    // Without the table, a query would fail with 500.
    app.sql().batch_execute("ALTER TABLE sessions RENAME TO elsewhere").unwrap();
    for id in ["1", "not-a-uuid", "550e8400e29b41d4a716446655440000", "%7B550e8400-e29b-41d4-a716-446655440000%7D"] {
        for method in ["GET", "DELETE"] {
            let answer = app.client.send(method, &format!("/api/v1/sessions/{id}"));
            assert_eq!(answer.status, 422, "{method} {id}");
            answer.assert_problem(422);
            assert_eq!(answer.json()["errors"][0]["field"], "session_id");
        }
    }
}

#[test]
fn debug_output_and_errors_do_not_contain_the_session_id() {
    let text = "550e8400-e29b-41d4-a716-446655440000";
    let id: SessionId = text.parse().unwrap();
    assert_eq!(format!("{id:?} {:?}", id.recovery_code()), "SessionId(<redacted>) RecoveryCode(<redacted>)");
    let error = "550e8400".parse::<SessionId>().unwrap_err();
    assert!(!format!("{error} {error:?}").contains("550e8400"));
}

#[test]
fn a_statement_that_exceeds_its_timeout_gets_504() {
    let app = TestApp::with(&[("DB_QUERY_TIMEOUT", "1"), ("APP_REQUEST_TIMEOUT", "60")]);
    let path = format!("/api/v1/sessions/{}", app.create_session());
    let mut sql = app.sql();
    let lock = lock_table(&mut sql, "sessions");
    app.client.get(&path).assert_problem(504);
    // A deletion has 30 s at least.
    let delete = format!("DELETE {path} HTTP/1.1\r\nHost: x\r\n\r\n");
    let answer = Raw::connect(app.client.address()).ask(delete.as_bytes());
    answer.assert_problem(504);
    assert_eq!(answer.json()["code"], "database_timeout");
    lock.commit().unwrap();
    app.client.delete(&path).assert_status(204);
}

#[test]
fn an_exhausted_pool_gets_503() {
    let app = TestApp::with(&[("DB_POOL_MIN_SIZE", "1"), ("DB_POOL_MAX_SIZE", "1"), ("DB_ACQUIRE_TIMEOUT_MS", "200")]);
    let id = app.create_session();
    let mut sql = app.sql();
    let lock = lock_table(&mut sql, "sessions");
    thread::scope(|scope| {
        let holding = scope.spawn(|| app.client.get(&format!("/api/v1/sessions/{id}")));
        wait_for_lock(&mut app.sql());
        let answer = app.client.post("/api/v1/sessions");
        lock.commit().unwrap();
        answer.assert_problem(503);
        assert_eq!(answer.header("Retry-After"), Some("1"));
        holding.join().unwrap().assert_status(200);
    });
}
