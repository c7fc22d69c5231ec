//! PostgreSQL answers and refuses statements: what clients, probes and the log are told, and that the end is noticed.

use std::collections::BTreeSet;
use std::fs;
use std::thread;
use std::time::Instant;

use postgres::NoTls;
use safespace::config::Database;
use safespace::store::{ConnectError, Connector};
use serde_json::json;

use crate::support::app::configure;
use crate::support::cluster::{Cluster, Schema};
use crate::support::disk::Disk;
use crate::support::eventually;
use crate::support::http::{Answer, Client};
use crate::support::process::{Binary, Service};
use crate::support::timing::PATIENCE;

const BEGIN: &str = "PostgreSQL refuses statements";
const END: &str = "PostgreSQL executes statements again";

#[track_caller]
fn assert_refused(answer: &Answer) {
    assert!(answer.assert_problem(503).contains("cannot store or read"));
    assert_eq!(answer.json()["code"], "database_refuses");
    assert_eq!(answer.header("Retry-After"), Some("10"));
}

/// Sends the request a hundred times, ten at a time; all are refused.
fn send_a_hundred(send: &(dyn Fn() -> Answer + Sync)) {
    thread::scope(|scope| {
        for _ in 0..10 {
            scope.spawn(|| (0..10).for_each(|_| assert_refused(&send())));
        }
    });
}

fn wait_until_served(client: &Client) {
    eventually(PATIENCE, || (client.get("/health/ready").status == 200).then_some(()));
    eventually(PATIENCE, || (client.post("/api/v1/sessions").status == 201).then_some(()));
    eventually(PATIENCE, || (client.get("/health/db").status == 200).then_some(()));
}

#[track_caller]
fn assert_one_pair_of_lines(log: &str, sqlstate: &str, reason: &str) {
    let begins: Vec<&str> = log.lines().filter(|line| line.contains(BEGIN)).collect();
    assert!(begins.len() == 1 && begins[0].contains(" WARN ") && begins[0].contains(reason), "{reason}: {log}");
    let ends: Vec<&str> = log.lines().filter(|line| line.contains(END)).collect();
    assert!(ends.len() == 1 && ends[0].contains(" WARN "), "{log}");
    assert!([begins[0], ends[0]].iter().all(|line| line.contains(&format!("sqlstate={sqlstate}"))), "{log}");
    assert!(!log.contains(" ERROR ") && !log.contains("went away"), "{log}");
}

