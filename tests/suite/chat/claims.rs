//! The claims of sessions: what becomes of them where an instance or PostgreSQL dies, and under load.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::support::app::TestApp;
use crate::support::chat::Chat;
use crate::support::cluster::{Cluster, Schema, lock_table, wait_for_row_locks};
use crate::support::eventually;
use crate::support::fake_model::{FakeModel, pauses_at};
use crate::support::http::Client;
use crate::support::server::Gate;
use crate::support::timing::PATIENCE;

/// A claim holds for so long where nothing renews it.
const LEASE: Duration = Duration::from_secs(5);

fn count_claims(sql: &mut postgres::Client) -> i64 {
    sql.query_one("SELECT count(*) FROM turns", &[]).unwrap().get(0)
}

/// The transactions of the database so far.
fn transactions(sql: &mut postgres::Client) -> i64 {
    // Backends report to the statistics once in a second.
    thread::sleep(Duration::from_millis(1_500));
    let count = "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()";
    sql.query_one(count, &[]).unwrap().get(0)
}

/// Sends messages, stops and deletes sessions at two instances at the same time.
fn hammer(clients: [&Client; 2]) {
    const THREADS: usize = 8;
    const SESSIONS: usize = 20;
    const ROUNDS: usize = 90;
    let sessions: Vec<Mutex<String>> = (0..SESSIONS).map(|_| Mutex::new(Chat::create(clients[0]).id)).collect();
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (sessions, next) = (&sessions, &next);
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    // Two at a time are at one session.
                    let session = &sessions[next.fetch_add(1, Ordering::Relaxed) / 2 % SESSIONS];
                    let id = session.lock().clone();
                    let chat = Chat::of(clients[(thread + round) % 2], &id);
                    let status = match round % 6 {
                        0 => {
                            let status = chat.erase().status;
                            *session.lock() = Chat::create(clients[0]).id;
                            status
                        }
                        1 => chat.stop().status,
                        2 => chat.send_with_key("key", "hello").status,
                        _ => chat.send("hello").status,
                    };
                    assert!(matches!(status, 200 | 204 | 404 | 409), "{status}");
                }
            });
        }
    });
}

#[test]
fn the_session_of_a_killed_instance_is_free_after_the_lease() {
    let (model, schema) = (FakeModel::start(), Schema::new());
    let mut killed = model.service_at(&schema.url());
    let other = model.app_at(&schema.url(), &[]);
    let gate = Arc::new(Gate::default());
    (0..2).for_each(|_| model.next(pauses_at(&gate, "half ", "never comes")));
    let [chat, left] = [(); 2].map(|()| Chat::create(&killed.client));
    let elsewhere = Chat::of(&other.client, &chat.id);
    let _events = [&chat, &left].map(|chat| chat.stream_with_key("key", "hello"));
    model.wait_for_requests(2);
    killed.signal("KILL");
    killed.wait();
    let at = Instant::now();
    elsewhere.send("more").assert_problem(409);
    // The key waits, and is answered when the session is free.
    let answer = elsewhere.send_with_key("key", "hello").assert_status(200).json();
    let took = at.elapsed();
    assert_eq!(answer["content"], "I am here, and I listen.");
    assert!(took > LEASE / 2 && took < LEASE + Duration::from_secs(3), "{took:?}");
    assert_eq!(elsewhere.transcript().len(), 2);
    // The sweeper of any instance deletes what was left, without a further message.
    assert!(count_claims(&mut schema.client()) > 0);
    let _sweeping = TestApp::sweeping_at(&schema.url());
    eventually(PATIENCE, || (count_claims(&mut schema.client()) == 0).then_some(()));
}

#[test]
fn an_instance_that_stops_leaves_no_claim() {
    let (model, schema) = (FakeModel::start(), Schema::new());
    let mut sql = schema.client();
    for _ in 0..3 {
        let app = model.app_at(&schema.url(), &[]);
        Chat::new(&app).send("hello").assert_status(200);
        drop(app);
        eventually(PATIENCE, || (count_claims(&mut sql) == 0).then_some(()));
    }
}

