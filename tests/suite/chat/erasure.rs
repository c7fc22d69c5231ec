//! A session that goes while its companion speaks, and a companion that is told to stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::support::eventually;
use crate::support::http::Answer;
use crate::support::model::{Model, says_at};
use crate::support::raw::Raw;
use crate::support::server::Gate;
use crate::support::talk::Talk;

const PATIENCE: Duration = Duration::from_secs(15);

/// How many rows there are in all tables, but for the note of migrations.
#[track_caller]
fn rows(sql: &mut postgres::Client) -> i64 {
    let tables = "SELECT tablename FROM pg_tables WHERE schemaname = current_schema AND tablename NOT LIKE 'refinery%'";
    let tables: Vec<String> = sql.query(tables, &[]).unwrap().iter().map(|row| row.get(0)).collect();
    assert!(tables.len() >= 2, "{tables:?}");
    tables
        .iter()
        .map(|table| sql.query_one(&format!("SELECT count(*) FROM {table}"), &[]).unwrap().get::<_, i64>(0))
        .sum()
}

/// A model that says this and then waits in vain.
fn hang(model: &Model, first: &str) -> Arc<Gate> {
    let never = Arc::new(Gate::default());
    model.next(says_at(&never, first, "too late"));
    never
}

#[test]
fn a_session_is_erased_at_once_while_its_turn_runs() {
    let model = Model::start();
    let app = model.app(&[("COMPANION_TIMEOUT", "25")]);
    let mut fastest = Duration::MAX;
    for round in 1..=6 {
        hang(&model, "half");
        let talk = Talk::new(&app);
        let is_streamed = round % 2 == 0;
        thread::scope(|scope| {
            let waiting = scope.spawn(|| talk.say_until_erased(is_streamed));
            model.wait_until_asked(round);
            let started = Instant::now();
            talk.erase().assert_status(204);
            fastest = fastest.min(started.elapsed());
            model.wait_for_hang_ups(round);
            waiting.join().unwrap();
        });
        talk.history("").assert_problem(404);
        assert_eq!(rows(&mut app.sql()), 0);
    }
    // The machine may be slow now and then, but not each time.
    assert!(fastest < Duration::from_millis(100), "{fastest:?}");
}

#[test]
fn a_session_is_erased_after_its_client_has_gone() {
    let model = Model::start();
    let app = model.app(&[("COMPANION_TIMEOUT", "25")]);
    hang(&model, "half");
    let talk = Talk::new(&app);
    let mut events = talk.stream("hello");
    events.expect("message.start");
    assert_eq!(events.delta(), "half");
    drop(events);
    talk.erase().assert_status(204);
    model.wait_for_hang_ups(1);
    assert_eq!(rows(&mut app.sql()), 0);
}

#[test]
fn a_session_is_erased_while_its_turn_waits_for_a_place() {
    let model = Model::start();
    let app = model.app(&[("COMPANION_TIMEOUT", "25"), ("COMPANION_CONCURRENCY", "1")]);
    let gate = hang(&model, "half");
    let (talk, other) = (Talk::new(&app), Talk::new(&app));
    let running = talk.stream("hello");
    model.wait_until_asked(1);
    thread::scope(|scope| {
        let waiting = scope.spawn(|| other.say("hello"));
        eventually(PATIENCE, || (other.said().len() == 1).then_some(()));
        other.erase().assert_status(204);
        waiting.join().unwrap().assert_problem(404);
    });
    gate.open();
    running.message();
    assert_eq!((model.asked().len(), rows(&mut app.sql())), (1, 3));
}

#[test]
fn a_turn_that_is_stopped_keeps_what_was_said() {
    let model = Model::start();
    let app = model.app(&[("COMPANION_TIMEOUT", "25")]);
    hang(&model, "half of it");
    let talk = Talk::new(&app);
    let mut events = talk.stream("hello");
    let start = events.expect("message.start");
    let delta = events.delta();
    talk.stop().assert_status(204);
    // It has ended when that is answered.
    assert_eq!(talk.said(), ["user: hello", "model: half of it"]);
    let end = events.expect("message.end");
    assert_eq!((&end["id"], end["content"].as_str()), (&start["id"], Some(delta.as_str())));
    assert!(events.next().is_none());
    model.wait_for_hang_ups(1);
    talk.stop().assert_status(204);
    talk.say("more").assert_status(200);
    assert_eq!(talk.said().len(), 4);
    let asked = model.asked();
    assert_eq!(
        asked[1].messages[1..],
        [("user", "hello"), ("assistant", "half of it"), ("user", "more")]
            .map(|(role, words)| (role.to_owned(), words.to_owned()))
    );
}

