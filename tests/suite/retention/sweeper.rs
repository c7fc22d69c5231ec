//! The sweeper: what it deletes, in which batches, and what it leaves to others.

use std::thread;
use std::time::Duration;

use chrono::Utc;
use postgres::Client;
use uuid::Uuid;

use crate::support::app::TestApp;
use crate::support::chat::{Chat, count_rows, store_session};
use crate::support::eventually;
use crate::support::timing::PATIENCE;

/// Stores a session whose rows say these hours ago, and as many messages.
fn store(sql: &mut Client, created: i32, last_used: i32, own: Option<i32>, messages: i32) -> Uuid {
    let id = Uuid::new_v4();
    let hour = "floor(extract(epoch FROM now()) / 3600)::integer";
    let session = format!("INSERT INTO sessions VALUES ($1, '', {hour} - $2, {hour} - $3, $4)");
    sql.execute(&session, &[&id, &created, &last_used, &own]).unwrap();
    let of_session = "INSERT INTO messages SELECT $1, position, gen_random_uuid(), '\\x00', position * 300
                      FROM generate_series(1, $2) AS position";
    sql.execute(of_session, &[&id, &messages]).unwrap();
    id
}

fn stored(sql: &mut Client) -> Vec<Uuid> {
    sql.query("SELECT id FROM sessions", &[]).unwrap().iter().map(|row| row.get(0)).collect()
}

/// Holds the right to sweep, which one service has at a time.
fn hold_sweeps(sql: &mut Client) -> postgres::Transaction<'_> {
    let mut transaction = sql.transaction().unwrap();
    eventually(PATIENCE, || {
        let row = transaction.query_one(include_str!("../../../sql/sweeper/lock.sql"), &[]).unwrap();
        row.get::<_, bool>("is_locked").then_some(())
    });
    transaction
}

/// The value of a metric without labels.
fn metric(app: &TestApp, name: &str) -> i64 {
    let metrics = app.metrics();
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).expect("the metric");
    line.parse().unwrap()
}

