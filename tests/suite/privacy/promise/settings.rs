//! Every setting, and what of the promise it changes: nothing else may change.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::LazyLock;

use safespace::config::VARIABLES;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{PATH, codes};
use crate::support::cluster::{DataFolder, Schema};
use crate::support::http::Client;
use crate::support::process::Binary;

/// Files of an operator, each an embedded one with a change.
static FILES: LazyLock<TempDir> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let today = chrono::Utc::now().date_naive();
    let help_lines = include_str!("../../../../src/resources/resources.toml");
    let verified = help_lines.replacen("\nsource = ", &format!("\nverified_at = \"{today}\"\nsource = "), 1);
    let reports = include_str!("../../../../src/report/templates.toml");
    let reviewed = reports.replacen("\nreviewed = \"\"", "\nreviewed = \"A lawyer, 2026\"", 1);
    for (name, embedded, changed) in [
        ("script.toml", "", include_str!("../../../../src/companion/script.toml")),
        ("prompt.md", "", include_str!("../../../../src/companion/prompt.md")),
        ("resources.toml", help_lines, &verified),
        ("reports.toml", reports, &reviewed),
    ] {
        assert_ne!(embedded, changed, "{name}");
        fs::write(folder.path().join(name), changed).unwrap();
    }
    for (page, file, text) in [("words", "texts.toml", "start.begin.en = \"Go\""), ("colours", "colours.toml", "")] {
        fs::create_dir(folder.path().join(page)).unwrap();
        fs::write(folder.path().join(page).join(file), format!("# mine\n{text}")).unwrap();
    }
    folder
});

fn file(name: &str) -> String {
    FILES.path().join(name).to_str().unwrap().to_owned()
}

/// A value of a variable, and what follows from it.
struct Case {
    variable: &'static str,
    value: String,
    /// Variables that the service has before and after.
    others: &'static [(&'static str, &'static str)],
    /// By its pointer, what changes in the data: the value before and after, null where there is none.
    changes: Value,
    /// The codes of the sentences that are new or have other words.
    said: &'static [&'static str],
}

type Others = &'static [(&'static str, &'static str)];

