//! `safespace check`: exit code 1 and the reason where the service would not serve.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Output;

use crate::support::cluster::{Cluster, DataFolder, Schema, send_signal};
use crate::support::eventually;
use crate::support::fake_model::{FakeModel, MARKER, answers};
use crate::support::http::Client;
use crate::support::process::Binary;
use crate::support::timing::PATIENCE;

fn check(variables: &[(&str, &str)], arguments: &[&str]) -> Output {
    arguments.iter().fold(Binary::new(variables).argument("check"), |binary, argument| binary.argument(argument)).run()
}

#[track_caller]
fn assert_would_serve(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[track_caller]
fn assert_would_not_serve(output: &Output, reason: &str) {
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{reason}: {error}");
    assert!(error.contains("it would not serve: ") && error.contains(reason), "{reason}: {error}");
}

/// A migrated schema and a role with the grants of docs/setup.md, which is dropped with this value.
struct Role {
    schema: Schema,
    name: String,
    url: String,
}

impl Role {
    fn new() -> Role {
        let schema = Schema::new();
        assert!(Binary::new(&[("DATABASE_URL", &schema.url())]).argument("migrate").run().status.success());
        let name: String = schema.client().query_one("SELECT current_schema()::text", &[]).unwrap().get(0);
        let url = format!("{}%20-c%20role%3D{name}", schema.url());
        let role = Role { schema, name, url };
        role.run(
            "CREATE ROLE app; GRANT USAGE ON SCHEMA app TO app; GRANT SELECT ON refinery_schema_history, compatibility TO app;
             GRANT SELECT, INSERT, UPDATE, DELETE ON sessions, reports, turns TO app; GRANT SELECT, INSERT ON messages TO app",
        );
        role
    }

    /// Runs SQL in which `app` stands for the role and its schema.
    fn run(&self, sql: &str) {
        self.schema.client().batch_execute(&sql.replace("app", &self.name)).unwrap();
    }

    fn check(&self) -> Output {
        check(&[("DATABASE_URL", &self.url)], &[])
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        let dropped =
            self.schema.client().batch_execute(&"DROP OWNED BY app; DROP ROLE app".replace("app", &self.name));
        assert!(dropped.is_ok() || std::thread::panicking(), "{dropped:?}");
    }
}

#[test]
fn each_privilege_that_the_role_lacks_is_named() {
    let role = Role::new();
    assert_would_serve(&role.check());
    for (privilege, table) in [
        ("SELECT", "sessions"),
        ("INSERT", "sessions"),
        ("UPDATE", "sessions"),
        ("DELETE", "sessions"),
        ("SELECT", "messages"),
        ("INSERT", "messages"),
        ("SELECT", "reports"),
        ("INSERT", "reports"),
        ("UPDATE", "reports"),
        ("DELETE", "reports"),
        ("SELECT", "turns"),
        ("INSERT", "turns"),
        ("UPDATE", "turns"),
        ("DELETE", "turns"),
        ("SELECT", "compatibility"),
    ] {
        role.run(&format!("REVOKE {privilege} ON {table} FROM app"));
        let lacks = format!("the role {} lacks {privilege} ON {table}; grant it (docs/setup.md)\n", role.name);
        let output = role.check();
        assert_would_not_serve(&output, "the database would refuse messages, reports and deleting: ");
        assert_would_not_serve(&output, &lacks);
        role.run(&format!("GRANT {privilege} ON {table} TO app"));
    }
    role.run("REVOKE SELECT ON refinery_schema_history FROM app");
    assert_would_not_serve(&role.check(), "table refinery_schema_history; grant this role what");
    role.run("GRANT SELECT ON refinery_schema_history TO app; REVOKE INSERT ON messages FROM app");
    role.run("GRANT INSERT (session_id, position, id, sealed, total_bytes) ON messages TO app");
    assert_would_serve(&role.check());
}

#[test]
fn commits_that_no_standby_acknowledges_are_found() {
    let cluster = Cluster::start();
    let url = cluster.url();
    let variables = [("DATABASE_URL", url.as_str())];
    assert!(Binary::new(&variables).argument("migrate").run().status.success());
    assert_would_serve(&check(&variables, &[]));
    cluster.set("synchronous_standby_names", "*");
    assert_would_not_serve(
        &check(&variables, &[]),
        "a commit takes more than 2 s: is a synchronous standby connected?",
    );
    cluster.set("synchronous_standby_names", "");
    assert_would_serve(&check(&variables, &[]));
}

#[test]
fn a_server_that_takes_no_writes_is_an_error_with_its_remedy() {
    let schema = Schema::new();
    let url = format!("{}%20-c%20default_transaction_read_only%3Don&target_session_attrs=read-write", schema.url());
    let remedy = "default_transaction_read_only is on; DATABASE_URL must name the primary too (docs/failover.md)";
    assert_would_not_serve(&check(&[("DATABASE_URL", &url)], &[]), remedy);
}

#[test]
fn a_service_whose_role_lacks_a_privilege_does_not_start_and_names_it() {
    let role = Role::new();
    role.run("REVOKE ALL ON reports FROM app; REVOKE INSERT ON messages FROM app");
    let output = Binary::new(&[("DATABASE_URL", &role.url)]).run();
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    let missing = "INSERT ON messages; SELECT, INSERT, UPDATE, DELETE ON reports";
    let reason = format!("the database is not usable: the role {} lacks {missing}; grant it", role.name);
    assert!(error.contains(&reason), "{error}");

    role.run("GRANT SELECT, INSERT, UPDATE, DELETE ON reports TO app; GRANT INSERT ON messages TO app");
    Binary::new(&[("DATABASE_URL", &role.url)]).serve();
    // A standby can become the primary server later.
    let read_only = format!("{}%20-c%20default_transaction_read_only%3Don", role.url);
    Binary::new(&[("DATABASE_URL", &read_only)]).serve();
}

#[test]
fn a_schema_that_the_role_may_not_migrate_is_a_reason() {
    let role = Role::new();
    role.run("DELETE FROM refinery_schema_history WHERE version > 1");
    assert_would_not_serve(&role.check(), "the role may not bring the schema to version");
    role.run("DROP TABLE refinery_schema_history, messages, reports, turns, sessions, compatibility");
    assert_would_not_serve(&role.check(), "the role may not bring the schema to version");
    role.run("GRANT CREATE ON SCHEMA app TO app");
    assert_would_serve(&role.check());
}

#[test]
fn fewer_connections_than_the_service_opens_are_a_warning() {
    let cluster = Cluster::start();
    let mut sql = postgres::Client::connect(&cluster.url(), postgres::NoTls).unwrap();
    sql.batch_execute("CREATE ROLE app LOGIN; GRANT CREATE ON SCHEMA public TO app").unwrap();
    let url = cluster.url().replacen("//safespace@", "//app@", 1);
    let variables = [("DATABASE_URL", url.as_str()), ("DB_POOL_MAX_SIZE", "10")];
    let warning = |allowed| format!("PostgreSQL allows {allowed} connections, and the service opens up to 21: ");
    for limit in ["ALTER ROLE app", "ALTER DATABASE safespace"] {
        for (allowed, is_told) in [(20, true), (21, false), (-1, false)] {
            sql.batch_execute(&format!("{limit} CONNECTION LIMIT {allowed}")).unwrap();
            let found = assert_would_serve(&check(&variables, &[]));
            assert_eq!(found.contains(&warning(allowed)), is_told, "{limit} {allowed}: {found}");
        }
    }
}

#[test]
fn check_beside_a_service_with_its_own_postgresql_has_no_warning() {
    let folder = DataFolder::new();
    let variables = [("SAFESPACE_DATA_DIR", folder.path().to_str().unwrap())];
    let _service = Binary::new(&variables).serve();
    let found = assert_would_serve(&check(&variables, &[]));
    // Only a person can verify help lines.
    let warnings: Vec<&str> = found.lines().filter(|line| line.starts_with("Warning")).collect();
    assert!(warnings.len() == 1 && warnings[0].contains(" help lines were not verified "), "{found}");
}

#[test]
fn a_read_only_database_is_a_reason() {
    let cluster = Cluster::start();
    let url = cluster.url();
    assert!(Binary::new(&[("DATABASE_URL", &url)]).argument("migrate").run().status.success());
    let mut sql = postgres::Client::connect(&url, postgres::NoTls).unwrap();
    sql.batch_execute("ALTER ROLE safespace SET default_transaction_read_only = on").unwrap();
    assert_would_not_serve(&check(&[("DATABASE_URL", &url)], &[]), "transactions are read-only");
}

#[test]
fn every_reason_is_told_at_once() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("other"), "").unwrap();
    let data = folder.path().to_str().unwrap();
    // A documentation address (RFC 5737), which no machine has.
    let variables = [("SAFESPACE_DATA_DIR", data), ("APP_HOST", "192.0.2.1"), ("COMPANION_SCRIPT", "/nowhere.toml")];
    let output = check(&variables, &[]);
    for reason in
        ["holds other files", "cannot listen on 192.0.2.1:8000", "COMPANION_SCRIPT: cannot read /nowhere.toml"]
    {
        assert_would_not_serve(&output, reason);
    }
}

