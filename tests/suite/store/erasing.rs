//! Erasing has connections and threads of its own, and large sessions delay no small one.

use std::io::ErrorKind;
use std::thread;
use std::time::Duration;

use postgres::Client;
use safespace::session_id::SessionId;
use serde_json::json;

use crate::support::app::TestApp;
use crate::support::chat::{Chat, count_rows, seal_newest};
use crate::support::cluster::Cluster;
use crate::support::raw::Raw;
use crate::support::timing::PATIENCE;
use crate::support::{eventually, lock_table, timed, wait_for_row_locks};

/// A session with this many messages.
fn session(app: &TestApp, sql: &mut Client, messages: i32) -> String {
    let id = app.create_session();
    let rows = "INSERT INTO messages SELECT $1, position, gen_random_uuid(), '', position::bigint * 297
                FROM generate_series(1, $2::integer) AS position";
    sql.execute(rows, &[id.parse::<SessionId>().unwrap().lookup().expose(), &messages]).unwrap();
    seal_newest(sql, &id);
    id
}

fn erase(id: &str) -> Vec<u8> {
    format!("DELETE /api/v1/sessions/{id} HTTP/1.1\r\nHost: x\r\n\r\n").into_bytes()
}

/// Sends requests, each on its own connection.
fn send_all(app: &TestApp, requests: impl IntoIterator<Item = Vec<u8>>) -> Vec<Raw> {
    let send = |request: Vec<u8>| {
        let mut raw = Raw::connect(app.client.address());
        raw.send(&request);
        raw
    };
    requests.into_iter().map(send).collect()
}

#[test]
fn small_sessions_are_erased_while_large_ones_are_not_done() {
    let app = TestApp::start();
    let mut sql = app.sql();
    let large: Vec<String> = (0..8).map(|_| session(&app, &mut sql, 101)).collect();
    let small: Vec<String> = (0..20).map(|_| session(&app, &mut sql, 100)).collect();
    // A locked message makes the deletion of its session last.
    let mut lock = sql.transaction().unwrap();
    lock.execute("SELECT FROM messages WHERE position = 101 FOR UPDATE", &[]).unwrap();
    let mut waiting = send_all(&app, large.iter().map(|id| erase(id)));
    wait_for_row_locks(&mut app.sql(), &mut lock, 1);
    // One after the other, and all at once.
    for id in &small[..10] {
        app.client.delete(&format!("/api/v1/sessions/{id}")).assert_status(204);
    }
    for mut raw in send_all(&app, small[10..].iter().map(|id| erase(id))) {
        raw.answer().assert_status(204);
    }
    lock.commit().unwrap();
    for raw in &mut waiting {
        raw.answer().assert_status(204);
    }
    assert_eq!(count_rows(&mut sql), 0);
}

#[test]
fn a_message_that_is_stored_after_the_statement_that_erases_its_session_began_is_counted() {
    let app = TestApp::start();
    let mut sql = app.sql();
    let [id, other] = [1, 1].map(|messages| session(&app, &mut sql, messages));
    let erase = |id: &str| {
        let wanted = [("Prefer", "return=representation")];
        app.client.send_with("DELETE", &format!("/api/v1/sessions/{id}"), &wanted).assert_status(200).json()
    };
    // The statement is prepared then, and what it sees is fixed before it waits for the lock.
    erase(&other);
    let mut locking = app.sql();
    let mut table = lock_table(&mut locking, "reports");
    let erased = thread::scope(|scope| {
        let erased = scope.spawn(|| erase(&id));
        wait_for_row_locks(&mut app.sql(), &mut table, 1);
        let row = "INSERT INTO messages VALUES ($1, 2, gen_random_uuid(), '', 594)";
        sql.execute(row, &[id.parse::<SessionId>().unwrap().lookup().expose()]).unwrap();
        seal_newest(&mut sql, &id);
        table.commit().unwrap();
        erased.join().unwrap()
    });
    assert_eq!(erased, json!({"deleted": {"sessions": 1, "messages": 2, "reports": 0}}));
    assert_eq!(count_rows(&mut sql), 0);
}

