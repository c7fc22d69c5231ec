//! Links, pipes and folders that another user planted where the private PostgreSQL keeps its data.

use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::sync::atomic::AtomicBool;

use safespace::config::PrivateServer;
use safespace::private_postgres::PrivatePostgres;

use super::private_postgres::start_error;
use crate::support::cluster::DataFolder;

/// A data folder as a service leaves it, with a file or link in it that somebody else planted.
fn folder_with(plant: impl FnOnce(&Path)) -> DataFolder {
    let folder = DataFolder::new();
    std::fs::write(folder.path().join("safespace.lock"), "").unwrap();
    plant(folder.path());
    folder
}

#[test]
fn a_planted_link_is_refused_and_its_target_keeps_its_contents() {
    for name in ["safespace.lock", "postgres.log"] {
        let target = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&target, "dear").unwrap();
        for (is_symlink, complaint) in [(true, "is a link"), (false, "has a second name")] {
            let folder = folder_with(|path| {
                let _ = std::fs::remove_file(path.join(name));
                let link = path.join(name);
                if is_symlink { symlink(&target, link) } else { std::fs::hard_link(&target, link) }.unwrap();
            });
            let error = start_error(&folder.config()).to_string();
            assert!(error.contains(name) && error.contains(complaint), "{name}: {error}");
            assert_eq!(std::fs::read_to_string(&target).unwrap(), "dear", "{name}");
        }
    }
}

#[test]
fn a_dangling_link_creates_no_file() {
    let elsewhere = tempfile::tempdir().unwrap();
    let target = elsewhere.path().join("new");
    let folder = DataFolder::new();
    symlink(&target, folder.path().join("safespace.lock")).unwrap();
    let error = start_error(&folder.config()).to_string();
    assert!(error.contains("is a link"), "{error}");
    assert!(!target.exists());
}

#[test]
fn a_planted_folder_link_changes_no_permissions() {
    let elsewhere = tempfile::tempdir().unwrap();
    std::fs::set_permissions(&elsewhere, Permissions::from_mode(0o755)).unwrap();
    let folder = folder_with(|path| symlink(&elsewhere, path.join("socket")).unwrap());
    let error = start_error(&folder.config()).to_string();
    assert!(error.contains("socket: it is a link"), "{error}");
    let found = elsewhere.path().metadata().unwrap();
    assert_eq!((found.uid(), found.mode() & 0o777), (nix::unistd::geteuid().as_raw(), 0o755));
}

#[test]
fn a_pipe_in_the_place_of_the_lock_is_refused_at_once() {
    let folder = DataFolder::new();
    let pipe = folder.path().join("safespace.lock");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let error = start_error(&folder.config()).to_string();
    assert!(error.contains("is not a regular file"), "{error}");
}

#[test]
fn the_contents_of_the_lock_file_are_kept() {
    let folder = folder_with(|path| std::fs::write(path.join("safespace.lock"), "dear").unwrap());
    let running = PrivatePostgres::start(&folder.config(), &[], &AtomicBool::new(false)).unwrap();
    assert_eq!(std::fs::read_to_string(folder.path().join("safespace.lock")).unwrap(), "dear");
    drop(running);
}

#[test]
fn a_folder_that_others_can_write_to_or_replace_is_refused() {
    for (mode, parent_mode, complaint) in [
        (0o777, 0o755, "can be written to by other users"),
        (0o770, 0o755, "can be written to by other users"),
        (0o700, 0o777, "another user can replace it"),
    ] {
        let parent = DataFolder::new();
        let data_folder = parent.path().join("data");
        std::fs::create_dir(&data_folder).unwrap();
        std::fs::set_permissions(&data_folder, Permissions::from_mode(mode)).unwrap();
        std::fs::set_permissions(parent.path(), Permissions::from_mode(parent_mode)).unwrap();
        let error = start_error(&PrivateServer { data_folder, binaries: None }).to_string();
        assert!(error.contains(complaint), "{mode:o} in {parent_mode:o}: {error}");
    }
}

#[test]
fn a_folder_below_a_folder_or_link_of_another_user_is_refused_to_root() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let parent = DataFolder::new();
    let elsewhere = DataFolder::new();
    let link = parent.path().join("link");
    symlink(elsewhere.path(), &link).unwrap();
    std::os::unix::fs::lchown(&link, Some(65534), None).unwrap();
    let replaceable = |data_folder| start_error(&PrivateServer { data_folder, binaries: None }).to_string();
    for path in [link.clone(), link.join("data")] {
        let error = replaceable(path);
        assert!(error.contains(&format!("can replace it through {}", link.display())), "{error}");
    }
    std::os::unix::fs::chown(parent.path(), Some(65534), None).unwrap();
    let error = replaceable(parent.path().join("data"));
    assert!(error.contains("another user can replace it"), "{error}");
    assert!(!parent.path().join("data").exists() && !elsewhere.path().join("data").exists(), "nothing is created");
}
