//! `GET /api/v1/privacy`: what it says is so.

mod settings;

use std::collections::BTreeSet;

use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use hkdf::Hkdf;
use serde_json::{Value, json};
use sha2::Sha256;
use uuid::Uuid;

use crate::support::app::TestApp;
use crate::support::chat::Chat;
use crate::support::cluster::{Cluster, Schema};
use crate::support::eventually;
use crate::support::fake_model::FakeModel;
use crate::support::process::Binary;
use crate::support::timing::PATIENCE;

const PATH: &str = "/api/v1/privacy";

/// What the service promises now.
#[track_caller]
fn promise(app: &TestApp) -> Value {
    app.client.get(PATH).assert_status(200).json()
}

/// The codes of sentences.
fn codes(sentences: &[Value]) -> Vec<&str> {
    sentences.iter().map(|sentence| sentence["code"].as_str().unwrap()).collect()
}

/// Whether the promise has the sentence.
fn says(promise: &Value, code: &str) -> bool {
    codes(promise["summary"].as_array().unwrap()).contains(&code)
}

#[test]
fn the_answer_is_not_kept_and_its_summary_is_in_the_language_of_the_client() {
    let app = TestApp::with(&[("CORS_ALLOWED_ORIGINS", "https://chat.example")]);
    for (accepted, language, beginning) in [
        ("id-ID,id;q=0.9,en;q=0.8", "id", "Yang menjawab program, bukan orang."),
        ("en", "en", "A program answers, not a person."),
        ("de", "en", "A program answers, not a person."),
    ] {
        let fields = [("Accept-Language", accepted), ("Origin", "https://chat.example")];
        let answer = app.client.send_with("GET", PATH, &fields).assert_status(200);
        assert_eq!(answer.header("Content-Type"), Some("application/json"));
        assert_eq!(answer.header("Cache-Control"), Some("no-store"));
        assert_eq!(answer.header("Content-Language"), Some(language));
        assert!(answer.header("Vary").unwrap().contains("Accept-Language"));
        assert_eq!(answer.header("Access-Control-Allow-Origin"), Some("https://chat.example"));
        let text = answer.json()["summary"][0]["text"].as_str().unwrap().to_owned();
        assert!(text.starts_with(beginning), "{accepted}: {text}");
    }
    assert_eq!(app.client.send("HEAD", PATH).assert_status(200).body.len(), 0);
}