#[test]
fn of_many_deletes_of_a_large_session_exactly_one_is_204() {
    let app = TestApp::start();
    let mut sql = app.sql();
    let id = session(&app, &mut sql, 1_000);
    let mut statuses: Vec<u16> =
        send_all(&app, vec![erase(&id); 20]).iter_mut().map(|raw| raw.answer().status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [[204].as_slice(), &[404; 19]].concat());
    assert_eq!(count_rows(&mut sql), 0);
}

#[test]
fn no_delete_of_a_large_session_says_404_while_the_session_exists() {
    let app = TestApp::start();
    let mut sql = app.sql();
    let id = session(&app, &mut sql, 1_000);
    let mut lock = sql.transaction().unwrap();
    lock.execute("SELECT FROM messages WHERE position = 1000 FOR UPDATE", &[]).unwrap();
    // Meanwhile the deletes come together in batches, in one or more.
    let mut table = app.sql();
    let mut table = lock_table(&mut table, "sessions");
    let mut deletes = send_all(&app, vec![erase(&id); 20]);
    wait_for_row_locks(&mut app.sql(), &mut table, 1);
    table.commit().unwrap();
    wait_for_row_locks(&mut app.sql(), &mut lock, 1);
    app.client.get(&format!("/api/v1/sessions/{id}")).assert_status(200);
    for raw in &mut deletes {
        raw.stream.set_nonblocking(true).unwrap();
        assert_eq!(raw.stream.peek(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock, "a delete is answered");
        raw.stream.set_nonblocking(false).unwrap();
    }
    lock.commit().unwrap();
    let mut statuses: Vec<u16> = deletes.iter_mut().map(|raw| raw.answer().status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [[204].as_slice(), &[404; 19]].concat());
}

#[test]
fn a_session_of_200_messages_is_deleted_before_larger_ones_that_wait() {
    let app = TestApp::start();
    let mut sql = app.sql();
    let first: Vec<String> = (0..2).map(|_| session(&app, &mut sql, 1_001)).collect();
    let larger: Vec<String> = (0..20).map(|_| session(&app, &mut sql, 1_000)).collect();
    let [smaller, small] = [200, 1].map(|messages| session(&app, &mut sql, messages));
    let [mut lock_client, mut larger_lock_client] = [app.sql(), app.sql()];
    let mut lock = lock_client.transaction().unwrap();
    lock.execute("SELECT FROM messages WHERE position = 1001 FOR UPDATE", &[]).unwrap();
    let mut larger_lock = larger_lock_client.transaction().unwrap();
    let last = "SELECT FROM messages WHERE position = 1000 AND session_id IN (
        SELECT session_id FROM messages GROUP BY session_id HAVING count(*) = 1000) FOR UPDATE";
    larger_lock.execute(last, &[]).unwrap();
    // Those that are deleted alone at the same time.
    let mut waiting = send_all(&app, first.iter().map(|id| erase(id)));
    wait_for_row_locks(&mut sql, &mut lock, 2);
    waiting.extend(send_all(&app, larger.iter().map(|id| erase(id))));
    // Batches in between, so that the larger ones are queued first, and all before a thread is free.
    app.client.delete(&format!("/api/v1/sessions/{small}")).assert_status(204);
    let mut answered = send_all(&app, [erase(&smaller)]);
    for _ in 0..20 {
        app.client.delete(&format!("/api/v1/sessions/{small}")).assert_problem(404);
    }
    lock.commit().unwrap();
    answered[0].answer().assert_status(204);
    larger_lock.commit().unwrap();
    for raw in &mut waiting {
        raw.answer().assert_status(204);
    }
    assert_eq!(count_rows(&mut sql), 0);
}

