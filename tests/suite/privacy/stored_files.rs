//! Searches all files of PostgreSQL and the log for data of sessions, after use of the whole API.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use safespace::verify_erasure::forms::Forms;
use serde_json::json;
use uuid::Uuid;

use crate::support::chat::Chat;
use crate::support::cluster::Cluster;
use crate::support::fake_model::{FakeModel, answers};
use crate::support::reports::{Reports, answers_with, id_of};

/// Finds any of many byte strings in one pass.
struct Search {
    /// By the first three bytes.
    needles: HashMap<[u8; 3], Vec<(String, Vec<u8>)>>,
    /// Which first two bytes occur, so that most positions are skipped fast.
    beginnings: Vec<bool>,
}

impl Search {
    fn new(needles: Vec<(String, Vec<u8>)>) -> Search {
        let mut search = Search { needles: HashMap::new(), beginnings: vec![false; 1 << 16] };
        for (name, needle) in needles {
            assert!(needle.len() >= 6, "{name} is so short that it may occur by chance");
            search.beginnings[usize::from(u16::from_be_bytes([needle[0], needle[1]]))] = true;
            search.needles.entry([needle[0], needle[1], needle[2]]).or_default().push((name, needle));
        }
        search
    }

    /// The names of the needles that occur.
    fn find(&self, bytes: &[u8]) -> Vec<&str> {
        let mut found = Vec::new();
        for (at, three) in bytes.windows(3).enumerate() {
            if !self.beginnings[usize::from(u16::from_be_bytes([three[0], three[1]]))] {
                continue;
            }
            for (name, needle) in self.needles.get(three).into_iter().flatten() {
                if bytes[at..].starts_with(needle) {
                    found.push(name.as_str());
                }
            }
        }
        found
    }
}

/// All encodings in which an id could be stored, also as its recovery code.
fn forms_of_id(id: &str) -> Vec<(String, Vec<u8>)> {
    named(&format!("the id {id}"), &Forms::of_id(&id.parse().unwrap()))
}

/// All encodings in which a text could be stored.
fn forms_of_text(text: &str) -> Vec<(String, Vec<u8>)> {
    named(&format!("{text:?}"), &Forms::of_text(text))
}

fn named(name: &str, forms: &Forms) -> Vec<(String, Vec<u8>)> {
    forms.iter().map(|form| (format!("{name} as {:?}", String::from_utf8_lossy(form)), form.to_vec())).collect()
}

/// Calls `visit` with every file below a folder.
fn each_file(folder: &Path, visit: &mut dyn FnMut(&Path, &[u8])) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            each_file(&entry.path(), visit);
        } else if kind.is_file() {
            visit(&entry.path(), &fs::read(entry.path()).unwrap());
        }
    }
}

/// What is given for a report, and what its document says of that.
const REPORTED: [&str; 6] = [
    "cerita panjang zr1 zr1",
    "awal Februari zr2",
    "tiga kali zr3",
    "consider reporting",
    "repeated pressure",
    "Pelapor menyatakan",
];

/// Makes, reads, changes and deletes reports, and asks for what there is not.
fn use_reports(reports: &Reports<'_>) {
    let given = json!({"narrative": REPORTED[0], "occurred_at": REPORTED[1]});
    let [kept, deleted] = [(); 2].map(|()| reports.create(&answers_with(&given)));
    reports.change(id_of(&kept), &json!({"frequency": REPORTED[2]})).assert_status(200);
    reports.change(id_of(&kept), &json!({"narrative": 1, "location": REPORTED[0]})).assert_problem(422);
    reports.delete(id_of(&deleted)).assert_status(204);
    reports.get(id_of(&deleted)).assert_problem(404);
    for media_type in ["application/json", "application/pdf", "text/plain", "text/markdown", "text/html"] {
        reports.newest_as(media_type).assert_status(200);
    }
    assert_eq!(reports.list().len(), 1);
    reports.export("application/json").assert_status(200);
}