#[test]
fn it_is_answered_while_the_database_is_down() {
    let mut cluster = Cluster::start();
    let app = TestApp::at(&cluster.url(), &[]);
    cluster.stop(None);
    assert_eq!(promise(&app)["version"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn a_service_with_its_defaults_sweeps_once_a_minute() {
    let schema = Schema::new();
    let service = Binary::new(&[("DATABASE_URL", &schema.url())]).serve();
    let promise = service.client.get(PATH).assert_status(200).json();
    let retention = json!({
        "idle_timeout_seconds": 604_800, "min_idle_timeout_seconds": 60, "max_age_seconds": 2_592_000,
        "sweep_interval_seconds": 60, "max_seconds_until_deleted": 4260, "late": false,
    });
    assert_eq!(promise["retention"], retention);
    let summary = promise["summary"].to_string().replace('\u{a0}', " ");
    assert!(summary.contains("What has ended is deleted 71 minutes later at the latest."), "{summary}");
}

#[test]
fn every_column_of_the_tables_is_named_and_the_sealed_ones_hold_bytes() {
    let app = TestApp::start();
    let statement = "SELECT table_name::text, column_name::text, data_type::text FROM information_schema.columns
        WHERE table_schema = current_schema() AND table_name NOT IN ('refinery_schema_history', 'compatibility')";
    let columns: BTreeSet<(String, String, bool)> = app
        .sql()
        .query(statement, &[])
        .unwrap()
        .iter()
        .map(|row| (row.get(0), row.get(1), row.get::<_, &str>(2) == "bytea"))
        .collect();
    let document = include_str!("../../../docs/privacy.md");
    let (_, table) = document.split_once("| Table | Column |").unwrap();
    let mut named = BTreeSet::new();
    for stored in promise(&app)["storage"]["columns"].as_array().unwrap() {
        let text = |name: &str| stored[name].as_str().unwrap().to_owned();
        let (_, rows) = table.split_once(&format!("| `{}` ", text("table"))).expect("the table in docs/privacy.md");
        assert!(rows.contains(&format!("| `{}` |", text("column"))), "docs/privacy.md lacks {stored}");
        assert!(named.insert((text("table"), text("column"), stored["sealed"].as_bool().unwrap())), "twice: {stored}");
    }
    assert_eq!(named, columns);
}

#[test]
fn a_row_opens_with_the_named_algorithms_and_the_session_s_id_alone() {
    let app = TestApp::start();
    let id: Uuid = app.create_session().parse().unwrap();
    let sealing = promise(&app)["sealing"].clone();
    let said = json!({
        "cipher": "XChaCha20-Poly1305", "key_derivation": "HKDF-SHA256", "key_from": "session_id",
        "server_key": false, "end_to_end": false,
    });
    assert_eq!(sealing, said, "what follows is for these names");
    let derivation = Hkdf::<Sha256>::new(Some(b"SafeSpace"), id.as_bytes());
    let (mut key, mut lookup) = ([0; 32], [0; 16]);
    derivation.expand(b"seal", &mut key).unwrap();
    derivation.expand(b"lookup", &mut lookup).unwrap();
    let lookup = uuid::Builder::from_custom_bytes(lookup).into_uuid();
    let row = app.sql().query_one("SELECT sealed FROM sessions WHERE id = $1", &[&lookup]).unwrap();
    let sealed: Vec<u8> = row.get(0);
    let aad = [&[1], lookup.as_bytes().as_slice(), &[0]].concat();
    let nonce = XNonce::try_from(&sealed[1..25]).unwrap();
    let opened =
        XChaCha20Poly1305::new(&key.into()).decrypt(&nonce, Payload { msg: &sealed[25..], aad: &aad }).unwrap();
    let micros = i64::from_be_bytes(opened.try_into().unwrap());
    assert!((0..60_000_000).contains(&(chrono::Utc::now().timestamp_micros() - micros)), "its creation, just now");
}

#[test]
fn the_log_has_the_requests_and_the_fields_that_are_named() {
    // A probe of health is not among "most".
    for (level, requests, lines) in
        [("debug", "all", 2), ("info", "most", 1), ("warn", "failed", 0), ("off", "none", 0)]
    {
        let schema = Schema::new();
        let variables = [("DATABASE_URL", &*schema.url()), ("LOG_LEVEL", level), ("LOG_FORMAT", "json")];
        let mut service = Binary::new(&variables).serve();
        let promise = service.client.get(PATH).assert_status(200).json();
        service.client.get("/health/live").assert_status(200);
        assert_eq!((&promise["log"]["level"], &promise["log"]["requests"]), (&json!(level), &json!(requests)));
        let log = service.stop();
        let all = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let of_requests: Vec<Value> = all.filter(|line| line["message"] == "Request").collect();
        assert_eq!(of_requests.len(), lines, "{level}: {log}");
        for line in of_requests {
            let named = promise["log"]["request_fields"].as_array().unwrap().iter().map(|name| name.as_str().unwrap());
            let expected: BTreeSet<&str> =
                named.filter(|name| *name != "cause").chain(["timestamp", "level", "message"]).collect();
            assert_eq!(line.as_object().unwrap().keys().map(String::as_str).collect::<BTreeSet<_>>(), expected);
        }
    }
}

#[test]
fn every_metric_is_of_a_kind_that_is_named() {
    let app = TestApp::with(&[("METRICS_PORT", "0")]);
    let kinds = [
        ("http_refusals", "refusals"),
        ("abuse_refusals", "refusals"),
        ("http_", "requests"),
        ("turn", "answers"),
        ("safety", "danger"),
        ("sessions_", "sessions"),
        ("retention_", "sessions"),
        ("batch_", "database"),
        ("pool_", "database"),
        ("storage_", "storage"),
        ("resources_", "help_lines"),
        ("build", "service"),
        ("log_", "service"),
    ];
    let metrics = app.metrics();
    let mut counted = BTreeSet::new();
    for name in metrics.lines().filter_map(|line| line.strip_prefix("# HELP safespace_")?.split(' ').next()) {
        let kind = kinds.iter().find(|(beginning, _)| name.starts_with(beginning));
        counted.insert(kind.unwrap_or_else(|| panic!("{name} is of no kind")).1);
    }
    let promise = promise(&app);
    let named = promise["metrics"]["counts"].as_array().unwrap().iter().map(|kind| kind.as_str().unwrap());
    assert_eq!(named.collect::<BTreeSet<_>>(), counted);
}

#[test]
fn a_model_that_refuses_store_is_not_said_to_be_asked() {
    let model = FakeModel::without_schema();
    let app = model.app(&[]);
    let before = promise(&app);
    assert!(before["companion"]["asks_not_to_store"] == true && says(&before, "model_asked"), "{before}");
    model.next(|reply| {
        let refusal = json!({"error": {"message": "property 'store' is unsupported"}}).to_string();
        reply.respond("400 No", "application/json", &refusal)
    });
    Chat::new(&app).send("Hello").assert_status(200);
    let after = promise(&app);
    assert!(after["companion"]["asks_not_to_store"] == false && says(&after, "model_not_asked"), "{after}");
}

#[test]
fn a_deletion_that_is_late_is_said_to_be_late_until_it_is_done() {
    let app = TestApp::sweeping();
    let mut sql = app.sql();
    assert!(promise(&app)["retention"]["late"] == false && !says(&promise(&app), "late"));
    sql.batch_execute(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$;
         CREATE TRIGGER refuse BEFORE DELETE ON sessions FOR EACH ROW EXECUTE FUNCTION refuse();
         INSERT INTO sessions VALUES (gen_random_uuid(), '', 0, 0)",
    )
    .unwrap();
    let is_late = |expected: bool| {
        eventually(PATIENCE, || Some(promise(&app)).filter(|promise| promise["retention"]["late"] == expected))
    };
    assert!(says(&is_late(true), "late"));
    sql.batch_execute("DROP TRIGGER refuse ON sessions").unwrap();
    assert!(!says(&is_late(false), "late"));
}

#[test]
fn docs_privacy_says_for_every_sentence_how_to_check_it() {
    let sentences: toml::Table = toml::from_str(include_str!("../../../src/privacy/sentences.toml")).unwrap();
    let document = include_str!("../../../docs/privacy.md");
    let rows: Vec<&str> = document.lines().filter(|line| line.starts_with('|')).collect();
    for code in sentences.keys() {
        assert!(rows.iter().any(|row| row.contains(&format!("`{code}`"))), "docs/privacy.md has no row for {code}");
    }
}
