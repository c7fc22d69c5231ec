//! The private PostgreSQL of the service.

use std::io::Write as _;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::sync::atomic::AtomicBool;

use postgres::NoTls;
use safespace::config::PrivateServer;
use safespace::private_postgres::{PrivatePostgres, PrivatePostgresError};

use crate::support::cluster::{Cluster, DataFolder, send_signal};
use crate::support::eventually;
use crate::support::process::Binary;
use crate::support::timing::PATIENCE;

pub(super) fn start_error(config: &PrivateServer) -> PrivatePostgresError {
    PrivatePostgres::start(config, &[], &AtomicBool::new(false)).err().expect("it does not start")
}

#[test]
fn data_survives_a_stop_and_a_kill() {
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
    assert!(folder.postgres().is_some(), "a killed service cannot stop PostgreSQL");

    let mut third = serve();
    assert_eq!(third.client.get(&path).assert_status(200).json(), session);
    third.client.get(&format!("/api/v1/sessions/{}", another["session_id"].as_str().unwrap())).assert_status(200);

    // PostgreSQL is killed too.
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
fn a_second_service_on_the_same_data_is_refused_and_may_check_and_migrate() {
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
fn only_its_own_user_can_connect_and_commits_are_durable() {
    let cluster = Cluster::start();
    let mode = |name: &str| cluster.folder().join(name).metadata().unwrap().permissions().mode() & 0o777;
    // Run by root, the user postgres may pass through the folder and not list it.
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
fn its_cache_is_at_most_a_quarter_of_the_memory_or_128_mib() {
    let cluster = Cluster::start();
    let mut sql = postgres::Client::connect(&cluster.url(), NoTls).unwrap();
    let cache = "SELECT pg_size_bytes(current_setting('shared_buffers')) >> 20, source
                 FROM pg_settings WHERE name = 'shared_buffers'";
    let row = sql.query_one(cache, &[]).unwrap();
    let (mib, source): (i64, String) = (row.get(0), row.get(1));
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap();
    let kib: i64 = memory.split_whitespace().nth(1).unwrap().parse().unwrap();
    // A container has less memory than the machine.
    assert!(mib >= 128 && mib <= ((kib / 4) >> 10).clamp(128, 1024), "{mib} MiB");
    assert_eq!(source, "command line");
}

#[test]
fn the_log_quotes_no_statement_and_no_value() {
    let cluster = Cluster::start();
    let mut sql = postgres::Client::connect(&cluster.url(), NoTls).unwrap();
    sql.batch_execute("CREATE TABLE t (secret text PRIMARY KEY)").unwrap();
    for _ in 0..2 {
        let _ = sql.execute("INSERT INTO t VALUES ($1)", &[&"hunter2"]);
        let _ = sql.batch_execute("INSERT INTO t VALUES ('hunter3')");
    }
    let log = cluster.folder().join("postgres.log");
    let log = eventually(PATIENCE, || {
        let text = std::fs::read_to_string(&log).unwrap();
        text.contains("duplicate key").then_some(text)
    });
    assert!(!log.contains("hunter"), "{log}");
}

#[test]
fn missing_binaries_are_an_error_that_says_how_to_install_them() {
    let folder = DataFolder::new();
    let data = folder.path().join("new");
    let output = Binary::new(&[("SAFESPACE_DATA_DIR", data.to_str().unwrap()), ("PG_BIN", "/nowhere")]).run();
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("PostgreSQL is not installed"), "{error}");
    assert!(!data.exists(), "nothing is left behind");
}

#[test]
fn a_folder_with_other_files_is_refused() {
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
fn data_of_another_version_is_refused_with_what_helps() {
    let folder = DataFolder::new();
    std::fs::create_dir(folder.path().join("cluster")).unwrap();
    std::fs::write(folder.path().join("safespace.lock"), "").unwrap();
    let installed =
        PrivatePostgres::installed(&PrivateServer { data_folder: "/nowhere".into(), binaries: None }).unwrap();
    let set = Some(installed.folder);
    for (version, binaries, remedy) in [
        (11, &None, ": install version 11 too; then start as before, or run `safespace upgrade-data`"),
        (11, &set, ": run `safespace upgrade-data`, or set PG_BIN to the programs of version 11; "),
        (99, &None, ": set PG_BIN to the programs of version 99, or install it"),
        (99, &set, ": set PG_BIN to the programs of version 99, or install it"),
    ] {
        std::fs::write(folder.path().join("cluster/PG_VERSION"), format!("{version}\n")).unwrap();
        let error = start_error(&PrivateServer { binaries: binaries.clone(), ..folder.config() }).to_string();
        let start = format!("{} holds data of PostgreSQL {version}, and only ", folder.path().display());
        assert!(error.starts_with(&start) && error.contains(remedy), "{error}");
    }
}

#[test]
fn an_interrupted_first_start_is_repeated() {
    let folder = DataFolder::new();
    let variables = [("SAFESPACE_DATA_DIR", folder.path().to_str().unwrap())];
    let mut first = Binary::new(&variables).start();
    eventually(PATIENCE, || {
        let mut entries = std::fs::read_dir(folder.path()).unwrap();
        entries.any(|entry| entry.unwrap().file_name().to_string_lossy().starts_with("cluster.")).then_some(())
    });
    // Its initdb still runs, and writes to its own folder.
    first.kill().unwrap();
    first.wait().unwrap();
    let second = Binary::new(&variables).serve();
    second.client.get("/health/ready").assert_status(200);
}

#[test]
fn a_signal_ends_the_first_start() {
    let folder = DataFolder::new();
    let mut service = Binary::new(&[("SAFESPACE_DATA_DIR", folder.path().to_str().unwrap())]).start();
    eventually(PATIENCE, || {
        let mut entries = std::fs::read_dir(folder.path()).unwrap();
        entries.any(|entry| entry.unwrap().file_name().to_string_lossy().starts_with("cluster.")).then_some(())
    });
    send_signal("INT", service.id());
    let status = eventually(PATIENCE, || service.try_wait().unwrap());
    assert_eq!(status.code(), Some(0));
    assert_eq!(folder.postgres(), None);
}

#[test]
fn a_hangup_stops_the_service_and_postgresql() {
    let folder = DataFolder::new();
    let mut service = Binary::new(&[("SAFESPACE_DATA_DIR", folder.path().to_str().unwrap())]).serve();
    service.signal("HUP");
    assert_eq!(service.wait().code(), Some(0), "{}", service.log());
    assert_eq!(folder.postgres(), None);
}

#[test]
fn a_killed_server_is_restarted() {
    let folder = DataFolder::new();
    let service = Binary::new(&[("SAFESPACE_DATA_DIR", folder.path().to_str().unwrap())]).serve();
    let path =
        format!("/api/v1/sessions/{}", service.client.post("/api/v1/sessions").json()["session_id"].as_str().unwrap());
    send_signal("KILL", folder.postgres().unwrap());
    eventually(PATIENCE, || (service.client.get("/health/db").status == 503).then_some(()));
    eventually(PATIENCE, || (service.client.get(&path).status == 200).then_some(()));
    assert!(service.log().contains("The private PostgreSQL ended; starting it again"), "{}", service.log());
}

#[test]
fn what_a_connection_met_is_not_the_reason_of_a_killed_or_stopped_server() {
    // A kill, and a fast shutdown.
    for signal in ["KILL", "INT"] {
        let folder = DataFolder::new();
        let service = Binary::new(&[("SAFESPACE_DATA_DIR", folder.path().to_str().unwrap())]).serve();
        let url = folder.url().replacen("//safespace@", "//nobody_x@", 1);
        assert!(postgres::Client::connect(&url, NoTls).is_err_and(|error| error.as_db_error().is_some()));
        send_signal(signal, folder.postgres().unwrap());
        let log = service.wait_for_log("starting it again");
        assert!(!log.contains("nobody_x"), "{log}");
        assert_eq!(log.contains("perhaps the system had too little memory"), signal == "KILL", "{log}");
    }
}

#[test]
fn a_large_log_is_cut_down_to_its_newest_half() {
    let cluster = Cluster::start();
    let path = cluster.folder().join("postgres.log");
    let mut log = std::fs::File::options().append(true).open(&path).unwrap();
    log.write_all("an old line\n".repeat(17 << 20 >> 4).as_bytes()).unwrap();
    log.write_all("a new line\n".repeat(1 << 19).as_bytes()).unwrap();
    log.write_all(b"the newest line\n").unwrap();
    eventually(PATIENCE, || (path.metadata().unwrap().len() < 9 << 20).then_some(()));
    let mut sql = postgres::Client::connect(&cluster.url(), NoTls).unwrap();
    let _ = sql.batch_execute("SELECT * FROM nothing_there");
    let text = eventually(PATIENCE, || {
        Some(std::fs::read_to_string(&path).unwrap()).filter(|text| text.contains("nothing_there"))
    });
    assert!(text.starts_with("an old line\n") || text.starts_with("a new line\n"), "{}", &text[..100]);
    assert!(text.contains("\nthe newest line\n") && !text.contains('\0'));
}

/// A folder of programs in which `initdb` is a script.
fn programs(initdb: &str) -> DataFolder {
    let folder = DataFolder::new();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    for (name, script) in [("postgres", "echo 'postgres (PostgreSQL) 15.1'"), ("initdb", initdb)] {
        let program = folder.path().join(name);
        std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    folder
}

fn failure_of_initdb(script: &str) -> String {
    let (bin, data_folder) = (programs(script), DataFolder::new());
    let config = PrivateServer { binaries: Some(bin.path().to_owned()), ..data_folder.config() };
    start_error(&config).to_string()
}

#[test]
fn the_last_lines_of_a_program_are_its_reason_also_if_they_come_late() {
    let error = failure_of_initdb("(sleep 0.3; echo 'initdb: error: the late reason' >&2) & exit 1");
    assert!(error.ends_with("initdb: error: the late reason"), "{error}");
}

#[test]
fn a_line_that_tells_of_a_full_disk_is_the_reason_whatever_follows_from_it() {
    let panic = "echo 'PANIC:  cannot abort transaction 1, it was already committed' >&2; exit 1";
    // What the server's processes say when it is gone is no reason either.
    let ending = "echo 'x [1] FATAL:  terminating connection due to unexpected postmaster exit' >&2; exit 1";
    let error = failure_of_initdb(&format!("echo 'the last words' >&2; {ending}"));
    assert!(error.ends_with(": the last words"), "{error}");
    for (line, reason) in [
        (
            "x LOG:  could not write: No space left on device",
            ": LOG:  could not write: No space left on device (hint: ",
        ),
        ("initdb: error: f: Disk quota exceeded", ": initdb: error: f: Disk quota exceeded (hint: make room"),
    ] {
        let error = failure_of_initdb(&format!("echo '{line}' >&2; {panic}"));
        assert!(error.contains(reason) && !error.contains("transaction"), "{error}");
    }
}

#[test]
fn two_signals_during_the_first_start_leave_no_program_running() {
    let (folder, bin) = (DataFolder::new(), programs("sleep 100"));
    let data = folder.path().join("data");
    let variables = [("SAFESPACE_DATA_DIR", data.to_str().unwrap()), ("PG_BIN", bin.path().to_str().unwrap())];
    let mut service = Binary::new(&variables).start();
    let running = || {
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        processes.filter(|entry| std::fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd == data)).count()
    };
    // The script and its `sleep`.
    eventually(PATIENCE, || (running() == 2).then_some(()));
    send_signal("INT", service.id());
    send_signal("TERM", service.id());
    let code = eventually(PATIENCE, || service.try_wait().unwrap()).code();
    // The program ends with the first signal, and the service too if that takes no time.
    assert!(matches!(code, Some(0 | 130)), "{code:?}");
    eventually(PATIENCE, || (running() == 0).then_some(()));
}

#[test]
fn the_owner_of_the_data_can_create_no_link_that_root_follows() {
    if !nix::unistd::geteuid().is_root() {
        // PostgreSQL runs as this user then.
        return;
    }
    let cluster = Cluster::start();
    let postgres = nix::unistd::User::from_name("postgres").unwrap().unwrap();
    // The folders of PostgreSQL's user are in a folder that this user cannot write to.
    for entry in std::fs::read_dir(cluster.folder()).unwrap() {
        let entry = entry.unwrap();
        let (name, owner) = (entry.file_name(), entry.metadata().unwrap().uid());
        let is_postgres = owner == postgres.uid.as_raw();
        assert_eq!(is_postgres, name == "cluster" || name == "socket", "{name:?} belongs to {owner}");
    }
    assert_eq!(cluster.folder().metadata().unwrap().uid(), 0);
}

#[test]
fn the_version_of_the_cluster_is_not_read_through_a_link() {
    let folder = DataFolder::new();
    std::fs::create_dir(folder.path().join("cluster")).unwrap();
    std::os::unix::fs::symlink("/proc/version", folder.path().join("cluster/PG_VERSION")).unwrap();
    let output = Binary::new(&[("SAFESPACE_DATA_DIR", folder.path().to_str().unwrap())]).argument("check").run();
    let output = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert!(!output.contains("Linux"), "{output}");
}

#[test]
fn a_server_that_keeps_failing_is_one_line_in_the_log() {
    let folder = DataFolder::new();
    let service = Binary::new(&[("SAFESPACE_DATA_DIR", folder.path().to_str().unwrap())]).serve();
    std::fs::rename(folder.path().join("cluster/global/pg_control"), folder.path().join("cluster/gone")).unwrap();
    send_signal("KILL", folder.postgres().unwrap());
    let log = folder.path().join("postgres.log");
    eventually(PATIENCE, || (std::fs::read_to_string(&log).unwrap().matches("pg_control").count() > 2).then_some(()));
    assert_eq!(service.log().matches("starting it again").count(), 1, "{}", service.log());
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