#[test]
fn a_data_folder_that_a_start_would_make_is_not_made() {
    let folder = DataFolder::new();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let data = folder.path().join("new/folder");
    assert_would_serve(&check(&[("SAFESPACE_DATA_DIR", data.to_str().unwrap())], &[]));
    assert!(!folder.path().join("new").exists());
}

#[test]
fn a_folder_that_the_user_of_postgresql_may_not_enter_is_a_reason() {
    if !nix::unistd::geteuid().is_root() {
        // PostgreSQL runs as this user then.
        return;
    }
    let folder = DataFolder::new();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
    for data in ["x", "new/folder"] {
        let data = folder.path().join(data);
        let variables = [("SAFESPACE_DATA_DIR", data.to_str().unwrap())];
        assert_would_not_serve(&check(&variables, &[]), "the user postgres, who runs PostgreSQL, may not enter");
    }
}

#[test]
fn ask_prints_the_answer_or_what_the_provider_says_without_control_characters() {
    let (model, schema) = (FakeModel::start(), Schema::new());
    let (variables, url) = (model.variables(), schema.url());
    let mut all: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    all.push(("DATABASE_URL", &url));

    model.always(std::sync::Arc::new(answers(&["Good", "\u{1b}[2Jday."])));
    let found = assert_would_serve(&check(&all, &["--ask"]));
    assert!(found.contains("Answer       Good[2Jday.\n"), "{found}");

    model.always(std::sync::Arc::new(|reply| {
        reply.respond("401 No", "application/json", &format!("{{\"error\":\n\"{MARKER}\u{1b}\u{9b}31m\"}}"))
    }));
    let refused = format!("the companion does not answer: it refused with status 401: {{\"error\": \"{MARKER} 31m\"}}");
    assert_would_not_serve(&check(&all, &["--ask"]), &refused);
    // Without the argument the model is not asked.
    assert_would_serve(&check(&all, &[]));

    all.push(("OPENAI_BASE_URL", "http://127.0.0.1:1/v1"));
    assert_would_not_serve(&check(&all, &["--ask"]), "the companion does not answer: it was not reached");

    let script = check(&[("DATABASE_URL", &url)], &["--ask"]);
    assert!(assert_would_serve(&script).contains("Answer       "));
}

