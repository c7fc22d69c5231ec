//! Lock files and servers that a killed service, a restarted machine or a backup left in the data folder.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command};

use postgres::NoTls;

use crate::support::cluster::{Cluster, DataFolder, children, send_signal};
use crate::support::eventually;
use crate::support::process::Binary;
use crate::support::timing::PATIENCE;

const SOCKET_LOCK: &str = "socket/.s.PGSQL.5432.lock";
const PID_FILE: &str = "cluster/postmaster.pid";

/// A process of PostgreSQL's user that is no server; killed when dropped.
struct Bystander(Child);

impl Bystander {
    fn start() -> Bystander {
        let mut command = Command::new("sleep");
        command.arg("100");
        if nix::unistd::geteuid().is_root() {
            let postgres = nix::unistd::User::from_name("postgres").unwrap().unwrap();
            command.uid(postgres.uid.as_raw()).gid(postgres.gid.as_raw());
        }
        Bystander(command.spawn().unwrap())
    }

    /// The pid file of a server with the id of this process.
    fn pid_file(&self) -> String {
        format!("{}\n/data/cluster\n1764000000\n5432\n/data/socket\n\n  1234567     32768\nready   \n", self.0.id())
    }
}

impl Drop for Bystander {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_lock_file_that_no_server_holds_does_not_prevent_a_start() {
    let bystander = Bystander::start();
    let foreign = bystander.pid_file();
    let own = format!("{}\n", std::process::id());
    let mut cluster = Cluster::start();
    cluster.stop(None);
    for (case, name, contents) in [
        ("the id of another living process", PID_FILE, foreign.as_str()),
        ("the id of the service", PID_FILE, own.as_str()),
        ("the id of init", PID_FILE, "1\n"),
        ("the id of no process", PID_FILE, "4194304\n"),
        ("a server in single-user mode", PID_FILE, "-1\n"),
        ("empty", PID_FILE, ""),
        ("an empty line", PID_FILE, "\n"),
        ("garbage", PID_FILE, "dear\n"),
        ("bytes that are not text", PID_FILE, "\u{0}\u{0}\u{0}\u{0}"),
        ("zero", PID_FILE, "0\n"),
        ("more than an id", PID_FILE, "99999999999999\n"),
        ("the socket's, with the id of another living process", SOCKET_LOCK, foreign.as_str()),
        ("the socket's, empty", SOCKET_LOCK, ""),
    ] {
        fs::write(cluster.folder().join(name), contents).unwrap();
        cluster.start_again();
        // The service starts a server again that says so, for a while.
        let log = fs::read_to_string(cluster.folder().join("postgres.log")).unwrap();
        let has_failed = log.lines().any(|line| line.contains("FATAL") && !line.contains("] client "));
        assert!(!has_failed, "{case}: {log}");
        postgres::Client::connect(&cluster.url(), NoTls).expect(case);
        cluster.stop(None);
    }
}

#[test]
fn something_else_in_the_place_of_the_pid_file_does_not_prevent_a_start() {
    let mut cluster = Cluster::start();
    cluster.stop(None);
    let elsewhere = tempfile::NamedTempFile::new().unwrap();
    fs::write(&elsewhere, "dear").unwrap();
    let file = cluster.folder().join(PID_FILE);
    type Plant<'a> = &'a dyn Fn(&Path);
    let plant: [(&str, Plant<'_>); 5] = [
        ("a folder", &|path| fs::create_dir(path).unwrap()),
        ("a link to a file", &|path| symlink(&elsewhere, path).unwrap()),
        ("a dangling link", &|path| symlink("/nowhere", path).unwrap()),
        ("a pipe", &|path| assert!(Command::new("mkfifo").arg(path).status().unwrap().success())),
        ("a file that only root can read", &|path| {
            fs::write(path, "").unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(0o000)).unwrap();
        }),
    ];
    for (case, plant) in plant {
        plant(&file);
        cluster.start_again();
        postgres::Client::connect(&cluster.url(), NoTls).expect(case);
        cluster.stop(None);
    }
    assert_eq!(fs::read_to_string(&elsewhere).unwrap(), "dear");
}

#[test]
fn a_server_that_outlived_its_service_is_stopped_whatever_became_of_its_files() {
    let folder = DataFolder::new();
    let serve = || Binary::new(&[("SAFESPACE_DATA_DIR", folder.path().to_str().unwrap())]).serve();
    let mut service = serve();
    for (case, name, contents) in [
        ("all there", "", None),
        ("an empty pid file", PID_FILE, Some("")),
        ("garbage in the pid file", PID_FILE, Some("dear\n")),
        ("the pid file is gone", PID_FILE, None),
        ("the socket is gone", "socket/.s.PGSQL.5432", None),
        ("the socket's lock file is gone", SOCKET_LOCK, None),
    ] {
        let postmaster = folder.postgres().expect(case);
        service.signal("KILL");
        service.wait();
        let file = folder.path().join(name);
        match contents {
            Some(contents) => fs::write(&file, contents).unwrap(),
            None if name.is_empty() => {}
            None => fs::remove_file(&file).unwrap(),
        }
        service = serve();
        let next = folder.postgres().expect(case);
        assert_ne!(next, postmaster, "{case}");
        assert_eq!(working_in(&folder.path().join("cluster")), [next], "{case}");
        service.client.get("/health/ready").assert_status(200);
    }
}

#[test]
fn a_server_whose_restart_meets_a_stale_pid_file_starts() {
    let bystander = Bystander::start();
    let folder = DataFolder::new();
    let service = Binary::new(&[("SAFESPACE_DATA_DIR", folder.path().to_str().unwrap())]).serve();
    let postmaster = folder.postgres().unwrap();
    fs::write(folder.path().join(PID_FILE), bystander.pid_file()).unwrap();
    send_signal("KILL", postmaster);
    eventually(PATIENCE, || folder.postgres().filter(|process| ![postmaster, bystander.0.id()].contains(process)));
    eventually(PATIENCE, || (service.client.get("/health/db").status == 200).then_some(()));
}

/// The postmasters that work in a cluster: they are the parents of the other processes there.
fn working_in(cluster: &Path) -> Vec<u32> {
    let processes = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let is_here = |process: &u32| fs::read_link(format!("/proc/{process}/cwd")).is_ok_and(|folder| folder == cluster);
    let here: Vec<u32> = processes.filter(is_here).collect();
    here.iter().copied().filter(|process| children(*process).iter().any(|child| here.contains(child))).collect()
}
