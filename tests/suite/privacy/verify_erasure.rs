//! `safespace verify-erasure`: rows, what is left after an erasure, what was planted, and what cannot be looked at.

mod deployment;
mod given;
mod servers;

use std::fs;

use deployment::{Deployment, WORD};
use safespace::sealing::{DerivedSecrets, SealingKey};
use safespace::session_id::SessionId;
use serde_json::json;

#[test]
fn rows_are_found_in_every_table_and_after_the_erasure_only_ciphertext() {
    let deployment = Deployment::start();
    let (id, chat) = deployment.create_session();
    let before = deployment.verify(&id, &[]);
    before.assert(1, "found");
    for (column, what, count) in [
        ("public.sessions.id", "lookup", 1),
        ("public.sessions.sealed", "sealed", 1),
        ("public.sessions.last_report", "sealed", 1),
        ("public.messages.session_id", "lookup", 4),
        ("public.messages.sealed", "sealed", 4),
        ("public.reports.session_id", "lookup", 1),
        ("public.reports.sealed", "sealed", 1),
    ] {
        assert!(before.count("rows", what, "row", column) == count, "{column}: {before}");
    }
    for (place, what, holder, location) in [
        ("heap", "lookup", "row", "sessions"),
        ("heap", "lookup", "row", "messages"),
        ("heap", "sealed", "row", "messages"),
        ("heap", "lookup", "row", "reports"),
        ("index", "lookup", "index_entry", "sessions_pkey"),
        ("toast", "sealed", "row", "messages"),
        ("toast", "sealed", "row", "reports"),
    ] {
        assert!(before.count(place, what, holder, location) > 0, "{what} in {location}: {before}");
    }
    assert_eq!(before.verdict("wal"), "ciphertext_without_key", "{before}");
    // Autovacuum must leave the deleted rows while an older transaction may see them.
    let mut older = deployment.sql();
    older.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT FROM sessions").unwrap();
    deployment.erase(&chat);
    let after = deployment.verify(&id, &[]);
    after.assert(0, "ciphertext_without_key");
    assert_eq!(after.verdict("rows"), "clean", "{after}");
    for (place, what, holder, location) in [
        ("heap", "lookup", "dead_row", "sessions"),
        ("heap", "sealed", "dead_row", "messages"),
        ("toast", "sealed", "dead_row", "reports"),
    ] {
        assert!(after.count(place, what, holder, location) > 0, "{what} in {location}: {after}");
    }
    assert_eq!(after.verdict("wal"), "ciphertext_without_key", "{after}");
    for place in ["server_log", "maps", "other_files"] {
        assert_eq!(after.verdict(place), "clean", "{place}: {after}");
    }
}

#[test]
fn the_files_of_a_stopped_server_are_judged_by_their_pages() {
    let mut deployment = Deployment::start();
    let (kept, _) = deployment.create_session();
    let (erased, chat) = deployment.create_session();
    deployment.erase(&chat);
    deployment.stop();
    let found = deployment.verify(&kept, &[]);
    found.assert(1, "found");
    assert!(found.holders("heap").contains("row"), "{found}");
    assert!(found.json["notes"].to_string().contains("no PostgreSQL was asked"), "{found}");
    let clean = deployment.verify(&erased, &[]);
    clean.assert(0, "ciphertext_without_key");
    // A server that was killed leaves it behind.
    let mark = deployment.cluster().join("postmaster.pid");
    fs::write(&mark, "1\n").unwrap();
    deployment.verify(&erased, &[]).assert(2, "not_looked");
    fs::remove_file(mark).unwrap();
    // Its rows were not looked at in any way.
    deployment.verify(&erased, &["--without-data-folder"]).assert(2, "not_looked");
    // What a crash left may be in the log alone.
    fs::write(deployment.cluster().join("global/pg_control"), [6; 8192]).unwrap();
    deployment.verify(&erased, &[]).assert(2, "not_looked");
    deployment.verify(&kept, &[]).assert(1, "found");
}

