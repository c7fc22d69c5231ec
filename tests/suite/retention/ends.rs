//! When a session ends for its client, with the sweeper stopped.

use chrono::{DateTime, TimeDelta, Utc};
use safespace::session_id::SessionId;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::app::TestApp;
use crate::support::chat::{Chat, count_rows, store_session};
use crate::support::cluster::Schema;
use crate::support::eventually;
use crate::support::http::Answer;
use crate::support::raw::Raw;
use crate::support::timing::PATIENCE;

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// What is asked of a session, each with the status of a session that exists.
fn ask_everything(app: &TestApp, id: &str) -> Vec<(&'static str, Answer, u16)> {
    let (chat, path) = (Chat::of(&app.client, id), format!("/api/v1/sessions/{id}"));
    vec![
        ("read", app.client.get(&path), 200),
        ("HEAD", app.client.send("HEAD", &path), 200),
        ("history", chat.history(""), 200),
        ("HEAD of the history", app.client.send("HEAD", &chat.path()), 200),
        ("page", chat.history("?limit=1"), 200),
        ("stop", chat.stop(), 204),
        ("timeout", app.client.patch_json(&path, &json!({"idle_timeout_seconds": null})), 200),
        ("message", chat.send("halo"), 200),
        ("message with a key", chat.send_with_key("key", "halo"), 200),
        (
            "stream",
            chat.try_stream(None, "halo").err().unwrap_or_else(|| Answer::parse(b"HTTP/1.1 200 OK\r\n\r\n")),
            200,
        ),
    ]
}

#[test]
fn a_session_that_ended_is_404_everywhere_at_once() {
    let app = TestApp::start();
    let mut sql = app.sql();
    for (created, own, messages, exists) in [
        (7 * DAY - MINUTE, None, vec![], true),
        (7 * DAY + 1, None, vec![], false),
        (10 * DAY, None, vec![9 * DAY, 7 * DAY - MINUTE], true),
        (10 * DAY, None, vec![9 * DAY, 7 * DAY + 1], false),
        // The maximum age, whatever is said.
        (30 * DAY - MINUTE, None, vec![MINUTE], true),
        (30 * DAY + 1, None, vec![MINUTE], false),
        // A timeout of its own.
        (HOUR, Some(1800), vec![1700], true),
        (HOUR, Some(1800), vec![1801], false),
        (HOUR, Some(1800), vec![], false),
        // No session has a longer one than the operator's.
        (8 * DAY, Some(31_000_000), vec![], false),
    ] {
        let case = format!("created {created} s ago, own timeout {own:?}, messages {messages:?} s ago");
        let id = store_session(&mut sql, created, own, &messages);
        let stored = count_rows(&mut sql);
        for (what, answer, status) in ask_everything(&app, &id) {
            let expected = if exists { status } else { 404 };
            assert_eq!(answer.status, expected, "{what}, {case}: {}", answer.text());
        }
        assert!(exists || count_rows(&mut sql) == stored, "{case}: rows changed");
        // Its rows are deleted all the same.
        assert_eq!(Chat::of(&app.client, &id).erase().status, if exists { 204 } else { 404 }, "{case}");
        assert!(exists || count_rows(&mut sql) < stored, "{case}: not deleted");
    }
}

#[track_caller]
fn time(value: &Value) -> DateTime<Utc> {
    value.as_str().unwrap().parse().unwrap()
}

