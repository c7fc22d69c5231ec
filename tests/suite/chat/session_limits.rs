//! The size of a session: a message is accepted if it and the longest answer fit, and then its answer is stored.

use std::sync::Arc;
use std::thread;

use crate::support::app::TestApp;
use crate::support::chat::{Chat, count_rows};
use crate::support::cluster::Schema;
use crate::support::fake_model::{FakeModel, pauses_at};
use crate::support::http::Answer;
use crate::support::server::Gate;

/// Stored bytes of a short message, and of the longest answer: 16,384 characters of four bytes.
const SHORT_BYTES: i64 = 297;
const LONGEST_BYTES: i64 = 131_072 + 41;

#[track_caller]
fn assert_full(answer: &Answer) {
    let detail = answer.assert_problem(409);
    assert!(detail.contains("start a new session") && detail.contains("erased"), "{detail}");
    assert_eq!(answer.json()["code"], "session_full");
    assert_eq!(answer.header("Retry-After"), None);
}

#[test]
fn a_session_takes_messages_up_to_its_limit_and_stays_readable() {
    let app = TestApp::with(&[("SESSION_MAX_MESSAGES", "5")]);
    let chat = Chat::new(&app);
    let first = chat.send_with_key("one", "hello").assert_status(200).json();
    chat.send("hello").assert_status(200);
    // One more message fits, its answer does not.
    assert_full(&chat.send("hello"));
    assert_full(&chat.send_with_key("new", "hello"));
    assert_full(&chat.try_stream(None, "hello").err().expect("no stream"));
    assert_eq!(chat.messages().len(), 4);
    assert_eq!(chat.send_with_key("one", "hello").assert_status(200).json(), first);
    chat.erase().assert_status(204);
    assert_eq!(count_rows(&mut app.sql()), 0);
}

#[test]
fn a_stored_question_needs_room_for_its_answer_alone() {
    let model = FakeModel::start();
    let app = model.app(&[("SESSION_MAX_MESSAGES", "4")]);
    let chat = Chat::new(&app);
    for key in ["one", "two"] {
        model.next(|reply| reply.refuse(400));
        chat.send_with_key(key, "hello").assert_problem(503);
    }
    assert_eq!(chat.messages().len(), 2);
    // With the third message and its answer the session would be full without an answer to the first two.
    chat.send_with_key("one", "hello").assert_status(200);
    chat.send_with_key("two", "hello").assert_status(200);
    assert_eq!(chat.messages().len(), 4);
    chat.send_with_key("one", "hello").assert_status(200);
}

#[test]
fn a_stored_question_without_room_for_its_answer_is_refused_before_the_model_is_asked() {
    let model = FakeModel::start();
    let app = model.app(&[("SESSION_MAX_MESSAGES", "3")]);
    let chat = Chat::new(&app);
    model.next(|reply| reply.refuse(400));
    chat.send_with_key("one", "hello").assert_problem(503);
    chat.send("more").assert_status(200);
    let requests = model.requests().len();
    assert_full(&chat.send_with_key("one", "hello"));
    assert_eq!((chat.messages().len(), model.requests().len()), (3, requests));
}

#[test]
fn the_bytes_of_a_session_are_limited_to_the_byte() {
    const MAX_BYTES: i64 = 524_288;
    let app = TestApp::with(&[("SESSION_MAX_BYTES", "524288")]);
    let chat = Chat::new(&app);
    chat.send("hello").assert_status(200);
    let mut sql = app.sql();
    let total = "SELECT total_bytes, sum(octet_length(sealed)) OVER () FROM messages ORDER BY position DESC LIMIT 1";
    let row = sql.query_one(total, &[]).unwrap();
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (2 * SHORT_BYTES, 2 * SHORT_BYTES));
    let most = MAX_BYTES - SHORT_BYTES - LONGEST_BYTES;
    for (total_bytes, fits) in [(most + 1, false), (most, true)] {
        sql.execute("UPDATE messages SET total_bytes = $1 WHERE position = 2", &[&total_bytes]).unwrap();
        let answer = chat.send("hello");
        if fits {
            answer.assert_status(200);
        } else {
            assert_full(&answer);
        }
    }
    let stored: i64 = sql.query_one("SELECT max(total_bytes) FROM messages", &[]).unwrap().get(0);
    assert_eq!(stored, most + 2 * SHORT_BYTES);
}

#[test]
fn one_of_two_messages_at_two_instances_takes_the_last_room() {
    let (model, schema) = (FakeModel::start(), Schema::new());
    let [one, other] = [(); 2].map(|()| model.app_at(&schema.url(), &[("SESSION_MAX_MESSAGES", "3")]));
    let gate = Arc::new(Gate::default());
    model.next(pauses_at(&gate, "", "the first answer"));
    let chat = Chat::new(&one);
    let elsewhere = Chat::of(&other.client, &chat.id);
    thread::scope(|scope| {
        let asking = scope.spawn(|| chat.send("the first question"));
        model.wait_for_requests(1);
        assert_eq!(elsewhere.send("the second question").json()["code"], "turn_in_progress");
        gate.open();
        asking.join().unwrap().assert_status(200);
    });
    assert_full(&elsewhere.send("more"));
    assert_eq!(chat.messages().len(), 2);
}
