//! What the operator is told when the private PostgreSQL does not start, and folders in which it does.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use safespace::config::PrivateServer;

use super::private_postgres::start_error;
use crate::support::cluster::{Cluster, DataFolder};
use crate::support::disk::Disk;
use crate::support::process::Binary;

#[test]
fn a_failed_start_tells_the_fatal_line_once_and_what_to_do() {
    let remove = |name: &'static str| move |cluster: &Path| fs::remove_file(cluster.join(name)).unwrap();
    let write =
        |name: &'static str, text: &'static str| move |cluster: &Path| fs::write(cluster.join(name), text).unwrap();
    let open_to_all = |cluster: &Path| fs::set_permissions(cluster, Permissions::from_mode(0o777)).unwrap();
    type Damage = Box<dyn Fn(&Path)>;
    let close = |name: &'static str| {
        move |cluster: &Path| fs::set_permissions(cluster.join(name), Permissions::from_mode(0o000)).unwrap()
    };
    let cases: [(Damage, &str, &str); 8] = [
        (Box::new(close("global/pg_control")), "Permission denied", "belong to the user that runs PostgreSQL"),
        (Box::new(remove("global/pg_control")), "could not find the database system", "restore the folder"),
        (Box::new(write("global/pg_control", "")), "could not read file \"global/pg_control\"", "restore the folder"),
        (Box::new(write("PG_VERSION", "dear")), "is not a valid data directory", "restore the folder"),
        (Box::new(remove("PG_VERSION")), "is not a valid data directory", "restore the folder"),
        (Box::new(open_to_all), "has invalid permissions", "be open to no other"),
        (Box::new(write("postgresql.auto.conf", "dear = 1")), "contains errors", "postgres.log names the line"),
        (Box::new(write("postgresql.auto.conf", "port = 'x'")), "contains errors", "postgres.log names the line"),
    ];
    for (damage, reason, remedy) in cases {
        let mut cluster = Cluster::start();
        cluster.stop(None);
        damage(&cluster.folder().join("cluster"));
        let config = PrivateServer { data_folder: cluster.folder().to_owned(), binaries: None };
        let error = start_error(&config).to_string();
        assert!(error.contains(reason) && error.contains(remedy), "{reason}: {error}");
        assert_eq!((error.matches(reason).count(), error.lines().count()), (1, 1), "{error}");
        assert!(error.matches("FATAL").count() <= 1 && !error.contains("initdb"), "{error}");
    }
}

#[test]
fn what_postgresql_refuses_at_the_start_is_told_with_its_sqlstate() {
    let mut cluster = Cluster::start();
    let url = format!("{}/postgres", cluster.url().strip_suffix("/safespace").unwrap());
    let mut sql = postgres::Client::connect(&url, postgres::NoTls).unwrap();
    sql.batch_execute("DROP DATABASE safespace").unwrap();
    sql.batch_execute("ALTER ROLE safespace SET default_transaction_read_only = on").unwrap();
    drop(sql);
    cluster.stop(None);
    let error = start_error(&PrivateServer { data_folder: cluster.folder().to_owned(), binaries: None }).to_string();
    let expected =
        "creating the database: ERROR: cannot execute CREATE DATABASE in a read-only transaction (SQLSTATE 25006)";
    assert_eq!(error, expected);
}

#[test]
#[ignore = "needs the right to mount"]
fn a_first_start_without_room_says_so_and_check_says_no() {
    let no_space = "No space left on device";
    let cases = [
        ("size=4k", no_space),
        ("nr_inodes=3", no_space),
        ("size=6m", "6 MiB free, and a new PostgreSQL needs 64 MiB"),
        ("size=20m", "20 MiB free, and a new PostgreSQL needs 64 MiB"),
        ("size=40m", "40 MiB free, and a new PostgreSQL needs 64 MiB"),
        ("size=100m,nr_inodes=500", "inodes free, and a new PostgreSQL needs 2000"),
    ];
    for (options, reason) in cases {
        let disk = Disk::mount(options);
        let data_folder = disk.path().join("data");
        let variables = [("SAFESPACE_DATA_DIR", data_folder.to_str().unwrap()), ("STORAGE_RESERVE", "0")];
        let check = Binary::new(&variables).argument("check").run();
        assert_eq!(check.status.code(), Some(1), "{options}: {}", String::from_utf8_lossy(&check.stdout));
        let output = Binary::new(&variables).run();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{options}: {error}");
        let error = error.lines().last().unwrap();
        assert_eq!(error.matches(reason).count(), 1, "{options}: {error}");
        assert_eq!(error.matches("make room on the disk").count(), 1, "{options}: {error}");
        assert!(!data_folder.join("cluster").exists(), "{options}");
    }
}

