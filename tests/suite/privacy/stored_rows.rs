//! The rows of all tables, and rows that were changed from outside.

use std::collections::BTreeSet;

use uuid::Uuid;

use crate::support::app::TestApp;
use crate::support::chat::Chat;
use crate::support::cluster::Schema;
use crate::support::eventually;
use crate::support::process::Binary;
use crate::support::timing::PATIENCE;

/// The sealed messages of all sessions in order of position.
fn sealed(sql: &mut postgres::Client) -> Vec<Vec<u8>> {
    sql.query("SELECT sealed FROM messages ORDER BY session_id, position", &[])
        .unwrap()
        .iter()
        .map(|row| row.get(0))
        .collect()
}

#[test]
fn the_tables_have_no_plaintext_columns() {
    let app = TestApp::start();
    let columns = "SELECT table_name || '.' || column_name || ' ' || data_type FROM information_schema.columns
                   WHERE table_schema = current_schema AND table_name NOT LIKE 'refinery%' ORDER BY 1";
    let columns: Vec<String> = app.sql().query(columns, &[]).unwrap().iter().map(|row| row.get(0)).collect();
    assert_eq!(
        columns,
        [
            "compatibility.oldest_version integer",
            "messages.id uuid",
            "messages.position integer",
            "messages.sealed bytea",
            "messages.session_id uuid",
            "messages.total_bytes bigint",
            "reports.id uuid",
            "reports.position integer",
            "reports.sealed bytea",
            "reports.session_id uuid",
            "sessions.created_hour integer",
            "sessions.id uuid",
            "sessions.idle_timeout_seconds integer",
            "sessions.last_report bytea",
            "sessions.last_used_hour integer",
            "sessions.sealed bytea",
            "turns.claim uuid",
            "turns.ends_at timestamp with time zone",
            "turns.is_stopped boolean",
            "turns.position integer",
            "turns.session_id uuid"
        ]
    );
}

#[test]
fn a_session_id_is_not_stored() {
    let app = TestApp::start();
    let chat = Chat::new(&app);
    chat.send_with_key("key of mine", "halo").assert_status(200);
    let id: Uuid = chat.id.parse().unwrap();
    let mut sql = app.sql();
    for table in ["sessions", "messages"] {
        let stored = format!("SELECT count(*) FROM {table} WHERE id = $1 OR position($2 IN sealed) > 0");
        let row = sql.query_one(&stored, &[&id, &id.as_bytes().as_slice()]).unwrap();
        assert_eq!(row.get::<_, i64>(0), 0, "{table}");
    }
    let lookup: Uuid = sql.query_one("SELECT id FROM sessions", &[]).unwrap().get(0);
    assert_ne!(lookup, id);
    Chat::of(&app.client, &lookup.to_string()).history("").assert_problem(404);
    Chat::of(&app.client, &lookup.to_string()).erase().assert_problem(404);
}

#[test]
fn equal_messages_have_different_sealed_bytes() {
    let app = TestApp::start();
    let (one, other) = (Chat::new(&app), Chat::new(&app));
    for chat in [&one, &one, &other] {
        chat.send("halo").assert_status(200);
    }
    let sealed = sealed(&mut app.sql());
    assert_eq!(sealed.iter().collect::<BTreeSet<_>>().len(), 6);
    // After the version no two have a common prefix.
    let beginnings: BTreeSet<&[u8]> = sealed.iter().map(|sealed| &sealed[1..17]).collect();
    assert_eq!(beginnings.len(), 6);
    assert!(sealed.iter().all(|other| other[0] == sealed[0][0]), "the version comes first");
}

