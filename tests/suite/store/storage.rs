//! The watermark of the storage: what is refused above it, what goes on, and that it is measured.

use std::time::Duration;

use postgres::NoTls;
use serde_json::json;

use crate::support::app::TestApp;
use crate::support::cluster::{Cluster, DataFolder, Schema};
use crate::support::eventually;
use crate::support::http::{Answer, Client};
use crate::support::process::Binary;

/// Longer than the interval in which the size of the database is measured.
const NOTICED: Duration = Duration::from_secs(10);

/// More than this machine has: no disk has 99 % of its space free for a user other than root.
const FULL: (&str, &str) = ("STORAGE_RESERVE", "99%");

#[track_caller]
fn assert_storage_full(answer: &Answer) {
    let detail = answer.assert_problem(503);
    assert!(detail.contains("storage is full"), "{detail}");
    assert_eq!(answer.json()["code"], "storage_full");
    assert_eq!(answer.header("Retry-After"), Some("60"));
}

fn wait_until_full(client: &Client) {
    eventually(NOTICED, || (client.post("/api/v1/sessions").status == 503).then_some(()));
}

fn wait_for_room(client: &Client) {
    eventually(NOTICED, || (client.post("/api/v1/sessions").status == 201).then_some(()));
}

#[test]
fn below_the_reserve_creations_and_messages_are_refused_and_everything_else_goes_on() {
    let schema = Schema::new();
    let app = TestApp::at(&schema.url(), &[]);
    let path = format!("/api/v1/sessions/{}", app.create_session());
    let key = [("Idempotency-Key", "stored")];
    let answer = app.client.post_json(&format!("{path}/chat"), &json!({"message": "hello"}), &key).assert_status(200);
    drop(app);

    let app = TestApp::at(&schema.url(), &[FULL]);
    wait_until_full(&app.client);
    assert_storage_full(&app.client.post("/api/v1/sessions"));
    let send = |text, key| {
        app.client.post_json(&format!("{path}/chat"), &json!({"message": text}), &[("Idempotency-Key", key)])
    };
    assert_storage_full(&send("hello", "another"));
    // Nothing is stored for a message sent again.
    assert_eq!(send("hello", "stored").assert_status(200).json(), answer.json());
    send("something else", "stored").assert_problem(422);
    app.client.get(&path).assert_status(200);
    let history = app.client.get(&format!("{path}/chat")).assert_status(200).json();
    assert_eq!(history["messages"].as_array().unwrap().len(), 2);
    app.client.post(&format!("{path}/chat/stop")).assert_status(204);
    for health in ["/health/live", "/health/ready", "/health/db"] {
        app.client.get(health).assert_status(200);
    }
    app.client.delete(&path).assert_status(204);
    app.client.get(&path).assert_status(404);
}

#[test]
fn writing_resumes_when_the_database_is_smaller_again_and_an_outage_in_between_changes_nothing() {
    let mut cluster = Cluster::start();
    let sql = |cluster: &Cluster| postgres::Client::connect(&cluster.url(), NoTls).unwrap();
    let size: i64 = sql(&cluster).query_one("SELECT pg_database_size(current_database())", &[]).unwrap().get(0);
    let max = (size + (8 << 20)).to_string();
    let mut service =
        Binary::new(&[("DATABASE_URL", &cluster.url()), ("DB_MAX_BYTES", &max), ("METRICS_PORT", "0")]).serve();
    service.client.post("/api/v1/sessions").assert_status(201);
    cluster.stop(None);
    service.client.get("/health/live").assert_status(200);
    cluster.start_again();

    let fill = "CREATE TABLE filler AS SELECT repeat('x', 1000) FROM generate_series(1, 16000)";
    eventually(NOTICED, || (service.client.get("/health/db").status == 200).then_some(()));
    sql(&cluster).batch_execute(fill).unwrap();
    wait_until_full(&service.client);
    let metrics = service.metrics().get("/metrics").text();
    assert!(metrics.contains("\nsafespace_storage_full 1\n"), "{metrics}");
    assert!(metrics.contains(&format!("\nsafespace_storage_bytes{{kind=\"database_max\"}} {max}\n")), "{metrics}");
    for kind in ["disk_free", "disk_reserve", "database"] {
        assert!(metrics.contains(&format!("\nsafespace_storage_bytes{{kind=\"{kind}\"}} ")), "{kind}: {metrics}");
    }

    sql(&cluster).batch_execute("DROP TABLE filler").unwrap();
    wait_for_room(&service.client);
    assert!(service.metrics().get("/metrics").text().contains("\nsafespace_storage_full 0\n"));
    let log = service.stop();
    for line in ["The storage is full", "The storage has room again"] {
        assert_eq!(log.matches(line).count(), 1, "{log}");
    }
}

#[test]
fn a_role_that_may_not_know_the_data_folder_is_a_warning_and_no_limit() {
    let cluster = Cluster::start();
    let migrated = Binary::new(&[("DATABASE_URL", &cluster.url())]).argument("migrate").run();
    assert!(migrated.status.success());
    postgres::Client::connect(&cluster.url(), NoTls)
        .and_then(|mut sql| {
            sql.batch_execute("CREATE ROLE plain LOGIN; GRANT ALL ON ALL TABLES IN SCHEMA public TO plain")
        })
        .unwrap();
    let url = cluster.url().replacen("//safespace@", "//plain@", 1);
    let service = Binary::new(&[("DATABASE_URL", &url), FULL]).serve();
    service.wait_for_log("The disk of PostgreSQL cannot be measured");
    service.client.post("/api/v1/sessions").assert_status(201);
}

#[test]
fn check_prints_the_room_and_a_full_storage_is_a_reason() {
    let schema = Schema::new();
    let check = |further: &[(&str, &str)]| {
        let output =
            Binary::new(&[&[("DATABASE_URL", schema.url().as_str())], further].concat()).argument("check").run();
        let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
        (output.status.code(), text)
    };
    for (further, code, lines) in [
        (
            [FULL, ("DB_MAX_BYTES", "")],
            1,
            vec!["Storage      ", " MiB free on the disk, ", " MiB reserved\n", "the storage is full"],
        ),
        (
            [("STORAGE_RESERVE", "1048576"), ("DB_MAX_BYTES", "")],
            0,
            vec!["max_wal_size, 1024 MiB, is more than the reserve"],
        ),
        (
            [("STORAGE_RESERVE", "0"), ("DB_MAX_BYTES", "1048576")],
            1,
            vec!["Storage      database of ", ", at most 1 MiB\n", "the storage is full"],
        ),
        ([("STORAGE_RESERVE", "0"), ("DB_MAX_BYTES", "")], 0, vec!["Storage      no reserve"]),
    ] {
        let (exit_code, found) = check(&further);
        assert_eq!(exit_code, Some(code), "{further:?}: {found}");
        for line in lines {
            assert!(found.contains(line), "{further:?}, {line}: {found}");
        }
    }
}

#[test]
fn the_log_of_a_private_postgresql_fits_into_the_reserve() {
    let folder = DataFolder::new();
    let variables = [("SAFESPACE_DATA_DIR", folder.path().to_str().unwrap()), ("STORAGE_RESERVE", "134217728")];
    let service = Binary::new(&variables).serve();
    service.client.post("/api/v1/sessions").assert_status(201);
    let mut sql = postgres::Client::connect(&folder.url(), NoTls).unwrap();
    let size: String = sql.query_one("SHOW max_wal_size", &[]).unwrap().get(0);
    assert_eq!(size, "128MB");
}