#[test]
fn repeated_deletes_of_a_large_session_do_not_delay_another() {
    let app = TestApp::start();
    let mut sql = app.sql();
    let [repeated, other] = [500, 1_000].map(|messages| session(&app, &mut sql, messages));
    let mut lock = sql.transaction().unwrap();
    let lookup = repeated.parse::<SessionId>().unwrap().lookup();
    lock.execute("SELECT FROM messages WHERE session_id = $1 FOR UPDATE", &[lookup.expose()]).unwrap();
    let mut waiting = send_all(&app, vec![erase(&repeated); 20]);
    wait_for_row_locks(&mut app.sql(), &mut lock, 1);
    app.client.delete(&format!("/api/v1/sessions/{other}")).assert_status(204);
    lock.commit().unwrap();
    let statuses: Vec<u16> = waiting.iter_mut().map(|raw| raw.answer().status).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 204).count(), 1, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 404).count(), 19, "{statuses:?}");
    assert_eq!(count_rows(&mut sql), 0);
}

#[test]
fn in_a_full_queue_the_largest_session_gets_503_and_is_kept() {
    let app = TestApp::start();
    let mut sql = app.sql();
    let first: Vec<String> = (0..2).map(|_| session(&app, &mut sql, 103)).collect();
    let largest = session(&app, &mut sql, 102);
    let queued: Vec<String> = (0..256).map(|_| session(&app, &mut sql, 101)).collect();
    let mut lock_client = app.sql();
    let mut lock = lock_client.transaction().unwrap();
    lock.execute("SELECT FROM messages WHERE position = 103 FOR UPDATE", &[]).unwrap();
    let mut waiting = send_all(&app, first.iter().map(|id| erase(id)));
    wait_for_row_locks(&mut sql, &mut lock, 2);
    let mut gives_way = send_all(&app, [erase(&largest)]);
    waiting.extend(send_all(&app, queued.iter().map(|id| erase(id))));
    gives_way[0].answer().assert_problem(503);
    lock.commit().unwrap();
    for raw in &mut waiting {
        raw.answer().assert_status(204);
    }
    app.client.get(&format!("/api/v1/sessions/{largest}")).assert_status(200);
    assert_eq!(count_rows(&mut sql), 103);
}

#[test]
fn a_large_session_is_deleted_by_its_bytes_too() {
    let app = TestApp::start();
    let mut sql = app.sql();
    let [large, small] = [3, 3].map(|messages| session(&app, &mut sql, messages));
    let lookup = large.parse::<SessionId>().unwrap().lookup();
    let grow = "UPDATE messages SET total_bytes = 262145 WHERE session_id = $1 AND position = 3";
    sql.execute(grow, &[lookup.expose()]).unwrap();
    let mut lock = sql.transaction().unwrap();
    lock.execute("SELECT FROM messages WHERE session_id = $1 FOR UPDATE", &[lookup.expose()]).unwrap();
    let mut waiting = send_all(&app, [erase(&large)]);
    wait_for_row_locks(&mut app.sql(), &mut lock, 1);
    app.client.delete(&format!("/api/v1/sessions/{small}")).assert_status(204);
    lock.commit().unwrap();
    waiting[0].answer().assert_status(204);
}

