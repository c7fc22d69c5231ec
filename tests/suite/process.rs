//! The binary: its arguments, its exit codes, how it stops.

use std::thread;
use std::time::Duration;

use crate::support::cluster::Schema;
use crate::support::eventually;
use crate::support::process::Binary;

#[test]
fn help_names_every_command_and_variable() {
    let output = Binary::new(&[]).argument("--help").run();
    assert!(output.status.success());
    let help = String::from_utf8(output.stdout).unwrap();
    for word in ["serve", "migrate", "check"] {
        assert!(help.contains(word), "{help}");
    }
    for variable in safespace::config::VARIABLES {
        assert!(help.contains(&format!("  {}", variable.name)), "{} is not in --help", variable.name);
    }
}

#[test]
fn version_is_the_packages() {
    let output = Binary::new(&[]).argument("--version").run();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("safespace {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn an_unknown_argument_exits_with_2() {
    assert_eq!(Binary::new(&[]).argument("--frobnicate").run().status.code(), Some(2));
    assert_eq!(Binary::new(&[]).argument("frobnicate").run().status.code(), Some(2));
}

#[test]
fn check_says_what_it_found_and_changes_nothing() {
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
    assert!(after.contains("Schema       version 1, current"), "{after}");
}

#[test]
fn check_of_a_database_that_is_away_exits_with_1() {
    let output = Binary::new(&[("DATABASE_URL", "postgres://u:hunter2@127.0.0.1:1/d")]).argument("check").run();
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("refused") && !error.contains("hunter2"), "{error}");
}

#[test]
fn check_warns_of_a_production_database_that_could_be_read_on_the_way() {
    // The warning comes from the configuration; the database need not be there for the service to log it.
    let url = "postgres://u:p@192.0.2.1:1/d?connect_timeout=1";
    let output =
        Binary::new(&[("ENVIRONMENT", "production"), ("DATABASE_URL", url), ("DB_CONNECTION_TIMEOUT", "1")]).run();
    let log = String::from_utf8(output.stderr).unwrap();
    assert!(log.contains("DB_SSLMODE is weaker than 'require'"), "{log}");
}

#[test]
fn a_port_in_use_exits_with_1_and_says_so() {
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
            let mut sql = schema.client();
            eventually(Duration::from_secs(5), || {
                let waiting = "SELECT FROM pg_locks WHERE NOT granted AND relation = 'sessions'::regclass";
                (!sql.query(waiting, &[]).unwrap().is_empty()).then_some(())
            });
            service.signal(signal);
            eventually(Duration::from_secs(5), || service.log().contains("Stopping").then_some(()));
            lock.commit().unwrap();
            in_flight.join().unwrap().assert_status(204);
        });
        assert_eq!(service.wait().code(), Some(0), "{}", service.log());
        assert!(service.log().contains("Stopped"), "{}", service.log());
    }
}

#[test]
fn requests_that_hang_do_not_hold_up_the_stop_for_ever() {
    let schema = Schema::new();
    let mut service = Binary::new(&[("DATABASE_URL", &schema.url()), ("APP_SHUTDOWN_GRACE", "1")]).serve();
    let mut sql = schema.client();
    let mut lock = sql.transaction().unwrap();
    lock.batch_execute("LOCK TABLE sessions").unwrap();
    thread::scope(|scope| {
        let cut = scope.spawn(|| service.client.try_send("POST", "/api/v1/sessions"));
        let mut sql = schema.client();
        eventually(Duration::from_secs(5), || {
            let waiting = "SELECT FROM pg_locks WHERE NOT granted AND relation = 'sessions'::regclass";
            (!sql.query(waiting, &[]).unwrap().is_empty()).then_some(())
        });
        service.signal("TERM");
        assert!(cut.join().unwrap().is_err());
    });
    assert_eq!(service.wait().code(), Some(0));
    assert!(service.log().contains("requests still in flight"), "{}", service.log());
}

#[test]
fn a_signal_while_waiting_for_the_database_ends_the_start() {
    let schema = Schema::new();
    let missing = schema.url().replace("%2Fsocket", "%2Fnowhere");
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_safespace"));
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    command.current_dir(&folder).env_clear().env("DATABASE_URL", missing).stderr(std::fs::File::create(&log).unwrap());
    let mut process = command.spawn().unwrap();
    eventually(Duration::from_secs(5), || {
        std::fs::read_to_string(&log).unwrap().contains("Database not reached").then_some(())
    });
    crate::support::cluster::send_signal("TERM", process.id());
    let status = eventually(Duration::from_secs(5), || process.try_wait().unwrap());
    assert_eq!(status.code(), Some(0));
}

#[test]
fn the_password_is_in_no_argument_of_the_process() {
    let schema = Schema::new();
    let url = schema.url().replacen("//safespace@", "//safespace:hunter2@", 1);
    let service = Binary::new(&[("DATABASE_URL", &url)]).serve();
    let arguments = std::fs::read(format!("/proc/{}/cmdline", service.process_id())).unwrap();
    assert!(!String::from_utf8_lossy(&arguments).contains("hunter2"));
    assert!(!service.log().contains("hunter2") && !service.greeting.contains("hunter2"));
}
