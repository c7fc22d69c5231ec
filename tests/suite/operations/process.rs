//! The binary's arguments, exit codes and reaction to signals.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use safespace::store::migrations;
use socket2::{Domain, Socket, Type};

use crate::support::cluster::{Cluster, Schema, send_signal};
use crate::support::process::{Binary, Running};
use crate::support::raw::Raw;
use crate::support::timing::PATIENCE;
use crate::support::{eventually, timed, wait_for_lock};

#[test]
fn help_names_every_command_exit_code_and_variable() {
    let output = Binary::new(&[]).argument("--help").run();
    assert!(output.status.success());
    let help = String::from_utf8(output.stdout).unwrap();
    for word in ["serve", "migrate", "check", "upgrade-data", "Exit codes: 0 ", "; 1 ", "; 2 ", "; 130 "] {
        assert!(help.contains(word), "{word}: {help}");
    }
    for variable in safespace::config::VARIABLES {
        assert!(help.contains(&format!("  {}", variable.name)), "{} is not in --help", variable.name);
    }
}

#[test]
fn version_prints_the_version_of_the_package() {
    let output = Binary::new(&[]).argument("--version").run();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("safespace {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn an_unknown_argument_exits_with_2() {
    assert_eq!(Binary::new(&[]).argument("--frobnicate").run().status.code(), Some(2));
    assert_eq!(Binary::new(&[]).argument("frobnicate").run().status.code(), Some(2));
}

#[test]
fn check_prints_its_findings_and_changes_nothing() {
    let schema = Schema::new();
    let url = schema.url();
    let check = || {
        let output = Binary::new(&[("DATABASE_URL", &url)]).argument("check").run();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let before = check();
    assert!(before.contains("Schema       none yet"), "{before}");
    assert!(before.contains("PostgreSQL   1"), "{before}");
    let tables = "SELECT FROM pg_tables WHERE schemaname = current_schema()";
    assert!(schema.client().query(tables, &[]).unwrap().is_empty());

    let output = Binary::new(&[("DATABASE_URL", &url)]).argument("migrate").run();
    assert!(output.status.success());
    let after = check();
    assert!(after.contains(&format!("Schema       version {}, current", migrations::NEWEST)), "{after}");
}

#[test]
fn check_of_an_unreachable_database_exits_with_1() {
    let output = Binary::new(&[("DATABASE_URL", "postgres://u:hunter2@127.0.0.1:1/d")]).argument("check").run();
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("refused") && !error.contains("hunter2"), "{error}");
}

#[test]
fn check_prints_warnings_and_findings_before_an_error() {
    let url = "postgres://u:p@127.0.0.1:1/d";
    let output = Binary::new(&[("DATABASE_URL", url), ("DB_POOL_MAXSIZE", "5")]).argument("check").run();
    let found = String::from_utf8(output.stdout).unwrap();
    assert!(found.contains("Database     d as u at 127.0.0.1:1"), "{found}");
    assert!(found.contains("Warning      DB_POOL_MAXSIZE is set and means nothing"), "{found}");
}

#[test]
fn check_refuses_a_schema_that_serve_would_refuse() {
    let schema = Schema::new();
    let mut sql = schema.client();
    sql.batch_execute(
        "CREATE TABLE refinery_schema_history (version int4, name text);
         INSERT INTO refinery_schema_history VALUES (99, 'later')",
    )
    .unwrap();
    let output = Binary::new(&[("DATABASE_URL", &schema.url())]).argument("check").run();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("schema version 99"));
}

#[test]
fn a_port_in_use_exits_with_1_and_names_the_address() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let schema = Schema::new();
    let port = taken.local_addr().unwrap().port().to_string();
    let output = Binary::new(&[("DATABASE_URL", &schema.url()), ("APP_HOST", "127.0.0.1"), ("APP_PORT", &port)]).run();
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains(&format!("cannot listen on 127.0.0.1:{port}")), "{error}");
}

