//! The schema: its migrations, and what must hold for it.

use std::fs;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::thread;

use safespace::app::{self, App};
use safespace::check;
use safespace::config::Config;
use safespace::store::migrations;

use crate::support::app::{TestApp, configure};
use crate::support::cluster::{Schema, wait_for_lock};

static NOT_STOPPED: AtomicBool = AtomicBool::new(false);

#[test]
fn five_services_that_start_together_migrate_once() {
    let schema = Schema::new();
    thread::scope(|scope| {
        for _ in 0..5 {
            scope.spawn(|| TestApp::at(&schema.url(), &[]).client.get("/health/ready").assert_status(200));
        }
    });
    let rows = schema.client().query("SELECT version FROM refinery_schema_history", &[]).unwrap();
    assert_eq!(rows.len(), usize::try_from(migrations::NEWEST).unwrap());
}

#[test]
fn migrating_twice_changes_nothing() {
    let schema = Schema::new();
    let config = configure(&schema.url(), &[]);
    assert_eq!(app::migrate(&config, &NOT_STOPPED).unwrap(), migrations::NEWEST);
    assert_eq!(app::migrate(&config, &NOT_STOPPED).unwrap(), migrations::NEWEST);
}

#[test]
fn a_database_newer_than_the_binary_is_refused() {
    let schema = Schema::new();
    let config = configure(&schema.url(), &[]);
    app::migrate(&config, &NOT_STOPPED).unwrap();
    schema.client().execute(LATER, &[&99]).unwrap();
    schema.client().execute(OLDEST, &[&99]).unwrap();
    let error = App::start(&config, &NOT_STOPPED).err().expect("it does not start").to_string();
    assert!(error.contains("schema version 99") && error.contains("newer SafeSpace"), "{error}");
}

/// A later migration that was applied, and the lowest version that binaries must know for it.
const LATER: &str = "INSERT INTO refinery_schema_history SELECT $1, 'later', applied_on, checksum FROM refinery_schema_history WHERE version = 1";
const OLDEST: &str = "UPDATE compatibility SET oldest_version = $1";

#[test]
fn a_newer_schema_is_served_as_long_as_it_allows_this_version() {
    let schema = Schema::new();
    let config = configure(&schema.url(), &[]);
    let app = TestApp::at(&schema.url(), &[]);
    let mut sql = schema.client();
    let check = || {
        let mut output = String::new();
        check::check(&config, false, &mut output).map(|()| output)
    };
    sql.execute(LATER, &[&(migrations::NEWEST + 1)]).unwrap();
    app.client.get("/health/ready").assert_status(200);
    TestApp::at(&schema.url(), &[]).client.get("/health/ready").assert_status(200);
    assert_eq!(app::migrate(&config, &NOT_STOPPED).unwrap(), migrations::NEWEST + 1);
    let line = format!("Schema       version {}, newer than this binary", migrations::NEWEST + 1);
    assert!(check().unwrap().contains(&line));

    sql.execute(OLDEST, &[&(migrations::NEWEST + 1)]).unwrap();
    app.client.get("/health/ready").assert_problem(503);
    let needs = format!("needs a SafeSpace that knows version {}", migrations::NEWEST + 1);
    for error in [App::start(&config, &NOT_STOPPED).err(), check().err()] {
        let error = error.expect("it would not serve").to_string();
        assert!(error.contains(&needs), "{error}");
    }
}

#[test]
fn requests_get_through_while_a_migration_waits_for_a_table() {
    let schema = Schema::new();
    let config = configure(&schema.url(), &[]);
    app::migrate(&config, &NOT_STOPPED).unwrap();
    let mut sql = schema.client();
    // The last migration refers to sessions, so it waits for a transaction that has written there.
    sql.batch_execute("DROP TABLE turns, compatibility; DELETE FROM refinery_schema_history WHERE version = 5")
        .unwrap();
    let mut writer = schema.client();
    let mut long = writer.transaction().unwrap();
    let insert = "INSERT INTO sessions (id, sealed) VALUES (gen_random_uuid(), '')";
    long.execute(insert, &[]).unwrap();
    thread::scope(|scope| {
        let migrated = scope.spawn(|| app::migrate(&config, &NOT_STOPPED));
        wait_for_lock(&mut sql);
        // A request waits behind the migration, for less than this.
        let mut request = schema.client();
        request.batch_execute("SET lock_timeout = '8s'").unwrap();
        request.execute(insert, &[]).unwrap();
        assert!(!migrated.is_finished());
        long.commit().unwrap();
        assert_eq!(migrated.join().unwrap().unwrap(), migrations::NEWEST);
    });
}

