//! What the doctor finds in PostgreSQL.

use super::Found;
use super::deployment::{Postgres, set_up};
use crate::support::cluster::{Cluster, DataFolder};
use crate::support::eventually;
use crate::support::process::Binary;
use crate::support::timing::PATIENCE;

/// A PostgreSQL that was set up as docs/setup.md has it, without a service.
struct Server(Postgres);

impl Server {
    fn start(settings: &[&str]) -> Server {
        let postgres = Postgres::start(&[]);
        set_up(&postgres);
        let mut server = Server(postgres);
        if !settings.is_empty() {
            server.0.restart(settings);
        }
        server
    }

    /// The doctor as the role of the service.
    #[track_caller]
    fn examine(&self) -> Found {
        self.examine_as("safespace_app", "")
    }

    /// The doctor as a role, with an end of the URL.
    #[track_caller]
    fn examine_as(&self, role: &str, end: &str) -> Found {
        let url = format!("{}{end}", self.0.url_of(role));
        Found::with(&[("ENVIRONMENT", "production"), ("DATABASE_URL", &url), ("APP_PORT", "0")], &[]).of_postgres()
    }

    /// What these statements of a superuser make the doctor find, as the role of the service.
    #[track_caller]
    fn assert_makes(&self, statements: &str, code: &str) {
        self.0.run(statements);
        self.examine().assert_has(code);
    }

    /// The doctor with tables and functions of PostgreSQL that these statements replace, in a schema that is searched first.
    #[track_caller]
    fn examine_pretending(&self, statements: &str) -> Found {
        let schema = format!("pretended_{}", uuid::Uuid::new_v4().simple());
        self.0.run(&format!("CREATE SCHEMA {schema}; GRANT USAGE ON SCHEMA {schema} TO PUBLIC"));
        self.0.sql().batch_execute(&format!("SET search_path = {schema}, pg_catalog; {statements}")).unwrap();
        let end = format!("?options=-c%20search_path%3D{schema},public,pg_catalog");
        self.examine_as("safespace_app", &end)
    }
}

#[test]
fn what_the_log_tells_of_statements_is_found() {
    let server = Server::start(&[]);
    for (name, value, code) in [
        ("log_statement", "mod", "postgres.log_statement"),
        ("log_statement", "all", "postgres.log_parameter_max_length"),
        ("log_min_duration_statement", "0", "postgres.log_min_duration_statement"),
        ("log_min_duration_statement", "250", "postgres.log_min_duration_statement"),
        ("log_transaction_sample_rate", "0.5", "postgres.log_sample"),
        ("log_min_error_statement", "error", "postgres.log_min_error_statement"),
        ("log_error_verbosity", "default", "postgres.log_error_verbosity"),
        ("log_duration", "on", "postgres.log_duration"),
        ("debug_print_plan", "on", "postgres.debug_print"),
    ] {
        let before = server.0.set(name, value);
        server.examine().assert_has(code);
        server.0.set(name, &before);
        server.examine().assert_lacks(code);
    }
    let before = server.0.set("log_min_duration_sample", "0");
    let found = server.examine();
    found.assert_has("postgres.log_sample");
    found.assert_has("postgres.log_parameter_max_length");
    server.0.set("log_parameter_max_length", "0");
    server.examine().assert_lacks("postgres.log_parameter_max_length");
    server.0.set("log_min_duration_sample", &before);
    server.0.set("log_parameter_max_length_on_error", "64");
    server.examine().assert_has("postgres.log_parameter_max_length_on_error");
}

#[test]
fn a_setting_of_the_role_alone_is_found() {
    let server = Server::start(&[]);
    server.assert_makes("ALTER ROLE safespace_app SET log_statement = 'all'", "postgres.log_statement");
    server.assert_makes("ALTER ROLE safespace_app SET synchronous_commit = off", "postgres.synchronous_commit");
}

