//! Reports from their making to their end: the newest, changes at the same time, and what erases them.

use std::thread;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::app::TestApp;
use crate::support::chat::{Chat, count_rows, store_messages, store_session};
use crate::support::http::Answer;
use crate::support::reports::{Reports, answers, answers_with, id_of};

#[test]
fn the_newest_report_wins_and_the_list_has_all_of_them_the_newest_first() {
    let app = TestApp::start();
    let reports = Reports::new(&app);
    assert_eq!(reports.list(), [] as [Value; 0]);
    let made: Vec<Value> = ["workplace", "online", "sekolah"]
        .map(|location| reports.create(&answers_with(&json!({"location": location, "narrative": "words"}))))
        .into();
    let list = reports.list();
    let ids = |list: &[Value]| list.iter().map(|report| id_of(report).to_owned()).collect::<Vec<_>>();
    assert_eq!(ids(&list), made.iter().rev().map(|report| id_of(report).to_owned()).collect::<Vec<_>>());
    for (summary, report) in list.iter().zip(made.iter().rev()) {
        let summary = summary.as_object().unwrap();
        assert!(summary.iter().all(|(name, value)| &report[name] == value), "{summary:?}");
        assert!(!summary.contains_key("narrative") && !summary.contains_key("generated_document"), "{summary:?}");
    }
    // A change makes no report newer.
    reports.change(id_of(&made[0]), &json!({"language": "en"})).assert_status(200);
    assert_eq!(ids(&reports.list()), ids(&list));
    assert_eq!(reports.newest().json()["id"], made[2]["id"]);
    reports.delete(id_of(&made[2])).assert_status(204);
    assert_eq!(reports.newest().json()["id"], made[1]["id"]);
    reports.delete(id_of(&made[2])).assert_problem(404);
    // Another one takes the place that is free.
    let last = reports.create(&answers());
    assert_eq!(ids(&reports.list()), [id_of(&last), id_of(&made[1]), id_of(&made[0])]);
}

#[test]
fn a_change_fills_placeholders_takes_facts_back_and_makes_the_document_anew() {
    let app = TestApp::start();
    let reports = Reports::new(&app);
    let made = reports.create(&answers());
    let id = id_of(&made);
    let given = json!({"occurred_at": "awal Februari", "frequency": "tiga kali", "narrative": "Kata-kata.", "needs": ["legal"]});
    let filled = reports.change(id, &given).assert_status(200).json();
    assert_eq!((&filled["status"], &filled["placeholders"]), (&json!("complete"), &json!(0)));
    let document = filled["generated_document"].as_str().unwrap();
    assert!(document.contains("awal Februari") && document.contains("Kata-kata.") && !document.contains("[ISI: "));
    assert_eq!((&filled["created_at"], &filled["id"]), (&made["created_at"], &made["id"]));
    assert!(filled["updated_at"].as_str() > made["updated_at"].as_str());
    let taken_back = json!({"occurred_at": null, "frequency": "", "narrative": null, "needs": null});
    let empty = reports.change(id, &taken_back).assert_status(200).json();
    for name in ["missing", "placeholders", "status", "generated_document", "needs", "language"] {
        assert_eq!(empty[name], made[name], "{name}");
    }
    let other = json!({"location": "online", "perpetrator": "stranger", "description": "digital harassment",
        "evidence": "none", "user_goal": "explore options", "language": "en"});
    let changed = reports.change(id, &other).assert_status(200).json();
    for (name, value) in other.as_object().unwrap() {
        assert_eq!(&changed[name], value);
    }
    assert_eq!(changed["power_imbalance"], "rendah");
    assert!(changed["generated_document"].as_str().unwrap().contains("[FILL IN: "));
    assert_eq!(
        reports.change(id, &json!({})).assert_status(200).json()["generated_document"],
        changed["generated_document"]
    );
    assert_eq!(reports.newest().json()["location"], "online");
}

#[test]
fn of_changes_at_the_same_time_none_is_lost() {
    let app = TestApp::start();
    let reports = Reports::new(&app);
    let made = reports.create(&answers());
    let changes = [
        json!({"location": "online"}),
        json!({"perpetrator": "client"}),
        json!({"evidence": "emails"}),
        json!({"occurred_at": "kemarin"}),
        json!({"frequency": "sekali"}),
        json!({"narrative": "Begitulah."}),
        json!({"needs": ["digital"]}),
        json!({"language": "en"}),
    ];
    thread::scope(|scope| {
        for change in &changes {
            scope.spawn(|| reports.change(id_of(&made), change).assert_status(200));
        }
    });
    let report = reports.newest().json();
    for (name, value) in changes.iter().flat_map(|change| change.as_object().unwrap()) {
        assert_eq!(&report[name], value, "{name}");
    }
}

