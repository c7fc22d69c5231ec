//! Requests that share a statement, as clients of the API see them.

use std::collections::HashSet;
use std::net::TcpStream;
use std::thread;

use safespace::session_id::SessionId;

use crate::support::app::TestApp;
use crate::support::cluster::Schema;
use crate::support::raw::Raw;
use crate::support::requests::{GET, POST_SESSION};
use crate::support::timing::PATIENCE;
use crate::support::{eventually, wait_for_locks};

const HEALTH: &[u8] = b"GET /health/db HTTP/1.1\r\nHost: x\r\n\r\n";

/// Time enough to wait for the locked table.
const PATIENT: (&str, &str) = ("DB_ACQUIRE_TIMEOUT_MS", "10000");

fn connect_many(app: &TestApp, count: usize) -> Vec<Raw> {
    (0..count).map(|_| Raw::connect(app.client.address())).collect()
}

fn about(method: &str, id: &str) -> Vec<u8> {
    format!("{method} /api/v1/sessions/{id} HTTP/1.1\r\nHost: x\r\n\r\n").into_bytes()
}

/// Sends each request on its own connection while the table is locked. The first runs alone and waits for the lock; the
/// others share the batches after it.
#[track_caller]
fn pile_up(app: &TestApp, requests: &[Vec<u8>]) -> Vec<Raw> {
    let mut sql = app.sql();
    let mut lock = sql.transaction().unwrap();
    lock.batch_execute("LOCK TABLE sessions").unwrap();
    let mut questions = app.sql();
    let mut raws = connect_many(app, requests.len());
    for (at, (raw, request)) in raws.iter_mut().zip(requests).enumerate() {
        raw.send(request);
        if at == 0 {
            wait_for_locks(&mut questions, 1);
        }
    }
    // Requests are served in order, so by now the others are in a batch, and they do not block all workers.
    assert_eq!(Raw::connect(app.client.address()).ask(GET).status, 200);
    lock.commit().unwrap();
    raws
}

fn session_id(raw: &mut Raw) -> String {
    raw.answer().assert_status(201).json()["session_id"].as_str().unwrap().to_owned()
}

#[test]
fn three_hundred_concurrent_creates_are_three_hundred_sessions_in_few_transactions() {
    let app = TestApp::with(&[PATIENT]);
    let mut raws = pile_up(&app, &vec![POST_SESSION.to_vec(); 300]);
    let ids: Vec<String> = raws.iter_mut().map(session_id).collect();
    assert_eq!(ids.iter().collect::<HashSet<_>>().len(), 300);
    // Read all of them at once: each response has its own session.
    raws.iter_mut().zip(&ids).for_each(|(raw, id)| raw.send(&about("GET", id)));
    for (raw, id) in raws.iter_mut().zip(&ids) {
        assert_eq!(raw.answer().assert_status(200).json()["session_id"], **id);
    }
    let row = app.sql().query_one("SELECT count(*), count(DISTINCT xmin::text) FROM sessions", &[]).unwrap();
    let (sessions, transactions): (i64, i64) = (row.get(0), row.get(1));
    assert_eq!(sessions, 300);
    assert!(transactions <= 20, "{transactions} transactions");
}

#[test]
fn each_of_many_concurrent_reads_gets_its_own_session() {
    let app = TestApp::with(&[PATIENT]);
    let sessions: Vec<_> = (0..20).map(|_| app.client.post("/api/v1/sessions").assert_status(201).json()).collect();
    let unknown = "550e8400-e29b-41d4-a716-446655440000";
    let mut ids: Vec<&str> = sessions.iter().map(|session| session["session_id"].as_str().unwrap()).collect();
    // An unknown session, and one twice.
    ids.extend([unknown, ids[10]]);
    let requests: Vec<Vec<u8>> = ids.iter().map(|id| about("GET", id)).collect();
    let mut raws = pile_up(&app, &requests);
    for (raw, session) in raws.iter_mut().zip(&sessions) {
        assert_eq!(raw.answer().assert_status(200).json(), *session);
    }
    raws[20].answer().assert_problem(404);
    assert_eq!(raws[21].answer().assert_status(200).json(), sessions[10]);
}

#[test]
fn of_many_deletes_of_a_session_in_one_batch_exactly_one_is_204() {
    let app = TestApp::with(&[PATIENT]);
    let (first, second, id) = (app.create_session(), app.create_session(), app.create_session());
    let mut requests = vec![about("DELETE", &first), about("DELETE", &second)];
    requests.resize(40, about("DELETE", &id));
    let mut raws = pile_up(&app, &requests);
    let mut statuses: Vec<u16> = raws.iter_mut().map(|raw| raw.answer().status).collect();
    assert_eq!(statuses[..2], [204, 204]);
    statuses.sort_unstable();
    assert_eq!(statuses.iter().filter(|status| **status == 204).count(), 3, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 404).count(), 37, "{statuses:?}");
    app.client.get(&format!("/api/v1/sessions/{id}")).assert_problem(404);
}

#[test]
fn of_many_deletes_of_a_session_in_several_batches_exactly_one_is_204() {
    let app = TestApp::with(&[PATIENT]);
    let id = app.create_session();
    let mut raws = pile_up(&app, &vec![about("DELETE", &id); 40]);
    let statuses: Vec<u16> = raws.iter_mut().map(|raw| raw.answer().status).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 204).count(), 1, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 404).count(), 39, "{statuses:?}");
}

