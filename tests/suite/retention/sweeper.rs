//! The sweeper: what it deletes, in which batches, and what it leaves to others.

use postgres::Client;
use safespace::session_id::SessionId;
use uuid::Uuid;

use crate::support::app::TestApp;
use crate::support::chat::{Chat, count_rows, store_session};
use crate::support::cluster::Schema;
use crate::support::eventually;
use crate::support::timing::PATIENCE;

/// Stores a session whose rows say these hours ago, and as many messages.
fn store(sql: &mut Client, created: i32, last_used: i32, own: Option<i32>, messages: i32) -> Uuid {
    store_as(sql, Uuid::new_v4(), (created, last_used, own), messages)
}

fn store_as(sql: &mut Client, id: Uuid, (created, last_used, own): (i32, i32, Option<i32>), messages: i32) -> Uuid {
    let hour = "floor(extract(epoch FROM now()) / 3600)::integer";
    let session = format!("INSERT INTO sessions VALUES ($1, '', {hour} - $2, {hour} - $3, $4)");
    let mut transaction = sql.transaction().unwrap();
    transaction.execute(&session, &[&id, &created, &last_used, &own]).unwrap();
    let of_session = "INSERT INTO messages SELECT $1, position, gen_random_uuid(), '\\x00', position * 300
                      FROM generate_series(1, $2) AS position";
    transaction.execute(of_session, &[&id, &messages]).unwrap();
    transaction.commit().unwrap();
    id
}

fn stored(sql: &mut Client) -> Vec<Uuid> {
    sql.query("SELECT id FROM sessions", &[]).unwrap().iter().map(|row| row.get(0)).collect()
}

/// Holds the right to delete a batch, which one service has at a time.
fn hold_sweeps(sql: &mut Client) -> postgres::Transaction<'_> {
    let mut transaction = sql.transaction().unwrap();
    eventually(PATIENCE, || {
        let row = transaction.query_one(include_str!("../../../sql/sweeper/lock.sql"), &[]).unwrap();
        row.get::<_, bool>("is_locked").then_some(())
    });
    transaction
}

/// Returns after a sweep that has found everything that has ended by now and is not locked.
fn await_sweep(sql: &mut Client) {
    let id = store(sql, 170, 170, None, 0);
    eventually(PATIENCE, || (!stored(sql).contains(&id)).then_some(()));
}

/// The value of a metric without labels.
fn metric(app: &TestApp, name: &str) -> i64 {
    let metrics = app.metrics();
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).expect("the metric");
    line.parse().unwrap()
}

/// How long the session that ended first is overdue.
fn overdue(app: &TestApp) -> i64 {
    metric(app, "safespace_retention_overdue_seconds")
}

/// Notes in the table `deletions` which transaction deletes a session.
fn note_deletions(sql: &mut Client) {
    sql.batch_execute(
        "CREATE TABLE deletions (id uuid, transaction bigint DEFAULT txid_current());
         CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
         $$ BEGIN INSERT INTO deletions VALUES (OLD.id); RETURN OLD; END $$;
         CREATE TRIGGER note AFTER DELETE ON sessions FOR EACH ROW EXECUTE FUNCTION note()",
    )
    .unwrap();
}

#[test]
fn a_sweep_deletes_the_sessions_whose_hours_say_that_they_ended_and_no_others() {
    assert_swept(&TestApp::sweeping());
}

#[test]
fn a_sweep_of_distributed_tables_deletes_the_same_sessions() {
    assert_swept(&TestApp::sweeping_distributed());
}

#[track_caller]
fn assert_swept(app: &TestApp) {
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
    await_sweep(&mut sql);
    assert_eq!(count_rows(&mut sql), i64::try_from(living.len() + 3 * living.len()).unwrap());
    let mut left = stored(&mut sql);
    left.sort_unstable();
    living.sort_unstable();
    assert_eq!(left, living);
    eventually(PATIENCE, || (metric(app, "safespace_sessions_expired_total") == ended.len() as i64 + 1).then_some(()));
    assert_eq!(metric(app, "safespace_sessions_deleted_total"), 0, "nobody deleted them");
}