#[test]
fn erasing_needs_no_connection_of_the_pool_and_panic_answers_within_100_ms() {
    let app = TestApp::with(&[("DB_POOL_MIN_SIZE", "2"), ("DB_POOL_MAX_SIZE", "2"), ("DB_ACQUIRE_TIMEOUT_MS", "300")]);
    let mut sql = app.sql();
    let chats: Vec<Chat<'_>> = (0..2).map(|_| Chat::new(&app)).collect();
    let ids: Vec<String> = (0..20).map(|_| app.create_session()).collect();
    let (deleted, panicked) = ids.split_at(10);
    let mut lock = sql.transaction().unwrap();
    for chat in &chats {
        let lookup = chat.id.parse::<SessionId>().unwrap().lookup();
        lock.execute("SELECT FROM sessions WHERE id = $1 FOR UPDATE", &[lookup.expose()]).unwrap();
    }
    // A message waits for the row of its session. Each holds a connection, so that none is left.
    thread::scope(|scope| {
        let client = &app.client;
        for (index, chat) in chats.iter().enumerate() {
            scope.spawn(move || client.post_json(&chat.path(), &json!({"message": "hello"}), &[]));
            wait_for_row_locks(&mut app.sql(), &mut lock, index as i64 + 1);
        }
        client.get(&format!("/api/v1/sessions/{}", ids[0])).assert_problem(503);
        // Locked sessions wait, and delay no other.
        let waiting = send_all(&app, chats.iter().map(|chat| erase(&chat.id)));
        wait_for_row_locks(&mut app.sql(), &mut lock, 3);
        for id in deleted {
            client.delete(&format!("/api/v1/sessions/{id}")).assert_status(204);
        }
        let panic = |id: &String| client.post_body("/api/v1/panic", "text/plain", id.as_bytes()).assert_status(204);
        let mut took: Vec<Duration> = panicked.iter().map(|id| timed(|| panic(id)).1).collect();
        took.sort_unstable();
        // Other load on the machine may slow some requests, not most.
        let median = took[took.len() / 2];
        assert!(median < Duration::from_millis(100), "{took:?}");
        client.delete(&format!("/api/v1/sessions/{}", ids[0])).assert_problem(404);
        lock.commit().unwrap();
        for mut raw in waiting {
            raw.answer().assert_status(204);
        }
    });
    assert_eq!(count_rows(&mut sql), 0);
}

#[test]
fn erasing_waits_for_longer_than_other_requests_wait_for_a_connection() {
    let app = TestApp::with(&[("DB_ACQUIRE_TIMEOUT_MS", "1000")]);
    let mut sql = app.sql();
    let ids: Vec<String> = (0..6).map(|_| app.create_session()).collect();
    let mut lock = sql.transaction().unwrap();
    lock.batch_execute("LOCK TABLE sessions IN SHARE MODE").unwrap();
    // Two batches wait for the table, the others for these.
    let mut waiting = send_all(&app, ids.iter().map(|id| erase(id)));
    wait_for_row_locks(&mut app.sql(), &mut lock, 1);
    thread::sleep(Duration::from_millis(1600));
    lock.commit().unwrap();
    for raw in &mut waiting {
        raw.answer().assert_status(204);
    }
}

#[test]
fn a_database_that_is_gone_or_frozen_gives_503_to_deletes_in_time() {
    let mut cluster = Cluster::start();
    let app = TestApp::at(&cluster.url(), &[("DB_ACQUIRE_TIMEOUT_MS", "500")]);
    let delete = || app.client.delete(&format!("/api/v1/sessions/{}", SessionId::random().expose()));
    let assert_503_in_time = |state: &str| {
        let (answers, took) = timed(|| {
            thread::scope(|scope| {
                let deletes: Vec<_> = (0..8).map(|_| scope.spawn(delete)).collect();
                deletes.into_iter().map(|delete| delete.join().unwrap()).collect::<Vec<_>>()
            })
        });
        answers.iter().for_each(|answer| _ = answer.assert_problem(503));
        assert!(took < Duration::from_secs(4), "{state}: {took:?}");
    };
    delete().assert_problem(404);
    // Longer than a connection is used without a probe.
    thread::sleep(Duration::from_millis(600));
    cluster.freeze();
    assert_503_in_time("frozen");
    cluster.thaw();
    eventually(PATIENCE, || (delete().status == 404).then_some(()));
    cluster.stop(None);
    assert_503_in_time("gone");
    cluster.start_again();
    eventually(Duration::from_secs(3), || (delete().status == 404).then_some(()));
}