#[test]
fn a_turn_that_is_stopped_before_a_word_is_409_and_keeps_the_question() {
    let model = Model::start();
    let app = model.app(&[("COMPANION_TIMEOUT", "25")]);
    let (whole, streamed) = (Talk::new(&app), Talk::new(&app));
    hang(&model, "");
    hang(&model, "");
    thread::scope(|scope| {
        let waiting = scope.spawn(|| whole.say_as("key", "hello"));
        let streaming = scope.spawn(|| streamed.stream_as("key", "hello").error(409));
        model.wait_until_asked(2);
        whole.stop().assert_status(204);
        streamed.stop().assert_status(204);
        waiting.join().unwrap().assert_problem(409);
        streaming.join().unwrap();
    });
    model.wait_for_hang_ups(2);
    for talk in [whole, streamed] {
        assert_eq!(talk.said(), ["user: hello"]);
        talk.say_as("key", "hello").assert_status(200);
        assert_eq!(talk.said().len(), 2);
    }
}

#[test]
fn whoever_waits_for_the_whole_is_given_what_was_said_when_it_was_stopped() {
    let model = Model::start();
    let app = model.app(&[("COMPANION_TIMEOUT", "25")]);
    hang(&model, "half of it");
    let talk = Talk::new(&app);
    thread::scope(|scope| {
        let waiting = scope.spawn(|| talk.say("hello"));
        model.wait_until_asked(1);
        talk.stop().assert_status(204);
        let answer = waiting.join().unwrap();
        // Where the model was asked for the whole, nothing of it has come.
        if answer.status == 200 {
            assert_eq!(answer.json()["content"], "half of it");
            assert_eq!(talk.said()[1..], ["model: half of it"]);
        } else {
            answer.assert_problem(409);
            assert_eq!(talk.said(), ["user: hello"]);
        }
    });
}

#[test]
fn a_stop_is_for_one_session_and_nothing_where_no_turn_runs() {
    let model = Model::start();
    let app = model.app(&[("COMPANION_TIMEOUT", "25")]);
    let gate = hang(&model, "half ");
    let (talk, other) = (Talk::new(&app), Talk::new(&app));
    let mut events = talk.stream("hello");
    events.expect("message.start");
    other.stop().assert_status(204);
    other.say("hello").assert_status(200);
    other.stop().assert_status(204);
    Talk::with(&app.client, &Uuid::new_v4().to_string()).stop().assert_problem(404);
    let answer = Talk::with(&app.client, "1").stop();
    answer.assert_problem(422);
    assert_eq!(answer.json()["errors"][0]["field"], "session_id");
    gate.open();
    assert_eq!(events.message()["content"], "half too late");
    assert_eq!(other.said().len(), 2);
}

#[test]
fn a_thousand_sessions_that_are_erased_while_they_speak_leave_nothing() {
    const PAIRS: usize = 1_000;
    const THREADS: usize = 32;
    let model = Model::start();
    let app = model.app(&[("APP_WORKERS", "32"), ("COMPANION_CONCURRENCY", "24"), ("DB_ACQUIRE_TIMEOUT_MS", "30000")]);
    let (next, answered) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let (client, address) = (&app.client, app.client.address());
    let pair = |at: usize| {
        let talk = Talk::by(client);
        let key = at.is_multiple_of(3).then_some("key");
        let is_streamed = at.is_multiple_of(2);
        let request = String::from_utf8(talk.request(key, "hello")).unwrap();
        let request = if is_streamed { request } else { request.replace("text/event-stream", "*/*") };
        let mut saying = Raw::connect(address);
        let mut erasing = Raw::connect(address);
        saying.send(request.as_bytes());
        // Each erases at another moment: before the words are there, while they are written, and so on.
        thread::sleep(Duration::from_millis((at % 20 * 3) as u64));
        let erase = format!("DELETE /api/v1/sessions/{} HTTP/1.1\r\nHost: x\r\n\r\n", talk.id);
        erasing.ask(erase.as_bytes()).assert_status(204);
        let answer: Answer = saying.answer();
        let text = answer.text();
        assert!(matches!(answer.status, 200 | 404 | 503), "{}: {text}", answer.status);
        if answer.header("Content-Type") == Some("text/event-stream") {
            let last = text.rsplit("event: ").next().unwrap();
            assert!(last.starts_with("message.end") || last.contains("404") || last.contains("503"), "{last}");
        }
        let was_answered = answer.status == 200 && !text.contains("event: error");
        answered.fetch_add(usize::from(was_answered), Ordering::Relaxed);
    };
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    if at >= PAIRS {
                        break;
                    }
                    pair(at);
                }
            });
        }
    });
    assert_eq!(rows(&mut app.sql()), 0);
    let answered = answered.into_inner();
    println!("{answered} of {PAIRS} were answered before they were erased");
    assert!(answered < PAIRS, "none was erased in the middle");
    // A turn after all of them finds the table as it should be: what still ran has written nothing.
    Talk::by(client).say("hello").assert_status(200);
    assert_eq!(rows(&mut app.sql()), 3);
}