#[test]
fn claims_that_a_crash_of_postgresql_emptied_are_taken_again() {
    let (model, mut cluster) = (FakeModel::start(), Cluster::start());
    let [one, other] = [(); 2].map(|()| model.app_at(&cluster.url(), &[("COMPANION_TIMEOUT", "25")]));
    let gate = Arc::new(Gate::default());
    model.next(pauses_at(&gate, "half ", "an answer"));
    let chat = Chat::new(&one);
    let elsewhere = Chat::of(&other.client, &chat.id);
    let mut events = chat.stream("hello");
    events.expect("message.start");
    cluster.stop(Some("QUIT"));
    cluster.start_again();
    let mut sql = postgres::Client::connect(&cluster.url(), postgres::NoTls).unwrap();
    eventually(PATIENCE, || (count_claims(&mut sql) == 1).then_some(()));
    // Also where the connections of the pool are not open again yet.
    eventually(PATIENCE, || Some(elsewhere.send("more").status).filter(|status| *status == 409));
    gate.open();
    assert_eq!(events.message()["content"], "half an answer");
    eventually(PATIENCE, || (count_claims(&mut sql) == 0).then_some(()));
}

#[test]
fn text_is_kept_back_while_postgresql_does_not_say_whether_the_session_was_erased_elsewhere() {
    /// Text is sent for a quarter of a second after a look at the sessions.
    const LONGER_THAN_AGE_OF_LOOK: Duration = Duration::from_millis(500);
    let (model, mut cluster) = (FakeModel::start(), Cluster::start());
    let app = model.app_at(&cluster.url(), &[]);
    let gate = Arc::new(Gate::default());
    model.next(pauses_at(&gate, "half ", "an answer"));
    let mut events = Chat::new(&app).stream("hello");
    events.expect("message.start");
    events.expect("message.delta");
    cluster.stop(Some("QUIT"));
    thread::sleep(LONGER_THAN_AGE_OF_LOOK);
    gate.open();
    // Neither the rest of the words nor an end: they could not be stored.
    let names: Vec<String> = events.rest().into_iter().map(|event| event.name).collect();
    assert_eq!(names, ["error"]);
}

#[test]
fn a_stop_whose_claim_is_locked_holds_nothing_up_and_follows_when_it_is_free() {
    let (model, schema) = (FakeModel::start(), Schema::new());
    for url in [schema.url(), schema.url_of_pretended_citus()] {
        let [one, other] = [(); 2].map(|()| model.app_at(&url, &[]));
        let gates = [(); 2].map(|()| Arc::new(Gate::default()));
        let (chat, requests) = (Chat::new(&one), model.requests().len());
        model.next(pauses_at(&gates[0], "half ", "never comes"));
        let mut events = chat.stream("hello");
        assert_eq!((events.expect("message.start"), events.delta()).1, "half ");
        let (mut sql, elsewhere) = (schema.client(), Chat::of(&other.client, &chat.id));
        let mut locked = sql.transaction().unwrap();
        locked.execute("SELECT FROM turns FOR UPDATE", &[]).unwrap();
        thread::scope(|scope| {
            let stop = scope.spawn(|| elsewhere.stop());
            // The machine may do other work, so the shortest of some times counts.
            let times: Vec<Duration> = (1..=4)
                .map(|round| {
                    model.next(pauses_at(&gates[1], "half ", "never comes"));
                    let erased = Chat::new(&other);
                    let waiting = scope.spawn({
                        let erased = Chat::of(&other.client, &erased.id);
                        move || (erased.send("hello").assert_problem(404), Instant::now()).1
                    });
                    model.wait_for_requests(requests + 1 + round);
                    Chat::of(&one.client, &erased.id).erase().assert_status(204);
                    let at = Instant::now();
                    waiting.join().unwrap().saturating_duration_since(at)
                })
                .collect();
            assert!(times.iter().min() < Some(&Duration::from_millis(300)), "{times:?}");
            assert!(times.iter().max() < Some(&Duration::from_secs(2)), "{times:?}");
            assert!(!stop.is_finished());
            locked.rollback().unwrap();
            stop.join().unwrap().assert_status(204);
        });
        assert_eq!(events.rest().pop().unwrap().data["cut"], true);
    }
}