/// A case of the table. A value that begins with `@` is the path of one of the operator's files.
fn case(variable: &'static str, value: &str, others: Others, changes: Value, said: &'static [&'static str]) -> Case {
    let value = value.strip_prefix('@').map_or_else(|| value.to_owned(), file);
    Case { variable, value, others, changes, said }
}

const NONE: Others = &[];
const NAMED: Others = &[("COMPANION_MODEL", "m")];
const MODEL: Others = &[("COMPANION_MODEL", "m"), ("OPENAI_BASE_URL", "http://model.test:1/v1")];
const SAID_OF_MODEL: &[&str] = &["answers_model_public", "model_asked", "model_unencrypted", "erased_not_there"];

/// What changes in the data when a model answers instead of the script.
fn model_answers(host: &str, class: &str, encrypted: bool, asks: bool) -> Value {
    let without = ["free_space_of_tables", "write_ahead_log", "backups", "replicas", "browser", "network"];
    let with = ["free_space_of_tables", "write_ahead_log", "backups", "replicas", "model_host", "browser", "network"];
    json!({
        "/companion/kind": ["script", "model"],
        "/companion/host_class": ["none", class],
        "/companion/host": [null, host],
        "/companion/encrypted": [null, encrypted],
        "/companion/prompt": [null, "embedded"],
        "/companion/sends": [[], ["conversation", "system_prompt", "report_sentences"]],
        "/companion/max_chars": [null, 24_000],
        "/companion/asks_not_to_store": [null, asks],
        "/deletion/reaches": [["rows", "running_answer"], ["rows", "running_answer", "call_to_model"]],
        "/deletion/does_not_reach": [without, with],
    })
}

fn companion_cases() -> Vec<Case> {
    let url = |url: &str, changes, said| case("OPENAI_BASE_URL", url, NAMED, changes, said);
    vec![
        case("COMPANION_SCRIPT", "@script.toml", NONE, json!({"/companion/script": ["embedded", "file"]}), &[]),
        url("http://model.test:1/v1", model_answers("model.test", "public", false, true), SAID_OF_MODEL),
        url(
            "https://model.test/v1",
            model_answers("model.test", "public", true, true),
            &["answers_model_public", "model_asked", "erased_not_there"],
        ),
        url(
            "http://10.1.2.3:1/v1",
            model_answers("10.1.2.3", "private_network", false, true),
            &["answers_model_private", "model_asked", "model_unencrypted", "erased_not_there"],
        ),
        url(
            "http://[::1]:1/v1",
            model_answers("::1", "this_machine", false, true),
            &["answers_model_here", "model_asked", "erased_not_there"],
        ),
        url("http://8.8.8.8:1/v1", model_answers("8.8.8.8", "public", false, true), SAID_OF_MODEL),
        case(
            "GOOGLE_API_KEY",
            "g-1",
            NONE,
            model_answers("generativelanguage.googleapis.com", "public", true, false),
            &["answers_model_public", "model_not_asked", "erased_not_there"],
        ),
        case("COMPANION_PROMPT", "@prompt.md", MODEL, json!({"/companion/prompt": ["embedded", "file"]}), &[]),
        case(
            "COMPANION_EGRESS",
            "local",
            MODEL,
            json!({"/companion/host_class": ["public", "private_network"]}),
            &["answers_model_private"],
        ),
        case("COMPANION_CONTEXT_CHARS", "2000", MODEL, json!({"/companion/max_chars": [24_000, 2000]}), &[]),
    ]
}

fn text_cases() -> Vec<Case> {
    let (google, wikipedia, weather) =
        ("https://www.google.com/", "https://www.wikipedia.org/", "https://weather.example/");
    let page = json!({"exit_url": wikipedia, "frames": [], "replaced": []});
    let count = safespace::resources::Registry::load(None).unwrap().resources.len();
    let today = chrono::Utc::now().date_naive().to_string();
    let verified = json!({
        "/help_lines/source": ["embedded", "file"],
        "/help_lines/unverified": [count, count - 1],
        "/help_lines/oldest_verified_at": [null, today],
        "/help_lines/newest_verified_at": [null, today],
    });
    let reviewed = json!({"/reports/source": ["embedded", "file"], "/reports/reviewed": [false, true]});
    let origin = "https://www.example.org";
    vec![
        case("RESOURCES", "@resources.toml", NONE, verified, &["help_lines_unverified"]),
        case("RESOURCES_MAX_AGE", "7", NONE, json!({"/help_lines/max_age_days": [180, 7]}), &["help_lines_unverified"]),
        case("REPORT_TEMPLATES", "@reports.toml", NONE, reviewed, &[]),
        case("WEB_PAGE", "off", NONE, json!({"/page": [page, null]}), &[]),
        case("WEB_EXIT_URL", weather, NONE, json!({"/page/exit_url": [wikipedia, weather]}), &[]),
        case("WEB_FOLDER", "@words", NONE, json!({"/page/replaced": [[], ["texts.toml"]]}), &["page_changed"]),
        case("WEB_FOLDER", "@colours", NONE, json!({"/page/replaced": [[], ["colours.toml"]]}), &[]),
        case("WEB_EMBED_ORIGINS", origin, NONE, json!({"/page/frames": [[], [origin]]}), &["page_framed"]),
        case("EXIT_URLS", weather, NONE, json!({"/exit_urls": [[google], [weather]]}), &[]),
    ]
}

fn protection_cases() -> Vec<Case> {
    const EVERY: Others = &[("RATE_LIMIT_BY_ADDRESS", "on"), ("PROOF_OF_WORK", "always")];
    vec![
        case(
            "SESSION_IDLE_TIMEOUT",
            "3600",
            NONE,
            json!({"/retention/idle_timeout_seconds": [604_800, 3600]}),
            &["ends"],
        ),
        case(
            "SESSION_MAX_AGE",
            "86400",
            NONE,
            json!({
                "/retention/max_age_seconds": [2_592_000, 86_400],
                "/retention/idle_timeout_seconds": [604_800, 86_400],
            }),
            &["ends"],
        ),
        case(
            "RATE_LIMIT",
            "off",
            EVERY,
            json!({
                "/addresses/hashed": ["all", "none"],
                "/limits/messages_per_minute": [20, null],
                "/limits/messages_at_once": [5, null],
                "/limits/proof_of_work": ["always", "off"],
            }),
            &["addresses_unused"],
        ),
        case(
            "RATE_LIMIT_BY_ADDRESS",
            "off",
            NONE,
            json!({"/addresses/hashed": ["public", "none"]}),
            &["addresses_unused"],
        ),
        case("RATE_LIMIT_BY_ADDRESS", "on", NONE, json!({"/addresses/hashed": ["public", "all"]}), &[]),
        case("PROOF_OF_WORK", "off", NONE, json!({"/limits/proof_of_work": ["auto", "off"]}), &[]),
        case("PROOF_OF_WORK", "always", NONE, json!({"/limits/proof_of_work": ["auto", "always"]}), &[]),
    ]
}

fn log_cases() -> Vec<Case> {
    const METRICS: Others = &[("METRICS_PORT", "0")];
    const QUIET: Others = &[("LOG_LEVEL", "off")];
    let fields = ["method", "route", "status", "duration_ms", "request_id", "cause"];
    let level =
        |level: &str, requests: &str| json!({"/log/level": ["info", level], "/log/requests": ["most", requests]});
    let nothing =
        json!({"/log/level": ["info", "off"], "/log/requests": ["most", "none"], "/log/request_fields": [fields, []]});
    // The level of the requests' own lines counts, not that of others.
    let only_failures = json!({"/log/level": ["off", "debug"], "/log/requests": ["none", "failed"], "/log/request_fields": [[], fields]});
    vec![
        case("LOG_LEVEL", "debug", NONE, level("debug", "all"), &[]),
        case("LOG_LEVEL", "warn", NONE, level("warn", "failed"), &["log_failures"]),
        case("LOG_LEVEL", "off", NONE, nothing, &["log_nothing"]),
        case("RUST_LOG", "error,safespace::http=debug", QUIET, only_failures, &["log_failures"]),
        case("METRICS_PORT", "0", NONE, json!({"/metrics/reachable_from": ["none", "this_machine"]}), &["counted"]),
        case("METRICS_HOST", "0.0.0.0", METRICS, json!({"/metrics/reachable_from": ["this_machine", "public"]}), &[]),
    ]
}

/// Variables that change nothing of the promise, and why.
const SILENT: [(&str, &[&str]); 11] = [
    (
        "what is stored, and how, is the same in every database, and only a private one is told apart from others",
        &["DB_HOST", "DB_PORT", "DB_NAME", "DB_USER", "DB_DISTRIBUTE", "SAFESPACE_DATA_DIR", "PG_BIN"],
    ),
    ("it is the operator's own secret", &["DB_PASSWORD", "OPENAI_API_KEY"]),
    ("the way to the database has lookups and sealed bytes only, as the tables do", &["DB_SSLMODE", "DB_SSLROOTCERT"]),
    (
        "it bounds how much, how many or how long, and not what is done with the words",
        &[
            "DB_POOL_MIN_SIZE",
            "DB_POOL_MAX_SIZE",
            "DB_QUERY_TIMEOUT",
            "DB_CONNECTION_TIMEOUT",
            "DB_ACQUIRE_TIMEOUT_MS",
            "APP_WORKERS",
            "APP_REQUEST_TIMEOUT",
            "APP_MAX_CONNECTIONS",
            "APP_MAX_QUEUED_REQUESTS",
            "APP_MAX_REQUEST_LINE_BYTES",
            "APP_MAX_HEAD_BYTES",
            "APP_MAX_HEAD_FIELDS",
            "APP_MAX_BODY_BYTES",
            "APP_HEAD_TIMEOUT",
            "APP_BODY_TIMEOUT",
            "APP_IDLE_TIMEOUT",
            "APP_WRITE_TIMEOUT",
            "APP_MIN_RESPONSE_RATE",
            "APP_ANSWER_MEMORY",
            "APP_SHUTDOWN_DELAY",
            "APP_SHUTDOWN_GRACE",
            "COMPANION_TIMEOUT",
            "COMPANION_CONCURRENCY",
            "SESSION_MAX_MESSAGES",
            "SESSION_MAX_BYTES",
            "STORAGE_RESERVE",
            "DB_MAX_BYTES",
        ],
    ),
    ("what may be lost in a crash is not what may be read", &["DB_LOSS_ACCEPTED"]),
    ("it is the address of the answer itself", &["APP_HOST", "APP_PORT"]),
    (
        "a page of another origin learns nothing without a session's id, which opens the session everywhere",
        &["CORS_ALLOWED_ORIGINS"],
    ),
    ("the host gets the words, whichever of its models answers", &["COMPANION_MODEL"]),
    ("the page shows its name, and says the same in each of its languages", &["WEB_NAME", "WEB_LANGUAGES"]),
    ("it tells whose address a request has; what is done with an address is the same", &["TRUSTED_PROXIES"]),
    ("what it changes has a variable of its own, or is the form of the same lines", &["ENVIRONMENT", "LOG_FORMAT"]),
];

/// What differs between two promises, by the pointer: the values before and after.
fn differences(before: &Value, after: &Value, at: &str, found: &mut BTreeMap<String, Value>) {
    match (before.as_object(), after.as_object()) {
        (Some(old), Some(new)) => {
            for key in old.keys().chain(new.keys()).collect::<BTreeSet<_>>() {
                differences(&before[key], &after[key], &format!("{at}/{key}"), found);
            }
        }
        _ if before != after => drop(found.insert(at.to_owned(), json!([before, after]))),
        _ => {}
    }
}

/// The promise of a service, and its sentences.
fn promise(client: &Client) -> (Value, Vec<Value>) {
    let mut promise = client.get(PATH).assert_status(200).json();
    let summary = promise.as_object_mut().unwrap().remove("summary").unwrap();
    (promise, summary.as_array().unwrap().clone())
}

/// Starts the service without and with the value of each case, and compares what it promises.
#[track_caller]
fn assert_changes(cases: Vec<Case>) {
    let schema = Schema::new();
    let url = schema.url();
    let promise_with = |variables: &[(&str, &str)]| {
        let all = [&[("DATABASE_URL", url.as_str()), ("RATE_LIMIT", "on")], variables].concat();
        promise(&Binary::new(&all).serve().client)
    };
    let mut before: BTreeMap<Others, (Value, Vec<Value>)> = BTreeMap::new();
    for Case { variable, value, others, changes, said } in cases {
        let (old, old_sentences) = before.entry(others).or_insert_with(|| promise_with(others));
        let (new, sentences) = promise_with(&[others, &[(variable, value.as_str())]].concat());
        let mut found = BTreeMap::new();
        differences(old, &new, "", &mut found);
        assert_eq!(json!(found), changes, "{variable}={value}");
        let changed: Vec<Value> = sentences.into_iter().filter(|sentence| !old_sentences.contains(sentence)).collect();
        assert_eq!(codes(&changed), said, "{variable}={value}: {changed:?}");
    }
}

#[test]
fn another_companion_changes_who_gets_the_words_and_nothing_else() {
    assert_changes(companion_cases());
}

#[test]
fn texts_and_pages_of_the_operator_change_where_they_are_from_and_nothing_else() {
    assert_changes(text_cases());
}

#[test]
fn other_ends_and_limits_change_what_is_said_of_them_and_nothing_else() {
    assert_changes(protection_cases());
}

#[test]
fn another_log_or_other_metrics_change_what_is_noted_and_counted_and_nothing_else() {
    assert_changes(log_cases());
}

#[test]
fn a_database_of_the_service_s_own_is_told_apart_from_a_server() {
    let (folder, schema) = (DataFolder::new(), Schema::new());
    let private = Binary::new(&[("SAFESPACE_DATA_DIR", folder.path().to_str().unwrap())]).serve();
    let server = Binary::new(&[("DATABASE_URL", &schema.url())]).serve();
    let ((before, old), (after, new)) = (promise(&private.client), promise(&server.client));
    let mut found = BTreeMap::new();
    differences(&before, &after, "", &mut found);
    assert_eq!(json!(found), json!({"/storage/database": ["private", "server"]}));
    assert_eq!(old, new);
}

#[test]
fn every_variable_changes_the_promise_or_has_a_reason_not_to() {
    let cases = [companion_cases(), text_cases(), protection_cases(), log_cases()];
    let changing: BTreeSet<&str> = cases.iter().flatten().map(|case| case.variable).collect();
    let silent = SILENT.iter().flat_map(|(_, names)| names.iter().copied());
    // The last one is the test above.
    let mut named: Vec<&str> = changing.into_iter().chain(silent).chain(["DATABASE_URL"]).collect();
    named.sort_unstable();
    let mut all: Vec<&str> = VARIABLES.iter().map(|variable| variable.name).collect();
    all.sort_unstable();
    assert_eq!(named, all);
}