#[test]
fn a_report_that_is_deleted_while_it_is_changed_stays_deleted() {
    let app = TestApp::start();
    let reports = Reports::new(&app);
    for _ in 0..10 {
        let made = reports.create(&answers());
        let id = id_of(&made);
        let changes: Vec<u16> = thread::scope(|scope| {
            let changes: Vec<_> =
                (0..4).map(|_| scope.spawn(|| reports.change(id, &json!({"language": "en"})).status)).collect();
            let deletes: Vec<_> = (0..2).map(|_| scope.spawn(|| reports.delete(id).status)).collect();
            let mut deleted: Vec<u16> = deletes.into_iter().map(|delete| delete.join().unwrap()).collect();
            deleted.sort_unstable();
            assert_eq!(deleted, [204, 404], "exactly one deletes it");
            changes.into_iter().map(|change| change.join().unwrap()).collect()
        });
        assert!(changes.iter().all(|status| [200, 404].contains(status)), "{changes:?}");
        reports.get(id).assert_problem(404);
        assert_eq!(reports.list().len(), 0);
    }
}

#[test]
fn a_session_has_twenty_reports_and_of_several_requests_for_the_last_one_gets_it() {
    let app = TestApp::start();
    let reports = Reports::new(&app);
    let made: Vec<Value> = (0..19).map(|_| reports.create(&answers())).collect();
    let mut answers: Vec<Answer> = thread::scope(|scope| {
        let requests: Vec<_> = (0..8).map(|_| scope.spawn(|| reports.try_create(&answers()))).collect();
        requests.into_iter().map(|request| request.join().unwrap()).collect()
    });
    answers.sort_by_key(|answer| answer.status);
    assert_eq!(answers[0].status, 201, "{}", answers[0].text());
    for refused in &answers[1..] {
        refused.assert_problem(409);
        assert_eq!(refused.json()["code"], "reports_full");
    }
    assert_eq!(reports.list().len(), 20);
    // There is room again for one.
    reports.delete(id_of(&made[4])).assert_status(204);
    reports.create(&crate::support::reports::answers());
    reports.try_create(&crate::support::reports::answers()).assert_problem(409);
}

#[test]
fn reports_are_erased_with_their_session_and_counted() {
    let app = TestApp::start();
    let mut sql = app.sql();
    // The second is deleted alone: its reports have more than 256 KiB.
    for (count, narrative) in [(2, "words".to_owned()), (3, "\u{1f622}".repeat(16_384))] {
        let id = app.create_session();
        let reports = Reports::of(&app.client, &id);
        store_messages(&mut sql, &id, &["halo".to_owned(), "halo".to_owned()]);
        (0..count).for_each(|_| _ = reports.create(&answers_with(&json!({"narrative": narrative}))));
        let lock = include_str!("../../../sql/sessions/lock_many.sql");
        let lookups: Vec<Uuid> =
            sql.query("SELECT id FROM sessions", &[]).unwrap().iter().map(|row| row.get(0)).collect();
        let row = sql.query_one(lock, &[&lookups, &100_i32, &(256 * 1024_i64)]).unwrap();
        assert_eq!(row.get::<_, Option<i64>>("bytes_left").is_some(), count == 3, "passed over by a batch");
        let path = format!("/api/v1/sessions/{id}");
        let erased = app.client.send_with("DELETE", &path, &[("Prefer", "return=representation")]).assert_status(200);
        assert_eq!(erased.json(), json!({"deleted": {"sessions": 1, "messages": 2, "reports": count}}));
        reports.newest().assert_problem(404);
        assert_eq!(count_rows(&mut sql), 0);
    }
}

#[test]
fn making_and_changing_a_report_prolongs_the_session_and_reading_or_deleting_one_does_not() {
    let app = TestApp::start();
    let mut sql = app.sql();
    let id = store_session(&mut sql, 500_000, None, &[400_000]);
    let reports = Reports::of(&app.client, &id);
    let expires_at = || {
        let session = app.client.get(&reports.session).assert_status(200).json();
        session["expires_at"].as_str().unwrap().to_owned()
    };
    let hours = |sql: &mut postgres::Client| {
        sql.query_one("SELECT last_used_hour FROM sessions", &[]).unwrap().get::<_, i32>(0)
    };
    let (before, hour) = (expires_at(), hours(&mut sql));
    reports.newest().assert_problem(404);
    reports.try_create(&json!({})).assert_problem(422);
    assert_eq!((expires_at(), hours(&mut sql)), (before.clone(), hour));
    let report = reports.create(&answers());
    let created = expires_at();
    assert!(created > before && hours(&mut sql) > hour, "{created} {before}");
    reports.newest().assert_status(200);
    assert_eq!(reports.list().len(), 1);
    assert_eq!(expires_at(), created);
    reports.change(id_of(&report), &json!({})).assert_status(200);
    let changed = expires_at();
    assert!(changed > created, "{changed} {created}");
    reports.delete(id_of(&report)).assert_status(204);
    assert_eq!(expires_at(), changed);
    // Each statement that looks for a session sees it.
    let chat = Chat::of(&app.client, &id);
    app.sql().execute("UPDATE messages SET position = position", &[]).unwrap();
    chat.history("").assert_status(200);
    chat.history("?limit=1").assert_status(200);
}