#[test]
fn a_database_from_before_the_first_release_is_refused() {
    let schema = Schema::new();
    let config = configure(&schema.url(), &[]);
    app::migrate(&config, &NOT_STOPPED).unwrap();
    // Such a database has version 1 alone, or it was migrated further.
    for rewritten in [
        "UPDATE refinery_schema_history SET name = 'sessions' WHERE version = 1",
        "DELETE FROM refinery_schema_history WHERE version > 1",
    ] {
        schema.client().batch_execute(rewritten).unwrap();
        assert_unreleased(&config);
    }
}

fn assert_unreleased(config: &Config) {
    for error in [App::start(config, &NOT_STOPPED).err(), app::migrate(config, &NOT_STOPPED).err()] {
        let error = error.expect("it does not start").to_string();
        assert!(error.contains("before the first release") && error.contains("a new, empty database"), "{error}");
    }
}

#[test]
fn migrating_a_database_with_messages_computes_their_totals() {
    let schema = Schema::new();
    let mut sql = schema.client();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("sql/migrations");
    for file in ["V1__sessions_and_messages.sql", "V2__messages_by_id_and_size.sql"] {
        sql.batch_execute(&fs::read_to_string(folder.join(file)).unwrap()).unwrap();
        if file.starts_with("V1") {
            let rows = "INSERT INTO sessions SELECT gen_random_uuid(), '' FROM generate_series(1, 2);
                        INSERT INTO messages SELECT id, position, gen_random_uuid(), decode(repeat('00', 10 * position), 'hex')
                        FROM sessions, generate_series(3, 1, -1) AS position";
            sql.batch_execute(rows).unwrap();
        }
    }
    let totals = sql.query("SELECT total_bytes FROM messages ORDER BY session_id, position", &[]).unwrap();
    let totals: Vec<i64> = totals.iter().map(|row| row.get(0)).collect();
    assert_eq!(totals, [10, 30, 60, 10, 30, 60]);
}

#[test]
fn migrating_a_database_with_sessions_gives_them_the_hour_of_the_migration_without_a_rewrite() {
    let schema = Schema::new();
    let mut sql = schema.client();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("sql/migrations");
    let mut migrate = |file: &str| sql.batch_execute(&fs::read_to_string(folder.join(file)).unwrap()).unwrap();
    migrate("V1__sessions_and_messages.sql");
    migrate("V2__messages_by_id_and_size.sql");
    let mut sql = schema.client();
    sql.batch_execute("INSERT INTO sessions SELECT gen_random_uuid(), '' FROM generate_series(1, 3)").unwrap();
    let file = "SELECT pg_relation_filenode('sessions')";
    let before: u32 = sql.query_one(file, &[]).unwrap().get(0);
    sql.batch_execute(&fs::read_to_string(folder.join("V3__ends_of_sessions.sql")).unwrap()).unwrap();
    assert_eq!(sql.query_one(file, &[]).unwrap().get::<_, u32>(0), before);
    let recent = "SELECT count(*) FROM sessions WHERE created_hour = last_used_hour AND idle_timeout_seconds IS NULL
                  AND extract(epoch FROM now()) / 3600 - last_used_hour BETWEEN 0 AND 1.1";
    assert_eq!(sql.query_one(recent, &[]).unwrap().get::<_, i64>(0), 3);
}