#[test]
fn a_sweep_deletes_in_batches_and_a_large_session_alone() {
    let app = TestApp::sweeping();
    let (mut sql, mut holding) = (app.sql(), app.sql());
    let hold = hold_sweeps(&mut holding);
    note_deletions(&mut sql);
    let small = "INSERT INTO sessions SELECT gen_random_uuid(), '', 0, 0 FROM generate_series(1, 900)";
    sql.batch_execute(small).unwrap();
    // Two by their messages, one by its reports.
    let large = [1_500, 1_500, 0].map(|messages| store(&mut sql, 200, 200, None, messages)).to_vec();
    let reports = "INSERT INTO reports SELECT $1, number, gen_random_uuid(), decode(repeat('00', 150000), 'hex')
                   FROM generate_series(1, 20) AS number";
    sql.execute(reports, &[&large[2]]).unwrap();
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
    for app in [TestApp::sweeping(), TestApp::sweeping_distributed()] {
        assert_passes_over_what_is_locked(&app);
    }
}

fn assert_passes_over_what_is_locked(app: &TestApp) {
    let (mut sql, mut locking) = (app.sql(), app.sql());
    let [locked, other] = [(); 2].map(|()| store(&mut sql, 0, 0, None, 1));
    let mut lock = locking.transaction().unwrap();
    lock.execute("SELECT FROM sessions WHERE id = $1 FOR KEY SHARE", &[&locked]).unwrap();
    // Such a lock allows a change of the hours.
    for id in [locked, other] {
        let end = "UPDATE sessions SET created_hour = created_hour - 200, last_used_hour = last_used_hour - 200 WHERE id = $1";
        sql.execute(end, &[&id]).unwrap();
    }
    eventually(PATIENCE, || (stored(&mut sql) == [locked]).then_some(()));
    await_sweep(&mut sql);
    assert_eq!(stored(&mut sql), [locked]);
    lock.rollback().unwrap();
    eventually(PATIENCE, || stored(&mut sql).is_empty().then_some(()));
}

#[test]
fn the_oldest_of_a_backlog_goes_in_the_first_batch_whatever_its_id_and_size() {
    let app = TestApp::sweeping();
    let (mut sql, mut holding) = (app.sql(), app.sql());
    note_deletions(&mut sql);
    // One case for each kind of end.
    for oldest in [(300, 300, None), (900, 100, None), (300, 150, Some(3600))] {
        let hold = hold_sweeps(&mut holding);
        for (created, last_used, own) in [(200, 200, None), (725, 0, None), (40, 40, Some(3600))] {
            (0..150).for_each(|_| _ = store(&mut sql, created, last_used, own, 0));
        }
        store_as(&mut sql, Uuid::max(), oldest, 1_500);
        hold.rollback().unwrap();
        eventually(PATIENCE, || stored(&mut sql).is_empty().then_some(()));
        let first = "SELECT id FROM deletions WHERE transaction = (SELECT min(transaction) FROM deletions)";
        let first: Vec<Uuid> = sql.query(first, &[]).unwrap().iter().map(|row| row.get(0)).collect();
        assert_eq!(first, [Uuid::max()], "{oldest:?}");
        sql.batch_execute("TRUNCATE deletions").unwrap();
    }
}

#[test]
fn while_another_service_deletes_a_batch_nothing_is_deleted_and_what_is_overdue_is_measured() {
    let app = TestApp::sweeping();
    let (mut sql, mut holding) = (app.sql(), app.sql());
    assert_eq!(overdue(&app), 0);
    for (created, last_used, own) in [(172, 172, None), (724, 0, None), (5, 5, Some(3600))] {
        let hold = hold_sweeps(&mut holding);
        store(&mut sql, created, last_used, own, 0);
        // By its hour it ended three hours and more ago, less the ten minutes.
        let overdue_seconds = eventually(PATIENCE, || Some(overdue(&app)).filter(|seconds| *seconds > 0));
        assert!((10_200..=13_900).contains(&overdue_seconds), "{overdue_seconds} s");
        assert_eq!(stored(&mut sql).len(), 1);
        hold.rollback().unwrap();
        eventually(PATIENCE, || (overdue(&app) == 0).then_some(()));
        assert!(stored(&mut sql).is_empty());
    }
}

#[test]
fn a_sweep_that_fails_still_measures_what_is_overdue() {
    let app = TestApp::sweeping();
    let mut sql = app.sql();
    sql.batch_execute(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$;
         CREATE TRIGGER refuse BEFORE DELETE ON sessions FOR EACH ROW EXECUTE FUNCTION refuse();
         INSERT INTO sessions VALUES (gen_random_uuid(), '', 0, 0)",
    )
    .unwrap();
    let since_1970 = 1_700_000_000;
    eventually(PATIENCE, || (overdue(&app) > since_1970).then_some(()));
    assert_eq!(stored(&mut sql).len(), 1);
    // Deleting works again.
    sql.batch_execute("DROP TRIGGER refuse ON sessions").unwrap();
    eventually(PATIENCE, || (overdue(&app) == 0).then_some(()));
    assert!(stored(&mut sql).is_empty());
}