/// Returns where the hour does not end before a test does.
fn await_room_in_the_hour() {
    while Utc::now().timestamp() % 3600 > 3540 {
        thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_sweep_deletes_the_sessions_whose_hours_say_that_they_ended_and_no_others() {
    await_room_in_the_hour();
    let app = TestApp::sweeping();
    let mut sql = app.sql();
    let (mut ended, mut living) = (Vec::new(), Vec::new());
    let mut holding = app.sql();
    let hold = hold_sweeps(&mut holding);
    // 168 hours are the idle timeout, 720 the maximum age. A session counts from ten minutes after the end of its hour.
    for (created, last_used, own, has_ended) in [
        (170, 170, None, true),
        (168, 168, None, false),
        (0, 0, None, false),
        (700, 170, None, true),
        (700, 168, None, false),
        (722, 0, None, true),
        (720, 0, None, false),
        (722, 722, None, true),
        (3, 3, Some(3600), true),
        (1, 1, Some(3600), false),
        (700, 1, Some(3600), false),
        (170, 170, Some(31_000_000), true),
        (722, 1, Some(31_000_000), true),
        (168, 168, Some(31_000_000), false),
    ] {
        let id = store(&mut sql, created, last_used, own, 3);
        if has_ended { &mut ended } else { &mut living }.push(id);
    }
    hold.rollback().unwrap();
    eventually(PATIENCE, || (!stored(&mut sql).iter().any(|id| ended.contains(id))).then_some(()));
    // Another sweep would find what this one has left.
    let counted = living.len() + 3 * living.len();
    for _ in 0..2 {
        hold_sweeps(&mut holding).rollback().unwrap();
        assert_eq!(count_rows(&mut sql), i64::try_from(counted).unwrap());
    }
    let mut left = stored(&mut sql);
    left.sort_unstable();
    living.sort_unstable();
    assert_eq!(left, living);
    eventually(PATIENCE, || (metric(&app, "safespace_sessions_expired_total") == ended.len() as i64).then_some(()));
    assert_eq!(metric(&app, "safespace_sessions_deleted_total"), 0, "nobody deleted them");
}

#[test]
fn a_sweep_deletes_in_batches_and_a_large_session_alone() {
    let app = TestApp::sweeping();
    let (mut sql, mut holding) = (app.sql(), app.sql());
    let hold = hold_sweeps(&mut holding);
    sql.batch_execute(
        "CREATE TABLE deletions (id uuid, transaction bigint DEFAULT txid_current());
         CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
         $$ BEGIN INSERT INTO deletions VALUES (OLD.id); RETURN OLD; END $$;
         CREATE TRIGGER note AFTER DELETE ON sessions FOR EACH ROW EXECUTE FUNCTION note()",
    )
    .unwrap();
    let small = "INSERT INTO sessions SELECT gen_random_uuid(), '', 0, 0 FROM generate_series(1, 900)";
    sql.batch_execute(small).unwrap();
    let large: Vec<Uuid> = (0..3).map(|_| store(&mut sql, 200, 200, None, 1_500)).collect();
    hold.rollback().unwrap();
    eventually(PATIENCE, || stored(&mut sql).is_empty().then_some(()));
    let batches = "SELECT count(*), bool_or(id = ANY($1)) FROM deletions GROUP BY transaction";
    let batches: Vec<(i64, bool)> =
        sql.query(batches, &[&large]).unwrap().iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(batches.iter().map(|(count, _)| count).sum::<i64>(), 903);
    assert!(batches.iter().all(|(count, _)| *count <= 200), "{batches:?}");
    // A large one is alone, or ends a batch that began with it.
    assert_eq!(batches.iter().filter(|(_, has_large)| *has_large).count(), 3, "{batches:?}");
    assert!(batches.iter().all(|(count, has_large)| !has_large || *count == 1), "{batches:?}");
}

#[test]
fn a_sweep_passes_over_what_is_locked_and_takes_it_later() {
    let app = TestApp::sweeping();
    let (mut sql, mut holding, mut locking) = (app.sql(), app.sql(), app.sql());
    let hold = hold_sweeps(&mut holding);
    let ended: Vec<Uuid> = (0..3).map(|_| store(&mut sql, 200, 200, None, 1)).collect();
    let mut lock = locking.transaction().unwrap();
    lock.execute("SELECT FROM sessions WHERE id = $1 FOR KEY SHARE", &[&ended[0]]).unwrap();
    hold.rollback().unwrap();
    eventually(PATIENCE, || (stored(&mut sql) == [ended[0]]).then_some(()));
    hold_sweeps(&mut holding).rollback().unwrap();
    assert_eq!(stored(&mut sql), [ended[0]]);
    lock.rollback().unwrap();
    eventually(PATIENCE, || stored(&mut sql).is_empty().then_some(()));
}

#[test]
fn while_one_service_sweeps_another_does_not_and_still_measures() {
    await_room_in_the_hour();
    let app = TestApp::sweeping();
    let (mut sql, mut holding) = (app.sql(), app.sql());
    assert_eq!(metric(&app, "safespace_retention_overdue_seconds"), 0);
    for (created, last_used, own) in [(172, 172, None), (724, 0, None), (5, 5, Some(3600))] {
        let hold = hold_sweeps(&mut holding);
        store(&mut sql, created, last_used, own, 0);
        // By its hour it ended three hours and more ago, less the ten minutes.
        let overdue =
            eventually(PATIENCE, || Some(metric(&app, "safespace_retention_overdue_seconds")).filter(|it| *it > 0));
        assert!((10_200..=13_800).contains(&overdue), "{overdue} s");
        assert_eq!(stored(&mut sql).len(), 1);
        hold.rollback().unwrap();
        eventually(PATIENCE, || (metric(&app, "safespace_retention_overdue_seconds") == 0).then_some(()));
        assert!(stored(&mut sql).is_empty());
    }
}

#[test]
fn a_message_during_a_sweep_is_stored_in_a_session_that_lives_or_gets_404() {
    let app = TestApp::sweeping();
    let (mut sql, mut holding) = (app.sql(), app.sql());
    let hold = hold_sweeps(&mut holding);
    // The hours say that they ended, and the sealed times that they did not: as while the first message of an hour arrives.
    let ids: Vec<String> = (0..40).map(|_| store_session(&mut sql, 60, None, &[])).collect();
    sql.batch_execute(
        "UPDATE sessions SET last_used_hour = 1;
         INSERT INTO sessions SELECT gen_random_uuid(), '', 0, 0 FROM generate_series(1, 2000)",
    )
    .unwrap();
    hold.rollback().unwrap();
    let statuses: Vec<u16> = thread::scope(|scope| {
        let send = |(at, id): (u64, &String)| {
            let chat = Chat::of(&app.client, id);
            scope.spawn(move || {
                // Some before their session is swept, some while it is, some after that.
                thread::sleep(Duration::from_millis(at * 40));
                chat.send("halo").status
            })
        };
        let sending: Vec<_> = (0..).zip(&ids).map(send).collect();
        sending.into_iter().map(|sent| sent.join().unwrap()).collect()
    });
    eventually(PATIENCE, || {
        sql.query("SELECT FROM sessions WHERE last_used_hour <= 1", &[]).unwrap().is_empty().then_some(())
    });
    for (id, status) in ids.iter().zip(&statuses) {
        let chat = Chat::of(&app.client, id);
        match status {
            200 => assert_eq!(chat.messages().len(), 2),
            404 => _ = chat.history("").assert_problem(404),
            status => panic!("{status}"),
        }
    }
    let left = statuses.iter().filter(|status| **status == 200).count();
    assert_eq!(count_rows(&mut sql), 3 * left as i64);
}