#[test]
fn a_session_ends_after_its_own_timeout_which_can_be_changed() {
    let app = TestApp::start();
    let created = app.client.post_json("/api/v1/sessions", &json!({"idle_timeout_seconds": 60, "x": 1}), &[]);
    let mut session = created.assert_status(201).json();
    let path = format!("/api/v1/sessions/{}", session["session_id"].as_str().unwrap());
    assert_eq!(time(&session["expires_at"]), time(&session["created_at"]) + TimeDelta::seconds(60));
    assert_eq!(session["idle_timeout_seconds"], 60);
    assert_eq!(app.client.get(&path).assert_status(200).json(), session);
    for (wanted, seconds) in [(json!(3600), 3600), (json!(null), 604_800), (json!(604_800), 604_800), (json!(60), 60)] {
        let changed = app.client.patch_json(&path, &json!({"idle_timeout_seconds": wanted, "x": 1})).assert_status(200);
        session["idle_timeout_seconds"] = json!(seconds);
        session["expires_at"] = changed.json()["expires_at"].clone();
        assert_eq!(changed.json(), session);
        assert_eq!(time(&session["expires_at"]), time(&session["created_at"]) + TimeDelta::seconds(seconds));
        assert_eq!(app.client.get(&path).assert_status(200).json(), session);
    }
    let by_default = app.client.post_json("/api/v1/sessions", &json!({"idle_timeout_seconds": null}), &[]);
    assert_eq!(by_default.assert_status(201).json()["idle_timeout_seconds"], 604_800);
}

#[test]
fn a_timeout_that_is_none_is_422_with_its_bounds() {
    let app = TestApp::start();
    let path = format!("/api/v1/sessions/{}", app.create_session());
    for wrong in [json!(59), json!(604_801), json!(0), json!(-60), json!(60.5), json!("60"), json!(true), json!([])] {
        let body = json!({"idle_timeout_seconds": wrong});
        for answer in [app.client.post_json("/api/v1/sessions", &body, &[]), app.client.patch_json(&path, &body)] {
            let detail = answer.assert_problem(422);
            assert!(detail.contains("60 to 604800"), "{wrong}: {detail}");
            assert_eq!(answer.json()["errors"][0]["code"], "idle_timeout_invalid");
            assert_eq!(answer.json()["errors"][0]["field"], "idle_timeout_seconds");
        }
    }
    app.client.patch_json(&path, &json!({})).assert_problem(422);
    let both = app.client.patch_json("/api/v1/sessions/1", &json!({}));
    both.assert_problem(422);
    assert_eq!(both.json()["errors"].as_array().unwrap().len(), 2);
    app.client
        .patch_json(&format!("/api/v1/sessions/{}", Uuid::new_v4()), &json!({"idle_timeout_seconds": 60}))
        .assert_problem(404);
}

#[test]
fn a_longer_timeout_does_not_bring_a_session_back() {
    let app = TestApp::start();
    let mut sql = app.sql();
    let id = store_session(&mut sql, 3 * HOUR, Some(1800), &[HOUR]);
    let path = format!("/api/v1/sessions/{id}");
    app.client.patch_json(&path, &json!({"idle_timeout_seconds": 604_800})).assert_problem(404);
    app.client.get(&path).assert_problem(404);
    let own: i32 = sql.query_one("SELECT idle_timeout_seconds FROM sessions", &[]).unwrap().get(0);
    assert_eq!(own, 1800);
}

#[test]
fn a_message_moves_the_end_until_the_maximum_age() {
    let app = TestApp::start();
    for (created, ends_by_age) in [(DAY, false), (24 * DAY, true)] {
        let id = store_session(&mut app.sql(), created, None, &[DAY]);
        let chat = Chat::of(&app.client, &id);
        let read = || app.client.get(&format!("/api/v1/sessions/{id}")).assert_status(200).json();
        let before = time(&read()["expires_at"]);
        let answer = chat.send("halo").assert_status(200).json();
        let session = read();
        let expected = if ends_by_age {
            time(&session["created_at"]) + TimeDelta::days(30)
        } else {
            time(&answer["created_at"]) + TimeDelta::days(7)
        };
        assert_eq!(time(&session["expires_at"]), expected);
        assert!(time(&session["expires_at"]) >= before);
    }
}

