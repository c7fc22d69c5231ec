//! The history of a conversation, whole and page by page.

use serde_json::Value;
use uuid::Uuid;

use crate::support::app::TestApp;
use crate::support::talk::Talk;

/// A conversation of so many turns.
fn long_talk(app: &TestApp, turns: usize) -> Talk<'_> {
    let talk = Talk::new(app);
    for turn in 0..turns {
        talk.say(&format!("number {turn}")).assert_status(200);
    }
    talk
}

fn page(talk: &Talk<'_>, query: &str) -> (Vec<Value>, bool) {
    let page = talk.history(query).assert_status(200).json();
    assert_eq!(page.as_object().unwrap().len(), 3, "session_id, messages and has_more: {page}");
    assert_eq!(page["session_id"], talk.id);
    (page["messages"].as_array().unwrap().clone(), page["has_more"].as_bool().unwrap())
}

#[test]
fn all_of_a_long_conversation_comes_in_the_order_of_its_writing() {
    let app = TestApp::start();
    let talk = long_talk(&app, 60);
    let said = talk.said();
    assert_eq!(said.len(), 120);
    for (turn, pair) in said.chunks(2).enumerate() {
        assert_eq!(pair[0], format!("user: number {turn}"));
        assert!(pair[1].starts_with("model: "), "{}", pair[1]);
    }
    let times: Vec<String> = talk.messages().iter().map(|message| message["created_at"].to_string()).collect();
    assert!(times.is_sorted(), "{times:?}");
}

#[test]
fn the_order_is_that_of_writing_also_within_one_microsecond() {
    let app = TestApp::start();
    let talk = long_talk(&app, 20);
    // However the rows lie in the table.
    app.sql()
        .batch_execute(
            "CREATE TABLE copied AS SELECT * FROM messages; DELETE FROM messages;
             INSERT INTO messages SELECT * FROM copied ORDER BY md5(id::text)",
        )
        .unwrap();
    let said = talk.said();
    let questions: Vec<&String> = said.iter().step_by(2).collect();
    assert_eq!(
        questions,
        (0..20).map(|turn| format!("user: number {turn}")).collect::<Vec<_>>().iter().collect::<Vec<_>>()
    );
    let (page, _) = page(&talk, "?limit=2");
    assert_eq!(page[0]["content"], "number 19");
}

#[test]
fn pages_go_backwards_and_are_the_whole_together() {
    let app = TestApp::start();
    let talk = long_talk(&app, 15);
    let all = talk.messages();
    for limit in [1, 2, 7, 29, 30, 31, 200] {
        let (mut found, mut more) = page(&talk, &format!("?limit={limit}"));
        assert_eq!(found.len(), limit.min(30));
        while more {
            let before = found[0]["id"].as_str().unwrap();
            let (mut earlier, still_more) = page(&talk, &format!("?limit={limit}&before={before}"));
            assert!(!earlier.is_empty() && earlier.len() <= limit);
            assert_eq!(still_more, earlier.len() + found.len() < all.len());
            earlier.extend(found);
            (found, more) = (earlier, still_more);
        }
        assert_eq!(found, all, "{limit} at a time");
    }
}

#[test]
fn the_first_message_has_nothing_before_it() {
    let app = TestApp::start();
    let talk = long_talk(&app, 2);
    let first = talk.messages()[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(page(&talk, &format!("?before={first}")), (Vec::new(), false));
    assert_eq!(page(&talk, &format!("?before={}&limit=1", first.to_uppercase())), (Vec::new(), false));
}

#[test]
fn without_a_limit_a_page_has_fifty() {
    let app = TestApp::start();
    let talk = long_talk(&app, 30);
    let all = talk.messages();
    let last = all[59]["id"].as_str().unwrap();
    assert_eq!(page(&talk, &format!("?before={last}")), (all[9..59].to_vec(), true));
}

#[test]
fn a_page_that_cannot_be_is_422_and_names_the_field() {
    let app = TestApp::start();
    let (talk, other) = (long_talk(&app, 1), long_talk(&app, 1));
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
        (&format!("?before={}", talk.id), "before"),
    ] {
        let answer = talk.history(query);
        answer.assert_problem(422);
        assert_eq!(answer.json()["errors"][0]["field"], field, "{query}");
        assert!(!answer.text().contains(&elsewhere), "{query} is echoed");
    }
    // A name that nobody knows says nothing.
    let history = talk.history("?limits=0&LIMIT=0&x").assert_status(200).json();
    assert!(history.get("has_more").is_none(), "{history}");
}

#[test]
fn head_asks_for_the_same_without_the_words() {
    let app = TestApp::start();
    let talk = long_talk(&app, 1);
    let answer = app.client.send("HEAD", &talk.path()).assert_status(200);
    assert!(answer.body.is_empty());
}

#[test]
fn a_conversation_that_is_too_large_for_one_answer_says_so_and_is_read_page_by_page() {
    // What is read for each turn is not what this is about.
    let app = TestApp::with(&[("COMPANION_CONTEXT_CHARS", "1000")]);
    let talk = Talk::new(&app);
    let long = "\u{1f9ed}".repeat(4_096);
    for _ in 0..140 {
        talk.say(&long).assert_status(200);
    }
    let whole = talk.history("").assert_status(200).json();
    let newest = whole["messages"].as_array().unwrap();
    assert_eq!(newest.len() < 280, whole["has_more"] == true, "{} messages", newest.len());
    let (mut found, mut more) = page(&talk, "?limit=200");
    while more {
        let before = found[0]["id"].as_str().unwrap();
        let (mut earlier, still_more) = page(&talk, &format!("?limit=200&before={before}"));
        assert!(!earlier.is_empty());
        earlier.extend(found);
        (found, more) = (earlier, still_more);
    }
    assert_eq!(found.len(), 280);
    assert!(found.ends_with(newest));
    assert!(found.iter().step_by(2).all(|message| message["content"] == long.as_str()));
}
