//! Messages that the script answers: question and answer are stored together, with one statement and without a claim.

use std::thread;

use postgres::Transaction;
use safespace::session_id::SessionId;
use uuid::Uuid;

use crate::support::app::TestApp;
use crate::support::chat::{Chat, count_rows};
use crate::support::cluster::{Schema, lock_table, wait_for_row_locks};
use crate::support::eventually;
use crate::support::http::Answer;
use crate::support::raw::Raw;
use crate::support::timing::PATIENCE;

/// Time enough to wait for a lock of the test.
const PATIENT: (&str, &str) = ("DB_ACQUIRE_TIMEOUT_MS", "10000");

fn lookup(chat: &Chat<'_>) -> Uuid {
    *chat.id.parse::<SessionId>().unwrap().lookup().expose()
}

fn count(sql: &mut postgres::Client, table: &str) -> i64 {
    sql.query_one(&format!("SELECT count(*) FROM {table}"), &[]).unwrap().get(0)
}

/// Sends a message to each session, which share few batches when they are stored, and returns the statuses. Before
/// that all sessions are read, and `change` changes rows.
fn send_in_one_batch(app: &TestApp, chats: &[Chat<'_>], change: impl FnOnce(&mut Transaction<'_>)) -> Vec<u16> {
    let (mut sql, mut questions) = (app.sql(), app.sql());
    // Messages are read, and not stored.
    let mut locked = sql.transaction().unwrap();
    locked.batch_execute("LOCK TABLE messages IN SHARE MODE").unwrap();
    let first: Vec<Chat<'_>> = (0..2).map(|_| Chat::new(app)).collect();
    thread::scope(|scope| {
        for (at, chat) in first.iter().enumerate() {
            scope.spawn(|| chat.send("hello").assert_status(200));
            wait_for_row_locks(&mut questions, &mut locked, at as i64 + 1);
        }
        let statuses = chats.iter().map(|chat| scope.spawn(|| chat.send("hello").status)).collect::<Vec<_>>();
        let read = chats.len() + first.len();
        let read = format!("safespace_batch_items_sum{{statement=\"messages/recent\"}} {read}.0\n");
        eventually(PATIENCE, || app.metrics().contains(&read).then_some(()));
        change(&mut locked);
        locked.commit().unwrap();
        statuses.into_iter().map(|status| status.join().unwrap()).collect()
    })
}

/// Locks a session's row as a delete does: messages are read, and not stored.
fn lock<'a>(sql: &'a mut postgres::Client, chat: &Chat<'_>) -> Transaction<'a> {
    let mut transaction = sql.transaction().unwrap();
    transaction.execute("SELECT FROM sessions WHERE id = $1 FOR UPDATE", &[&lookup(chat)]).unwrap();
    transaction
}

#[test]
fn a_message_and_its_answer_are_one_transaction_without_a_claim() {
    let app = TestApp::start();
    let (chat, mut sql) = (Chat::new(&app), app.sql());
    for turns in 1..=3 {
        chat.send("hello").assert_status(200);
        let transactions = count(&mut sql, "(SELECT DISTINCT xmin::text FROM messages) AS transactions");
        assert_eq!((count(&mut sql, "messages"), transactions), (2 * turns, turns));
    }
    assert_eq!(count(&mut sql, "turns"), 0);
}

#[test]
fn a_message_is_answered_unless_a_claim_of_another_instance_holds() {
    let app = TestApp::start();
    let mut sql = app.sql();
    // Messages before, the position of the claim, whether it has ended, and the status.
    for (turns, position, has_ended, status) in [
        (0, 1, false, 409),
        (0, 0, false, 409),
        (0, 0, true, 200),
        (1, 1, false, 200),
        (1, 2, false, 409),
        (1, 2, true, 200),
        (1, 3, true, 409),
    ] {
        let chat = Chat::new(&app);
        (0..turns).for_each(|_| _ = chat.send("hello").assert_status(200));
        let insert = "INSERT INTO turns (session_id, position, claim, ends_at)
                      VALUES ($1, $2, gen_random_uuid(), now() + CASE WHEN $3 THEN -1 ELSE 60 END * interval '1 second')";
        sql.execute(insert, &[&lookup(&chat), &position, &has_ended]).unwrap();
        let case = format!("{turns} turns, a claim at {position}, ended: {has_ended}");
        assert_eq!(chat.send("more").status, status, "{case}");
        let stored = 2 * turns + if status == 200 { 2 } else { 0 };
        assert_eq!(chat.transcript().len(), stored, "{case}");
    }
}