#[test]
fn a_broken_connection_of_the_claims_delays_no_erasure_by_a_second() {
    let (model, cluster) = (FakeModel::start(), Cluster::start());
    let [one, other] = [(); 2].map(|()| model.app_at(&cluster.url(), &[]));
    let (gate, mut sql) = (Arc::new(Gate::default()), cluster.sql());
    let mut times = Vec::new();
    for round in 1..=4 {
        model.next(pauses_at(&gate, "half ", "never comes"));
        let chat = Chat::new(&one);
        let elsewhere = Chat::of(&other.client, &chat.id);
        thread::scope(|scope| {
            let waiting = scope.spawn(|| (chat.send("hello").assert_problem(404), Instant::now()).1);
            model.wait_for_requests(round);
            // Between two looks.
            let broken = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                WHERE query LIKE '%LEFT JOIN turns ON%' AND pid <> pg_backend_pid()";
            eventually(PATIENCE, || (!sql.query(broken, &[]).unwrap().is_empty()).then_some(()));
            elsewhere.erase().assert_status(204);
            let at = Instant::now();
            times.push(waiting.join().unwrap().saturating_duration_since(at));
        });
    }
    // The machine may do other work, so the shortest of some times counts.
    assert!(times.iter().min() < Some(&Duration::from_millis(600)), "{times:?}");
}

#[test]
fn stops_that_come_together_are_asked_for_with_one_statement() {
    const STOPS: usize = 200;
    let (model, cluster) = (FakeModel::start(), Cluster::start());
    let app = model.app_at(&cluster.url(), &[("DB_ACQUIRE_TIMEOUT_MS", "30000")]);
    // An idle connection does not report its transactions: this turn has it look at the sessions.
    let gate = Arc::new(Gate::default());
    model.next(pauses_at(&gate, "half ", "an answer"));
    let mut events = Chat::new(&app).stream("hello");
    events.expect("message.start");
    let chat = Chat::new(&app);
    let (mut sql, mut lock) = (cluster.sql(), cluster.sql());
    let before = transactions(&mut sql);
    // The statements that find the sessions wait, so that few batches have them all.
    let locked = lock_table(&mut lock, "sessions");
    thread::scope(|scope| {
        (0..STOPS).for_each(|_| _ = scope.spawn(|| chat.stop().assert_status(204)));
        thread::sleep(Duration::from_secs(2));
        locked.rollback().unwrap();
    });
    let count = transactions(&mut sql) - before;
    assert!(count < STOPS as i64 / 2, "{count} transactions");
    gate.open();
    events.message();
}

#[test]
fn a_claim_that_is_over_when_its_question_is_stored_is_renewed_and_not_taken_over() {
    let (model, schema) = (FakeModel::start(), Schema::new());
    let [one, other] = [(); 2].map(|()| model.app_at(&schema.url(), &[("COMPANION_TIMEOUT", "25")]));
    let (chat, gate) = (Chat::new(&one), Arc::new(Gate::default()));
    let elsewhere = Chat::of(&other.client, &chat.id);
    let (mut sql, mut lock) = (schema.client(), schema.client());
    // The statement has the claim, and waits for the lock before its commit.
    sql.batch_execute(
        "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$
             BEGIN PERFORM FROM turns_wait FOR KEY SHARE; RETURN NULL; END $$;
         CREATE TABLE turns_wait AS SELECT 1 AS number;
         CREATE TRIGGER wait AFTER INSERT ON messages FOR EACH ROW EXECUTE FUNCTION wait();
         CREATE TABLE taken_over (claim uuid);
         CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
             BEGIN INSERT INTO taken_over VALUES (old.claim); RETURN NULL; END $$;
         CREATE TRIGGER note AFTER UPDATE ON turns FOR EACH ROW WHEN (old.claim <> new.claim) EXECUTE FUNCTION note()",
    )
    .unwrap();
    model.next(pauses_at(&gate, "an ", "answer"));
    let mut locked = lock.transaction().unwrap();
    locked.execute("SELECT FROM turns_wait FOR UPDATE", &[]).unwrap();
    let answer = thread::scope(|scope| {
        let first = scope.spawn(|| chat.send("hello"));
        wait_for_row_locks(&mut sql, &mut locked, 1);
        thread::sleep(LEASE);
        let second = scope.spawn(|| elsewhere.send("more"));
        wait_for_row_locks(&mut sql, &mut locked, 2);
        locked.rollback().unwrap();
        second.join().unwrap().assert_problem(409);
        let live = "SELECT count(*) FROM turns WHERE ends_at > now()";
        eventually(PATIENCE, || (sql.query_one(live, &[]).unwrap().get::<_, i64>(0) == 1).then_some(()));
        elsewhere.send("more").assert_problem(409);
        gate.open();
        first.join().unwrap()
    });
    assert_eq!(answer.assert_status(200).json()["content"], "an answer");
    assert_eq!(chat.transcript(), ["user: hello", "model: an answer"]);
    assert!(sql.query("SELECT FROM taken_over", &[]).unwrap().is_empty());
}