#[test]
#[ignore = "needs the right to mount"]
fn a_start_on_a_disk_that_is_full_by_now_says_that_no_space_is_left_and_so_does_check() {
    let disk = Disk::mount("size=100m");
    let data_folder = disk.path().join("data");
    let variables = [("SAFESPACE_DATA_DIR", data_folder.to_str().unwrap()), ("STORAGE_RESERVE", "0")];
    Binary::new(&variables).serve().stop();
    assert!(Binary::new(&variables).argument("check").run().status.success(), "the data has room, a new one would not");
    disk.fill();
    for binary in [Binary::new(&variables), Binary::new(&variables).argument("check")] {
        let output = binary.run();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(error.contains("No space left on device") && error.contains("make room"), "{error}");
    }
    disk.free();
    Binary::new(&variables).serve().client.get("/health/ready").assert_status(200);
}

#[test]
fn a_new_folder_two_levels_deep_can_be_entered_under_any_umask() {
    for umask in ["000", "022", "027", "077", "777"] {
        let folder = DataFolder::new();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        let data_folder = folder.path().join("a/b/data");
        let service = Binary::with_umask(&[("SAFESPACE_DATA_DIR", data_folder.to_str().unwrap())], umask).serve();
        service.client.get("/health/ready").assert_status(200);
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        let (parent, top) = if nix::unistd::geteuid().is_root() { (0o755, 0o711) } else { (0o700, 0o700) };
        let found = [folder.path().join("a"), folder.path().join("a/b"), data_folder].map(|path| mode(&path));
        assert_eq!(found, [parent, parent, top], "{umask}");
        assert_eq!(mode(folder.path()), 0o755, "an existing folder keeps its mode");
        drop(service);
    }
}

#[test]
fn a_place_that_cannot_hold_the_data_is_refused_with_what_helps_and_nothing_is_made() {
    let folder = DataFolder::new();
    let file = folder.path().join("file");
    fs::write(&file, "dear").unwrap();
    let shared = folder.path().join("shared");
    fs::create_dir(&shared).unwrap();
    fs::set_permissions(&shared, Permissions::from_mode(0o1777)).unwrap();
    let not_a_folder = |path: &Path| format!("{} is not a folder; name a folder that is empty", path.display());
    let mut cases = vec![
        ("/dev/null".into(), not_a_folder(Path::new("/dev/null"))),
        (file.clone(), not_a_folder(&file)),
        (file.join("a/b"), not_a_folder(&file)),
        (shared.clone(), format!("{} is open to all users; choose a folder inside it", shared.display())),
        ("/proc/safespace".into(), "/proc/safespace: it cannot be made: No such file or directory".to_owned()),
    ];
    if nix::unistd::geteuid().is_root() {
        let closed = folder.path().join("closed");
        fs::create_dir(&closed).unwrap();
        fs::set_permissions(&closed, Permissions::from_mode(0o700)).unwrap();
        let text = format!("the user postgres, who runs PostgreSQL, may not enter {}", closed.display());
        cases.push((closed.join("x/y"), text));
    }
    for (data_folder, complaint) in cases {
        let existed = data_folder.exists();
        let error = start_error(&PrivateServer { data_folder: data_folder.clone(), binaries: None }).to_string();
        assert!(error.contains(&complaint), "{complaint}: {error}");
        assert_eq!((data_folder.exists(), data_folder.join("safespace.lock").exists()), (existed, false), "{error}");
        assert!(!data_folder.parent().unwrap().ends_with("x") || !data_folder.parent().unwrap().exists(), "{error}");
        if !data_folder.starts_with("/proc") {
            let check = Binary::new(&[("SAFESPACE_DATA_DIR", data_folder.to_str().unwrap())]).argument("check").run();
            let error = String::from_utf8(check.stderr).unwrap();
            assert!(check.status.code() == Some(1) && error.contains(&complaint), "{complaint}: {error}");
        }
    }
}

#[test]
fn a_volume_with_only_lost_and_found_is_empty() {
    let folder = DataFolder::new();
    fs::create_dir(folder.path().join("lost+found")).unwrap();
    let variables = [("SAFESPACE_DATA_DIR", folder.path().to_str().unwrap())];
    Binary::new(&variables).serve().client.get("/health/ready").assert_status(200);
    assert!(folder.path().join("lost+found").exists());

    let other = DataFolder::new();
    fs::create_dir(other.path().join("lost+found")).unwrap();
    fs::write(other.path().join("letter"), "dear").unwrap();
    let error = start_error(&other.config()).to_string();
    assert!(error.contains("holds other files"), "{error}");
}