/// A pipe that nobody reads.
fn closed_pipe() -> io::PipeWriter {
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    writer
}

#[test]
fn a_closed_standard_output_changes_no_exit_code() {
    let schema = Schema::new();
    let url = schema.url();
    let unreachable = "postgres://u:p@127.0.0.1:1/d";
    for (argument, url, code) in [
        ("check", url.as_str(), 0),
        ("migrate", &url, 0),
        ("--help", &url, 0),
        ("--version", &url, 0),
        ("check", unreachable, 1),
        ("--frobnicate", &url, 2),
    ] {
        let output = Binary::new(&[("DATABASE_URL", url)]).argument(argument).run_with_stdout(closed_pipe());
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{argument}: {error}");
        assert!(!error.contains("anicked"), "{argument}: {error}");
    }
}

/// The address on 127.0.0.1 on which a process listens.
fn listening_address(process: u32) -> Option<SocketAddr> {
    let descriptors = fs::read_dir(format!("/proc/{process}/fd")).ok()?.flatten();
    let files: Vec<_> = descriptors.filter_map(|entry| fs::read_link(entry.path()).ok()).collect();
    let sockets = fs::read_to_string(format!("/proc/{process}/net/tcp")).ok()?;
    sockets.lines().find_map(|line| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let (address, state, inode) = (columns.get(1)?, columns.get(3)?, columns.get(9)?);
        let is_own = files.contains(&PathBuf::from(format!("socket:[{inode}]")));
        let port = u16::from_str_radix(address.strip_prefix("0100007F:")?, 16).ok()?;
        (*state == "0A" && is_own).then(|| SocketAddr::from(([127, 0, 0, 1], port)))
    })
}

#[test]
fn a_service_whose_standard_output_is_closed_goes_on() {
    let schema = Schema::new();
    // The greeting, which has the port, is not readable: the port is that of the socket on which the process listens.
    let mut process = Binary::new(&[("DATABASE_URL", &schema.url())]).start_with_stdout(closed_pipe());
    let address = eventually(PATIENCE, || listening_address(process.id()));
    let client = Client::new(address);
    client.post("/api/v1/sessions").assert_status(201);
    eventually(PATIENCE, || (client.get("/health/ready").status == 200).then_some(()));
    send_signal("TERM", process.id());
    let status = eventually(PATIENCE, || process.try_wait().unwrap());
    assert_eq!(status.code(), Some(0), "{}", process.log());
    assert!(!process.log().contains("anicked"), "{}", process.log());
}