#[test]
fn libraries_that_see_statements_are_found() {
    let mut server = Server::start(&[]);
    server.examine().assert_lacks("postgres.auto_explain");
    server.0.restart(&["shared_preload_libraries=auto_explain, pg_stat_statements, $libdir/pg_freespacemap"]);
    let found = server.examine();
    found.assert_lacks("postgres.auto_explain");
    found.assert_has("postgres.pg_stat_statements");
    assert_eq!(found.what("postgres.library"), Some("PostgreSQL loads pg_freespacemap"));
    server.0.set("auto_explain.log_min_duration", "100");
    server.examine().assert_has("postgres.auto_explain");
    // The names of libraries are shown to few roles.
    server.0.run("REVOKE pg_read_all_settings FROM safespace_app");
    assert!(server.examine().not_checked("which libraries").is_some());
    // No machine of the tests has pgaudit: a setting of its name is as visible as its own.
    let pretended = "CREATE VIEW pg_settings AS SELECT name, setting FROM pg_catalog.pg_settings
        UNION ALL SELECT 'pgaudit.log', 'write'; GRANT SELECT ON pg_settings TO PUBLIC";
    server.examine_pretending(pretended).assert_has("postgres.pgaudit");
}

#[test]
fn settings_that_need_a_restart_are_found() {
    let mut server = Server::start(&["track_commit_timestamp=on", "archive_mode=on", "archive_command=false"]);
    let found = server.examine();
    found.assert_has("postgres.track_commit_timestamp");
    found.assert_has("postgres.archive_mode");
    found.assert_lacks("postgres.archive_failing");
    server.0.run("CREATE TABLE filler (); SELECT pg_switch_wal()");
    eventually(PATIENCE, || server.examine().what("postgres.archive_failing").map(drop));
    server.0.restart(&["wal_level=logical", "logging_collector=on", "log_file_mode=0644", "wal_compression=on"]);
    let found = server.examine();
    for code in ["postgres.wal_level", "postgres.log_file_mode", "postgres.wal_compression"] {
        found.assert_has(code);
    }
    server.0.restart(&["wal_level=replica"]);
    let found = server.examine();
    for code in ["postgres.wal_level", "postgres.log_file_mode", "postgres.wal_compression", "postgres.archive_mode"] {
        found.assert_lacks(code);
    }
}

#[test]
fn replication_slots_and_kept_log_are_found() {
    let server = Server::start(&["wal_level=logical"]);
    server.0.run("SELECT pg_create_physical_replication_slot('unused')");
    // A slot that never was used keeps nothing.
    server.examine().assert_lacks("postgres.slot_inactive");
    server.assert_makes("SELECT pg_create_physical_replication_slot('standby', true)", "postgres.slot_inactive");
    server.0.run("SELECT pg_drop_replication_slot('standby')");
    server.examine().assert_lacks("postgres.slot_inactive");
    server.assert_makes("SELECT pg_create_logical_replication_slot('reader', 'pgoutput')", "postgres.slot_logical");
    server.0.set("wal_keep_size", "64");
    server.examine().assert_has("postgres.wal_keep_size");
}

#[test]
fn what_loses_commits_is_found() {
    let server = Server::start(&[]);
    for (name, code) in [
        ("fsync", "postgres.fsync"),
        ("full_page_writes", "postgres.full_page_writes"),
        ("synchronous_commit", "postgres.synchronous_commit"),
    ] {
        let before = server.0.set(name, "off");
        server.examine().assert_has(code);
        server.0.set(name, &before);
        server.examine().assert_lacks(code);
    }
}

#[test]
fn a_standby_that_is_not_synchronous_is_found() {
    let primary = Cluster::start();
    assert!(Binary::new(&[("DATABASE_URL", &primary.url())]).argument("migrate").run().status.success());
    let _standby = primary.start_standby();
    let url = primary.url();
    let examine = || Found::with(&[("DATABASE_URL", &url), ("APP_PORT", "0")], &[]);
    eventually(PATIENCE, || examine().what("postgres.standby_not_synchronous").map(drop));
}

#[test]
fn the_size_of_the_log_is_compared_with_the_reserve() {
    let server = Server::start(&[]);
    let url = server.0.url_of("safespace_app");
    let examine = |reserve: &str| {
        let variables = [("DATABASE_URL", url.as_str()), ("APP_PORT", "0"), ("STORAGE_RESERVE", reserve)];
        Found::with(&variables, &[]).of_postgres()
    };
    examine("104857600").assert_has("postgres.max_wal_size");
    let found = examine("1073741824");
    found.assert_lacks("postgres.max_wal_size");
    assert!(found.not_checked("log fits").is_none());
    assert!(examine("0").not_checked("log fits").is_some());
}

