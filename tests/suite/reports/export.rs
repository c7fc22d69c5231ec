//! A session as one file.

use serde_json::{Value, json};

use crate::support::app::TestApp;
use crate::support::chat::{Chat, store_messages};
use crate::support::raw::Raw;
use crate::support::reports::{Reports, answers_with, id_of};

fn without_ids(value: &Value) -> Value {
    let mut value = value.clone();
    let object = value.as_object_mut().unwrap();
    object.remove("session_id");
    object.remove("id");
    value
}

#[test]
fn the_file_has_the_session_its_messages_and_its_reports_and_no_id() {
    let app = TestApp::start();
    for (messages, count) in [(0, 0), (3, 0), (0, 2), (3, 2), (300, 3)] {
        let id = app.create_session();
        let (chat, reports) = (Chat::of(&app.client, &id), Reports::of(&app.client, &id));
        let texts: Vec<String> = (0..messages).map(|number| format!("kata {number} \u{1f622}")).collect();
        store_messages(&mut app.sql(), &id, &texts);
        for number in 0..count {
            reports.create(&answers_with(&json!({"narrative": format!("cerita {number}")})));
        }
        let answer = reports.export("application/json").assert_status(200);
        assert_eq!(answer.header("Content-Type"), Some("application/json"));
        assert_eq!(answer.header("Content-Disposition"), Some("attachment; filename=\"data.json\""));
        assert!(answer.header("Vary").is_some_and(|names| names.starts_with("Accept")));
        let case = format!("{messages} messages, {count} reports");
        assert!(!answer.text().contains(&id), "{case}");
        let file = answer.json();
        let session = app.client.get(&reports.session).json();
        assert_eq!(file["session"], without_ids(&session), "{case}");
        let stored: Vec<Value> = chat.messages().iter().map(without_ids).collect();
        assert_eq!(file["messages"], json!(stored), "{case}");
        let whole = |summary: &Value| without_ids(&reports.get(id_of(summary)).json());
        assert_eq!(file["reports"], json!(reports.list().iter().map(whole).collect::<Vec<_>>()), "{case}");
        assert_eq!(file.as_object().unwrap().len(), 3);
    }
}

#[test]
fn accept_chooses_markdown_in_which_nothing_that_was_written_is_markup() {
    let app = TestApp::start();
    let id = app.create_session();
    let reports = Reports::of(&app.client, &id);
    store_messages(&mut app.sql(), &id, &["# <b>*x*\nzwei".to_owned(), "jawaban".to_owned()]);
    reports.create(&answers_with(&json!({"narrative": "cerita pertama"})));
    reports.create(&answers_with(&json!({"narrative": "cerita kedua"})));
    for (accept, is_markdown) in [
        ("text/markdown", true),
        ("text/markdown;q=0.5, application/json;q=0.4", true),
        ("text/markdown;q=0.5, application/json", false),
        ("text/markdown;q=0", false),
        ("*/*", false),
        ("text/html", false),
    ] {
        let answer = reports.export(accept).assert_status(200);
        let (media_type, name) =
            if is_markdown { ("text/markdown; charset=utf-8", "data.md") } else { ("application/json", "data.json") };
        assert_eq!(answer.header("Content-Type"), Some(media_type), "{accept}");
        assert_eq!(answer.header("Content-Disposition"), Some(&*format!("attachment; filename=\"{name}\"")));
    }
    let file = reports.export("text/markdown").text();
    for part in
        ["# Session\n\n- created_at: ", "\n# Messages\n\n**user**, ", "> \\# \\<b\\>\\*x\\*\\\n> zwei\n", "**model**, "]
    {
        assert!(file.contains(part), "{part}: {file}");
    }
    let [messages, first, second] =
        ["jawaban", "cerita pertama", "cerita kedua"].map(|words| file.find(words).expect("it is in the file"));
    assert!(messages < second && second < first, "the newest report comes first: {file}");
    assert!(!file.contains(&id), "{file}");
    let head = app.client.send_with("HEAD", &format!("{}/export", reports.session), &[("Accept", "text/markdown")]);
    assert_eq!((head.status, head.body.len()), (200, 0));
}

/// A session with much more than the sockets' buffers hold.
fn large(app: &TestApp) -> String {
    let id = app.create_session();
    let reports = Reports::of(&app.client, &id);
    let narrative = "\u{1}".repeat(16_384);
    (0..20).for_each(|_| _ = reports.create(&answers_with(&json!({"narrative": narrative}))));
    store_messages(&mut app.sql(), &id, &vec!["\u{1}".repeat(4_096); 40]);
    id
}

fn get(id: &str) -> Vec<u8> {
    format!("GET /api/v1/sessions/{id}/export HTTP/1.1\r\nHost: x\r\n\r\n").into_bytes()
}

#[test]
fn a_large_file_is_whole_and_is_made_in_pieces_while_its_client_reads() {
    let app = TestApp::with(&[
        ("METRICS_PORT", "0"),
        ("APP_WORKERS", "4"),
        ("APP_WRITE_TIMEOUT", "3600"),
        ("APP_MIN_RESPONSE_RATE", "1"),
    ]);
    let id = large(&app);
    let mut slow: Vec<Raw> = (0..3).map(|_| Raw::connect(app.client.address())).collect();
    for raw in &mut slow {
        raw.send(&get(&id));
        assert_eq!(raw.head().status, 200);
    }
    // Neither their threads nor their memory are needed by others.
    for _ in 0..10 {
        Reports::of(&app.client, &id).newest().assert_status(200);
        app.create_session();
    }
    let metrics = app.metrics();
    let reserved = metrics.lines().find_map(|line| line.strip_prefix("safespace_http_answer_bytes ")).unwrap();
    assert!(reserved.parse::<usize>().unwrap() <= 3 * 256 * 1024, "{reserved}");
    for raw in &mut slow {
        let (mut body, mut longest) = (Vec::new(), 0);
        loop {
            let chunk = raw.chunk();
            longest = longest.max(chunk.len());
            if chunk.is_empty() {
                break;
            }
            body.extend(chunk);
        }
        assert!(longest <= 256 * 1024, "{longest}");
        let file: Value = serde_json::from_slice(&body).unwrap();
        let lengths = ["messages", "reports"].map(|name| file[name].as_array().unwrap().len());
        assert_eq!(lengths, [40, 20]);
    }
}

#[test]
fn a_file_whose_session_is_erased_while_it_is_read_breaks_off() {
    let app = TestApp::start();
    for part in ["messages", "reports"] {
        let id = large(&app);
        if part == "reports" {
            app.sql().batch_execute("DELETE FROM messages").unwrap();
        }
        let mut raw = Raw::connect(app.client.address());
        raw.send(&get(&id));
        assert_eq!(raw.head().status, 200);
        Chat::of(&app.client, &id).erase().assert_status(204);
        let mut last = Vec::new();
        let mut buffer = [0; 65_536];
        while let Ok(read @ 1..) = std::io::Read::read(&mut raw.stream, &mut buffer) {
            last = buffer[..read].to_vec();
        }
        assert!(!last.ends_with(b"0\r\n\r\n"), "{part}: the end of the body came");
        Reports::of(&app.client, &id).export("").assert_problem(404);
    }
}