#[test]
fn a_role_that_may_not_change_the_schema_can_serve_it() {
    let schema = Schema::new();
    app::migrate(&configure(&schema.url(), &[]), &NOT_STOPPED).unwrap();
    let mut sql = schema.client();
    let name: String = sql.query_one("SELECT current_schema()::text", &[]).unwrap().get(0);
    // The grants of docs/setup.md.
    sql.batch_execute(&format!(
        "CREATE ROLE {name};
         GRANT USAGE ON SCHEMA {name} TO {name};
         GRANT SELECT ON refinery_schema_history, compatibility TO {name};
         GRANT SELECT, INSERT, UPDATE, DELETE ON sessions, reports, turns TO {name};
         GRANT SELECT, INSERT ON messages TO {name};"
    ))
    .unwrap();
    let app = TestApp::at(&format!("{}%20-c%20role%3D{name}", schema.url()), &[]);
    let id = app.create_session();
    app.client.get(&format!("/api/v1/sessions/{id}")).assert_status(200);
    let chat = format!("/api/v1/sessions/{id}/chat");
    app.client.post_body(&chat, "application/json", br#"{"message": "hello"}"#).assert_status(200);
    app.client.get(&chat).assert_status(200);
    let report = format!("/api/v1/sessions/{id}/report");
    let id_of_report =
        app.client.post_json(&report, &crate::support::reports::answers(), &[]).assert_status(201).json();
    let path = format!("/api/v1/sessions/{id}/reports/{}", id_of_report["id"].as_str().unwrap());
    app.client.patch_json(&path, &serde_json::json!({})).assert_status(200);
    app.client.delete(&path).assert_status(204);
    app.client.delete(&format!("/api/v1/sessions/{id}")).assert_status(204);
    drop(app);
    sql.batch_execute(&format!("DROP OWNED BY {name}; DROP ROLE {name}")).unwrap();
}

#[test]
fn every_statement_prepares_against_the_schema() {
    let app = TestApp::start();
    let mut sql = app.sql();
    let mut prepared = 0;
    for folder in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("sql")).unwrap() {
        let folder = folder.unwrap().path();
        // Those of `citus` need its functions.
        if folder.ends_with("migrations") || folder.ends_with("citus") {
            continue;
        }
        for file in fs::read_dir(folder).unwrap() {
            let file = file.unwrap().path();
            let statement = fs::read_to_string(&file).unwrap();
            sql.prepare(&statement).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            prepared += 1;
        }
    }
    assert!(prepared >= 5, "{prepared} statements");
}

#[test]
fn every_reference_to_a_session_cascades_on_delete() {
    let app = TestApp::start();
    // Every column that names a session is a foreign key with ON DELETE CASCADE, and every foreign key to a session is.
    let stray = "
        SELECT c.table_name FROM information_schema.columns c
        WHERE c.table_schema = current_schema() AND c.column_name = 'session_id'
          AND NOT EXISTS (
            SELECT FROM pg_constraint k
            JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = ANY (k.conkey)
            WHERE k.contype = 'f' AND k.confdeltype = 'c' AND k.confrelid = 'sessions'::regclass
              AND k.conrelid = format('%I.%I', c.table_schema, c.table_name)::regclass AND a.attname = 'session_id')
        UNION ALL
        SELECT conname FROM pg_constraint
        WHERE contype = 'f' AND confrelid = 'sessions'::regclass AND confdeltype <> 'c'";
    let found = |sql: &mut postgres::Client| sql.query(stray, &[]).unwrap().len();
    let mut sql = app.sql();
    assert_eq!(found(&mut sql), 0);
    // The query finds a table that breaks the rule.
    sql.batch_execute("CREATE TABLE stray (session_id uuid); CREATE TABLE kept (s uuid REFERENCES sessions)").unwrap();
    assert_eq!(found(&mut sql), 2);
}

#[test]
fn the_schema_holds_no_column_for_a_person_a_device_or_an_address() {
    let app = TestApp::start();
    let columns = "SELECT table_name || '.' || column_name FROM information_schema.columns
                   WHERE table_schema = current_schema() AND table_name <> 'refinery_schema_history'
                   ORDER BY table_name DESC, ordinal_position";
    let columns: Vec<String> = app.sql().query(columns, &[]).unwrap().iter().map(|row| row.get(0)).collect();
    let known: [(&str, &[&str]); 5] = [
        ("turns", &["session_id", "position", "claim", "ends_at", "is_stopped"]),
        ("sessions", &["id", "sealed", "created_hour", "last_used_hour", "idle_timeout_seconds", "last_report"]),
        ("reports", &["session_id", "position", "id", "sealed"]),
        ("messages", &["session_id", "position", "id", "sealed", "total_bytes"]),
        ("compatibility", &["oldest_version"]),
    ];
    let of_table =
        |(table, names): &(&str, &[&str])| names.iter().map(|name| format!("{table}.{name}")).collect::<Vec<_>>();
    assert_eq!(columns, known.iter().flat_map(of_table).collect::<Vec<String>>());
}
