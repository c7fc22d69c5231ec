//! The bounds of the routes of reports, and what goes on above them.

use std::time::Duration;

use serde_json::json;

use crate::support::app::TestApp;
use crate::support::chat::Chat;
use crate::support::raw::Raw;
use crate::support::reports::{Reports, answers, answers_with, id_of};
use crate::support::timing::PATIENCE;
use crate::support::{eventually, lock_table, timed};

#[test]
fn reports_have_a_rate_of_their_own_beside_messages() {
    let app = TestApp::with(&[("RATE_LIMIT", "on")]);
    let id = app.create_session();
    let (chat, reports) = (Chat::of(&app.client, &id), Reports::of(&app.client, &id));
    // As the first version's front-end does it.
    (0..5).for_each(|_| _ = chat.send("halo").assert_status(200));
    let report = reports.create(&answers());
    let refused = (0..10).find_map(|_| {
        let answer = reports.change(id_of(&report), &json!({"frequency": "sekali"}));
        (answer.status != 200).then_some(answer)
    });
    let refused = refused.expect("a rate");
    let detail = refused.assert_problem(429);
    assert!(detail.contains("5 in a row") && detail.contains("20 in a minute"), "{detail}");
    assert_eq!(refused.json()["code"], "rate_limited");
    let seconds: u64 = refused.header("Retry-After").unwrap().parse().unwrap();
    assert!((1..=3).contains(&seconds), "{seconds}");
    // Reading and deleting take nothing.
    for _ in 0..20 {
        reports.newest().assert_status(200);
    }
    reports.delete(id_of(&report)).assert_status(204);
}

#[test]
fn a_long_report_counts_as_several() {
    let app = TestApp::with(&[("RATE_LIMIT", "on")]);
    let reports = Reports::new(&app);
    let long = answers_with(&json!({"narrative": "\u{1f622}".repeat(16_384)}));
    reports.create(&long);
    reports.try_create(&answers()).assert_problem(429);
    let other = Reports::new(&app);
    other.create(&answers());
    other.try_create(&long).assert_problem(429);
}

#[test]
fn where_the_table_of_reports_is_locked_the_queue_is_bounded_and_everything_else_goes_on() {
    let app = TestApp::with(&[("DB_POOL_MAX_SIZE", "12")]);
    let (sessions, chat) = (Vec::from_iter((0..33).map(|_| Reports::new(&app))), Chat::new(&app));
    let reports = &sessions[0];
    let made: Vec<_> = sessions.iter().map(|reports| reports.create(&answers())).collect();
    let mut sql = app.sql();
    let lock = lock_table(&mut sql, "reports");
    let get = |reports: &Reports<'_>| format!("GET {} HTTP/1.1\r\nHost: x\r\n\r\n", reports.path());
    // Four have a thread, 512 wait for one; 16 of a session.
    let mut waiting: Vec<Raw> = Vec::new();
    let refused = eventually(PATIENCE, || {
        let mut raw = Raw::connect(app.client.address());
        raw.send(get(&sessions[waiting.len() / 16]).as_bytes());
        raw.stream.set_read_timeout(Some(Duration::from_millis(if waiting.len() < 516 { 1 } else { 300 }))).unwrap();
        if raw.stream.peek(&mut [0]).is_ok() {
            return Some(raw);
        }
        waiting.push(raw);
        None
    });
    assert_eq!(waiting.len(), 516);
    reports.newest().assert_problem(429);
    let mut refused = refused;
    let answer = refused.answer();
    assert_eq!((answer.status, answer.json()["code"].as_str()), (503, Some("busy")));
    assert!(answer.header("Retry-After").is_some());
    let (_, took) = timed(|| {
        chat.send("halo").assert_status(200);
        chat.history("").assert_status(200);
        app.create_session();
    });
    assert!(took < Duration::from_secs(2), "{took:?}");
    lock.rollback().unwrap();
    let mut statuses: Vec<u16> = Vec::new();
    for raw in &mut waiting {
        raw.stream.set_read_timeout(Some(PATIENCE)).unwrap();
        statuses.push(raw.answer().status);
    }
    let unexpected: Vec<&u16> = statuses.iter().filter(|status| ![200, 503].contains(*status)).collect();
    assert!(unexpected.is_empty(), "{unexpected:?}");
    reports.get(id_of(&made[0])).assert_status(200);
}