#[test]
fn a_copy_of_the_rows_in_a_table_that_the_service_does_not_know_is_found() {
    let deployment = Deployment::start();
    let (id, chat) = deployment.create_session();
    let mut sql = deployment.sql();
    sql.batch_execute(
        "CREATE SCHEMA kept; CREATE TABLE kept.\"Old\" AS SELECT id AS session, md5('x')::uuid AS other FROM sessions;
         CREATE TABLE kept.bytes AS SELECT uuid_send(id) AS key FROM sessions;
         CREATE TABLE kept.sealed AS SELECT sealed FROM messages; CREATE TABLE kept.text AS SELECT id::text FROM sessions",
    )
    .unwrap();
    deployment.erase(&chat);
    let found = deployment.verify(&id, &[]);
    found.assert(1, "found");
    assert_eq!(found.count("rows", "lookup", "row", "kept.\"Old\".session"), 1, "{found}");
    assert_eq!(found.count("rows", "lookup", "row", "kept.bytes.key"), 1, "{found}");
    // Statements compare keys only; the pages show the others.
    sql.batch_execute("DROP TABLE kept.\"Old\", kept.bytes").unwrap();
    let found = deployment.verify(&id, &[]);
    found.assert(1, "found");
    assert_eq!(found.verdict("rows"), "clean", "{found}");
    assert_eq!(found.count("heap", "lookup", "row", "kept.text"), 1, "{found}");
    assert!(found.count("heap", "sealed", "row", "kept.sealed") > 0, "{found}");
}

#[test]
fn a_word_is_found_wherever_it_was_planted() {
    let deployment = Deployment::start();
    let (id, chat) = deployment.create_session();
    deployment.erase(&chat);
    deployment.verify(&id, &[WORD]).assert(0, "ciphertext_without_key");
    let mut sql = deployment.sql();
    let write = |path: &str, content: &str| {
        let path = deployment.folder().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    };
    let table = "CREATE TABLE notes (text text) WITH (autovacuum_enabled = off)";
    let statements: [(&str, &str, &str, String); 5] = [
        ("wal", "bytes", "", format!("SELECT pg_logical_emit_message(false, 'x', '{WORD}')")),
        ("heap", "row", "notes", format!("{table}; INSERT INTO notes VALUES ('another row'), ('{WORD}')")),
        ("index", "index_entry", "notes_text_idx", "CREATE INDEX ON notes (text)".to_owned()),
        ("heap", "dead_row", "notes", format!("DELETE FROM notes WHERE text = '{WORD}'")),
        // It does not move the other row, which was there before, and so overwrites nothing.
        ("free_space", "free_space", "notes", "VACUUM notes".to_owned()),
    ];
    for (place, holder, location, statement) in statements {
        sql.batch_execute(&statement).unwrap();
        let found = deployment.verify(&id, &["another word", WORD]);
        found.assert(1, "found");
        assert!(found.count_of_word(2, place, holder, location) > 0, "{place} {holder}: {found}");
        assert_eq!(found.count_of_word(1, place, holder, location), 0, "{found}");
    }
    for (place, path) in [
        ("server_log", "cluster/log/postgresql.log"),
        ("temporary_files", "cluster/base/pgsql_tmp/pgsql_tmp1.0"),
        ("other_files", "cluster/pg_replslot/one/state"),
    ] {
        write(path, &format!("before {WORD} after"));
        let found = deployment.verify(&id, &[WORD]);
        assert!(found.count_of_word(1, place, "bytes", "") > 0, "{path}: {found}");
    }
}

