//! What Citus distributes: every statement under `sql/` is for one shard, or says why it is not; and the tables of a Citus.

mod checker;

use std::fs;
use std::path::{Path, PathBuf};

use checker::fault;
use serde_json::Value;

use crate::support::app::TestApp;
use crate::support::cluster::{Schema, distribution};
use crate::support::process::Binary;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("sql")
}

/// Each statement on the tables of sessions, as `folder/file`, and its text.
fn statements() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        // Migrations run once, and the others read the catalogue or what every node has, or are Citus's own.
        if ["citus", "migrations", "schema"].contains(&name.as_str()) {
            continue;
        }
        for file in fs::read_dir(folder().join(&name)).unwrap() {
            let file = file.unwrap().path();
            let text = fs::read_to_string(&file).unwrap();
            found.push((format!("{name}/{}", file.file_name().unwrap().to_str().unwrap()), text));
        }
    }
    found.sort();
    found
}

/// What the first line of a statement says of its shards.
enum Shards<'a> {
    One,
    All,
    /// Of one server only; with Citus these statements do the same.
    OneServer(Vec<&'a str>),
}

fn shards(text: &str) -> Shards<'_> {
    let first = text.lines().next().unwrap();
    if let Some(others) = first.strip_prefix("-- One server; distributed: ") {
        Shards::OneServer(others.split(' ').collect())
    } else if first.starts_with("-- All shards: ") {
        Shards::All
    } else {
        Shards::One
    }
}

#[test]
fn every_statement_is_for_one_shard_or_says_why_it_is_not() {
    let statements = statements();
    assert!(statements.len() > 30, "only {} statements were found", statements.len());
    let mut faults = Vec::new();
    for (file, text) in &statements {
        let found = match shards(text) {
            Shards::One => fault(text, false),
            Shards::All => fault(text, true),
            Shards::OneServer(others) => {
                let is_missing = |other: &&&str| {
                    !statements
                        .iter()
                        .any(|(file, text)| file == **other && !matches!(shards(text), Shards::OneServer(_)))
                };
                others.iter().find(is_missing).map(|other| format!("{other} is no statement that distributes"))
            }
        };
        faults.extend(found.map(|reason| format!("sql/{file}: {reason}")));
    }
    assert!(faults.is_empty(), "statements that Citus does not distribute:\n{}", faults.join("\n"));
}

#[test]
fn statements_that_do_not_distribute_are_refused_with_the_reason() {
    for (statement, reason) in [
        ("SELECT FROM sessions", "sessions without id = $1::uuid"),
        ("SELECT FROM sessions WHERE id = $1::uuid OR last_used_hour = 5", "an OR beside"),
        ("SELECT FROM sessions WHERE (id = $1::uuid)", "sessions without"),
        ("SELECT FROM messages WHERE id = $1::uuid", "messages without session_id = $1::uuid"),
        ("SELECT FROM sessions WHERE id = $2::uuid", "sessions without"),
        ("SELECT FROM sessions WHERE id = ANY($1::uuid[])", "several sessions"),
        ("SELECT FROM unnest($1::uuid[]) AS a (b) JOIN sessions ON id = b", "several sessions"),
        (
            "SELECT FROM sessions LEFT JOIN LATERAL (SELECT FROM messages WHERE session_id = sessions.id LIMIT 1) AS m ON true
             WHERE sessions.id = $1::uuid",
            "messages without",
        ),
        ("SELECT FROM sessions, messages WHERE id = $1::uuid AND session_id = $1::uuid", "sessions without sessions.id"),
        ("SELECT FROM sessions AS s JOIN reports ON reports.session_id = s.id WHERE s.id = $1::uuid", "reports without"),
        ("DELETE FROM messages USING sessions WHERE messages.session_id = $1::uuid", "sessions without"),
        ("INSERT INTO messages (position, session_id) VALUES ($1::uuid, 1)", "session_id is not the first column"),
        ("INSERT INTO messages (session_id, position) VALUES ($2::uuid, 1)", "the first value is not $1::uuid"),
        ("INSERT INTO messages (session_id) SELECT $1::uuid", "not id of the session that it selects"),
        (
            "INSERT INTO turns (session_id) SELECT id FROM sessions WHERE id = $1::uuid FOR KEY SHARE",
            "a lock in an INSERT … SELECT",
        ),
        (
            "WITH stored AS (INSERT INTO messages (session_id) VALUES ($1::uuid) RETURNING id) SELECT FROM stored",
            "a change within another statement",
        ),
        (
            "INSERT INTO turns (session_id) VALUES ($1::uuid) ON CONFLICT (session_id) DO UPDATE SET position = 1
             WHERE turns.ends_at < now()",
            "now() in ON CONFLICT",
        ),
    ] {
        let found = fault(statement, false);
        assert!(found.as_ref().is_some_and(|found| found.contains(reason)), "{statement}: {found:?}");
    }
    for (statement, reason) in [
        ("DELETE FROM sessions WHERE last_used_hour < 5", "it does not only read"),
        ("SELECT FROM sessions WHERE last_used_hour < 5 FOR UPDATE SKIP LOCKED", "a lock"),
        ("WITH a AS (DELETE FROM turns RETURNING claim) SELECT FROM a", "it does not only read"),
        ("SELECT sum(1) OVER (ORDER BY position) FROM messages", "a window"),
        ("SELECT FROM unnest($1::uuid[]) AS a (b) CROSS JOIN LATERAL (SELECT FROM messages LIMIT 1) AS c", "LATERAL"),
    ] {
        let found = fault(statement, true);
        assert!(found.as_ref().is_some_and(|found| found.contains(reason)), "{statement}: {found:?}");
    }
}

