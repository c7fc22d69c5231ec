//! The history of a conversation, whole and page by page.

use serde_json::Value;
use uuid::Uuid;

use crate::support::app::TestApp;
use crate::support::chat::Chat;

/// A session with this many turns.
fn long_chat(app: &TestApp, turns: usize) -> Chat<'_> {
    let chat = Chat::new(app);
    for turn in 0..turns {
        chat.send(&format!("number {turn}")).assert_status(200);
    }
    chat
}

fn page(chat: &Chat<'_>, query: &str) -> (Vec<Value>, bool) {
    let page = chat.history(query).assert_status(200).json();
    assert_eq!(page.as_object().unwrap().len(), 3, "session_id, messages and has_more: {page}");
    assert_eq!(page["session_id"], chat.id);
    (page["messages"].as_array().unwrap().clone(), page["has_more"].as_bool().unwrap())
}

#[test]
fn a_long_history_is_returned_in_order_of_writing() {
    let app = TestApp::start();
    let chat = long_chat(&app, 60);
    let transcript = chat.transcript();
    assert_eq!(transcript.len(), 120);
    for (turn, pair) in transcript.chunks(2).enumerate() {
        assert_eq!(pair[0], format!("user: number {turn}"));
        assert!(pair[1].starts_with("model: "), "{}", pair[1]);
    }
    let times: Vec<String> = chat.messages().iter().map(|message| message["created_at"].to_string()).collect();
    assert!(times.is_sorted(), "{times:?}");
}

#[test]
fn the_order_does_not_depend_on_the_order_of_rows_in_the_table() {
    let app = TestApp::start();
    let chat = long_chat(&app, 20);
    // Rewrites the rows in a random order.
    app.sql()
        .batch_execute(
            "CREATE TABLE copied AS SELECT * FROM messages; DELETE FROM messages;
             INSERT INTO messages SELECT * FROM copied ORDER BY md5(id::text)",
        )
        .unwrap();
    let transcript = chat.transcript();
    let questions: Vec<&String> = transcript.iter().step_by(2).collect();
    assert_eq!(
        questions,
        (0..20).map(|turn| format!("user: number {turn}")).collect::<Vec<_>>().iter().collect::<Vec<_>>()
    );
    let (page, _) = page(&chat, "?limit=2");
    assert_eq!(page[0]["content"], "number 19");
}

#[test]
fn pages_read_backwards_add_up_to_the_whole_history() {
    let app = TestApp::start();
    let chat = long_chat(&app, 15);
    let all = chat.messages();
    for limit in [1, 2, 7, 29, 30, 31, 200] {
        let (mut found, mut more) = page(&chat, &format!("?limit={limit}"));
        assert_eq!(found.len(), limit.min(30));
        while more {
            let before = found[0]["id"].as_str().unwrap();
            let (mut earlier, still_more) = page(&chat, &format!("?limit={limit}&before={before}"));
            assert!(!earlier.is_empty() && earlier.len() <= limit);
            assert_eq!(still_more, earlier.len() + found.len() < all.len());
            earlier.extend(found);
            (found, more) = (earlier, still_more);
        }
        assert_eq!(found, all, "{limit} at a time");
    }
}

#[test]
fn the_page_before_the_first_message_is_empty() {
    let app = TestApp::start();
    let chat = long_chat(&app, 2);
    let first = chat.messages()[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(page(&chat, &format!("?before={first}")), (Vec::new(), false));
    assert_eq!(page(&chat, &format!("?before={}&limit=1", first.to_uppercase())), (Vec::new(), false));
}

#[test]
fn a_page_without_a_limit_has_50_messages() {
    let app = TestApp::start();
    let chat = long_chat(&app, 30);
    let all = chat.messages();
    let last = all[59]["id"].as_str().unwrap();
    assert_eq!(page(&chat, &format!("?before={last}")), (all[9..59].to_vec(), true));
}

#[test]
fn an_invalid_page_is_422_and_names_the_field() {
    let app = TestApp::start();
    let (chat, other) = (long_chat(&app, 1), long_chat(&app, 1));
    let elsewhere = other.messages()[0]["id"].as_str().unwrap().to_owned();
    let unknown = Uuid::new_v4();
    for (query, field) in [
        ("?limit=0", "limit"),
        ("?limit=201", "limit"),
        ("?limit=-1", "limit"),
        ("?limit=", "limit"),
        ("?limit=ten", "limit"),
        ("?limit=1.5", "limit"),
        ("?limit=99999999999999999999", "limit"),
        ("?limit=%31%20", "limit"),
        ("?before=", "before"),
        ("?before=1", "before"),
        ("?before=%00", "before"),
        (&format!("?before={unknown}"), "before"),
        (&format!("?before={elsewhere}"), "before"),
        (&format!("?before={elsewhere}&limit=5"), "before"),
        (&format!("?before={}", chat.id), "before"),
    ] {
        let answer = chat.history(query);
        answer.assert_problem(422);
        assert_eq!(answer.json()["errors"][0]["field"], field, "{query}");
        assert!(!answer.text().contains(&elsewhere), "{query} is echoed");
    }
    // Unknown parameters are ignored.
    let history = chat.history("?limits=0&LIMIT=0&x").assert_status(200).json();
    assert!(history.get("has_more").is_none(), "{history}");
}

#[test]
fn head_asks_for_the_same_without_the_words() {
    let app = TestApp::start();
    let chat = long_chat(&app, 1);
    let answer = app.client.send("HEAD", &chat.path()).assert_status(200);
    assert!(answer.body.is_empty());
}

#[test]
fn a_history_of_many_reads_is_returned_whole_and_by_pages() {
    // A small context, so that the turns themselves read little.
    let app = TestApp::with(&[("COMPANION_CONTEXT_CHARS", "1000")]);
    let chat = Chat::new(&app);
    // Each question fills more than a read.
    let long = "\u{1f9ed}".repeat(4_096);
    for _ in 0..12 {
        chat.send(&long).assert_status(200);
    }
    let whole = chat.messages();
    assert_eq!(whole.len(), 24);
    assert!(whole.iter().step_by(2).all(|message| message["content"] == long.as_str()));
    assert_eq!(page(&chat, "?limit=200"), (whole.clone(), false));
    let last = whole[23]["id"].as_str().unwrap();
    assert_eq!(page(&chat, &format!("?limit=20&before={last}")), (whole[3..23].to_vec(), true));
}
