//! The PostgreSQL that the service keeps for itself.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use postgres::NoTls;
use safespace::config::PrivateServer;
use safespace::store::private::{PrivateError, PrivatePostgres};

use crate::support::cluster::{Cluster, DataFolder, send_signal};
use crate::support::eventually;
use crate::support::process::Binary;

fn start_error(config: &PrivateServer) -> PrivateError {
    PrivatePostgres::start(config, &[], &AtomicBool::new(false)).err().expect("it does not start")
}

#[test]
fn the_service_keeps_its_data_through_a_stop_and_a_kill() {
    let folder = DataFolder::new();
    let serve = || Binary::new(&[("SAFESPACE_DATA_DIR", folder.path().to_str().unwrap())]).serve();

    let mut first = serve();
    assert!(first.greeting.contains(folder.path().to_str().unwrap()), "{}", first.greeting);
    assert!(first.greeting.contains(&format!("http://{}/docs", first.address)), "{}", first.greeting);
    assert!(first.greeting.contains("  Answers  script, embedded\n"), "{}", first.greeting);
    let session = first.client.post("/api/v1/sessions").assert_status(201).json();
    let path = format!("/api/v1/sessions/{}", session["session_id"].as_str().unwrap());
    first.signal("TERM");
    assert_eq!(first.wait().code(), Some(0), "{}", first.log());
    assert_eq!(folder.postgres(), None, "PostgreSQL is stopped with the service");

    let mut second = serve();
    assert_eq!(second.client.get(&path).assert_status(200).json(), session);
    let another = second.client.post("/api/v1/sessions").assert_status(201).json();
    second.signal("KILL");
    second.wait();
    assert!(folder.postgres().is_some(), "nobody could stop PostgreSQL");

    let mut third = serve();
    assert_eq!(third.client.get(&path).assert_status(200).json(), session);
    third.client.get(&format!("/api/v1/sessions/{}", another["session_id"].as_str().unwrap())).assert_status(200);

    // A kill of everything at once, PostgreSQL too.
    send_signal("KILL", folder.postgres().unwrap());
    third.signal("KILL");
    third.wait();
    let mut fourth = serve();
    assert_eq!(fourth.client.get(&path).assert_status(200).json(), session);
    fourth.signal("INT");
    assert_eq!(fourth.wait().code(), Some(0));
    assert_eq!(folder.postgres(), None);
}

#[test]
fn a_second_service_on_the_same_data_is_refused_but_may_check_and_migrate() {
    let folder = DataFolder::new();
    let variables = [("SAFESPACE_DATA_DIR", folder.path().to_str().unwrap())];
    let first = Binary::new(&variables).serve();
    let second = Binary::new(&variables).run();
    assert_eq!(second.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&second.stderr).contains("another SafeSpace uses"));
    for argument in ["check", "migrate"] {
        let output = Binary::new(&variables).argument(argument).run();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    first.client.get("/health/ready").assert_status(200);
}

#[test]
fn only_its_own_user_can_reach_it_and_it_is_durable() {
    let cluster = Cluster::start();
    let mode = |name: &str| cluster.folder().join(name).metadata().unwrap().permissions().mode() & 0o777;
    // Where root runs it for the user postgres, that user may pass through the folder, and only that.
    let top = if nix::unistd::geteuid().is_root() { 0o711 } else { 0o700 };
    assert_eq!((mode(""), mode("socket"), mode("cluster")), (top, 0o700, 0o700));
    assert_eq!((mode("postgres.log"), mode("safespace.lock")), (0o600, 0o600));
    let mut sql = postgres::Client::connect(&cluster.url(), NoTls).unwrap();
    for (setting, value) in [("listen_addresses", ""), ("fsync", "on"), ("synchronous_commit", "on")] {
        let found: String = sql.query_one(&format!("SELECT current_setting('{setting}')"), &[]).unwrap().get(0);
        assert_eq!(found, value, "{setting}");
    }
}

#[test]
fn its_log_quotes_no_statement_and_no_value() {
    let cluster = Cluster::start();
    let mut sql = postgres::Client::connect(&cluster.url(), NoTls).unwrap();
    sql.batch_execute("CREATE TABLE t (secret text PRIMARY KEY)").unwrap();
    for _ in 0..2 {
        let _ = sql.execute("INSERT INTO t VALUES ($1)", &[&"hunter2"]);
        let _ = sql.batch_execute("INSERT INTO t VALUES ('hunter3')");
    }
    let log = cluster.folder().join("postgres.log");
    let log = eventually(Duration::from_secs(5), || {
        let text = std::fs::read_to_string(&log).unwrap();
        text.contains("duplicate key").then_some(text)
    });
    assert!(!log.contains("hunter"), "{log}");
}

#[test]
fn without_binaries_it_says_how_to_install_them() {
    let folder = DataFolder::new();
    let data = folder.path().join("new");
    let output = Binary::new(&[("SAFESPACE_DATA_DIR", data.to_str().unwrap()), ("PG_BIN", "/nowhere")]).run();
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("PostgreSQL is not installed"), "{error}");
    assert!(!data.exists(), "nothing is left behind");
}

#[test]
fn a_folder_with_other_files_is_left_alone() {
    let folder = DataFolder::new();
    std::fs::write(folder.path().join("letter"), "dear").unwrap();
    let error = start_error(&folder.config()).to_string();
    assert!(error.contains("holds other files"), "{error}");
}