#[test]
fn the_private_postgresql_has_a_note_on_checksums_and_no_finding_on_its_role() {
    let folder = DataFolder::new();
    let variables = [("SAFESPACE_DATA_DIR", folder.path().to_str().unwrap()), ("APP_PORT", "0")];
    let examine = || Found::with(&variables, &[]);
    let found = examine();
    assert!(found.not_checked("PostgreSQL").is_some(), "{:#}", found.json);
    let _service = Binary::new(&variables).serve();
    let found = examine();
    let loud =
        found.codes().into_iter().filter(|code| code.starts_with("postgres.") && *code != "postgres.data_checksums");
    assert_eq!(loud.collect::<Vec<_>>(), [""; 0], "{:#}", found.json);
}

#[test]
fn tls_and_its_mode_count_for_another_machine_alone() {
    let authority = rcgen::KeyPair::generate().unwrap();
    let mut parameters = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
    parameters.is_ca = rcgen::IsCa::NoCa;
    let certificate = parameters.self_signed(&authority).unwrap();
    let mut server = Server::start(&[]);
    let pem = server.0.file("server.pem", &certificate.pem());
    let key = server.0.file("server.key", &authority.serialize_pem());
    let hba = server.0.file("hba", "local all all trust\nhost all all all trust\n");
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let listen = ["listen_addresses=127.0.0.1".to_owned(), format!("hba_file={}", hba.display())];
    let tls =
        [format!("ssl_cert_file={}", pem.display()), format!("ssl_key_file={}", key.display()), "ssl=on".to_owned()];
    let tcp_port = format!("port={port}");
    // Every name but `localhost` is taken for another machine; the system's resolver ignores the case.
    let examine = |host: &str, mode: &str| {
        let url = format!("postgres://safespace_app:hunter2@{host}:{port}/safespace?sslmode={mode}");
        Found::with(&[("DATABASE_URL", &url), ("APP_PORT", "0")], &[]).of_postgres()
    };
    let plain: Vec<&str> = listen.iter().chain([&tcp_port]).map(String::as_str).collect();
    server.0.restart_on(&plain, &port);
    examine("LOCALHOST", "prefer").assert_has("postgres.tls");
    examine("localhost", "prefer").assert_lacks("postgres.tls");
    let secured: Vec<&str> = listen.iter().chain([&tcp_port]).chain(&tls).map(String::as_str).collect();
    server.0.restart_on(&secured, &port);
    let found = examine("LOCALHOST", "require");
    found.assert_lacks("postgres.tls");
    found.assert_has("postgres.sslmode");
    examine("localhost", "require").assert_lacks("postgres.sslmode");
}

#[test]
fn a_role_that_may_more_than_serve_is_found() {
    let server = Server::start(&[]);
    server.examine().assert_lacks("postgres.privileges");
    server.examine_as("safespace", "").assert_has("postgres.superuser");
    let found = server.examine_as("safespace_owner", "");
    found.assert_has("postgres.owner");
    found.assert_lacks("postgres.superuser");
    server.assert_makes("GRANT UPDATE, DELETE ON messages TO safespace_app", "postgres.privileges");
    assert!(server.examine().what("postgres.privileges").unwrap().contains("UPDATE, DELETE ON messages"));
    server.assert_makes("ALTER ROLE safespace_app CREATEDB", "postgres.role_attributes");
    server.assert_makes("GRANT pg_read_all_stats TO safespace_app", "postgres.role_memberships");
    // By SET ROLE it is a superuser.
    server.assert_makes(
        "REVOKE pg_read_all_stats FROM safespace_app; GRANT safespace TO safespace_app",
        "postgres.role_memberships",
    );
    assert!(server.examine().what("postgres.role_memberships").unwrap().ends_with("is a member of safespace"));
    server.examine().assert_lacks("postgres.public");
    server.assert_makes("GRANT CONNECT ON DATABASE safespace TO PUBLIC", "postgres.public");
    server.assert_makes("REVOKE INSERT ON messages FROM safespace_app", "postgres.privileges_missing");
}

#[test]
fn connections_that_are_too_few_or_used_up_are_found() {
    let mut server = Server::start(&["max_connections=20"]);
    server.examine().assert_has("postgres.connections");
    server.examine().assert_lacks("postgres.connections_left");
    let clients: Vec<postgres::Client> = (0..14).map(|_| server.0.sql()).collect();
    server.examine().assert_has("postgres.connections_left");
    drop(clients);
    server.0.restart(&[]);
    server.examine().assert_lacks("postgres.connections");
}