/// With a Citus: that it agrees with the checker.
#[test]
fn citus_executes_the_statements_for_one_shard_on_one_shard() {
    let Some(app) = on_citus() else { return };
    let mut sql = app.sql();
    let session = uuid::Uuid::new_v4();
    sql.execute("INSERT INTO sessions (id, sealed) VALUES ($1, '')", &[&session]).unwrap();
    for (file, text) in statements().iter().filter(|(_, text)| matches!(shards(text), Shards::One)) {
        let explained = sql.query_one(&format!("EXPLAIN (FORMAT JSON) {}", with_values(text, session)), &[]);
        let explained: String = explained.unwrap_or_else(|error| panic!("{file}: {error}")).get::<_, Json>(0).0;
        let plan: Value = serde_json::from_str(&explained).unwrap();
        let counts = task_counts(&plan);
        assert_eq!(counts, [1], "{file}: {explained}");
    }
}

#[test]
fn a_distributed_schema_is_not_served_without_the_variable_and_is_distributed_once() {
    let Some(app) = on_citus() else { return };
    let url = app.url();
    let output = Binary::new(&[("DATABASE_URL", &url), ("DB_DISTRIBUTE", "off")]).argument("migrate").run();
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && error.contains("set DB_DISTRIBUTE=citus"), "{error}");
    let output = Binary::new(&[("DATABASE_URL", &url)]).argument("migrate").argument("--distributed").run();
    assert!(output.status.success(), "{output:?}");
    let output = Binary::new(&[("DATABASE_URL", &url)]).argument("check").run();
    let found = String::from_utf8(output.stdout).unwrap();
    assert!(found.lines().any(|line| line.starts_with("Citus") && line.ends_with("distributes the tables")), "{found}");
}

#[test]
fn rows_from_before_the_distribution_are_distributed_and_leave_nothing_on_the_coordinator() {
    if on_citus().is_none() {
        return;
    }
    let schema = Schema::new();
    let url = schema.url();
    let local = Binary::new(&[("DATABASE_URL", &url), ("DB_DISTRIBUTE", "off")]).argument("migrate").run();
    assert!(local.status.success(), "{local:?}");
    let mut sql = schema.client();
    let rows = "INSERT INTO sessions (id, sealed) SELECT gen_random_uuid(), '' FROM generate_series(1, 100);
                INSERT INTO messages SELECT id, 1, gen_random_uuid(), '', 1 FROM sessions";
    sql.batch_execute(rows).unwrap();
    let output = Binary::new(&[("DATABASE_URL", &url)]).argument("migrate").run();
    assert!(output.status.success(), "{output:?}");
    for table in ["sessions", "messages"] {
        let count = sql.query_one(&format!("SELECT count(*), pg_relation_size('{table}') FROM {table}"), &[]).unwrap();
        assert_eq!((count.get::<_, i64>(0), count.get::<_, i64>(1)), (100, 0), "{table}");
    }
}

#[test]
fn a_database_without_citus_says_what_to_do() {
    let schema = Schema::new();
    let url = schema.url();
    if distribution(&url).is_some() {
        return;
    }
    let citus = [("DATABASE_URL", url.as_str()), ("DB_DISTRIBUTE", "citus")];
    for argument in ["migrate", "check"] {
        let output = Binary::new(&citus).argument(argument).run();
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && error.contains("no extension citus"), "{argument}: {error}");
    }
    let output = Binary::new(&citus[..1]).argument("migrate").argument("--distributed").run();
    assert!(!output.status.success(), "{output:?}");
}

/// A service on the Citus of `CITUS_DATABASE_URL`; `None` without one.
fn on_citus() -> Option<TestApp> {
    let app = TestApp::start();
    distribution(&app.url()).map(|_| app)
}

/// A statement with a value for each parameter, which it has with its type.
fn with_values(text: &str, session: uuid::Uuid) -> String {
    let mut statement: String =
        text.lines().filter(|line| !line.starts_with("--")).map(|line| format!("{line}\n")).collect();
    let session = session.to_string();
    for (kind, value) in [("uuid", session.as_str()), ("integer", "1"), ("bigint", "1"), ("bytea", "")] {
        for number in 1..=9 {
            statement = statement.replace(&format!("${number}::{kind}"), &format!("'{value}'::{kind}"));
        }
    }
    statement
}

/// The number of tasks of each part of a plan of Citus.
fn task_counts(plan: &Value) -> Vec<u64> {
    match plan {
        Value::Object(members) => members
            .iter()
            .flat_map(|(name, value)| match value.as_u64() {
                Some(count) if name == "Task Count" => vec![count],
                _ => task_counts(value),
            })
            .collect(),
        Value::Array(values) => values.iter().flat_map(task_counts).collect(),
        _ => Vec::new(),
    }
}

/// A column of the type `json`, as text.
struct Json(String);

impl<'a> postgres::types::FromSql<'a> for Json {
    fn from_sql(_: &postgres::types::Type, raw: &'a [u8]) -> Result<Json, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Json(String::from_utf8(raw.to_vec())?))
    }

    fn accepts(of_type: &postgres::types::Type) -> bool {
        *of_type == postgres::types::Type::JSON
    }
}
