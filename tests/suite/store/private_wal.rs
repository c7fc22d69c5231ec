//! The write-ahead log of the private PostgreSQL: how soon it has nothing of an erased session, and what its settings keep out.

use std::fs;
use std::time::Duration;

use safespace::sealing::SealingKey;
use safespace::session_id::SessionId;

use crate::support::chat::Chat;
use crate::support::cluster::DataFolder;
use crate::support::eventually;
use crate::support::process::{Binary, Service};
use crate::support::reports::{Reports, answers};

/// Two of its looks at the log, the time of two checkpoints, and of a vacuum that writes to pages of the session meanwhile.
const REMOVED_WITHIN: Duration = Duration::from_secs(120);

fn serve(folder: &DataFolder) -> Service {
    Binary::new(&[("SAFESPACE_DATA_DIR", folder.path().to_str().unwrap())]).serve()
}

/// Erases a session with messages and a report, and returns the bytes of its lookup.
fn erase_session(service: &Service) -> [u8; 16] {
    let chat = Chat::create(&service.client);
    chat.send("a first message").assert_status(200);
    chat.send("a second message").assert_status(200);
    Reports::of(&service.client, &chat.id).create(&answers());
    chat.erase().assert_status(204);
    let id: SessionId = chat.id.parse().unwrap();
    SealingKey::derive(&id).lookup().expose().into_bytes()
}

/// How often the bytes are in the log.
fn count_in_wal(folder: &DataFolder, bytes: &[u8]) -> usize {
    let files = fs::read_dir(folder.path().join("cluster/pg_wal")).unwrap().map(|entry| entry.unwrap().path());
    // One that is gone by now is removed.
    let contents = files.filter_map(|file| fs::read(file).ok());
    contents.map(|content| content.windows(bytes.len()).filter(|window| *window == bytes).count()).sum()
}

#[test]
fn an_erased_session_is_gone_from_the_log_of_a_quiet_service_within_two_minutes() {
    let folder = DataFolder::new();
    let service = serve(&folder);
    let lookup = erase_session(&service);
    assert!(count_in_wal(&folder, &lookup) > 0, "it is there at first");
    eventually(REMOVED_WITHIN, || (count_in_wal(&folder, &lookup) == 0).then_some(()));
}

#[test]
fn a_service_that_stops_leaves_a_log_without_the_session_that_was_erased_last() {
    let folder = DataFolder::new();
    let mut service = serve(&folder);
    let lookup = erase_session(&service);
    assert!(count_in_wal(&folder, &lookup) > 0, "it is there at first");
    service.stop();
    assert_eq!(count_in_wal(&folder, &lookup), 0);
}

#[test]
fn the_log_settings_hold_whatever_alter_system_says() {
    let folder = DataFolder::new();
    let mut service = serve(&folder);
    let settings = [
        ("wal_level", "replica", "minimal"),
        ("wal_recycle", "on", "off"),
        ("archive_mode", "on", "off"),
        ("max_wal_senders", "5", "0"),
        ("track_commit_timestamp", "on", "off"),
        ("log_checkpoints", "on", "off"),
        ("log_duration", "on", "off"),
        ("log_statement", "all", "none"),
        ("log_min_duration_statement", "0", "-1"),
        ("log_error_verbosity", "verbose", "terse"),
    ];
    let mut sql = postgres::Client::connect(&folder.url(), postgres::NoTls).unwrap();
    for (name, asked, _) in settings {
        sql.batch_execute(&format!("ALTER SYSTEM SET {name} = '{asked}'")).unwrap();
    }
    service.stop();
    let service = serve(&folder);
    let mut sql = postgres::Client::connect(&folder.url(), postgres::NoTls).unwrap();
    for (name, asked, expected) in settings {
        let shown: String = sql.query_one(&format!("SHOW {name}"), &[]).unwrap().get(0);
        assert_eq!(shown, expected, "{name}, asked for {asked}");
    }
    // The statements of a message, and an error with the values of a row.
    Chat::create(&service.client).send("a message").assert_status(200);
    let _ = sql.execute("INSERT INTO reports VALUES ($1, 1, $1, '')", &[&uuid::Uuid::new_v4()]);
    let log = fs::read_to_string(folder.path().join("postgres.log")).unwrap();
    assert!(log.contains("violates foreign key constraint"), "{log}");
    for word in ["INSERT", "duration", "checkpoint", "is not present in table"] {
        assert!(!log.contains(word), "{word}: {log}");
    }
}