#[test]
fn what_is_overdue_goes_on_from_the_last_measurement_while_the_database_cannot_be_asked() {
    let app = TestApp::sweeping();
    let (mut sql, mut holding) = (app.sql(), app.sql());
    let hold = hold_sweeps(&mut holding);
    store(&mut sql, 172, 172, None, 0);
    let measured = eventually(PATIENCE, || Some(overdue(&app)).filter(|seconds| *seconds > 0));
    sql.batch_execute("ALTER TABLE sessions RENAME TO away").unwrap();
    eventually(PATIENCE, || (overdue(&app) >= measured + 3).then_some(()));
    sql.batch_execute("ALTER TABLE away RENAME TO sessions").unwrap();
    hold.rollback().unwrap();
    eventually(PATIENCE, || (overdue(&app) == 0).then_some(()));
}

#[test]
fn two_services_on_one_database_delete_each_session_once_and_count_it_once() {
    let schema = Schema::new();
    assert_counted_once(&schema, &schema.url());
}

#[test]
fn two_services_on_distributed_tables_delete_each_session_once_and_count_it_once() {
    let schema = Schema::new();
    assert_counted_once(&schema, &schema.url_of_pretended_citus());
}

fn assert_counted_once(schema: &Schema, url: &str) {
    let apps = [(); 2].map(|()| TestApp::sweeping_at(url));
    let (mut sql, mut holding) = (schema.client(), schema.client());
    let hold = hold_sweeps(&mut holding);
    note_deletions(&mut sql);
    sql.batch_execute("INSERT INTO sessions SELECT gen_random_uuid(), '', 0, 0 FROM generate_series(1, 2000)").unwrap();
    hold.rollback().unwrap();
    eventually(PATIENCE, || stored(&mut sql).is_empty().then_some(()));
    let deletions = sql.query_one("SELECT count(*), count(DISTINCT id) FROM deletions", &[]).unwrap();
    assert_eq!((deletions.get(0), deletions.get(1)), (2_000_i64, 2_000_i64));
    // A batch is counted after its commit.
    let counted = || apps.iter().map(|app| metric(app, "safespace_sessions_expired_total")).sum::<i64>();
    assert_eq!(eventually(PATIENCE, || Some(counted()).filter(|sum| *sum >= 2_000)), 2_000);
}

/// The key of a session's row.
fn lookup(id: &str) -> Uuid {
    *id.parse::<SessionId>().unwrap().lookup().expose()
}

/// Stores a session whose hours say that it ended, and whose sealed times that it did not: as while the first message of an hour
/// arrives.
fn store_stale(sql: &mut Client) -> String {
    let id = store_session(sql, 60, None, &[]);
    sql.execute("UPDATE sessions SET last_used_hour = 1 WHERE id = $1", &[&lookup(&id)]).unwrap();
    id
}

#[test]
fn a_message_to_a_session_before_its_sweep_is_stored_and_after_it_gets_404() {
    let app = TestApp::sweeping();
    let (mut sql, mut holding, mut locking) = (app.sql(), app.sql(), app.sql());
    let hold = hold_sweeps(&mut holding);
    let [kept, swept] = [(); 2].map(|()| store_stale(&mut sql));
    // The sweep passes over what is locked; a message does not wait for this lock.
    let mut lock = locking.transaction().unwrap();
    lock.execute("SELECT FROM sessions WHERE id = $1 FOR KEY SHARE", &[&lookup(&kept)]).unwrap();
    hold.rollback().unwrap();
    eventually(PATIENCE, || (stored(&mut sql) == [lookup(&kept)]).then_some(()));
    Chat::of(&app.client, &swept).send("halo").assert_problem(404);
    let kept = Chat::of(&app.client, &kept);
    kept.send("halo").assert_status(200);
    lock.rollback().unwrap();
    await_sweep(&mut sql);
    assert_eq!(kept.messages().len(), 2);
}

#[test]
fn a_message_during_a_sweep_is_stored_in_a_session_that_lives_or_gets_404() {
    let app = TestApp::sweeping();
    let mut sql = app.sql();
    let mut kept = 0;
    // Each session can be swept at any moment from now on.
    for _ in 0..60 {
        let id = store_stale(&mut sql);
        let chat = Chat::of(&app.client, &id);
        match chat.send("halo").status {
            200 => {
                kept += 1;
                assert_eq!(chat.messages().len(), 2);
            }
            404 => _ = chat.history("").assert_problem(404),
            status => panic!("{status}"),
        }
    }
    // A session and two messages each.
    assert_eq!(count_rows(&mut sql), 3 * kept);
}