#[test]
fn a_session_whose_last_use_is_a_report_lives_for_chat_and_deletion() {
    let app = TestApp::start();
    // Idle for longer than its timeout, but for a report.
    let id = store_session(&mut app.sql(), 300, Some(200), &[250]);
    let chat = Chat::of(&app.client, &id);
    chat.history("").assert_problem(404);
    let set = "UPDATE sessions SET idle_timeout_seconds = $1";
    app.sql().execute(set, &[&400_i32]).unwrap();
    Reports::of(&app.client, &id).create(&answers());
    app.sql().execute(set, &[&200_i32]).unwrap();
    chat.history("").assert_status(200);
    chat.send("halo").assert_status(200);
    // Positions never go back, so the claim of the message would still hold.
    app.sql().batch_execute("DELETE FROM messages; DELETE FROM turns").unwrap();
    chat.send("halo").assert_status(200);
    chat.stop().assert_status(204);
    chat.erase().assert_status(204);
}

#[test]
fn a_report_whose_row_was_changed_is_500_and_never_returned() {
    let app = TestApp::start();
    let (one, other) = (Reports::new(&app), Reports::new(&app));
    for change in [
        "UPDATE reports SET sealed = set_byte(sealed, 60, 255 - get_byte(sealed, 60))",
        "UPDATE reports SET position = position + 1",
        "UPDATE reports SET sealed = substr(sealed, 1, length(sealed) - 1)",
        "UPDATE reports r SET sealed = o.sealed FROM reports o WHERE o.session_id <> r.session_id",
        "UPDATE reports r SET id = o.id, sealed = o.sealed FROM reports o WHERE o.session_id <> r.session_id",
        "UPDATE reports SET sealed = (SELECT sealed FROM sessions LIMIT 1)",
        "UPDATE sessions SET last_report = sealed",
        "UPDATE sessions s SET last_report = o.last_report FROM sessions o WHERE s.id <> o.id",
    ] {
        app.sql().batch_execute("DELETE FROM reports; UPDATE sessions SET last_report = NULL").unwrap();
        let ids = [&one, &other].map(|reports| id_of(&reports.create(&answers())).to_owned());
        one.newest().assert_status(200);
        app.sql().batch_execute(change).unwrap();
        for (reports, id) in [&one, &other].into_iter().zip(ids) {
            reports.newest().assert_problem(500);
            let found = [reports.get(&id).status, reports.change(&id, &json!({})).status];
            assert!(found == [500; 2] || found == [404; 2], "{change}: {found:?}");
        }
    }
    // Erasing needs no key.
    app.client.delete(&one.session).assert_status(204);
}

#[test]
fn what_a_report_says_is_not_readable_in_any_row_and_equal_reports_are_stored_differently() {
    let app = TestApp::start();
    let reports = Reports::new(&app);
    let given = json!({"narrative": "rahasia sekali", "occurred_at": "rahasia juga"});
    let made = [(); 2].map(|()| reports.create(&answers_with(&given)));
    reports.change(id_of(&made[0]), &json!({"frequency": "rahasia pula"})).assert_status(200);
    let rows = app.sql().query("SELECT sealed, id FROM reports", &[]).unwrap();
    let sealed: Vec<Vec<u8>> = rows.iter().map(|row| row.get("sealed")).collect();
    assert_ne!(sealed[0], sealed[1]);
    let lengths: Vec<usize> = sealed.iter().map(Vec::len).collect();
    assert_eq!(lengths, [1 + 24 + 8192 + 16; 2], "padded");
    let readable = |sealed: &Vec<u8>| String::from_utf8_lossy(sealed).contains("rahasia");
    assert!(!sealed.iter().any(readable));
    let ids: Vec<Uuid> = rows.iter().map(|row| row.get("id")).collect();
    assert!(ids.iter().all(|id| id.get_version_num() == 4), "random");
}

#[test]
fn where_the_storage_is_full_reports_are_read_and_deleted_and_none_is_made_or_changed() {
    let schema = crate::support::cluster::Schema::new();
    let app = TestApp::at(&schema.url(), &[]);
    let id = app.create_session();
    let made = Reports::of(&app.client, &id).create(&answers());
    drop(app);
    let app = TestApp::at(&schema.url(), &[("STORAGE_RESERVE", "99%")]);
    crate::support::eventually(crate::support::timing::PATIENCE, || {
        (app.client.post("/api/v1/sessions").status == 503).then_some(())
    });
    let reports = Reports::of(&app.client, &id);
    for refused in [reports.try_create(&answers()), reports.change(id_of(&made), &json!({}))] {
        refused.assert_problem(503);
        assert_eq!(refused.json()["code"], "storage_full");
    }
    reports.newest().assert_status(200);
    reports.delete(id_of(&made)).assert_status(204);
}
