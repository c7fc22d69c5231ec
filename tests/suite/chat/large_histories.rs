//! Histories that are sent in several pieces: whole, at the pace of the client, and broken off where they cannot be whole.

use serde_json::Value;

use crate::support::app::TestApp;
use crate::support::chat::{Chat, seal_newest, store_messages};
use crate::support::raw::Raw;

/// A message that JSON escapes as six times as many bytes.
fn escaped() -> String {
    "\u{1}".repeat(4_096)
}

fn get(chat: &Chat<'_>) -> Vec<u8> {
    format!("GET {} HTTP/1.1\r\nHost: x\r\n\r\n", chat.path()).into_bytes()
}

/// The longest chunk of the history, and the history.
fn read_chunks(raw: &mut Raw) -> (usize, Value) {
    let (mut longest, mut body) = (0, Vec::new());
    loop {
        let chunk = raw.chunk();
        longest = longest.max(chunk.len());
        if chunk.is_empty() {
            return (longest, serde_json::from_slice(&body).unwrap());
        }
        body.extend(chunk);
    }
}

#[test]
fn a_large_history_comes_whole_in_pieces_of_at_most_256_kib() {
    let app = TestApp::start();
    let chat = Chat::new(&app);
    // 60 messages of 24 KiB as JSON, and then every length that JSON does not escape, in three scripts.
    let mut texts = vec![escaped(); 60];
    texts.extend((0..300).map(|number| ["x", "é", "\u{1f9ed}"][number % 3].repeat(number * 7 + 1)));
    store_messages(&mut app.sql(), &chat.id, &texts);
    let mut raw = Raw::connect(app.client.address());
    raw.send(&get(&chat));
    assert_eq!(raw.head().header("Transfer-Encoding"), Some("chunked"));
    let (longest, history) = read_chunks(&mut raw);
    assert!(longest <= 256 * 1024, "{longest} bytes");
    assert_eq!((history["session_id"].as_str(), history.as_object().unwrap().len()), (Some(chat.id.as_str()), 2));
    let messages = history["messages"].as_array().unwrap();
    let contents: Vec<&str> = messages.iter().map(|message| message["content"].as_str().unwrap()).collect();
    assert!(contents == texts, "{} of {} messages", contents.len(), texts.len());
    // The connection is used again.
    assert_eq!(raw.ask(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").status, 200);
    for (limit, has_more) in [(200, true), (120, true), (1, true)] {
        let page = chat.history(&format!("?limit={limit}")).assert_status(200).json();
        assert_eq!(page["messages"].as_array().unwrap(), &messages[360 - limit..], "{limit}");
        assert_eq!(page["has_more"], has_more, "{limit}");
    }
}

#[test]
fn histories_of_every_size_up_to_several_pieces_are_whole() {
    let app = TestApp::start();
    for count in 1..=12 {
        let chat = Chat::new(&app);
        let texts = vec!["\u{1}".repeat(4_083); count];
        store_messages(&mut app.sql(), &chat.id, &texts);
        let contents: Vec<String> =
            chat.messages().iter().map(|message| message["content"].as_str().unwrap().to_owned()).collect();
        assert!(contents == texts, "{} of {count} messages", contents.len());
    }
}

#[test]
fn head_reads_only_the_newest_message_of_a_large_history() {
    let app = TestApp::start();
    let chat = Chat::new(&app);
    store_messages(&mut app.sql(), &chat.id, &vec![escaped(); 40]);
    // No other message can be read, so a response shows that none was. The newest one tells whether the session has ended.
    app.sql().batch_execute("UPDATE messages SET sealed = ''").unwrap();
    seal_newest(&mut app.sql(), &chat.id);
    for (query, status) in [("", 200), ("?limit=5", 200), ("?limit=0", 422), (&*format!("?before={}", chat.id), 422)] {
        let answer = app.client.send("HEAD", &format!("{}{query}", chat.path())).assert_status(status);
        assert!(answer.body.is_empty(), "{query}");
    }
    let unknown = Chat::of(&app.client, "550e8400-e29b-41d4-a716-446655440000");
    app.client.send("HEAD", &unknown.path()).assert_status(404);
}

#[test]
fn a_history_that_is_erased_while_it_is_read_breaks_off() {
    let app = TestApp::start();
    let chat = Chat::new(&app);
    store_messages(&mut app.sql(), &chat.id, &vec![escaped(); 60]);
    let mut raw = Raw::connect(app.client.address());
    raw.send(&get(&chat));
    assert_eq!(raw.head().status, 200);
    // More than the sockets' buffers hold is still to come.
    chat.erase().assert_status(204);
    let rest = raw.count_rest();
    assert!(rest < 60 * 24 * 1024, "{rest} bytes");
    chat.history("").assert_problem(404);
}

#[test]
fn a_message_that_does_not_open_is_500_or_breaks_the_history_off() {
    let app = TestApp::start();
    let (short, long) = (Chat::new(&app), Chat::new(&app));
    store_messages(&mut app.sql(), &short.id, &vec!["hello".to_owned(); 10]);
    store_messages(&mut app.sql(), &long.id, &vec![escaped(); 60]);
    let damage =
        "UPDATE messages SET sealed = set_byte(sealed, 60, get_byte(sealed, 60) # 1) WHERE position IN (9, 50)";
    app.sql().batch_execute(damage).unwrap();
    short.history("").assert_problem(500);
    short.history("?limit=1").assert_status(200);
    let mut raw = Raw::connect(app.client.address());
    raw.send(&get(&long));
    assert_eq!(raw.head().status, 200);
    let rest = raw.count_rest();
    assert!(rest < 50 * 25 * 1024, "{rest} bytes");
    // The service goes on.
    long.history("?limit=5").assert_status(200);
}

#[test]
fn clients_that_read_large_histories_slowly_hold_no_worker_and_lose_nothing() {
    let app = TestApp::with(&[("APP_WORKERS", "4")]);
    let chat = Chat::new(&app);
    store_messages(&mut app.sql(), &chat.id, &vec![escaped(); 60]);
    let mut slow: Vec<Raw> = (0..6).map(|_| Raw::connect(app.client.address())).collect();
    for raw in &mut slow {
        raw.send(&get(&chat));
        assert_eq!(raw.head().status, 200);
    }
    for _ in 0..20 {
        chat.history("?limit=1").assert_status(200);
        app.create_session();
    }
    for raw in &mut slow {
        let (_, history) = read_chunks(raw);
        assert_eq!(history["messages"].as_array().unwrap().len(), 60);
    }
}

#[test]
fn many_clients_that_do_not_read_one_history_leave_memory_for_others() {
    let app = TestApp::with(&[("APP_ANSWER_MEMORY", "4194304"), ("RATE_LIMIT", "on")]);
    let (read, unread) = (Chat::new(&app), Chat::new(&app));
    for chat in [&read, &unread] {
        store_messages(&mut app.sql(), &chat.id, &vec![escaped(); 300]);
    }
    let mut clients: Vec<Raw> = (0..100).map(|_| Raw::connect(app.client.address())).collect();
    for raw in &mut clients {
        raw.send(&get(&unread));
        raw.stream.peek(&mut [0]).unwrap();
    }
    for _ in 0..3 {
        let mut raw = Raw::connect(app.client.address());
        raw.send(&get(&read));
        assert_eq!(raw.head().status, 200);
        let (_, history) = read_chunks(&mut raw);
        assert_eq!(history["messages"].as_array().unwrap().len(), 300);
        assert_eq!(app.client.send("HEAD", &unread.path()).status, 200);
    }
}