#[test]
fn a_folder_that_cannot_hold_a_socket_is_refused() {
    let folder = DataFolder::new();
    for (name, complaint) in [("x".repeat(100), "too long for the socket"), ("a,b".to_owned(), "cannot carry")] {
        let data_folder = folder.path().join(name);
        let error = start_error(&PrivateServer { data_folder, binaries: None }).to_string();
        assert!(error.contains(complaint), "{error}");
    }
}

#[test]
fn data_of_another_version_is_refused() {
    let folder = DataFolder::new();
    std::fs::create_dir(folder.path().join("cluster")).unwrap();
    std::fs::write(folder.path().join("cluster/PG_VERSION"), "11\n").unwrap();
    std::fs::write(folder.path().join("safespace.lock"), "").unwrap();
    let error = start_error(&folder.config()).to_string();
    assert!(error.contains("data of PostgreSQL 11"), "{error}");
}

#[test]
fn an_interrupted_first_start_is_begun_again() {
    let folder = DataFolder::new();
    let variables = [("SAFESPACE_DATA_DIR", folder.path().to_str().unwrap())];
    let mut first = Binary::new(&variables).start();
    eventually(Duration::from_secs(10), || {
        let mut entries = std::fs::read_dir(folder.path()).unwrap();
        entries.any(|entry| entry.unwrap().file_name().to_string_lossy().starts_with("cluster.")).then_some(())
    });
    // Its initdb lives on, and still writes to where it was told.
    first.kill().unwrap();
    first.wait().unwrap();
    let second = Binary::new(&variables).serve();
    second.client.get("/health/ready").assert_status(200);
}

#[test]
fn a_signal_ends_the_first_start_too() {
    let folder = DataFolder::new();
    let mut service = Binary::new(&[("SAFESPACE_DATA_DIR", folder.path().to_str().unwrap())]).start();
    eventually(Duration::from_secs(10), || {
        let mut entries = std::fs::read_dir(folder.path()).unwrap();
        entries.any(|entry| entry.unwrap().file_name().to_string_lossy().starts_with("cluster.")).then_some(())
    });
    send_signal("INT", service.id());
    let status = eventually(Duration::from_secs(5), || service.try_wait().unwrap());
    assert_eq!(status.code(), Some(0));
    assert_eq!(folder.postgres(), None);
}

#[test]
fn the_end_of_the_terminal_stops_it_too() {
    let folder = DataFolder::new();
    let mut service = Binary::new(&[("SAFESPACE_DATA_DIR", folder.path().to_str().unwrap())]).serve();
    service.signal("HUP");
    assert_eq!(service.wait().code(), Some(0), "{}", service.log());
    assert_eq!(folder.postgres(), None);
}

#[test]
fn a_server_that_dies_is_started_again() {
    let folder = DataFolder::new();
    let service = Binary::new(&[("SAFESPACE_DATA_DIR", folder.path().to_str().unwrap())]).serve();
    let path =
        format!("/api/v1/sessions/{}", service.client.post("/api/v1/sessions").json()["session_id"].as_str().unwrap());
    send_signal("KILL", folder.postgres().unwrap());
    eventually(Duration::from_secs(10), || (service.client.get("/health/db").status == 503).then_some(()));
    eventually(Duration::from_secs(10), || (service.client.get(&path).status == 200).then_some(()));
    service.wait_for_log("The private PostgreSQL ended; starting it again");
}

#[test]
fn root_follows_no_link_that_the_owner_of_the_data_could_make() {
    if !nix::unistd::geteuid().is_root() {
        // Then PostgreSQL runs as this user, who could harm nobody else.
        return;
    }
    let cluster = Cluster::start();
    let postgres = nix::unistd::User::from_name("postgres").unwrap().unwrap();
    // All that belongs to PostgreSQL is below folders it cannot replace.
    for entry in std::fs::read_dir(cluster.folder()).unwrap() {
        let entry = entry.unwrap();
        let (name, owner) = (entry.file_name(), entry.metadata().unwrap().uid());
        let is_postgres = owner == postgres.uid.as_raw();
        assert_eq!(is_postgres, name == "cluster" || name == "socket", "{name:?} belongs to {owner}");
    }
    assert_eq!(cluster.folder().metadata().unwrap().uid(), 0);
}

#[test]
fn the_version_of_the_data_is_read_through_no_link() {
    let folder = DataFolder::new();
    std::fs::create_dir(folder.path().join("cluster")).unwrap();
    std::os::unix::fs::symlink("/proc/version", folder.path().join("cluster/PG_VERSION")).unwrap();
    let output = Binary::new(&[("SAFESPACE_DATA_DIR", folder.path().to_str().unwrap())]).argument("check").run();
    let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert!(!said.contains("Linux"), "{said}");
}

#[test]
fn a_server_that_cannot_stay_is_one_line_in_the_log() {
    let folder = DataFolder::new();
    let service = Binary::new(&[("SAFESPACE_DATA_DIR", folder.path().to_str().unwrap())]).serve();
    std::fs::rename(folder.path().join("cluster/global/pg_control"), folder.path().join("cluster/gone")).unwrap();
    send_signal("KILL", folder.postgres().unwrap());
    let log = folder.path().join("postgres.log");
    eventually(Duration::from_secs(10), || {
        (std::fs::read_to_string(&log).unwrap().matches("pg_control").count() > 2).then_some(())
    });
    let log = service.wait_for_log("starting it again");
    assert_eq!(log.matches("starting it again").count(), 1, "{log}");
}

#[test]
fn a_folder_of_another_user_is_refused() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let folder = DataFolder::new();
    std::os::unix::fs::chown(folder.path(), Some(65534), None).unwrap();
    let error = start_error(&folder.config()).to_string();
    assert!(error.contains("belongs to another user"), "{error}");
}