#[test]
fn sealed_lengths_are_powers_of_two_plus_a_constant() {
    let app = TestApp::start();
    let chat = Chat::new(&app);
    let lengths = |app: &TestApp| -> BTreeSet<i32> {
        let rows = app.sql().query("SELECT DISTINCT length(sealed) FROM messages WHERE position % 2 = 1", &[]).unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    };
    for count in [1, 2, 10, 50, 99, 100] {
        chat.send(&"x".repeat(count)).assert_status(200);
    }
    chat.send_with_key(&"k".repeat(20), "x").assert_status(200);
    assert_eq!(lengths(&app).len(), 1, "{:?}", lengths(&app));
    for step in 1..60 {
        chat.send(&"x".repeat(step * 68)).assert_status(200);
    }
    chat.send(&"\u{1f9ed}".repeat(4_096)).assert_status(200);
    let lengths = lengths(&app);
    assert!(lengths.len() <= 9, "{lengths:?}");
    // Powers of two, each with the same overhead.
    let (first, second) = (lengths.iter().next().unwrap(), lengths.iter().nth(1).unwrap());
    let overhead = first - (second - first);
    assert!((17..=128).contains(&overhead), "{lengths:?}");
    for length in &lengths {
        assert!((length - overhead).count_ones() == 1, "{lengths:?} less {overhead}");
    }
}

/// Two sessions with the same messages, whose rows a test changes.
struct Tampered {
    app: TestApp,
    one: String,
    other: String,
}

impl Tampered {
    fn new() -> Tampered {
        let mut tampered = Tampered { app: TestApp::start(), one: String::new(), other: String::new() };
        // Whoever can change rows can do this too.
        let unique = "ALTER TABLE messages DROP CONSTRAINT messages_session_id_id_key";
        tampered.app.sql().batch_execute(unique).unwrap();
        tampered.start_again();
        tampered
    }

    fn start_again(&mut self) {
        self.app.sql().batch_execute("DELETE FROM sessions").unwrap();
        for id in [&mut self.one, &mut self.other] {
            let chat = Chat::new(&self.app);
            for message in ["halo", "aku takut", "terima kasih"] {
                chat.send(message).assert_status(200);
            }
            *id = chat.id;
        }
    }

    fn change(&self, change: &str) {
        let mut sql = self.app.sql();
        // The claims of the turns before say where their sessions end.
        eventually(PATIENCE, || sql.query("SELECT FROM turns", &[]).unwrap().is_empty().then_some(()));
        assert!(sql.execute(change, &[]).unwrap() > 0, "{change}");
    }

    fn statuses(&self, query: &str) -> [u16; 2] {
        [&self.one, &self.other].map(|id| Chat::of(&self.app.client, id).history(query).status)
    }
}