#[test]
fn a_session_that_is_erased_before_its_messages_are_stored_is_404_and_leaves_nothing() {
    let app = TestApp::with(&[PATIENT]);
    for is_streamed in [false, true] {
        let (chat, mut sql, mut questions) = (Chat::new(&app), app.sql(), app.sql());
        let mut locked = lock(&mut sql, &chat);
        thread::scope(|scope| {
            let sending = scope.spawn(|| {
                // Nothing of the answer was sent, so it is no error of a stream.
                let streamed = || chat.try_stream(None, "hello").err().expect("no stream");
                if is_streamed { streamed() } else { chat.send("hello") }
            });
            wait_for_row_locks(&mut questions, &mut locked, 1);
            locked.execute("DELETE FROM sessions", &[]).unwrap();
            locked.commit().unwrap();
            sending.join().unwrap().assert_problem(404);
        });
        assert_eq!(count_rows(&mut questions), 0);
    }
}

#[test]
fn a_message_whose_client_was_told_that_it_is_late_is_not_stored_and_sent_again_it_is_answered_once() {
    let app = TestApp::with(&[("COMPANION_TIMEOUT", "2"), PATIENT]);
    let (chat, mut sql) = (Chat::new(&app), app.sql());
    // The messages of the session cannot be read.
    let locked = lock_table(&mut sql, "sessions");
    chat.send("hello").assert_problem(503);
    locked.rollback().unwrap();
    // 409 until the turn is over.
    eventually(PATIENCE, || (chat.send("hello").status == 200).then_some(()));
    assert_eq!(chat.transcript().len(), 2);
}

#[test]
fn messages_at_two_instances_at_once_are_stored_one_after_the_other_and_one_key_once() {
    let schema = Schema::new();
    let [one, other] = [(); 2].map(|()| TestApp::at(&schema.url(), &[PATIENT]));
    for key in [None, Some("key")] {
        let (chat, mut sql, mut questions) = (Chat::new(&one), schema.client(), schema.client());
        let elsewhere = Chat::of(&other.client, &chat.id);
        let mut locked = lock(&mut sql, &chat);
        // Each has read that the session is empty.
        let answers: Vec<Answer> = thread::scope(|scope| {
            let sending = [&chat, &elsewhere].map(|chat| {
                scope.spawn(move || key.map_or_else(|| chat.send("hello"), |key| chat.send_with_key(key, "hello")))
            });
            wait_for_row_locks(&mut questions, &mut locked, 2);
            locked.rollback().unwrap();
            sending.map(|answer| answer.join().unwrap()).into()
        });
        let ids: Vec<_> = answers.into_iter().map(|answer| answer.assert_status(200).json()["id"].clone()).collect();
        let transcript = chat.transcript();
        assert_eq!((transcript.len(), ids[0] == ids[1]), (if key.is_some() { 2 } else { 4 }, key.is_some()));
        assert!(transcript.iter().step_by(2).all(|message| message == "user: hello"), "{transcript:?}");
        assert!(transcript.iter().skip(1).step_by(2).all(|message| message.starts_with("model: ")), "{transcript:?}");
    }
}

#[test]
fn each_message_of_a_batch_has_its_own_outcome() {
    const OTHERS: usize = 12;
    let app = TestApp::with(&[PATIENT, ("METRICS_PORT", "0")]);
    let chats: Vec<Chat<'_>> = (0..OTHERS + 2).map(|_| Chat::new(&app)).collect();
    let (claimed, erased) = (&chats[0], &chats[1]);
    let (mut sql, mut questions) = (app.sql(), app.sql());
    let claim = "INSERT INTO turns (session_id, position, claim, ends_at)
                 VALUES ($1, 1, gen_random_uuid(), now() + interval '1 minute')";
    sql.execute(claim, &[&lookup(claimed)]).unwrap();
    let statuses = send_in_one_batch(&app, &chats, |locked| {
        locked.execute("DELETE FROM sessions WHERE id = $1", &[&lookup(erased)]).unwrap();
    });
    assert_eq!(statuses[..2], [409, 404]);
    assert!(statuses[2..].iter().all(|status| *status == 200), "{statuses:?}");
    assert_eq!(count(&mut questions, "messages"), 2 * (OTHERS as i64 + 2));
    let transactions = count(&mut questions, "(SELECT DISTINCT xmin::text FROM messages) AS transactions");
    assert!(transactions < OTHERS as i64, "{transactions} transactions");
}

