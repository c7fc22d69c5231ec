//! A PostgreSQL that is administered elsewhere, and roles that may not see everything.

use std::fs;

use safespace::session_id::SessionId;
use serde_json::Value;

use super::deployment::WORD;
use crate::support::chat::Chat;
use crate::support::cluster::Cluster;
use crate::support::eventually;
use crate::support::process::Binary;
use crate::support::timing::PATIENCE;

/// Runs the command on a database and returns its exit code and findings.
fn verify(url: &str, id: &str, arguments: &[&str]) -> (i32, Value) {
    let binary = Binary::new(&[("DATABASE_URL", url)]).argument("verify-erasure").argument("--json");
    let binary = arguments.iter().fold(binary, |binary, argument| binary.argument(argument));
    let output = binary.run_with_stdin(&format!("{id}\n"));
    let text = String::from_utf8(output.stdout).unwrap();
    (output.status.code().unwrap(), serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}")))
}

fn place<'a>(findings: &'a Value, name: &str) -> &'a Value {
    let places = findings["places"].as_array().unwrap();
    places.iter().find(|place| place["place"] == name).unwrap_or(&Value::Null)
}

#[test]
fn a_server_on_this_machine_tells_where_its_files_are() {
    let cluster = Cluster::start();
    let url = cluster.url();
    let service = Binary::new(&[("DATABASE_URL", &url)]).serve();
    let chat = Chat::create(&service.client);
    chat.send("halo").assert_status(200);
    let (code, found) = verify(&url, &chat.id, &[]);
    assert_eq!(code, 1, "{found}");
    assert_eq!(place(&found, "heap")["verdict"], "found", "{found}");
    chat.erase().assert_status(204);
    let (code, found) = verify(&url, &chat.id, &[]);
    assert_eq!(code, 0, "{found}");
    // Its log is what its standard error goes to.
    assert_eq!(place(&found, "server_log")["verdict"], "clean", "{found}");
}

#[test]
fn a_role_that_may_not_see_everything_gives_exit_code_2() {
    let cluster = Cluster::start();
    let url = cluster.url();
    let service = Binary::new(&[("DATABASE_URL", &url)]).serve();
    let id = Chat::create(&service.client).id;
    let other = serde_json::to_value(SessionId::random()).unwrap().as_str().unwrap().to_owned();
    let mut sql = cluster.sql();
    sql.batch_execute("CREATE ROLE auditor LOGIN; GRANT SELECT ON sessions TO auditor").unwrap();
    let of_role = url.replace("safespace@", "auditor@");
    let (code, found) = verify(&of_role, &id, &["--without-data-folder"]);
    assert_eq!(code, 1, "{found}");
    let (code, found) = verify(&of_role, &other, &["--without-data-folder"]);
    assert_eq!(code, 2, "{found}");
    assert!(
        place(&found, "rows")["not_looked"]
            .to_string()
            .contains("public.messages.session_id: the role may not read it")
    );
    sql.batch_execute("GRANT SELECT ON messages, reports, turns TO auditor").unwrap();
    let (code, found) = verify(&of_role, &other, &["--without-data-folder"]);
    assert_eq!(code, 0, "{found}");
    // It may not know where the files are either.
    let (code, found) = verify(&of_role, &other, &[]);
    assert_eq!((code, &place(&found, "data_folder")["verdict"]), (2, &"not_looked".into()), "{found}");
    let folder = cluster.folder().to_str().unwrap();
    let (code, found) = verify(&of_role, &other, &["--data-folder", folder]);
    assert_eq!(code, 0, "{found}");
    // A policy that hides rows does not make them clean.
    sql.batch_execute("ALTER TABLE sessions ENABLE ROW LEVEL SECURITY").unwrap();
    let (code, found) = verify(&of_role, &id, &["--without-data-folder"]);
    assert_eq!(code, 2, "{found}");
    assert!(
        place(&found, "rows")["not_looked"].to_string().contains("public.sessions.id: the role may not read all rows")
    );
}

#[test]
fn a_word_in_a_compressed_image_of_a_page_is_found() {
    let cluster = Cluster::start();
    let mut sql = cluster.sql();
    // From version 15 on it is shown by the name of the method.
    for statement in ["ALTER SYSTEM SET wal_compression = on", "SELECT pg_reload_conf()"] {
        sql.batch_execute(statement).unwrap();
    }
    let shown = |sql: &mut postgres::Client| sql.query_one("SHOW wal_compression", &[]).unwrap().get::<_, String>(0);
    eventually(PATIENCE, || (shown(&mut sql) != "off").then_some(()));
    let rows = "SELECT 'another row of words ' || number FROM generate_series(1, 50) AS numbers (number)";
    sql.batch_execute(&format!("CREATE TABLE notes AS {rows}; INSERT INTO notes VALUES ('{WORD}')")).unwrap();
    // The first change of a page after a checkpoint has its image; in a segment where nothing else has the word.
    for statement in ["CHECKPOINT", "SELECT pg_switch_wal()", "INSERT INTO notes VALUES ('after')"] {
        sql.batch_execute(statement).unwrap();
    }
    let name: String = sql.query_one("SELECT pg_walfile_name(pg_current_wal_lsn())", &[]).unwrap().get(0);
    sql.batch_execute("SELECT pg_switch_wal()").unwrap();
    let content = fs::read(cluster.folder().join("cluster/pg_wal").join(&name)).unwrap();
    // As an archive has it: the next checkpoint may remove it there.
    let archive = tempfile::tempdir().unwrap();
    let segment = archive.path().join(&name);
    fs::write(&segment, &content).unwrap();
    assert!(!content.windows(WORD.len()).any(|bytes| bytes == WORD.as_bytes()), "the image is not compressed");
    let arguments = ["--without-data-folder", "--wal-archive", segment.to_str().unwrap()];
    let id = serde_json::to_value(SessionId::random()).unwrap().as_str().unwrap().to_owned();
    let (code, found) = verify(&cluster.url(), &format!("{id}\n{WORD}"), &arguments);
    assert_eq!((code, &place(&found, "wal_archive")["found"][0]["what"]), (1, &"word".into()), "{found}");
}

#[test]
fn a_database_that_is_away_gives_exit_code_2() {
    let id = serde_json::to_value(SessionId::random()).unwrap().as_str().unwrap().to_owned();
    let (code, found) = verify("postgres://nobody@localhost:1/none", &id, &["--without-data-folder"]);
    assert_eq!(code, 2, "{found}");
    assert!(place(&found, "rows")["not_looked"].to_string().contains("there is no connection"), "{found}");
}
