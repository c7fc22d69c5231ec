//! Settings with which PostgreSQL can lose what it has acknowledged, and commits that hang.

use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::support::app::TestApp;
use crate::support::cluster::{Cluster, Schema, lock_table};
use crate::support::process::Binary;
use crate::support::timing::PATIENCE;
use crate::support::{eventually, timed};

const BEGIN: &str = "PostgreSQL can lose what it has acknowledged: ";

/// Checks, and starts, in production. `risk` is a part of the reason why both fail, if there is one.
#[track_caller]
fn assert_in_production(url: &str, risk: Option<&str>) {
    let variables = [("DATABASE_URL", url), ("ENVIRONMENT", "production")];
    let check = Binary::new(&variables).argument("check").run();
    let [output, error] = [&check.stdout, &check.stderr].map(|text| String::from_utf8_lossy(text));
    let Some(risk) = risk else {
        assert!(check.status.success() && output.contains("Durability"), "{output}{error}");
        let service = Binary::new(&variables).serve();
        service.client.post("/api/v1/sessions").assert_status(201);
        return assert!(!service.log().contains("can lose"), "{}", service.log());
    };
    let start = Binary::new(&variables).run();
    for (output, text) in [(&check, "it would not serve: "), (&start, "DB_LOSS_ACCEPTED=true")] {
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!([BEGIN, risk, text].iter().all(|text| error.contains(text)), "{error}");
    }
}

#[test]
fn commits_that_wait_for_no_disk_are_a_refusal_in_production_and_else_a_warning() {
    let schema = Schema::new();
    let url = |value: &str| format!("{}%20-c%20synchronous_commit%3D{value}", schema.url());
    // Without standbys it is the same as `on`.
    assert_in_production(&url("local"), None);
    let (url, risk) = (url("off"), "synchronous_commit is off");
    assert_in_production(&url, Some(risk));
    for further in [[("ENVIRONMENT", "production"), ("DB_LOSS_ACCEPTED", "true")].as_slice(), &[]] {
        let variables = [&[("DATABASE_URL", url.as_str())], further].concat();
        let check = Binary::new(&variables).argument("check").run();
        let output = String::from_utf8_lossy(&check.stdout);
        assert!(check.status.success() && output.contains(&format!("Warning      {BEGIN}{risk}")), "{output}");
        let log = Binary::new(&variables).serve().wait_for_log("PostgreSQL can lose what it has acknowledged");
        assert!(log.contains(risk) && log.contains(" WARN "), "{log}");
    }
}

#[test]
fn of_distributed_tables_check_and_the_start_say_that_they_ask_the_coordinator_alone() {
    let schema = Schema::new();
    let url = schema.url_of_pretended_citus();
    let variables = [("DATABASE_URL", url.as_str()), ("DB_DISTRIBUTE", "citus")];
    let check = Binary::new(&variables).argument("check").run();
    let output = String::from_utf8_lossy(&check.stdout);
    assert!(output.contains("Durability   Only the coordinator is asked"), "{output}");
    Binary::new(&variables).serve().wait_for_log("Only the coordinator is asked");
}

#[test]
fn standbys_without_a_synchronous_one_are_a_risk_and_one_that_hangs_makes_the_service_unready() {
    let primary = Cluster::start();
    let mut standby = primary.start_standby();
    // As a role that may read no statistics of others.
    let sql = "CREATE ROLE app LOGIN; GRANT ALL ON SCHEMA public TO app";
    primary.sql().batch_execute(sql).unwrap();
    let url = primary.url().replacen("//safespace@", "//app@", 1);
    assert_in_production(&url, Some("no standby is synchronous"));
    primary.set("synchronous_standby_names", "*");
    assert_in_production(&url, None);
    assert_in_production(&format!("{url}?options=-csynchronous_commit%3Dlocal"), Some("synchronous_commit is local"));

    // A question that hangs is answered late, but it is.
    let service = Binary::new(&[("DATABASE_URL", &url), ("COMPANION_TIMEOUT", "25")]).serve();
    let client = &service.client;
    let session = client.post("/api/v1/sessions").assert_status(201).json();
    let chat = format!("/api/v1/sessions/{}/chat", session["session_id"].as_str().unwrap());
    client.get("/health/ready").assert_status(200);
    let create = || client.post("/api/v1/sessions").assert_status(201);
    let send = || client.post_json(&chat, &json!({"message": "hello"}), &[]).assert_status(200);
    for (case, write) in [("a session", &create as &(dyn Fn() -> _ + Sync)), ("a question", &send)] {
        standby.freeze();
        thread::scope(|scope| {
            let hanging = scope.spawn(write);
            let (answer, took) = timed(|| {
                eventually(PATIENCE, || Some(client.get("/health/ready")).filter(|answer| answer.status == 503))
            });
            answer.assert_problem(503);
            assert!(took < Duration::from_secs(8), "{case}: {took:?}");
            // Also when the write has been hanging for long, and with several that ask.
            for _ in 0..2 {
                let (answer, took) = timed(|| client.get("/health/ready"));
                assert!(answer.status == 503 && took < Duration::from_secs(4), "{case}: {} {took:?}", answer.status);
            }
            client.get("/health/live").assert_status(200);
            standby.thaw();
            hanging.join().unwrap();
        });
        eventually(PATIENCE, || (client.get("/health/ready").status == 200).then_some(()));
    }
    let log = service.wait_for_log("Ready again");
    assert_eq!(log.matches("Not ready: ").count(), 2, "{log}");
    assert!(log.contains("a commit hangs or fails too"), "{log}");
    standby.stop(None);
}

#[test]
fn a_probe_that_hangs_makes_the_service_unready_within_two_seconds() {
    let app = TestApp::start();
    let mut sql = app.sql();
    let lock = lock_table(&mut sql, "refinery_schema_history");
    for _ in 0..4 {
        let (answer, took) = timed(|| app.client.get("/health/ready"));
        answer.assert_problem(503);
        assert!(took < Duration::from_secs(4), "{took:?}");
    }
    lock.commit().unwrap();
    eventually(PATIENCE, || (app.client.get("/health/ready").status == 200).then_some(()));
}

#[test]
fn a_write_that_waits_for_a_lock_alone_leaves_the_service_ready() {
    let app = TestApp::start();
    let mut sql = app.sql();
    let lock = lock_table(&mut sql, "sessions");
    thread::scope(|scope| {
        let waiting = scope.spawn(|| app.client.post("/api/v1/sessions"));
        thread::sleep(Duration::from_millis(2500));
        assert_eq!(app.client.get("/health/ready").status, 200);
        lock.commit().unwrap();
        waiting.join().unwrap().assert_status(201);
    });
}