/// Deletes sessions, which have a claim of the message before, while the next message of each is stored.
fn delete_during_messages(clients: [&Client; 2]) {
    const PAIRS: usize = 4;
    const ROUNDS: usize = 150;
    thread::scope(|scope| {
        for _ in 0..PAIRS {
            scope.spawn(|| {
                for _ in 0..ROUNDS {
                    let chat = Chat::create(clients[0]);
                    chat.send("hello").assert_status(200);
                    thread::scope(|scope| {
                        let erasing = scope.spawn(|| chat.erase().status);
                        let status = Chat::of(clients[1], &chat.id).send("hello").status;
                        assert!(matches!(status, 200 | 404), "{status}");
                        assert_eq!(erasing.join().unwrap(), 204);
                    });
                }
            });
        }
    });
}

#[test]
fn deletes_and_messages_at_two_instances_do_not_deadlock() {
    let (model, cluster) = (FakeModel::start(), Cluster::start());
    let variables = [("APP_WORKERS", "16"), ("DB_ACQUIRE_TIMEOUT_MS", "30000"), ("COMPANION_TIMEOUT", "25")];
    let [one, other] = [(); 2].map(|()| model.app_at(&cluster.url(), &variables));
    let scripted = [(); 2].map(|()| TestApp::at(&cluster.url(), &variables));
    for clients in [[&one.client, &other.client], scripted.each_ref().map(|app| &app.client)] {
        hammer(clients);
        delete_during_messages(clients);
    }
    let mut sql = postgres::Client::connect(&cluster.url(), postgres::NoTls).unwrap();
    let deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    assert_eq!(sql.query_one(deadlocks, &[]).unwrap().get::<_, i64>(0), 0);
    eventually(PATIENCE, || (count_claims(&mut sql) == 0).then_some(()));
}

/// They are valid for tables on one server too.
#[test]
fn the_statements_for_distributed_tables_answer_the_same() {
    let schema = Schema::new();
    let url = schema.url_of_pretended_citus();
    let variables = [("APP_WORKERS", "16"), ("DB_ACQUIRE_TIMEOUT_MS", "30000")];
    let [one, other] = [(); 2].map(|()| TestApp::at(&url, &variables));
    hammer([&one.client, &other.client]);
    let mut sql = schema.client();
    eventually(PATIENCE, || (count_claims(&mut sql) == 0).then_some(()));
}

#[test]
fn an_instance_looks_at_all_its_turns_with_one_statement_in_200_ms() {
    let (model, cluster) = (FakeModel::start(), Cluster::start());
    let gate = Arc::new(Gate::default());
    let variables = [("COMPANION_CONCURRENCY", "400"), ("COMPANION_TIMEOUT", "120"), ("APP_REQUEST_TIMEOUT", "130")];
    let app = model.app_at(&cluster.url(), &variables);
    let of_model = gate.clone();
    model.always(Arc::new(move |reply| {
        reply.delta("half ")?;
        reply.wait(&of_model)?;
        reply.finish("stop")
    }));
    let mut sql = postgres::Client::connect(&cluster.url(), postgres::NoTls).unwrap();
    let mut streams = Vec::new();
    for turns in [10, 100, 350] {
        while streams.len() < turns {
            let mut events = Chat::new(&app).stream("hello");
            events.expect("message.start");
            streams.push(events);
        }
        let (before, at) = (transactions(&mut sql), Instant::now());
        thread::sleep(Duration::from_secs(1));
        let (after, seconds) = (transactions(&mut sql), at.elapsed().as_secs_f64());
        let rate = (after - before) as f64 / seconds;
        println!("{turns} turns: {rate:.1} transactions each second");
        // Five looks and one renewal; and the probes of idle connections, what the pool does, and this test.
        assert!((3.0..12.0).contains(&rate), "{turns} turns: {rate:.1} transactions each second");
    }
    gate.open();
    streams.into_iter().for_each(|events| _ = events.message());
}