#[test]
fn swapped_or_changed_rows_are_500_and_never_returned() {
    let one = "session_id = (SELECT min(id::text)::uuid FROM sessions)";
    let other = "session_id = (SELECT max(id::text)::uuid FROM sessions)";
    let flip = |bit: &str| {
        format!("UPDATE messages SET sealed = set_bit(sealed, {bit}, 1 - get_bit(sealed, {bit})) WHERE position = 3")
    };
    let changes = [
        // Between sessions, at the same position.
        format!("UPDATE messages m SET sealed = o.sealed FROM messages o WHERE m.{one} AND o.{other} AND m.position = 3 AND o.position = 3"),
        format!("UPDATE messages m SET sealed = o.sealed, id = o.id FROM messages o WHERE m.{one} AND o.{other} AND m.position = 3 AND o.position = 3"),
        format!("UPDATE messages SET session_id = (SELECT max(id::text)::uuid FROM sessions), position = position + 6 WHERE {one}"),
        // Between positions of one session.
        "UPDATE messages m SET sealed = o.sealed FROM messages o WHERE m.session_id = o.session_id AND m.position = 8 - o.position AND m.position IN (3, 5)".to_owned(),
        "UPDATE messages m SET sealed = o.sealed, id = o.id FROM messages o WHERE m.session_id = o.session_id AND m.position = 8 - o.position AND m.position IN (3, 5)".to_owned(),
        "UPDATE messages m SET id = o.id FROM messages o WHERE m.session_id = o.session_id AND m.position = 8 - o.position AND m.position IN (3, 5)".to_owned(),
        "UPDATE messages SET id = gen_random_uuid() WHERE position = 3".to_owned(),
        // An earlier question in the row of a later one.
        "UPDATE messages m SET sealed = o.sealed, id = o.id FROM messages o WHERE m.session_id = o.session_id AND m.position = 5 AND o.position = 1".to_owned(),
        // One bit of the version, the nonce, the ciphertext and the tag.
        flip("0"),
        flip("7"),
        flip("8"),
        flip("100"),
        flip("400"),
        flip("8 * length(sealed) - 1"),
        // Truncated, extended and replaced.
        "UPDATE messages SET sealed = substr(sealed, 1, length(sealed) - 1) WHERE position = 3".to_owned(),
        "UPDATE messages SET sealed = sealed || '\\x00' WHERE position = 3".to_owned(),
        "UPDATE messages SET sealed = substr(sealed, 1, 1) WHERE position = 3".to_owned(),
        "UPDATE messages SET sealed = '' WHERE position = 3".to_owned(),
        "UPDATE messages SET sealed = (SELECT sealed FROM sessions LIMIT 1) WHERE position = 3".to_owned(),
    ];
    let mut tampered = Tampered::new();
    for change in changes {
        tampered.start_again();
        assert_eq!(tampered.statuses(""), [200, 200]);
        tampered.change(&change);
        let whole = tampered.statuses("");
        assert!(
            whole.contains(&500) && whole.iter().all(|status| matches!(status, 200 | 500)),
            "{whole:?} after {change}"
        );
        // The change affects both sessions, unless it copies rows of one to the other.
        if !change.contains("min(id::text)") {
            assert_eq!(whole, [500, 500], "{change}");
        }
        let page = tampered.statuses("?limit=200");
        assert_eq!(page, whole, "{change}");
        // A turn does not read them either.
        for (id, status) in [&tampered.one, &tampered.other].iter().zip(whole) {
            assert_eq!(Chat::of(&tampered.app.client, id).send("halo").status, status, "{change}");
        }
    }
}

#[test]
fn a_session_with_the_sealed_bytes_of_another_is_500_and_can_be_erased() {
    let tampered = Tampered::new();
    let find = |id: &str| tampered.app.client.get(&format!("/api/v1/sessions/{id}")).status;
    assert_eq!((find(&tampered.one), find(&tampered.other)), (200, 200));
    tampered.change("UPDATE sessions s SET sealed = o.sealed FROM sessions o WHERE s.id <> o.id");
    assert_eq!((find(&tampered.one), find(&tampered.other)), (500, 500));
    // Erasing needs no key.
    Chat::of(&tampered.app.client, &tampered.one).erase().assert_status(204);
}

#[test]
fn the_log_about_a_changed_row_has_no_text_and_no_ids() {
    let schema = Schema::new();
    let url = schema.url();
    let mut service = Binary::new(&[("DATABASE_URL", &url), ("RUST_LOG", "trace")]).serve();
    let chat = Chat::create(&service.client);
    chat.send_with_key("key of mine", "secretword").assert_status(200);
    let ids: Vec<String> = chat.messages().iter().map(|message| message["id"].as_str().unwrap().to_owned()).collect();
    let reply = chat.messages()[1]["content"].as_str().unwrap().to_owned();
    let lookup: Uuid = schema.client().query_one("SELECT id FROM sessions", &[]).unwrap().get(0);
    schema
        .client()
        .batch_execute("UPDATE messages SET sealed = set_byte(sealed, 60, 255 - get_byte(sealed, 60))")
        .unwrap();
    chat.history("").assert_problem(500);
    chat.send("secretword").assert_problem(500);
    let id = chat.id.clone();
    service.signal("TERM");
    assert!(service.wait().success());
    let log = service.log();
    assert!(log.contains("status=500"), "{log}");
    let own = [id, lookup.to_string(), "secretword".to_owned(), "key of mine".to_owned(), reply];
    for secret in own.iter().chain(&ids) {
        assert!(!log.contains(secret.as_str()), "the log has {secret}: {log}");
    }
}
