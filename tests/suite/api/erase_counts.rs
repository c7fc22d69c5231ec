//! `DELETE` with `Prefer: return=representation`: how many rows were deleted.

use std::thread;

use safespace::session_id::SessionId;
use serde_json::json;

use crate::support::app::TestApp;
use crate::support::chat::{Chat, count_rows, store_messages};
use crate::support::http::{Answer, Client};
use crate::support::wait_for_row_locks;

fn erase(client: &Client, id: &str) -> Answer {
    client.send_with("DELETE", &format!("/api/v1/sessions/{id}"), &[("Prefer", "return=representation")])
}

#[test]
fn a_delete_that_prefers_a_representation_returns_the_number_of_rows_and_no_id() {
    let app = TestApp::start();
    let mut sql = app.sql();
    // Those of more than 100 messages are deleted alone.
    for messages in [0, 1, 2, 100, 101, 1_000] {
        let id = app.create_session();
        store_messages(&mut sql, &id, &vec!["hello".to_owned(); messages]);
        let answer = erase(&app.client, &id).assert_status(200);
        assert_eq!(answer.header("Preference-Applied"), Some("return=representation"));
        assert_eq!(answer.json(), json!({"deleted": {"sessions": 1, "messages": messages, "reports": 0}}));
        assert!(!answer.text().contains(&id));
        erase(&app.client, &id).assert_problem(404);
    }
    assert_eq!(count_rows(&mut sql), 0);
}

#[test]
fn a_delete_without_that_preference_returns_204() {
    let app = TestApp::start();
    for fields in [[].as_slice(), &[("Prefer", "return=minimal")], &[("Prefer", "respond-async")]] {
        let path = format!("/api/v1/sessions/{}", app.create_session());
        let answer = app.client.send_with("DELETE", &path, fields).assert_status(204);
        assert_eq!((answer.body.len(), answer.header("Preference-Applied")), (0, None));
    }
}

#[test]
fn of_concurrent_deletes_one_returns_the_number_of_rows() {
    let app = TestApp::start();
    let (client, mut sql) = (&app.client, app.sql());
    for messages in [2, 200] {
        let id = app.create_session();
        store_messages(&mut sql, &id, &vec!["hello".to_owned(); messages]);
        let mut answers: Vec<Answer> = thread::scope(|scope| {
            let deletes: Vec<_> = (0..8).map(|_| scope.spawn(|| erase(client, &id))).collect();
            deletes.into_iter().map(|delete| delete.join().unwrap()).collect()
        });
        answers.sort_by_key(|answer| answer.status);
        assert_eq!(answers[0].json(), json!({"deleted": {"sessions": 1, "messages": messages, "reports": 0}}));
        answers[1..].iter().for_each(|answer| _ = answer.assert_problem(404));
    }
}

#[test]
fn a_message_that_is_committed_while_the_delete_waits_is_counted() {
    let app = TestApp::start();
    let (client, mut sql, mut writer) = (&app.client, app.sql(), app.sql());
    let chat = Chat::new(&app);
    store_messages(&mut sql, &chat.id, &["one".to_owned(), "two".to_owned()]);
    let lookup = chat.id.parse::<SessionId>().unwrap().lookup();
    let mut transaction = writer.transaction().unwrap();
    let third = "INSERT INTO messages VALUES ($1, 3, gen_random_uuid(), '', 891)";
    transaction.execute(third, &[lookup.expose()]).unwrap();
    thread::scope(|scope| {
        let waiting = scope.spawn(|| erase(client, &chat.id));
        wait_for_row_locks(&mut sql, &mut transaction, 1);
        transaction.commit().unwrap();
        let answer = waiting.join().unwrap().assert_status(200);
        assert_eq!(answer.json(), json!({"deleted": {"sessions": 1, "messages": 3, "reports": 0}}));
    });
    assert_eq!(count_rows(&mut sql), 0);
}
