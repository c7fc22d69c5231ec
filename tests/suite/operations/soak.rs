//! The soak's judgements, each with what it must find: a broken ledger, rows that must not be there, a leak.

#[path = "../../../benches/soak/flatness.rs"]
mod flatness;
#[path = "../../../benches/soak/ledger.rs"]
mod ledger;
#[path = "../../../benches/soak/stored.rs"]
mod stored;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::app::TestApp;
use crate::support::chat::Chat;
use crate::support::cluster::Schema;
use crate::support::reports::{Reports, answers};
use flatness::Bound;
use ledger::{Exchange, Fate, Ledger};

/// A message of a history.
fn message(role: &str, id: &str, content: &str) -> Value {
    json!({"role": role, "id": id, "content": content})
}

fn exchange(question: &str, answer: Option<[&str; 2]>) -> Exchange {
    let answered = |[id, content]: [&str; 2]| Fate::Answered { id: id.to_owned(), content: content.to_owned() };
    Exchange { question: question.to_owned(), fate: answer.map_or(Fate::Unknown, answered) }
}

#[test]
fn a_history_is_at_fault_where_it_differs_from_what_was_acknowledged() {
    let exchanges =
        vec![exchange("one", Some(["1", "first"])), exchange("lost?", None), exchange("two", Some(["2", "second"]))];
    let ledger = Ledger { exchanges, ..Ledger::default() };
    let [one, first, two, second] = [
        message("user", "q1", "one"),
        message("model", "1", "first"),
        message("user", "q2", "two"),
        message("model", "2", "second"),
    ];
    let [unknown, its_answer] = [message("user", "q3", "lost?"), message("model", "3", "third")];
    let cases: [(&str, &[&Value], Option<&str>); 11] = [
        ("all of it", &[&one, &first, &two, &second], None),
        ("with the unknown message", &[&one, &first, &unknown, &two, &second], None),
        ("with that and an answer", &[&one, &first, &unknown, &its_answer, &two, &second], None),
        ("a lost message", &[&one, &first], Some("message 2 was acknowledged and is lost")),
        ("a lost answer", &[&one, &two, &second], Some("the answer to message 0 was acknowledged and is lost")),
        ("a changed answer", &[&one, &message("model", "1", "other"), &two, &second], Some("has another text")),
        ("a message twice", &[&one, &first, &one, &two, &second], Some("a message is stored twice")),
        ("another order", &[&two, &second, &one, &first], Some("message 2 is before an earlier one")),
        ("an answer before its message", &[&first, &one, &two, &second], Some("the answer to message 0 is before it")),
        (
            "a message of nobody",
            &[&one, &first, &two, &second, &message("user", "x", "x")],
            Some("1 messages were never sent"),
        ),
        (
            "an answer of nobody",
            &[&one, &first, &its_answer, &two, &second, &message("model", "x", "x")],
            Some("1 answers belong to no message"),
        ),
    ];
    for (case, history, expected) in cases {
        let history: Vec<Value> = history.iter().copied().cloned().collect();
        let faults = ledger.compare_history(&history);
        match expected {
            None => assert!(faults.is_empty(), "{case}: {faults:?}"),
            Some(expected) => assert!(faults.iter().any(|fault| fault.contains(expected)), "{case}: {faults:?}"),
        }
    }
}

#[test]
fn reports_are_at_fault_where_one_is_lost_or_changed_or_was_not_asked_for() {
    let report = |id: &str, text: &str| json!({"id": id, "generated_document": text});
    let ledger = |unknown_reports| Ledger { reports: vec![report("1", "a")], unknown_reports, ..Ledger::default() };
    for (case, unknown, stored, expected) in [
        ("as acknowledged", 0, vec![report("1", "a")], None),
        ("lost", 0, vec![], Some("report 0 was acknowledged and is lost")),
        ("changed", 0, vec![report("1", "b")], Some("report 0 has other contents")),
        ("one more, not acknowledged", 1, vec![report("1", "a"), report("2", "a")], None),
        ("one more, not asked for", 0, vec![report("1", "a"), report("2", "a")], Some("never asked for")),
    ] {
        let faults = ledger(unknown).compare_reports(&stored);
        assert_eq!(faults.len(), usize::from(expected.is_some()), "{case}: {faults:?}");
        assert!(expected.is_none_or(|expected| faults[0].contains(expected)), "{case}: {faults:?}");
    }
}

#[test]
fn the_ledger_agrees_with_what_the_service_returns() {
    let app = TestApp::start();
    let chat = Chat::new(&app);
    let answer = chat.send("a question").assert_status(200).json();
    let [id, content] = ["id", "content"].map(|member| answer[member].as_str().unwrap());
    let reports = Reports::of(&app.client, &chat.id);
    let report = reports.create(&answers());
    let exchanges = vec![exchange("a question", Some([id, content]))];
    let ledger = Ledger { exchanges, reports: vec![report.clone()], unknown_reports: 0 };
    assert_eq!(ledger.compare_history(&chat.messages()), [""; 0]);
    let stored = reports.get(report["id"].as_str().unwrap()).assert_status(200).json();
    assert_eq!(ledger.compare_reports(&[stored]), [""; 0]);
}

