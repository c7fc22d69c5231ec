//! `safespace upgrade-data`, with the programs of a newer PostgreSQL in the folder `TEST_NEW_PG_BIN`, and of an older one in
//! `TEST_OLD_PG_BIN` or, without that, the one that the service finds. `.ci/run` installs both, and runs these tests with the others: a
//! minor version of the older one that was released after the newer one can store what that does not know.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use safespace::config::PrivateServer;
use safespace::private_postgres::PrivatePostgres;

use crate::support::cluster::{DataFolder, send_signal};
use crate::support::eventually;
use crate::support::process::{Binary, Service};
use crate::support::timing::PATIENCE;

/// The folders of the programs, and the old major version.
struct Versions {
    old_bin: String,
    new_bin: String,
    old: u32,
}

impl Versions {
    fn find() -> Versions {
        let new_bin = std::env::var("TEST_NEW_PG_BIN").expect("TEST_NEW_PG_BIN is a folder of PostgreSQL's programs");
        let binaries = std::env::var_os("TEST_OLD_PG_BIN").map(Into::into);
        let nowhere = PrivateServer { data_folder: "/nowhere".into(), binaries };
        let old = PrivatePostgres::installed(&nowhere).unwrap();
        Versions { old_bin: old.folder.display().to_string(), new_bin, old: old.version }
    }

    /// The arguments that name them.
    fn arguments(&self) -> [&str; 4] {
        ["--old-bin", &self.old_bin, "--new-bin", &self.new_bin]
    }
}

/// A data folder of the old version with one session, and its path in the API.
fn folder_with_session(versions: &Versions) -> (DataFolder, String) {
    let folder = DataFolder::new();
    let mut service = serve(&folder, &versions.old_bin);
    let session = service.client.post("/api/v1/sessions").assert_status(201).json();
    let path = format!("/api/v1/sessions/{}", session["session_id"].as_str().unwrap());
    service.client.post_json(&format!("{path}/chat"), &serde_json::json!({"message": "hello"}), &[]).assert_status(200);
    service.stop();
    (folder, path)
}

fn serve(folder: &DataFolder, bin: &str) -> Service {
    Binary::new(&[("SAFESPACE_DATA_DIR", folder.path().to_str().unwrap()), ("PG_BIN", bin)]).serve()
}

fn assert_holds(folder: &DataFolder, bin: &str, session: &str) {
    let mut service = serve(folder, bin);
    let history = service.client.get(&format!("{session}/chat")).assert_status(200).json();
    assert_eq!(history["messages"].as_array().unwrap().len(), 2, "{history}");
    service.stop();
}

fn upgrade(folder: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let mut binary = Binary::new(&[("SAFESPACE_DATA_DIR", folder.to_str().unwrap())]).argument("upgrade-data");
    for argument in arguments {
        binary = binary.argument(argument);
    }
    let output = binary.run();
    let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    (output.status.code(), text)
}

fn version(cluster: &Path) -> u32 {
    fs::read_to_string(cluster.join("PG_VERSION")).unwrap().trim().parse().unwrap()
}