#[test]
fn a_changed_policy_holds_for_existing_sessions() {
    let schema = Schema::new();
    let hour = [("SESSION_IDLE_TIMEOUT", "3600")];
    let (usual, short) = (TestApp::at(&schema.url(), &[]), TestApp::at(&schema.url(), &hour));
    let young = TestApp::at(&schema.url(), &[("SESSION_MAX_AGE", "86400")]);
    let mut sql = schema.client();
    let statuses = |id: &str| {
        let path = format!("/api/v1/sessions/{id}");
        [&usual, &short, &young, &usual].map(|app| app.client.get(&path).status)
    };
    assert_eq!(statuses(&store_session(&mut sql, 2 * HOUR, None, &[])), [200, 404, 200, 200]);
    assert_eq!(statuses(&store_session(&mut sql, 2 * DAY, None, &[MINUTE])), [200, 200, 404, 200]);
    // Also where the session chose a timeout under the policy before.
    assert_eq!(statuses(&store_session(&mut sql, 2 * HOUR, Some(7200 + 60), &[])), [200, 404, 200, 200]);
    let created = short.client.post("/api/v1/sessions").assert_status(201).json();
    assert_eq!(created["idle_timeout_seconds"], 3600);
    let wrong = short.client.post_json("/api/v1/sessions", &json!({"idle_timeout_seconds": 3601}), &[]);
    assert!(wrong.assert_problem(422).contains("60 to 3600"));
}

/// The hour of the last use, and the transaction that wrote the row.
fn last_use(sql: &mut postgres::Client, id: &str) -> (i32, String) {
    let lookup = *id.parse::<SessionId>().unwrap().lookup().expose();
    let row = "SELECT last_used_hour, xmin::text FROM sessions WHERE id = $1";
    let row = sql.query_one(row, &[&lookup]).unwrap();
    (row.get(0), row.get(1))
}

fn hour() -> i32 {
    i32::try_from(Utc::now().timestamp() / 3600).unwrap()
}

#[test]
fn the_last_use_is_written_once_in_an_hour_and_by_no_read() {
    let app = TestApp::start();
    let mut sql = app.sql();
    let id = store_session(&mut sql, DAY, None, &[5 * HOUR]);
    let (chat, path) = (Chat::of(&app.client, &id), format!("/api/v1/sessions/{id}"));
    let before = last_use(&mut sql, &id);
    app.client.get(&path).assert_status(200);
    chat.history("").assert_status(200);
    chat.stop().assert_status(204);
    assert_eq!(last_use(&mut sql, &id), before);
    app.client.patch_json(&path, &json!({"idle_timeout_seconds": null})).assert_status(200);
    assert_eq!(last_use(&mut sql, &id).0, before.0, "changing the timeout is no use");
    chat.send("halo").assert_status(200);
    let after = last_use(&mut sql, &id);
    assert!((0..=1).contains(&(hour() - after.0)), "{after:?}");
    chat.send("halo lagi").assert_status(200);
    let again = last_use(&mut sql, &id);
    assert!(again == after || again.0 > after.0, "{again:?} after {after:?}");
}

#[test]
fn messages_that_share_a_statement_write_the_last_use_of_each_session() {
    let app = TestApp::with(&[("DB_ACQUIRE_TIMEOUT_MS", "10000")]);
    let mut sql = app.sql();
    let ids: Vec<String> = (0..12).map(|_| store_session(&mut sql, DAY, None, &[5 * HOUR])).collect();
    // Reads go on; messages wait for the lock. The first two are alone in their statements, and take the two permits, so the
    // others share one.
    let mut locking = app.sql();
    let mut lock = locking.transaction().unwrap();
    lock.batch_execute("LOCK TABLE sessions IN EXCLUSIVE MODE").unwrap();
    let waiting = "SELECT FROM pg_locks WHERE NOT granted AND relation = 'sessions'::regclass";
    let mut raws = Vec::new();
    for (number, id) in ids.iter().enumerate() {
        let mut raw = Raw::connect(app.client.address());
        raw.send(&Chat::of(&app.client, id).request("application/json", None, "halo"));
        raws.push(raw);
        let statements = (number + 1).min(2);
        eventually(PATIENCE, || (sql.query(waiting, &[]).unwrap().len() >= statements).then_some(()));
    }
    lock.commit().unwrap();
    for (raw, id) in raws.iter_mut().zip(&ids) {
        raw.answer().assert_status(200);
        assert!((0..=1).contains(&(hour() - last_use(&mut sql, id).0)));
    }
}