#[test]
fn a_signal_lets_requests_in_flight_finish() {
    for signal in ["TERM", "INT"] {
        let schema = Schema::new();
        let mut service = Binary::new(&[("DATABASE_URL", &schema.url())]).serve();
        let id = service.client.post("/api/v1/sessions").json()["session_id"].as_str().unwrap().to_owned();
        let mut sql = schema.client();
        let mut lock = sql.transaction().unwrap();
        lock.batch_execute("LOCK TABLE sessions").unwrap();
        thread::scope(|scope| {
            let in_flight = scope.spawn(|| service.client.delete(&format!("/api/v1/sessions/{id}")));
            wait_for_lock(&mut schema.client());
            let mut begun = Raw::connect(service.address);
            begun.send(b"GET /health/ready HTTP/1.1\r\nHost: x\r\nX: ");
            service.signal(signal);
            service.wait_for_log("Stopping");
            // New connections are refused; a request whose head has begun is answered with 503.
            eventually(PATIENCE, || TcpStream::connect(service.address).is_err().then_some(()));
            let answer = begun.ask(b"1\r\n\r\n");
            answer.assert_problem(503);
            assert_eq!(answer.header("Connection"), Some("close"));
            lock.commit().unwrap();
            in_flight.join().unwrap().assert_status(204);
        });
        assert_eq!(service.wait().code(), Some(0), "{}", service.log());
        assert!(service.log().contains("Stopped"), "{}", service.log());
    }
}

#[test]
fn hanging_requests_are_cut_off_after_the_shutdown_grace() {
    let schema = Schema::new();
    let mut service = Binary::new(&[("DATABASE_URL", &schema.url()), ("APP_SHUTDOWN_GRACE", "1")]).serve();
    let mut sql = schema.client();
    let mut lock = sql.transaction().unwrap();
    lock.batch_execute("LOCK TABLE sessions").unwrap();
    thread::scope(|scope| {
        let cut = scope.spawn(|| service.client.try_send("POST", "/api/v1/sessions"));
        wait_for_lock(&mut schema.client());
        service.signal("TERM");
        assert!(cut.join().unwrap().is_err());
    });
    assert_eq!(service.wait().code(), Some(0));
    assert!(service.log().contains("requests still in flight"), "{}", service.log());
}

#[test]
fn a_signal_while_waiting_for_the_database_ends_the_start() {
    let mut process = Binary::new(&[("DATABASE_URL", "postgres://u:p@127.0.0.1:1/d")]).start();
    process.wait_for_log("Database not reached");
    send_signal("TERM", process.id());
    let status = eventually(PATIENCE, || process.try_wait().unwrap());
    assert_eq!(status.code(), Some(0));
}

/// Holds the lock of the migrations, starts a service with these variables, and returns it when it waits for the lock.
fn start_during_a_migration(
    schema: &Schema,
    migration: &mut postgres::Transaction<'_>,
    variables: &[(&str, &str)],
) -> Running {
    let taken = migration.query_one(include_str!("../../../sql/schema/lock_migrations.sql"), &[]).unwrap();
    assert!(taken.get::<_, bool>(0));
    let name: String = migration.query_one("SELECT current_schema()::text", &[]).unwrap().get(0);
    let url = format!("{}&application_name={name}", schema.url());
    let mut process = Binary::new(&[variables, &[("DATABASE_URL", &url)]].concat()).start();
    // Between two attempts to take the lock it has one connection, and no transaction that would keep that at a pooler.
    let waiting = "SELECT FROM pg_stat_activity WHERE application_name = $1 HAVING count(*) = 1
                     AND bool_and(state = 'idle' AND query = 'ROLLBACK')";
    let mut observer = schema.client();
    eventually(PATIENCE, || (!observer.query(waiting, &[&name]).unwrap().is_empty()).then_some(()));
    assert!(process.try_wait().unwrap().is_none());
    process
}

#[test]
fn a_signal_while_another_service_migrates_ends_the_start() {
    let schema = Schema::new();
    let mut sql = schema.client();
    let mut migration = sql.transaction().unwrap();
    let mut process = start_during_a_migration(&schema, &mut migration, &[]);
    send_signal("TERM", process.id());
    let status = eventually(PATIENCE, || process.try_wait().unwrap());
    assert_eq!(status.code(), Some(0), "{}", process.log());
}