#[test]
#[ignore = "needs a second PostgreSQL in TEST_NEW_PG_BIN"]
fn upgraded_data_is_served_by_the_new_version_and_the_old_is_kept_until_it_is_deleted() {
    let versions = Versions::find();
    let (folder, session) = folder_with_session(&versions);
    // Of an upgrade that failed.
    let logs = folder.path().join("pg_upgrade_output.d");
    fs::create_dir(&logs).unwrap();
    let (code, text) = upgrade(folder.path(), &versions.arguments());
    assert_eq!(code, Some(0), "{text}");
    assert!(!logs.exists());
    let kept = folder.path().join(format!("cluster.old-{}", versions.old));
    let (code, again) = upgrade(folder.path(), &versions.arguments());
    assert_eq!((code, again.contains("already, and no newer one is found")), (Some(1), true), "{again}");
    for line in ["Copying user relation files", kept.to_str().unwrap(), "PG_BIN=", "--delete-old"] {
        assert!(text.contains(line), "{line}: {text}");
    }
    let cluster = folder.path().join("cluster");
    assert!(version(&cluster) > version(&kept), "{text}");
    assert_eq!(version(&kept), versions.old);
    assert!(!folder.path().join("socket/delete_old_cluster.sh").exists());
    assert_holds(&folder, &versions.new_bin, &session);

    // A crash between the two renames.
    fs::rename(&cluster, folder.path().join("cluster.upgraded")).unwrap();
    assert_holds(&folder, &versions.new_bin, &session);
    assert!(cluster.exists());

    let service = serve(&folder, &versions.new_bin);
    assert!(service.log().contains("upgrade-data --delete-old"), "{}", service.log());
    let (code, text) = upgrade(folder.path(), &["--delete-old"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(!kept.exists());
    service.client.get(&session).assert_status(200);
    let (code, text) = upgrade(folder.path(), &["--delete-old"]);
    assert_eq!((code, text.contains("holds no old data")), (Some(1), true), "{text}");
}

#[test]
#[ignore = "needs a second PostgreSQL in TEST_NEW_PG_BIN"]
fn a_server_that_crashed_is_recovered_before_the_upgrade() {
    let versions = Versions::find();
    let (folder, session) = folder_with_session(&versions);
    let mut service = serve(&folder, &versions.old_bin);
    let postmaster = folder.postgres().unwrap();
    service.signal("KILL");
    service.wait();
    send_signal("KILL", postmaster);
    let (code, text) = upgrade(folder.path(), &versions.arguments());
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("not stopped in order"), "{text}");
    assert_holds(&folder, &versions.new_bin, &session);
}

#[test]
#[ignore = "needs a second PostgreSQL in TEST_NEW_PG_BIN"]
fn an_interrupted_upgrade_leaves_the_old_data_in_use_and_no_copy() {
    let versions = Versions::find();
    let (folder, session) = folder_with_session(&versions);
    for (signal, line) in [
        ("KILL", "Making the new cluster"),
        ("TERM", "Analyzing all rows in the new cluster"),
        ("TERM", "Creating dump of global objects"),
        ("KILL", "Copying user relation files"),
        ("KILL", "Starting the new server once"),
    ] {
        let mut running = Command::new(env!("CARGO_BIN_EXE_safespace"))
            .arg("upgrade-data")
            .args(versions.arguments())
            .env("SAFESPACE_DATA_DIR", folder.path())
            .current_dir(folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(running.stdout.take().unwrap()).lines().map_while(Result::ok);
        if !lines.any(|found| found.contains(line)) {
            panic!("{line}: {}", std::io::read_to_string(running.stderr.take().unwrap()).unwrap());
        }
        send_signal(signal, running.id());
        assert!(!running.wait().unwrap().success(), "{line}");
        let error = std::io::read_to_string(running.stderr.take().unwrap()).unwrap();
        assert_eq!(error.contains("interrupted; the old data is unchanged"), signal == "TERM", "{line}: {error}");
        if line == "Making the new cluster" {
            // The initdb that is left running still writes to its copy; it would be removed at the start after that.
            let works_here = |entry: fs::DirEntry| {
                fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd.starts_with(folder.path()))
            };
            eventually(PATIENCE, || (!fs::read_dir("/proc").unwrap().flatten().any(works_here)).then_some(()));
        }
        assert_holds(&folder, &versions.old_bin, &session);
        let mut names: Vec<String> = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.starts_with("cluster"))
            .collect();
        names.sort();
        assert_eq!(names, ["cluster"], "{line}");
    }
}

#[test]
#[ignore = "needs a second PostgreSQL in TEST_NEW_PG_BIN"]
fn an_upgrade_that_is_not_possible_says_why_and_changes_nothing() {
    let versions = Versions::find();
    let (folder, session) = folder_with_session(&versions);
    let empty = DataFolder::new();
    let new_bin = versions.new_bin.as_str();
    let cases: [(&Path, &[&str], &str); 5] = [
        (folder.path(), &["--new-bin", &versions.old_bin], "already, and no newer one is found"),
        (folder.path(), &["--new-bin", "/nowhere"], "--new-bin, /nowhere, has no initdb and postgres"),
        (folder.path(), &["--old-bin", "/nowhere"], "--old-bin, /nowhere, has no initdb and postgres"),
        (folder.path(), &["--old-bin", new_bin, "--new-bin", new_bin], "whose programs are needed too"),
        (empty.path(), &[], "holds no data"),
    ];
    for (folder, arguments, complaint) in cases {
        let (code, text) = upgrade(folder, arguments);
        assert_eq!((code, text.contains(complaint)), (Some(1), true), "{complaint}: {text}");
    }
    let kept = folder.path().join(format!("cluster.old-{}", versions.old));
    fs::create_dir(&kept).unwrap();
    let (code, text) = upgrade(folder.path(), &versions.arguments());
    assert_eq!((code, text.contains("from an earlier upgrade")), (Some(1), true), "{text}");
    fs::remove_dir(kept).unwrap();

    let service = serve(&folder, &versions.old_bin);
    let (code, text) = upgrade(folder.path(), &versions.arguments());
    assert_eq!((code, text.contains("another SafeSpace uses")), (Some(1), true), "{text}");
    service.client.get(&session).assert_status(200);
}

#[test]
fn only_the_private_postgresql_is_upgraded() {
    let output = Binary::new(&[("DATABASE_URL", "postgres://u@127.0.0.1:1/d")]).argument("upgrade-data").run();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), error.contains("is for the private PostgreSQL")), (Some(1), true), "{error}");
}
