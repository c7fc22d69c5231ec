//! What the doctor finds on the machine. Swap, core dumps and clocks, which a test cannot change, are in the unit tests of
//! `src/doctor/host`, with files in the place of those of the system.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;

use nix::unistd::geteuid;

use super::deployment::Production;
use super::{Found, NO_POSTGRES};
use crate::support::cluster::{DataFolder, Schema};
use crate::support::process::Binary;

/// What depends on the machine of the tests: its swap, its program for core dumps, and that tests run as root there.
const OF_THE_MACHINE: [&str; 4] = ["host.swap", "host.swap_of_others", "host.core_piped", "host.root"];

#[track_caller]
fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_deployment_as_the_document_has_it_is_quiet() {
    let production = Production::start();
    let found = production.examine(&[], &[]);
    let loud: Vec<_> =
        found.loud().into_iter().filter(|it| !OF_THE_MACHINE.contains(&it["code"].as_str().unwrap())).collect();
    assert!(loud.is_empty(), "{loud:#?}");
    assert_eq!(found.output.status.code(), Some(i32::from(found.json["serious"] != 0)));
    assert!(found.not_checked("the running service").is_none(), "{:#}", found.json);
}

#[test]
fn a_service_of_root_is_found_in_production() {
    let production = Production::start();
    let found = production.examine(&[], &[]);
    assert_eq!(found.what("host.root").is_some(), geteuid().is_root(), "{:#}", found.json);
}

#[test]
fn fewer_descriptors_than_the_service_needs_are_found() {
    let schema = Schema::new();
    let url = schema.url();
    let variables = [("DATABASE_URL", url.as_str()), ("APP_MAX_CONNECTIONS", "5000"), ("RATE_LIMIT", "on")];
    let service = Binary::with_descriptors(&variables, 1500).serve();
    let port = service.address.port().to_string();
    let examine = |connections: &str| {
        Found::with(
            &[
                ("DATABASE_URL", &url),
                ("APP_HOST", "127.0.0.1"),
                ("APP_PORT", &port),
                ("APP_MAX_CONNECTIONS", connections),
            ],
            &[],
        )
    };
    examine("5000").assert_has("host.descriptors");
    let found = examine("100");
    found.assert_lacks("host.descriptors");
    assert_eq!(
        found.what("host.other_settings"),
        Some("the running service has another APP_MAX_CONNECTIONS, RATE_LIMIT")
    );
}

#[test]
fn a_secret_that_others_can_read_or_change_is_found() {
    let production = Production::start();
    let path = Path::new(production.variable("DATABASE_URL_FILE")).to_owned();
    for (mode, is_found) in
        [(0o600, false), (0o640, false), (0o400, false), (0o644, true), (0o660, true), (0o602, true)]
    {
        set_mode(&path, mode);
        let found = production.examine(&[], &[]);
        assert_eq!(found.what("host.secret_file").is_some(), is_found, "{mode:o} {:#}", found.json);
    }
    if geteuid().is_root() {
        set_mode(&path, 0o600);
        chown(&path, Some(65534), None).unwrap();
        assert!(production.examine(&[], &[]).what("host.secret_file").unwrap().ends_with("belongs to another user"));
    }
}

#[test]
fn a_dotenv_that_others_can_read_is_found() {
    let run = |mode: u32| {
        let folder = tempfile::tempdir().unwrap();
        let dotenv = folder.path().join(".env");
        fs::write(&dotenv, "DATABASE_URL=postgres://u:hunter2@127.0.0.1:1/d\nAPP_PORT=0\n").unwrap();
        set_mode(&dotenv, mode);
        let mut doctor = std::process::Command::new(env!("CARGO_BIN_EXE_safespace"));
        let output = doctor.arg("doctor").current_dir(&folder).env_clear().output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(run(0o644).contains("host.secret_file: .env has the mode 0644"), "{}", run(0o644));
    assert!(!run(0o600).contains("host.secret_file"));
}

#[test]
fn texts_that_others_can_change_are_found() {
    let production = Production::start();
    let path = Path::new(production.variable("RESOURCES")).to_owned();
    for (mode, is_found) in [(0o644, false), (0o646, true), (0o664, true)] {
        set_mode(&path, mode);
        assert_eq!(production.examine(&[], &[]).what("host.text_file").is_some(), is_found, "{mode:o}");
    }
}

#[test]
fn a_file_in_the_folder_of_the_page_that_others_can_change_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let style = folder.path().join("style.css");
    fs::write(&style, "main { color: black }").unwrap();
    let variables = [NO_POSTGRES, ("APP_PORT", "0"), ("WEB_FOLDER", folder.path().to_str().unwrap())];
    set_mode(&style, 0o644);
    Found::with(&variables, &[]).assert_lacks("host.text_file");
    set_mode(&style, 0o666);
    assert!(Found::with(&variables, &[]).what("host.text_file").unwrap().contains("style.css"));
}

#[test]
fn a_data_folder_that_others_can_enter_and_old_data_are_found() {
    let folder = DataFolder::new();
    let variables = [("SAFESPACE_DATA_DIR", folder.path().to_str().unwrap()), ("APP_PORT", "0")];
    let _service = Binary::new(&variables).serve();
    let examine = || Found::with(&variables, &[]);
    examine().assert_lacks("host.data_folder");
    for name in ["postgres.log", "cluster", "."] {
        let path = folder.path().join(name);
        let before = fs::metadata(&path).unwrap().permissions();
        set_mode(&path, 0o755);
        examine().assert_has("host.data_folder");
        fs::set_permissions(&path, before).unwrap();
    }
    let found = examine();
    found.assert_lacks("host.data_folder");
    found.assert_lacks("host.old_data");
    fs::create_dir(folder.path().join("cluster.old-12")).unwrap();
    examine().assert_has("host.old_data");
}

#[test]
fn the_data_folder_of_another_postgresql_is_looked_at_where_it_is_told() {
    let production = Production::start();
    production.examine(&[], &[]).assert_lacks("host.data_folder");
    // PostgreSQL looks at its mode only when it starts.
    set_mode(&production.postgres.folder().join("cluster"), 0o755);
    production.examine(&[], &[]).assert_has("host.data_folder");
}

#[test]
fn a_service_with_other_settings_than_the_doctors_is_found_without_their_values() {
    let production = Production::start();
    production.examine(&[], &[]).assert_lacks("host.other_settings");
    let found = production.examine(&[("LOG_LEVEL", "warn"), ("WEB_NAME", "Tanya")], &[]);
    assert_eq!(found.what("host.other_settings"), Some("the running service has another LOG_LEVEL, WEB_NAME"));
    assert!(!found.json.to_string().contains("Tanya"));
}