#[test]
fn rows_that_must_not_be_there_are_counted() {
    let schema = Schema::on_one_server();
    let (app, mut sql) = (TestApp::at(&schema.url(), &[]), schema.client());
    let chat = Chat::new(&app);
    chat.send("a question").assert_status(200);
    let lookup: Uuid = sql.query_one("SELECT id FROM sessions", &[]).unwrap().get(0);
    // The session, the message and its answer.
    assert_eq!(stored::rows_of(&mut sql, &[lookup, Uuid::new_v4()]).unwrap(), 3);
    assert_eq!(stored::orphans(&mut sql).unwrap(), 0);
    chat.erase().assert_status(204);
    assert_eq!(stored::rows_of(&mut sql, &[lookup]).unwrap(), 0);
    // Without the foreign keys, as nothing but a damage can.
    let drop = "SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname) FROM pg_constraint
                WHERE contype = 'f' AND confrelid = 'sessions'::regclass";
    for row in sql.query(drop, &[]).unwrap() {
        sql.batch_execute(row.get(0)).unwrap();
    }
    for row in [
        "INSERT INTO messages VALUES ($1, 1, $1, '', 1)",
        "INSERT INTO reports VALUES ($1, 1, $1, '')",
        "INSERT INTO turns VALUES ($1, 1, $1, now())",
    ] {
        sql.execute(row, &[&lookup]).unwrap();
    }
    assert_eq!(stored::orphans(&mut sql).unwrap(), 3);
    assert_eq!(stored::rows_of(&mut sql, &[lookup]).unwrap(), 3);
}

#[test]
fn a_session_is_overdue_from_ten_minutes_after_the_hour_of_its_end() {
    let schema = Schema::on_one_server();
    let (_app, mut sql) = (TestApp::at(&schema.url(), &[]), schema.client());
    let insert = "INSERT INTO sessions VALUES ($1, '', $2, $2, 60)";
    let now = "SELECT floor(extract(epoch FROM now()) / 3600)::integer, extract(epoch FROM now())::float8";
    let row = sql.query_one(now, &[]).unwrap();
    let (hour, seconds): (i32, f64) = (row.get(0), row.get(1));
    let lookup = Uuid::new_v4();
    sql.execute(insert, &[&lookup, &(hour - 1)]).unwrap();
    // Its end is known for certain eleven minutes after the hour of its last use.
    let since = seconds - f64::from(hour) * 3600.0 - 660.0;
    for (allowed, expected) in [(since - 30.0, 1), (since + 30.0, 0)] {
        assert_eq!(stored::overdue(&mut sql, allowed, 3).unwrap(), expected, "{allowed} of {since}");
    }
    // One that the soak made older does not count.
    stored::make_older(&mut sql, &[lookup], 3).unwrap();
    assert_eq!(stored::overdue(&mut sql, since - 30.0, 3).unwrap(), 0);
}

#[test]
fn a_value_is_flat_unless_its_last_quarter_is_above_the_bound() {
    let bound = Bound { percent: 10.0, absolute: 2.0 };
    let samples = |value: fn(f64) -> f64| {
        (0..100).map(|number| f64::from(number) / 100.0).map(|at| (at, value(at))).collect::<Vec<_>>()
    };
    for (case, value, expected) in [
        ("constant", samples(|_| 50.0), Some(true)),
        ("filling in the first quarter", samples(|at| 50.0 * (at * 4.0).min(1.0)), Some(true)),
        ("falling", samples(|at| 50.0 - at), Some(true)),
        ("at times high", samples(|at| if at > 0.95 { 500.0 } else { 50.0 }), Some(true)),
        ("a leak", samples(|at| 50.0 + 30.0 * at), Some(false)),
        ("a small value within the absolute bound", samples(|at| 1.0 + 2.0 * at), Some(true)),
        (
            "a leak and gaps",
            samples(|at| if ((at * 10.0) as u32).is_multiple_of(2) { f64::NAN } else { 50.0 + 30.0 * at }),
            Some(false),
        ),
        ("no number", samples(|_| f64::NAN), None),
        ("an end before the last quarter", samples(|at| if at > 0.7 { f64::NAN } else { 50.0 }), None),
    ] {
        let judged = flatness::judge(&value, bound);
        assert_eq!(judged.map(|judged| judged.is_flat), expected, "{case}: {judged:?}");
        assert!(judged.is_none_or(
            |judged| judged.is_flat == (judged.last_quarter <= flatness::limit(judged.second_quarter, bound))
        ));
    }
}