#[test]
fn a_vacuum_that_does_not_come_is_found() {
    let server = Server::start(&[]);
    for (name, value, code) in [
        ("autovacuum", "off", "postgres.autovacuum"),
        ("track_counts", "off", "postgres.autovacuum"),
        ("autovacuum_naptime", "600", "postgres.autovacuum_naptime"),
    ] {
        let before = server.0.set(name, value);
        server.examine().assert_has(code);
        server.0.set(name, &before);
        server.examine().assert_lacks(code);
    }
    server.assert_makes("ALTER TABLE messages SET (autovacuum_enabled = off)", "postgres.autovacuum");
    server.examine().assert_lacks("postgres.dead_rows");
    // The table has no autovacuum now, so the rows stay dead.
    let sessions = "INSERT INTO sessions (id, sealed, created_hour, last_used_hour)
        SELECT gen_random_uuid(), decode(repeat('00', 49), 'hex'), 1, 1 FROM generate_series(1, 200000)";
    server.0.run("ALTER TABLE sessions SET (autovacuum_enabled = off)");
    server.0.run(&format!("{sessions}; ANALYZE sessions; DELETE FROM sessions"));
    eventually(PATIENCE, || server.examine().what("postgres.dead_rows").map(drop));
    server.0.run(&format!("VACUUM sessions; {sessions}; ANALYZE sessions"));
    server.examine().assert_lacks("postgres.bloat");
    // The last rows keep the file long.
    server.0.run("DELETE FROM sessions WHERE ctid < (SELECT max(ctid) FROM sessions); VACUUM (ANALYZE) sessions");
    eventually(PATIENCE, || server.examine().what("postgres.bloat").map(drop));
}

#[test]
fn an_old_transaction_is_found_where_it_is_seen() {
    let server = Server::start(&[]);
    // The doctor's own role sees its own transactions.
    let pretended = "CREATE FUNCTION clock_timestamp() RETURNS timestamptz LANGUAGE sql AS
        $$ SELECT pg_catalog.now() + interval '20 minutes' $$";
    let found = server.examine_pretending(pretended);
    found.assert_has("postgres.old_transaction");
    found.assert_has("host.clock");
    let found = server.examine();
    found.assert_lacks("postgres.old_transaction");
    found.assert_lacks("host.clock");
    assert!(found.not_checked("transactions of other roles").is_some());
}

#[test]
fn an_age_and_a_version_that_no_test_can_make_are_found_where_postgresql_says_so() {
    let server = Server::start(&[]);
    let old = "CREATE FUNCTION age(xid) RETURNS int LANGUAGE sql AS $$ SELECT 1100000000 $$";
    server.examine_pretending(old).assert_has("postgres.frozen_age");
    let version = "CREATE FUNCTION current_setting(text) RETURNS text LANGUAGE sql AS
        $$ SELECT CASE $1 WHEN 'server_version_num' THEN '120022' ELSE pg_catalog.current_setting($1) END $$";
    let found = server.examine_pretending(version);
    assert_eq!(found.what("postgres.version"), Some("it is PostgreSQL 12, whose support ended on 2024-11-21"));
    let found = server.examine();
    found.assert_lacks("postgres.frozen_age");
    found.assert_lacks("postgres.version");
}

#[test]
fn a_schema_of_another_version_is_found() {
    let server = Server::start(&[]);
    server.examine().assert_lacks("postgres.schema_behind");
    let newer =
        "INSERT INTO refinery_schema_history SELECT 1000, 'later', applied_on, checksum FROM refinery_schema_history
        WHERE version = 5";
    server.assert_makes(newer, "postgres.schema_ahead");
    server.assert_makes("DELETE FROM refinery_schema_history WHERE version > 1", "postgres.schema_behind");
}

#[test]
fn settings_that_a_pooler_drops_are_found() {
    let server = Server::start(&[]);
    server.examine().assert_lacks("postgres.session_settings");
    let pretended = "CREATE VIEW pg_settings AS
        SELECT name, CASE name WHEN 'jit' THEN 'on' ELSE setting END AS setting FROM pg_catalog.pg_settings;
        GRANT SELECT ON pg_settings TO PUBLIC";
    server.examine_pretending(pretended).assert_has("postgres.session_settings");
}

#[test]
fn a_server_that_is_not_there_is_found() {
    Found::with(&[super::NO_POSTGRES, ("APP_PORT", "0")], &[]).assert_has("postgres.unreachable");
}