/// The connections of a service with this application name, without the one that looks for a moment whether commits can be lost.
fn connections(sql: &mut postgres::Client, name: &str) -> BTreeSet<i32> {
    let open =
        "SELECT pid FROM pg_stat_activity WHERE application_name = $1 AND query NOT LIKE '%synchronous_standby_names%'";
    let rows = sql.query(open, &[&name]).unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

/// On a busy machine the probe of an idle connection can be too late, and another one is opened.
#[track_caller]
fn assert_kept(before: &BTreeSet<i32>, after: &BTreeSet<i32>) {
    assert!(after.intersection(before).count() + 1 >= before.len(), "{before:?} {after:?}");
}

struct Case {
    sqlstate: &'static str,
    reason: &'static str,
    sentence: &'static str,
    begin: String,
    end: &'static str,
    creates: bool,
}

/// Makes a table refuse rows with this SQLSTATE.
fn refuse_rows(table: &str, sqlstate: &str) -> String {
    format!(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
         $$ BEGIN RAISE EXCEPTION 'secretword' USING ERRCODE = '{sqlstate}'; END $$;
         CREATE TRIGGER refuse BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION refuse()"
    )
}

#[test]
fn a_refusing_database_is_one_warning_and_not_ready_and_keeps_its_connections() {
    let cases = [
        Case {
            sqlstate: "53100",
            reason: "within a trigger or a function",
            sentence: "A disk of PostgreSQL is full.",
            begin: refuse_rows("sessions", "53100"),
            end: "DROP TRIGGER refuse ON sessions",
            creates: true,
        },
        Case {
            sqlstate: "42501",
            reason: "permission denied for table messages",
            sentence: "The role of the service lacks a privilege.",
            begin: "REVOKE INSERT ON messages FROM CURRENT_ROLE_OF_SERVICE".to_owned(),
            end: "GRANT INSERT ON messages TO CURRENT_ROLE_OF_SERVICE",
            creates: false,
        },
        Case {
            sqlstate: "42P01",
            reason: "does not exist",
            sentence: "The tables are not as the service needs them.",
            begin: "ALTER TABLE sessions RENAME TO other".to_owned(),
            end: "ALTER TABLE other RENAME TO sessions",
            creates: true,
        },
        Case {
            sqlstate: "58030",
            reason: "within a trigger or a function",
            sentence: "PostgreSQL cannot read or write some of its files.",
            begin: refuse_rows("messages", "58030"),
            end: "DROP TRIGGER refuse ON messages",
            creates: false,
        },
    ];
    thread::scope(|scope| {
        for case in cases {
            scope.spawn(move || refuse_for_a_while(&case));
        }
    });
}

fn refuse_for_a_while(case: &Case) {
    let schema = Schema::new();
    let mut sql = schema.client();
    let name: String = sql.query_one("SELECT current_schema()::text", &[]).unwrap().get(0);
    let url = format!("{}%20-c%20role%3D{name}&application_name={name}", schema.url());
    let migrated = Binary::new(&[("DATABASE_URL", &schema.url())]).argument("migrate").run();
    assert!(migrated.status.success());
    let role = format!(
        "CREATE ROLE {name}; GRANT USAGE ON SCHEMA {name} TO {name}; GRANT ALL ON ALL TABLES IN SCHEMA {name} TO {name}"
    );
    sql.batch_execute(&role).unwrap();
    let mut service =
        Binary::new(&[("DATABASE_URL", &url), ("DB_POOL_MIN_SIZE", "3"), ("DB_POOL_MAX_SIZE", "3")]).serve();
    let client = &service.client;
    let new_session =
        || client.post("/api/v1/sessions").assert_status(201).json()["session_id"].as_str().unwrap().to_owned();
    let (chatting, erased) = (new_session(), new_session());
    let before = eventually(PATIENCE, || Some(connections(&mut sql, &name)).filter(|found| found.len() == 5));

    let run = |sql: &mut postgres::Client, statement: &str| {
        sql.batch_execute(&statement.replace("CURRENT_ROLE_OF_SERVICE", &name)).unwrap();
    };
    run(&mut sql, &case.begin);
    let chat = format!("/api/v1/sessions/{chatting}/chat");
    if case.creates {
        send_a_hundred(&|| client.post("/api/v1/sessions"));
    } else {
        // One turn of a session at a time, so that no request gets 409.
        (0..20).for_each(|_| assert_refused(&client.post_json(&chat, &json!({"message": "secretword"}), &[])));
    }
    eventually(PATIENCE, || (client.get("/health/ready").status == 503).then_some(()));
    assert_eq!(client.get("/health/ready").assert_status(503).json()["code"], "database_refuses");
    let health = client.get("/health/db").assert_status(503).json();
    assert_eq!((&health["database"], &health["error"]), (&json!("connected"), &json!(case.sentence)));
    if case.sqlstate != "42P01" {
        client.delete(&format!("/api/v1/sessions/{erased}")).assert_status(204);
    }
    assert_kept(&before, &connections(&mut sql, &name));

    run(&mut sql, case.end);
    if case.sqlstate == "58030" {
        // It is over when nothing failed for a minute: another page may be damaged.
        eventually(PATIENCE, || (client.get("/health/ready").status == 200).then_some(()));
        client.post_json(&chat, &json!({"message": "hello"}), &[]).assert_status(200);
        assert_eq!(service.stop().matches(BEGIN).count(), 1);
    } else {
        wait_until_served(client);
        let log = service.stop();
        assert_one_pair_of_lines(&log, case.sqlstate, case.reason);
        assert!(!log.contains("secretword"), "{log}");
    }
    drop(service);
    sql.batch_execute(&format!("DROP OWNED BY {name}; DROP ROLE {name}")).unwrap();
}

fn serve_read_only(cluster: &Cluster) -> (Service, postgres::Client) {
    let url = cluster.url();
    assert!(Binary::new(&[("DATABASE_URL", &url)]).argument("migrate").run().status.success());
    let mut sql = postgres::Client::connect(&url, NoTls).unwrap();
    sql.batch_execute("ALTER DATABASE safespace SET default_transaction_read_only = on").unwrap();
    let name = [("DATABASE_URL", url.as_str()), ("DB_POOL_MIN_SIZE", "3"), ("DB_POOL_MAX_SIZE", "3")];
    (Binary::new(&name).serve(), sql)
}

#[test]
fn a_read_only_database_keeps_its_connections_and_is_used_again_once_it_can_be_written() {
    let cluster = Cluster::start();
    let (mut service, mut sql) = serve_read_only(&cluster);
    // Three of the pool and two that erase; those of the start, which end by and by, are none of them.
    let pool = eventually(PATIENCE, || Some(connections(&mut sql, "safespace")).filter(|it| it.len() == 5));
    send_a_hundred(&|| service.client.post("/api/v1/sessions"));
    assert_kept(&pool, &connections(&mut sql, "safespace"));
    assert_eq!(service.client.get("/health/ready").assert_status(503).json()["code"], "database_refuses");
    // Sessions keep the setting with which they began, so the pool has to open others.
    sql.batch_execute(
        "SET default_transaction_read_only = off; ALTER DATABASE safespace RESET default_transaction_read_only",
    )
    .unwrap();
    wait_until_served(&service.client);
    let reason = "cannot execute INSERT in a read-only transaction";
    assert_one_pair_of_lines(&service.stop(), "25006", reason);
}

#[test]
fn readiness_notices_a_read_only_database_without_any_request() {
    let cluster = Cluster::start();
    let (service, _sql) = serve_read_only(&cluster);
    assert_eq!(service.client.get("/health/ready").assert_status(503).json()["code"], "database_refuses");
    service.wait_for_log("sqlstate=25006");
}

/// Changes a role, and then ends its connections.
fn shut_out(sql: &mut postgres::Client, role: &str, change: &str) {
    // Committed first: a connection that is opened meanwhile is ended too.
    sql.batch_execute(&format!("ALTER ROLE {role} {change}")).unwrap();
    end_connections(sql, role);
}

/// Ends the connections of a role. One that logged in before the role was changed may be seen a moment later only.
fn end_connections(sql: &mut postgres::Client, role: &str) {
    sql.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1", &[&role]).unwrap();
}

#[test]
fn a_refused_login_is_told_with_its_sqlstate_and_tried_seldom() {
    let cluster = Cluster::start();
    let mut sql = postgres::Client::connect(&cluster.url(), NoTls).unwrap();
    sql.batch_execute("CREATE ROLE app SUPERUSER LOGIN").unwrap();
    let url = cluster.url().replacen("//safespace@", "//app@", 1);
    let service = Binary::new(&[("DATABASE_URL", &url), ("DB_ACQUIRE_TIMEOUT_MS", "200")]).serve();
    shut_out(&mut sql, "app", "NOLOGIN");
    let log = eventually(PATIENCE, || {
        end_connections(&mut sql, "app");
        service.client.get("/health/db");
        Some(service.log()).filter(|log| log.contains("PostgreSQL refuses connections"))
    });
    assert!(log.contains("sqlstate=28000") && log.contains("is not permitted to log in"), "{log}");
    eventually(PATIENCE, || {
        (service.client.get("/health/db").json()["error"] == "PostgreSQL refuses the login of the service.")
            .then_some(())
    });
    assert_refused(&service.client.post("/api/v1/sessions"));
    let config = configure(&url, &[]);
    let Database::Server(server) = &config.database else { panic!("a private PostgreSQL") };
    let connector = Connector::new(server, &config.pool, config.pool.query_timeout).unwrap();
    let refusals = || {
        fs::read_to_string(cluster.folder().join("postgres.log")).unwrap().matches("not permitted to log in").count()
    };
    let (before, started) = (refusals(), Instant::now());
    for _ in 0..50 {
        assert!(matches!(connector.connect(), Err(ConnectError::Refused { .. })));
    }
    // The service makes such attempts too: one in two seconds, and a few at the beginning.
    let attempts = refusals() - before;
    assert!(attempts <= 5 + usize::try_from(started.elapsed().as_secs()).unwrap(), "{attempts}");
    sql.batch_execute("ALTER ROLE app LOGIN").unwrap();
    wait_until_served(&service.client);
    let log = service.wait_for_log("PostgreSQL accepts connections again");
    assert_eq!(log.matches("PostgreSQL refuses connections").count(), 1, "{log}");
}

#[test]
fn used_up_connections_are_one_pair_of_lines_and_a_refusing_database() {
    let cluster = Cluster::start();
    let mut sql = postgres::Client::connect(&cluster.url(), NoTls).unwrap();
    sql.batch_execute("CREATE ROLE few LOGIN; GRANT ALL ON SCHEMA public TO few").unwrap();
    let url = cluster.url().replacen("//safespace@", "//few@", 1);
    let service = Binary::new(&[("DATABASE_URL", &url), ("DB_ACQUIRE_TIMEOUT_MS", "200")]).serve();
    let client = &service.client;
    client.post("/api/v1/sessions").assert_status(201);
    shut_out(&mut sql, "few", "CONNECTION LIMIT 0");
    eventually(PATIENCE, || {
        end_connections(&mut sql, "few");
        let health = client.get("/health/db");
        (health.status == 503 && health.json()["error"] == "PostgreSQL has no connection left for the service.")
            .then_some(())
    });
    send_a_hundred(&|| client.post("/api/v1/sessions"));
    assert_eq!(client.get("/health/ready").assert_status(503).json()["code"], "database_refuses");
    assert_eq!(client.get("/health/db").assert_status(503).json()["database"], "disconnected");

    sql.batch_execute("ALTER ROLE few CONNECTION LIMIT -1").unwrap();
    wait_until_served(client);
    let log = service.wait_for_log("PostgreSQL accepts connections again");
    let begins: Vec<&str> = log.lines().filter(|line| line.contains("PostgreSQL refuses connections")).collect();
    assert!(begins.len() == 1 && begins[0].contains("sqlstate=53300"), "{log}");
    assert!(begins[0].contains("too many connections for role"), "{log}");
    assert_eq!(
        log.lines().filter(|line| line.contains("sqlstate=53300") && line.contains(" WARN ")).count(),
        2,
        "{log}"
    );
    assert!(!log.contains("went away"), "{log}");
}

#[test]
#[ignore = "needs the right to mount"]
fn a_full_disk_is_told_in_the_words_of_postgresql_and_the_service_goes_on_when_there_is_room() {
    let disk = Disk::mount("size=120m");
    let data_folder = disk.path().join("data");
    let mut service =
        Binary::new(&[("SAFESPACE_DATA_DIR", data_folder.to_str().unwrap()), ("STORAGE_RESERVE", "0")]).serve();
    let client = &service.client;
    let session = client.post("/api/v1/sessions").assert_status(201).json();
    let path = format!("/api/v1/sessions/{}", session["session_id"].as_str().unwrap());
    disk.fill();
    let message = json!({"message": "secretword ".repeat(300)});
    eventually(PATIENCE, || (client.post_json(&format!("{path}/chat"), &message, &[]).status == 503).then_some(()));
    for _ in 0..100 {
        assert_refused(&client.post_json(&format!("{path}/chat"), &message, &[]));
    }
    assert_eq!(client.get("/health/ready").assert_status(503).json()["code"], "database_refuses");
    let health = client.get("/health/db").assert_status(503).json();
    assert_eq!(health["error"], "A disk of PostgreSQL is full.");
    client.delete(&path).assert_status(204);
    disk.free();
    wait_until_served(client);
    let log = service.stop();
    assert_one_pair_of_lines(&log, "53100", "No space left on device");
    assert!(!log.contains("secretword"), "{log}");
}

#[test]
fn an_outage_during_a_fault_is_told_as_an_outage() {
    let mut cluster = Cluster::start();
    let service = Binary::new(&[("DATABASE_URL", &cluster.url()), ("DB_ACQUIRE_TIMEOUT_MS", "200")]).serve();
    let mut sql = postgres::Client::connect(&cluster.url(), NoTls).unwrap();
    sql.batch_execute(&refuse_rows("sessions", "53100")).unwrap();
    drop(sql);
    assert_refused(&service.client.post("/api/v1/sessions"));
    assert_eq!(service.client.get("/health/ready").assert_status(503).json()["code"], "database_refuses");
    cluster.stop(None);
    let health = eventually(PATIENCE, || {
        Some(service.client.get("/health/db").json()).filter(|health| health["database"] == "disconnected")
    });
    assert_eq!(health["error"], "The database cannot be reached.");
    eventually(PATIENCE, || {
        (service.client.get("/health/ready").assert_status(503).json()["code"] == "database_unavailable").then_some(())
    });
    cluster.start_again();
    eventually(PATIENCE, || {
        (service.client.get("/health/db").json()["error"] == "A disk of PostgreSQL is full.").then_some(())
    });
}