#[test]
fn an_id_and_its_keys_are_found_in_every_encoding_and_never_printed() {
    let deployment = Deployment::start();
    let id = SessionId::random();
    let text = serde_json::to_value(&id).unwrap().as_str().unwrap().to_owned();
    let secrets = DerivedSecrets::derive(&id);
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let code = id.recovery_code().expose().to_owned();
    let lookup = *SealingKey::derive(&id).lookup().expose();
    for (what, planted) in [
        ("id", text.clone().into_bytes()),
        ("id", text.to_uppercase().into_bytes()),
        ("id", id.expose().as_bytes().to_vec()),
        ("id", hex(id.expose().as_bytes()).into_bytes()),
        ("id", code.clone().into_bytes()),
        ("id", code.replace('-', "").to_lowercase().into_bytes()),
        ("derived_key", secrets.key.to_vec()),
        ("derived_key", hex(&*secrets.key).into_bytes()),
        ("derived_key", secrets.pseudorandom_key.to_vec()),
        ("lookup", lookup.to_string().into_bytes()),
        ("lookup", lookup.as_bytes().to_vec()),
    ] {
        let log = tempfile::NamedTempFile::new().unwrap();
        fs::write(log.path(), [b"a line\nbefore ", planted.as_slice(), b" after\n"].concat()).unwrap();
        let of_log = ["--without-data-folder", "--log", log.path().to_str().unwrap()];
        // The recovery code is as good as the id.
        let found = deployment.verify_with(&format!("{code}\n"), &of_log);
        assert_eq!(found.count("log", what, "bytes", log.path().to_str().unwrap()), 1, "{found}");
        // A lookup in a log leads to nothing without the id, once the rows are gone.
        let (code, verdict) = if what == "lookup" { (0, "ciphertext_without_key") } else { (1, "found") };
        found.assert(code, verdict);
    }
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(format!("backup-{text}.log")), "nothing").unwrap();
    let found = deployment.verify(&text, &["--log", folder.path().to_str().unwrap()]);
    assert_eq!(found.count("log", "id", "file_name", "(a file whose name is not shown)"), 1, "{found}");
}

#[test]
fn input_that_cannot_be_used_is_refused_without_quoting_it() {
    let deployment = Deployment::start();
    let id = serde_json::to_value(SessionId::random()).unwrap().as_str().unwrap().to_owned();
    for (input, reason) in [
        (String::new(), "the first line of standard input must be a session's id"),
        (id[1..].to_owned(), "the first line of standard input must be a session's id"),
        (format!("{id}\nkata"), "word 1 must have 6 to 1024 bytes"),
    ] {
        let output = deployment.run(&input, &[]);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{error}");
        assert!(error.contains(reason) && !error.contains("kata") && !error.contains(&id[1..]), "{error}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn people_read_a_line_for_each_place_and_the_result() {
    let deployment = Deployment::start();
    let (id, chat) = deployment.create_session();
    // So that its rows are deleted rows, and not free space.
    let mut older = deployment.sql();
    older.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT FROM sessions").unwrap();
    deployment.erase(&chat);
    let log = tempfile::NamedTempFile::new().unwrap();
    fs::write(log.path(), format!("a line\n{WORD}\n{WORD}\n")).unwrap();
    let input = format!("{id}\nanother word\n{WORD}\n");
    let arguments = ["--log", log.path().to_str().unwrap(), "--dump", "missing"];
    let output = deployment.run(&input, &arguments);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    deployment::assert_quotes_nothing(&input, &text);
    for expected in [
        "Rows             clean                    11 columns\n".to_owned(),
        "Free space       clean                    of these pages\n".to_owned(),
        "Temporary files  clean                    0 files\n".to_owned(),
        format!(
            "Logs             FOUND                    1 files, 1 KiB\n  word 2, 2 times: {}\n",
            log.path().display()
        ),
        "Dumps            not looked               0 files\n  not looked: missing: No such file".to_owned(),
        "Result           FOUND: rows of the session are there, or something that can be read\n".to_owned(),
    ] {
        assert!(text.contains(&expected), "{expected} is not in\n{text}");
    }
}

#[test]
fn the_json_has_the_documented_members() {
    let deployment = Deployment::start();
    let (id, _) = deployment.create_session();
    let found = deployment.verify(&id, &[]).json;
    assert_eq!((&found["verdict"], &found["exit_code"]), (&json!("found"), &json!(1)));
    let rows = &found["places"][0];
    assert_eq!(rows["place"], "rows");
    let members: Vec<&str> = rows.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(members, ["bytes", "found", "looked_at", "not_looked", "place", "unlisted", "verdict"]);
    let finding: Vec<&str> = rows["found"][0].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(finding, ["count", "in", "location", "verdict", "what", "word"]);
}