#[test]
fn no_database_file_and_no_log_line_has_data_of_a_session() {
    const QUESTIONS: [&str; 3] = ["pertanyaan pertama zq1", "a second question zq2", "\u{e9}tranger \u{1f9ed} zq3 zq3"];
    const ANSWERS: [&str; 2] = ["jawaban model zw1 zw1", "and half an answer zw2"];
    const KEYS: [&str; 2] = ["key-of-mine-zk1", "key-of-mine-zk2"];
    let (mut cluster, model) = (Cluster::start(), FakeModel::start());
    let url = cluster.url();
    let [_, key, _] = model.variables();
    let mut service = model.service_at(&url);
    let mut sql = postgres::Client::connect(&url, postgres::NoTls).unwrap();
    let mut ids = Vec::new();
    for round in 0..6 {
        let chat = Chat::create(&service.client);
        ids.push(chat.id.clone());
        let upper = Chat::of(&service.client, &chat.id.to_uppercase());
        model.always(Arc::new(answers(&[ANSWERS[0]])));
        chat.send_with_key(KEYS[0], QUESTIONS[0]).assert_status(200);
        chat.send_with_key(KEYS[0], QUESTIONS[0]).assert_status(200);
        chat.send_with_key(KEYS[0], QUESTIONS[1]).assert_problem(422);
        upper.stream(QUESTIONS[2]).message();
        // An answer that is withheld after some words, and a refused call with its retry.
        model.next(|reply| reply.delta(ANSWERS[1]).and_then(|()| reply.finish("content_filter")));
        chat.stream_with_key(KEYS[1], QUESTIONS[1]).error(503);
        model.next(|reply| reply.refuse(500));
        model.next(|reply| reply.refuse(500));
        chat.send_with_key(KEYS[1], QUESTIONS[1]).assert_problem(503);
        chat.send_with_key(KEYS[1], QUESTIONS[1]).assert_status(200);
        chat.send(" ").assert_problem(422);
        let messages = chat.messages();
        assert_eq!(messages.len(), 6);
        chat.history(&format!("?limit=2&before={}", messages[3]["id"].as_str().unwrap())).assert_status(200);
        chat.history(&format!("?before={}", chat.id)).assert_problem(422);
        chat.stop().assert_status(204);
        service.client.get(&format!("/api/v1/sessions/{}", chat.id)).assert_status(200);
        service.client.get(&format!("/api/v1/sessions/{}0", chat.id)).assert_problem(422);
        service.client.send("PATCH", &chat.path()).assert_problem(405);
        service.client.get(&format!("{}/more", chat.path())).assert_problem(404);
        use_reports(&Reports::of(&service.client, &chat.id));
        if round % 2 == 0 {
            chat.erase().assert_status(204);
            chat.send(QUESTIONS[0]).assert_problem(404);
            upper.history("").assert_problem(404);
        }
    }
    // An error that PostgreSQL may write into its log.
    let faulty = Chat::of(&service.client, &ids[1]);
    sql.batch_execute("ALTER TABLE messages RENAME TO elsewhere").unwrap();
    faulty.send_with_key(KEYS[1], QUESTIONS[1]).assert_problem(503);
    faulty.history("").assert_problem(503);
    let reports = Reports::of(&service.client, &ids[1]);
    let alter = "ALTER TABLE elsewhere RENAME TO messages; ALTER TABLE reports ADD CONSTRAINT never CHECK (position < 0) NOT VALID";
    sql.batch_execute(alter).unwrap();
    reports.try_create(&answers_with(&json!({"narrative": REPORTED[0]}))).assert_problem(500);
    sql.batch_execute("ALTER TABLE reports DROP CONSTRAINT never; CHECKPOINT").unwrap();
    // Controls: values that the search has to find.
    let control: Uuid = sql.query_one("SELECT id FROM sessions LIMIT 1", &[]).unwrap().get(0);
    sql.batch_execute("CREATE TABLE control AS SELECT 'a control zc1 zc1' AS text").unwrap();
    drop(sql);
    service.signal("TERM");
    assert!(service.wait().success());
    cluster.stop(None);

    let mut needles: Vec<_> = ids.iter().flat_map(|id| forms_of_id(id)).collect();
    needles.extend(QUESTIONS.iter().chain(&ANSWERS).chain(&KEYS).flat_map(|text| forms_of_text(text)));
    needles.extend(REPORTED.iter().flat_map(|text| forms_of_text(text)));
    let provider = [forms_of_text(&key.1), forms_of_text("stand-in-model")].concat();
    needles.extend(provider);
    needles.push(("the control".to_owned(), b"a control zc1 zc1".to_vec()));
    needles.push(("the control as bytes".to_owned(), control.as_bytes().to_vec()));
    let search = Search::new(needles);
    let (mut files, mut bytes, mut controls, mut found) = (0, 0, Vec::new(), Vec::new());
    let (mut has_wal, mut has_log) = (false, false);
    each_file(cluster.folder(), &mut |path, content| {
        (files, bytes) = (files + 1, bytes + content.len());
        let path = path.display().to_string();
        has_wal |= path.contains("pg_wal/");
        has_log |= path.ends_with("log");
        for name in search.find(content) {
            let hit = format!("{name} in {path}");
            if name.starts_with("the control") { controls.push(hit) } else { found.push(hit) }
        }
    });
    println!("searched {files} files with {bytes} bytes");
    assert!(found.is_empty(), "{found:#?}");
    assert!(files > 500 && has_wal, "{files} files, {bytes} bytes, log: {has_log}");
    for control in ["the control in", "the control as bytes in"] {
        let hits = controls.iter().filter(|hit| hit.starts_with(control));
        assert!(hits.clone().any(|hit| hit.contains("pg_wal")), "{controls:?}");
        assert!(hits.clone().any(|hit| hit.contains("/base/")), "{controls:?}");
    }

    let log = service.log();
    assert!(log.lines().count() > 100, "{log}");
    let found: Vec<&str> = search.find(log.as_bytes());
    assert!(found.is_empty(), "{found:#?} in {log}");
}