#[test]
fn a_refused_delete_is_a_500_and_the_others_of_its_batch_succeed() {
    let app = TestApp::with(&[PATIENT]);
    let ids: Vec<String> = (0..12).map(|_| app.create_session()).collect();
    let refused = 7;
    let trigger = format!(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not this one'; END $$;
         CREATE TRIGGER refuse BEFORE DELETE ON sessions FOR EACH ROW WHEN (OLD.id = '{}') EXECUTE FUNCTION refuse()",
        ids[refused].parse::<SessionId>().unwrap().lookup().expose()
    );
    app.sql().batch_execute(&trigger).unwrap();
    let requests: Vec<Vec<u8>> = ids.iter().map(|id| about("DELETE", id)).collect();
    let mut raws = pile_up(&app, &requests);
    for (at, (raw, id)) in raws.iter_mut().zip(&ids).enumerate() {
        let answer = raw.answer();
        let path = format!("/api/v1/sessions/{id}");
        if at == refused {
            answer.assert_problem(500);
            app.client.get(&path).assert_status(200);
        } else {
            answer.assert_status(204);
            app.client.get(&path).assert_problem(404);
        }
    }
}

#[test]
fn a_broken_connection_is_a_503_for_its_batch_and_not_for_the_next() {
    let app = TestApp::with(&[PATIENT]);
    let (mut sql, mut questions) = (app.sql(), app.sql());
    let mut lock = sql.transaction().unwrap();
    lock.batch_execute("LOCK TABLE sessions").unwrap();
    let mut first = Raw::connect(app.client.address());
    first.send(POST_SESSION);
    wait_for_locks(&mut questions, 1);
    let mut others = connect_many(&app, 10);
    others.iter_mut().for_each(|raw| raw.send(POST_SESSION));
    assert_eq!(Raw::connect(app.client.address()).ask(GET).status, 200);
    lock.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_locks JOIN pg_class ON pg_class.oid = relation
         WHERE NOT granted AND relnamespace = current_schema()::regnamespace",
        &[],
    )
    .unwrap();
    first.answer().assert_problem(503);
    // The next batch gets the permit at once.
    wait_for_locks(&mut questions, 1);
    lock.commit().unwrap();
    let ids: HashSet<String> = others.iter_mut().map(session_id).collect();
    let stored: i64 = questions.query_one("SELECT count(*) FROM sessions", &[]).unwrap().get(0);
    assert_eq!((ids.len(), stored), (10, 10));
}

#[test]
fn a_statement_that_panics_is_a_500_and_the_pool_replaces_its_connection_and_those_whose_statement_is_outdated() {
    let app = TestApp::with(&[("DB_POOL_MIN_SIZE", "2"), ("DB_POOL_MAX_SIZE", "2")]);
    let path = format!("/api/v1/sessions/{}", app.create_session());
    let mut sql = app.sql();
    // A statement that was prepared while a column had another type is refused, once on each connection.
    let status = || eventually(PATIENCE, || Some(app.client.get(&path).status).filter(|status| *status != 503));
    // The driver panics when a column has another type than the program reads. More often than there are connections:
    for _ in 0..4 {
        sql.batch_execute("ALTER TABLE sessions ALTER sealed TYPE text USING encode(sealed, 'hex')").unwrap();
        assert_eq!(status(), 500);
        sql.batch_execute("ALTER TABLE sessions ALTER sealed TYPE bytea USING decode(sealed, 'hex')").unwrap();
        assert_eq!(status(), 200);
    }
}

#[test]
fn a_stop_answers_every_request_that_waits_for_a_batch() {
    let schema = Schema::new();
    let app = TestApp::at(&schema.url(), &[PATIENT]);
    let address = app.client.address();
    let (mut sql, mut questions) = (schema.client(), schema.client());
    let mut lock = sql.transaction().unwrap();
    lock.batch_execute("LOCK TABLE sessions").unwrap();
    let mut raws = connect_many(&app, 50);
    for (at, raw) in raws.iter_mut().enumerate() {
        raw.send(POST_SESSION);
        if at == 0 {
            wait_for_locks(&mut questions, 1);
        }
    }
    let stop = thread::spawn(move || drop(app));
    eventually(PATIENCE, || TcpStream::connect(address).is_err().then_some(()));
    assert!(!stop.is_finished());
    lock.commit().unwrap();
    let ids: HashSet<String> = raws.iter_mut().map(session_id).collect();
    raws.iter_mut().for_each(Raw::assert_closed);
    drop(raws);
    stop.join().unwrap();
    let stored: i64 = questions.query_one("SELECT count(*) FROM sessions", &[]).unwrap().get(0);
    assert_eq!((ids.len(), stored), (50, 50));
}

#[test]
fn a_flood_of_probes_takes_one_connection_of_the_pool_at_most() {
    let app = TestApp::with(&[("DB_POOL_MIN_SIZE", "4"), ("DB_POOL_MAX_SIZE", "4"), PATIENT]);
    let pool = |health: serde_json::Value| {
        let count = |field: &str| health["connection_pool"][field].as_u64().unwrap();
        (count("total"), count("available"))
    };
    eventually(PATIENCE, || (pool(app.client.get("/health/db").json()) == (4, 4)).then_some(()));
    let mut sql = app.sql();
    let mut lock = sql.transaction().unwrap();
    lock.batch_execute("LOCK TABLE sessions").unwrap();
    let mut creating = Raw::connect(app.client.address());
    creating.send(POST_SESSION);
    wait_for_locks(&mut app.sql(), 1);
    let mut probes = connect_many(&app, 100);
    for _ in 0..10 {
        probes.iter_mut().for_each(|raw| raw.send(HEALTH));
        for raw in &mut probes {
            // The create holds one; the next probe may hold another while this response is made.
            let (total, available) = pool(raw.answer().assert_status(200).json());
            assert!(total == 4 && available >= 2, "{available} of {total}");
        }
    }
    lock.commit().unwrap();
    creating.answer().assert_status(201);
}
