//! `/health/…` while the database is available; `store/outages.rs` has the other cases.

use chrono::{DateTime, Utc};

use crate::support::app::TestApp;
use crate::support::timing::PATIENCE;
use crate::support::{eventually, lock_table};

#[test]
fn database_health_has_the_fields_of_the_contract() {
    let app = TestApp::start();
    let before = Utc::now();
    let health = app.client.get("/health/db").assert_status(200).json();
    assert_eq!(health["status"], "healthy");
    assert_eq!(health["database"], "connected");
    let timestamp = health["timestamp"].as_str().unwrap();
    assert_eq!(timestamp.len(), "2026-02-21T10:30:45.123456Z".len());
    let timestamp: DateTime<Utc> = timestamp.parse().unwrap();
    assert!((timestamp - before).num_seconds().abs() < 10);
    let fields: Vec<&String> = health.as_object().unwrap().keys().collect();
    assert_eq!(fields, ["connection_pool", "database", "status", "timestamp"]);
}

#[test]
fn database_health_reports_the_pool_without_its_own_connection() {
    let app = TestApp::with(&[("DB_POOL_MIN_SIZE", "3"), ("DB_POOL_MAX_SIZE", "3")]);
    let pool = eventually(PATIENCE, || {
        let pool = app.client.get("/health/db").json()["connection_pool"].take();
        (pool["total"] == 3).then_some(pool)
    });
    assert_eq!(pool, serde_json::json!({"total": 3, "available": 3, "max": 3}));
}

#[test]
fn a_busy_connection_is_not_available() {
    let app = TestApp::with(&[("DB_POOL_MIN_SIZE", "2"), ("DB_POOL_MAX_SIZE", "2")]);
    let mut sql = app.sql();
    let lock = lock_table(&mut sql, "sessions");
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| app.client.post("/api/v1/sessions"));
        eventually(PATIENCE, || {
            let pool = app.client.get("/health/db").json()["connection_pool"].take();
            (pool["total"] == 2 && pool["available"] == 1).then_some(())
        });
        lock.commit().unwrap();
        waiting.join().unwrap().assert_status(201);
    });
}

#[test]
fn liveness_runs_no_query() {
    let app = TestApp::start();
    let mut sql = app.sql();
    let _lock = lock_table(&mut sql, "refinery_schema_history, sessions");
    assert_eq!(app.client.get("/health/live").assert_status(200).json(), serde_json::json!({"status": "live"}));
}

#[test]
fn readiness_requires_the_current_schema_version() {
    let app = TestApp::start();
    assert_eq!(app.client.get("/health/ready").assert_status(200).json(), serde_json::json!({"status": "ready"}));
    app.sql().batch_execute("UPDATE refinery_schema_history SET version = version - 1").unwrap();
    let answer = app.client.get("/health/ready");
    answer.assert_problem(503);
    assert_eq!(answer.header("Retry-After"), Some("1"));
    app.sql().batch_execute("DROP TABLE refinery_schema_history").unwrap();
    app.client.get("/health/ready").assert_problem(503);
}