#[test]
fn a_service_that_waits_for_a_migration_refuses_connections() {
    let schema = Schema::new();
    let mut sql = schema.client();
    let mut migration = sql.transaction().unwrap();
    // Keeps a free port from others: it can be bound once more as long as nobody listens.
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let port = ("APP_PORT", &*address.port().to_string());
    let _process = start_during_a_migration(&schema, &mut migration, &[port]);
    assert_eq!(TcpStream::connect(address).unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    migration.commit().unwrap();
    eventually(PATIENCE, || TcpStream::connect(address).ok());
}

#[test]
fn a_signal_during_migrate_exits_with_1() {
    let mut process = Binary::new(&[("DATABASE_URL", "postgres://u:p@127.0.0.1:1/d")]).argument("migrate").start();
    process.wait_for_log("Database not reached");
    send_signal("TERM", process.id());
    let status = eventually(PATIENCE, || process.try_wait().unwrap());
    assert_eq!(status.code(), Some(1));
    assert!(process.log().contains("stopped while starting"), "{}", process.log());
}

#[test]
fn a_repeated_hangup_lets_requests_in_flight_finish() {
    let schema = Schema::new();
    let mut service = Binary::new(&[("DATABASE_URL", &schema.url())]).serve();
    let mut sql = schema.client();
    let mut lock = sql.transaction().unwrap();
    lock.batch_execute("LOCK TABLE sessions").unwrap();
    thread::scope(|scope| {
        let in_flight = scope.spawn(|| service.client.post("/api/v1/sessions"));
        wait_for_lock(&mut schema.client());
        service.signal("HUP");
        service.wait_for_log("Stopping");
        service.signal("HUP");
        lock.commit().unwrap();
        in_flight.join().unwrap().assert_status(201);
    });
    assert_eq!(service.wait().code(), Some(0), "{}", service.log());
}

#[test]
fn a_second_signal_exits_at_once_with_130() {
    let schema = Schema::new();
    let mut service = Binary::new(&[("DATABASE_URL", &schema.url())]).serve();
    let mut sql = schema.client();
    let mut lock = sql.transaction().unwrap();
    lock.batch_execute("LOCK TABLE sessions").unwrap();
    thread::scope(|scope| {
        let cut = scope.spawn(|| service.client.try_send("POST", "/api/v1/sessions"));
        wait_for_lock(&mut schema.client());
        service.signal("INT");
        service.wait_for_log("Stopping");
        service.signal("INT");
        assert!(cut.join().unwrap().is_err());
    });
    assert_eq!(service.wait().code(), Some(130));
    assert!(service.log().contains("Stopping"), "{}", service.log());
}

#[test]
fn during_the_shutdown_delay_requests_are_served_and_each_response_closes_its_connection() {
    let schema = Schema::new();
    let mut service = Binary::new(&[("DATABASE_URL", &schema.url()), ("APP_SHUTDOWN_DELAY", "300")]).serve();
    let mut kept = Raw::connect(service.address);
    let create = b"POST /api/v1/sessions HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(kept.ask(create).header("Connection"), None);
    service.signal("TERM");
    service.wait_for_log("Draining");
    eventually(PATIENCE, || (service.client.get("/health/ready").status == 503).then_some(()));
    service.client.get("/health/live").assert_status(200);
    for raw in [&mut kept, &mut Raw::connect(service.address)] {
        let answer = raw.ask(create);
        assert_eq!((answer.status, answer.header("Connection")), (201, Some("close")));
        raw.assert_closed();
    }
    // A second signal ends the delay, not the process.
    service.signal("TERM");
    assert_eq!(service.wait().code(), Some(0), "{}", service.log());
    assert!(service.log().contains("Stopped"), "{}", service.log());
}

#[test]
fn the_service_stops_at_the_end_of_the_shutdown_delay() {
    let schema = Schema::new();
    let mut service = Binary::new(&[("DATABASE_URL", &schema.url()), ("APP_SHUTDOWN_DELAY", "1")]).serve();
    let (log, took) = timed(|| service.stop());
    assert!(took >= Duration::from_secs(1), "{took:?}");
    assert!(log.find("Draining") < log.find("Stopping"), "{log}");
}

#[test]
fn the_database_password_is_in_no_argument_log_line_or_greeting() {
    let cluster = Cluster::start();
    let url = cluster.url().replacen("//safespace@", "//safespace:hunter2@", 1);
    assert!(url.contains("hunter2"));
    let mut service = Binary::new(&[("DATABASE_URL", &url)]).serve();
    service.client.get("/health/ready").assert_status(200);
    let arguments = std::fs::read(format!("/proc/{}/cmdline", service.process_id())).unwrap();
    assert!(!String::from_utf8_lossy(&arguments).contains("hunter2"));
    assert!(!service.greeting.contains("hunter2"));
    assert!(!service.stop().contains("hunter2"));
}
