//! A service, its PostgreSQL, and the command run beside them, for which the folder is that of a private one. It is started without the
//! service, so that its write-ahead log stays until the command has looked.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Output;

use safespace::sealing::SealingKey;
use safespace::session_id::SessionId;
use serde_json::{Value, json};

use crate::support::chat::Chat;
use crate::support::cluster::Cluster;
use crate::support::eventually;
use crate::support::process::{Binary, Service};
use crate::support::reports::{Reports, answers_with};
use crate::support::timing::PATIENCE;

/// A word that is in no file but where a test plants it.
pub(super) const WORD: &str = "sepeda biru zv7 \u{e9}";

/// A running service.
pub(super) struct Deployment {
    // Declared before its PostgreSQL: fields are dropped in declaration order.
    service: Option<Service>,
    postgres: Cluster,
}

impl Deployment {
    pub(super) fn start() -> Deployment {
        let postgres = Cluster::start();
        let service = Binary::new(&[("DATABASE_URL", &postgres.url())]).serve();
        Deployment { service: Some(service), postgres }
    }

    pub(super) fn stop(&mut self) {
        self.service.take().unwrap().stop();
        self.postgres.stop(None);
    }

    pub(super) fn folder(&self) -> &Path {
        self.postgres.folder()
    }

    /// The folder of PostgreSQL's data.
    pub(super) fn cluster(&self) -> PathBuf {
        self.folder().join("cluster")
    }

    /// A connection as the superuser.
    pub(super) fn sql(&self) -> postgres::Client {
        self.postgres.sql()
    }

    /// A session with a short and a long message, their answers, and a report; its id.
    pub(super) fn create_session(&self) -> (String, Chat<'_>) {
        let client = &self.service.as_ref().unwrap().client;
        let chat = Chat::create(client);
        chat.send("halo, pesan pendek").assert_status(200);
        chat.send(&"kalimat yang panjang ".repeat(150)).assert_status(200);
        Reports::of(client, &chat.id).create(&answers_with(&json!({"narrative": "cerita yang disimpan"})));
        (chat.id.clone(), chat)
    }

    /// Deletes a session, once its claim is gone, which would be one row more.
    pub(super) fn erase(&self, chat: &Chat<'_>) {
        let mut sql = self.sql();
        eventually(PATIENCE, || sql.query("SELECT FROM turns", &[]).unwrap().is_empty().then_some(()));
        chat.erase().assert_status(204);
    }

    /// Runs the command with this id and words, or further arguments: those behind one that begins with `--`.
    #[track_caller]
    pub(super) fn verify(&self, id: &str, further: &[&str]) -> Report {
        let (words, arguments) =
            further.split_at(further.iter().position(|one| one.starts_with("--")).unwrap_or(further.len()));
        self.verify_with(&format!("{id}\n{}\n", words.join("\n")), arguments)
    }

    /// Runs the command and asserts that it quotes nothing.
    #[track_caller]
    pub(super) fn verify_with(&self, input: &str, arguments: &[&str]) -> Report {
        let output = self.run(input, &[arguments, &["--json"]].concat());
        let [out, error] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
        assert_quotes_nothing(input, &format!("{out}{error}"));
        assert!(error.is_empty(), "{error}");
        Report { code: output.status.code().unwrap(), json: serde_json::from_str(&out).unwrap() }
    }

    pub(super) fn run(&self, input: &str, arguments: &[&str]) -> Output {
        let binary = Binary::new(&[("SAFESPACE_DATA_DIR", self.folder().to_str().unwrap())]);
        let binary = arguments.iter().fold(binary.argument("verify-erasure"), |binary, one| binary.argument(one));
        binary.run_with_stdin(input)
    }
}

/// Asserts that a text has nothing of what was searched for, nor what derives from it.
#[track_caller]
pub(super) fn assert_quotes_nothing(input: &str, text: &str) {
    let id: SessionId = input.lines().next().unwrap().parse().unwrap();
    let lookup = *SealingKey::derive(&id).lookup().expose();
    let written = [lookup.to_string(), id.expose().to_string(), id.recovery_code().expose().to_owned()];
    for secret in written.iter().map(String::as_str).chain(input.lines().filter(|line| !line.is_empty())) {
        assert!(!text.contains(secret), "{secret}: {text}");
    }
}

/// What the command said.
pub(super) struct Report {
    pub(super) code: i32,
    pub(super) json: Value,
}

impl Report {
    #[track_caller]
    pub(super) fn assert(&self, code: i32, verdict: &str) {
        assert_eq!((self.code, &self.json["verdict"]), (code, &json!(verdict)), "{self}");
    }

    fn place(&self, place: &str) -> &Value {
        let places = self.json["places"].as_array().unwrap();
        places.iter().find(|one| one["place"] == place).unwrap_or(&Value::Null)
    }

    /// The verdict on a place; empty where it was not searched.
    pub(super) fn verdict(&self, place: &str) -> &str {
        self.place(place)["verdict"].as_str().unwrap_or_default()
    }

    /// Why a place, or a part of it, was not looked at.
    pub(super) fn not_looked(&self, place: &str) -> String {
        self.place(place)["not_looked"].to_string()
    }

    fn found(&self, place: &str) -> &[Value] {
        self.place(place)["found"].as_array().map_or(&[], Vec::as_slice)
    }

    /// How often it was found there.
    pub(super) fn count(&self, place: &str, what: &str, holder: &str, location: &str) -> u64 {
        let is_meant = |one: &&Value| one["what"] == what && one["in"] == holder && one["location"] == location;
        self.found(place).iter().filter(is_meant).map(|one| one["count"].as_u64().unwrap()).sum()
    }

    /// The same of a word, by its number, at locations that have this text.
    pub(super) fn count_of_word(&self, word: u64, place: &str, holder: &str, location: &str) -> u64 {
        let is_meant = |one: &&Value| {
            one["word"] == word && one["in"] == holder && one["location"].as_str().unwrap().contains(location)
        };
        self.found(place).iter().filter(is_meant).map(|one| one["count"].as_u64().unwrap()).sum()
    }

    /// What holds the findings of a place.
    pub(super) fn holders(&self, place: &str) -> String {
        self.found(place).iter().map(|one| format!("{} ", one["in"].as_str().unwrap())).collect()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "exit code {}\n{:#}", self.code, self.json)
    }
}