#[test]
fn no_more_messages_than_4096_wait_for_the_database_and_the_others_are_refused_at_once() {
    const MESSAGES: usize = 4_900;
    // One batch of those that wait is not full perhaps.
    const MIN_WAITING: usize = 31 * 128;
    let app = TestApp::with(&[("DB_ACQUIRE_TIMEOUT_MS", "30000"), ("COMPANION_TIMEOUT", "25"), ("METRICS_PORT", "0")]);
    let mut sql = app.sql();
    let locked = lock_table(&mut sql, "sessions");
    let mut sent: Vec<Raw> = (0..MESSAGES)
        .map(|_| {
            let mut raw = Raw::connect(app.client.address());
            raw.send(&Chat::of(&app.client, &Uuid::new_v4().to_string()).request("*/*", None, "hello"));
            raw
        })
        .collect();
    eventually(PATIENCE, || app.metrics().contains("outcome=\"crowded\"").then_some(()));
    assert_eq!(sent.pop().unwrap().answer().json()["code"], "overloaded");
    locked.rollback().unwrap();
    let statuses: Vec<u16> = sent.iter_mut().map(|raw| raw.answer().status).collect();
    // Those that waited have no session.
    let waited = statuses.iter().filter(|status| **status == 404).count();
    assert!(waited >= MIN_WAITING, "{waited}");
    assert_eq!(statuses.iter().filter(|status| **status == 503).count(), statuses.len() - waited);
}

#[test]
fn a_message_that_postgresql_refuses_fails_alone_in_its_batch() {
    const OTHERS: usize = 6;
    let app = TestApp::with(&[PATIENT, ("METRICS_PORT", "0")]);
    let chats: Vec<Chat<'_>> = (0..=OTHERS).map(|_| Chat::new(&app)).collect();
    let statuses = send_in_one_batch(&app, &chats, |locked| {
        // The position of an answer is taken.
        let taken = "INSERT INTO messages (session_id, position, id, sealed, total_bytes)
                     VALUES ($1, 2, gen_random_uuid(), decode(repeat('00', 64), 'hex'), 64)";
        locked.execute(taken, &[&lookup(&chats[0])]).unwrap();
    });
    assert_eq!(statuses[0], 500);
    assert!(statuses[1..].iter().all(|status| *status == 200), "{statuses:?}");
    // Of the refused message nothing is stored but the row of the test.
    assert_eq!(count(&mut app.sql(), "messages"), 2 * (OTHERS as i64 + 2) + 1);
}

#[test]
fn a_stop_before_the_message_is_stored_keeps_the_question_and_a_later_one_both() {
    let app = TestApp::with(&[PATIENT]);
    for is_stored in [false, true] {
        let (chat, mut sql, mut questions) = (Chat::new(&app), app.sql(), app.sql());
        let mut locked = if is_stored { lock(&mut sql, &chat) } else { lock_table(&mut sql, "sessions") };
        let (mut message, mut stop) = (Raw::connect(app.client.address()), Raw::connect(app.client.address()));
        message.send(&chat.request("*/*", None, "hello"));
        wait_for_row_locks(&mut questions, &mut locked, 1);
        stop.send(format!("POST {}/stop HTTP/1.1\r\nHost: x\r\n\r\n", chat.path()).as_bytes());
        // Requests are served in order, so by now the turn is stopped.
        assert_eq!(app.client.get("/").status, 200);
        locked.rollback().unwrap();
        assert_eq!(message.answer().status, if is_stored { 200 } else { 409 });
        stop.answer().assert_status(204);
        assert_eq!(chat.transcript().len(), if is_stored { 2 } else { 1 });
        chat.send("hello").assert_status(200);
        assert_eq!(chat.transcript().len(), if is_stored { 4 } else { 2 });
    }
}

#[test]
fn an_answer_that_cannot_be_stored_leaves_no_question() {
    let app = TestApp::start();
    let (chat, mut sql) = (Chat::new(&app), app.sql());
    sql.batch_execute(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not this one'; END $$;
         CREATE TRIGGER refuse BEFORE INSERT ON messages FOR EACH ROW WHEN (NEW.position = 2) EXECUTE FUNCTION refuse()",
    )
    .unwrap();
    chat.send("hello").assert_problem(500);
    assert_eq!(count(&mut sql, "messages"), 0);
}

#[test]
fn the_first_message_of_another_hour_writes_the_hour() {
    let app = TestApp::start();
    let (chat, mut sql) = (Chat::new(&app), app.sql());
    sql.batch_execute("UPDATE sessions SET last_used_hour = last_used_hour - 2").unwrap();
    for _ in 0..2 {
        chat.send("hello").assert_status(200);
        let is_written = "SELECT last_used_hour >= floor(extract(epoch FROM now()) / 3600)::integer - 1 FROM sessions";
        assert!(sql.query_one(is_written, &[]).unwrap().get::<_, bool>(0));
    }
    assert_eq!(chat.transcript().len(), 4);
}
