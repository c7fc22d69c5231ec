//! Timeouts: whatever hangs, a turn ends in time and delays no other request.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::support::app::TestApp;
use crate::support::chat::{Chat, assert_unavailable};
use crate::support::cluster::Cluster;
use crate::support::fake_model::{FakeModel, Reply, pauses_at};
use crate::support::http::Answer;
use crate::support::raw::Raw;
use crate::support::server::Gate;
use crate::support::timing::{PATIENCE, eventually};

/// Tolerance for other load on the machine.
const SLACK: Duration = Duration::from_secs(1);

#[track_caller]
fn in_time<T>(limit: Duration, what: &str, ask: impl FnOnce() -> T) -> T {
    let started = Instant::now();
    let answer = ask();
    let took = started.elapsed();
    assert!(took < limit + SLACK, "{what} took {took:?}");
    answer
}

#[test]
fn a_stalled_model_is_503_within_the_timeout() {
    let model = FakeModel::start();
    let never = Arc::new(Gate::default());
    type Stall = fn(&mut Reply<'_>, &Gate) -> std::io::Result<()>;
    let stalls: [(&str, Stall); 3] = [
        ("before the head", |reply, never| reply.wait(never)),
        ("after the head", |reply, never| reply.head().and_then(|()| reply.wait(never))),
        ("within an event", |reply, never| reply.body("data: {\"choi").and_then(|()| reply.wait(never))),
    ];
    for (case, stall) in stalls {
        let app = model.app(&[("COMPANION_TIMEOUT", "2")]);
        let never = never.clone();
        model.always(Arc::new(move |reply| stall(reply, &never)));
        let (whole, streamed) = (Chat::new(&app), Chat::new(&app));
        let limit = Duration::from_secs(2);
        let disconnects = model.disconnects();
        thread::scope(|scope| {
            scope.spawn(|| assert_unavailable(&in_time(limit, case, || whole.send("hello")), case));
            scope.spawn(|| in_time(limit, case, || streamed.stream("hello").error(503)));
        });
        for chat in [whole, streamed] {
            assert_eq!(chat.transcript(), ["user: hello"], "{case}");
        }
        model.wait_for_disconnects(disconnects + 2);
    }
}

#[test]
fn what_a_slow_model_has_said_by_the_deadline_is_the_answer_and_marked_as_cut() {
    let model = FakeModel::start();
    model.always(Arc::new(|reply| {
        let closed = Gate::default();
        loop {
            // Bytes arrive all the time, so that no idle timeout ends the call.
            reply.delta("x")?;
            reply.wait_for(&closed, Duration::from_millis(200))?;
        }
    }));
    let app = model.app(&[("COMPANION_TIMEOUT", "4")]);
    let (whole, streamed) = (Chat::new(&app), Chat::new(&app));
    let limit = Duration::from_secs(4);
    thread::scope(|scope| {
        let whole_answer = scope.spawn(|| in_time(limit, "the answer", || whole.send_with_key("key", "hello").json()));
        let streamed_answer = in_time(limit, "the stream", || streamed.stream_with_key("key", "hello").message());
        for (chat, answer) in [(&whole, whole_answer.join().unwrap()), (&streamed, streamed_answer)] {
            assert!(answer["content"].as_str().is_some_and(|content| content.starts_with("xxx")), "{answer}");
            assert_eq!(answer["cut"], true);
            // It is stored, and the same key gets it again.
            let stored = &chat.messages()[1];
            assert_eq!((&stored["content"], &stored["cut"]), (&answer["content"], &answer["cut"]));
            assert_eq!(chat.send_with_key("key", "hello").assert_status(200).json(), answer);
        }
    });
    assert_eq!(model.requests().len(), 2);
}

#[test]
fn a_turn_waits_a_quarter_of_the_timeout_for_a_permit_and_keeps_its_question() {
    let model = FakeModel::start();
    let app = model.app(&[("COMPANION_TIMEOUT", "8"), ("COMPANION_CONCURRENCY", "1")]);
    let gate = Arc::new(Gate::default());
    model.next(pauses_at(&gate, "a ", "moment"));
    let (chat, other, third) = (Chat::new(&app), Chat::new(&app), Chat::new(&app));
    let running = chat.stream("first");
    model.wait_for_requests(1);
    thread::scope(|scope| {
        let started = Instant::now();
        let streamed = scope.spawn(|| third.try_stream(None, "third").err().expect("no stream"));
        let answer = in_time(Duration::from_secs(2), "the wait", || other.send_with_key("key", "second"));
        assert_unavailable(&answer, "whole");
        assert!(started.elapsed() > Duration::from_secs(1), "it waits a quarter of the timeout");
        assert_unavailable(&streamed.join().unwrap(), "streamed");
    });
    assert_eq!(
        (other.transcript(), third.transcript()),
        (vec!["user: second".to_owned()], vec!["user: third".to_owned()])
    );
    assert_eq!(model.requests().len(), 1);
    gate.open();
    running.message();
    other.send_with_key("key", "second").assert_status(200);
    assert_eq!(other.transcript().len(), 2);
}

#[test]
fn a_turn_that_gets_a_permit_in_time_is_answered() {
    let model = FakeModel::start();
    let app = model.app(&[("COMPANION_TIMEOUT", "25"), ("COMPANION_CONCURRENCY", "1")]);
    let gate = Arc::new(Gate::default());
    model.next(pauses_at(&gate, "a ", "moment"));
    let (chat, other) = (Chat::new(&app), Chat::new(&app));
    let running = chat.stream("first");
    model.wait_for_requests(1);
    thread::scope(|scope| {
        let waiting = scope.spawn(|| other.send("second"));
        // A turn waits for its permit as soon as its question is stored.
        eventually(PATIENCE, || (other.transcript().len() == 1).then_some(()));
        gate.open();
        waiting.join().unwrap().assert_status(200);
    });
    running.message();
}

#[test]
fn a_permit_is_free_again_before_the_answer_is_stored() {
    let model = FakeModel::start();
    let app = model.app(&[("COMPANION_TIMEOUT", "8"), ("COMPANION_CONCURRENCY", "1")]);
    let gate = Arc::new(Gate::default());
    model.next(pauses_at(&gate, "a ", "moment"));
    let chat = Chat::new(&app);
    thread::scope(|scope| {
        let first = scope.spawn(|| chat.send("first"));
        model.wait_for_requests(1);
        let mut sql = app.sql();
        let mut transaction = sql.transaction().unwrap();
        // Blocks the append of the first answer: the statement locks the row of its session.
        transaction.query("SELECT FROM sessions FOR UPDATE", &[]).unwrap();
        gate.open();
        Chat::new(&app).send("second").assert_status(200);
        assert_eq!(chat.transcript(), ["user: first"]);
        transaction.commit().unwrap();
        first.join().unwrap().assert_status(200);
    });
}

#[test]
fn other_requests_are_fast_while_all_turns_hang() {
    let model = FakeModel::start();
    let never = Arc::new(Gate::default());
    model.always(Arc::new(move |reply| reply.wait(&never)));
    let app = model.app(&[("COMPANION_TIMEOUT", "25"), ("COMPANION_CONCURRENCY", "4"), ("DB_POOL_MAX_SIZE", "2")]);
    let chats: Vec<Chat<'_>> = (0..24).map(|_| Chat::new(&app)).collect();
    let address = app.client.address();
    let mut hanging: Vec<_> = chats
        .iter()
        .map(|chat| {
            let mut raw = Raw::connect(address);
            raw.send(&chat.stream_request(None, "hello"));
            raw
        })
        .collect();
    model.wait_for_requests(4);
    eventually(PATIENCE, || chats.iter().all(|chat| chat.transcript().len() == 1).then_some(()));
    // The service takes 50 ms at most. Other load on the machine may add much to that, but not the seconds for which the
    // model hangs.
    let limit = Duration::from_millis(500);
    let quick = |what: &str, ask: &dyn Fn() -> Answer, status: u16| {
        let best = (0..3).map(|_| {
            let started = Instant::now();
            ask().assert_status(status);
            started.elapsed()
        });
        let best = best.min().unwrap();
        assert!(best < limit, "{what} took {best:?}");
    };
    let (idle, other) = (Chat::new(&app), Chat::new(&app));
    for path in ["/", "/health/live", "/health/db", "/health/ready", "/openapi.json", "/docs"] {
        quick(path, &|| app.client.get(path), 200);
    }
    quick("create", &|| app.client.post("/api/v1/sessions"), 201);
    quick("find", &|| app.client.get(&format!("/api/v1/sessions/{}", idle.id)), 200);
    quick("history", &|| chats[0].history(""), 200);
    quick("a page", &|| chats[0].history("?limit=5"), 200);
    quick("a second turn", &|| chats[0].send("more"), 409);
    quick("stop", &|| other.stop(), 204);
    quick("erase", &|| Chat::new(&app).erase(), 204);
    for chat in &chats {
        chat.erase().assert_status(204);
    }
    hanging.clear();
}

#[test]
fn a_frozen_database_is_503_within_the_timeout() {
    let cluster = Cluster::start();
    let model = FakeModel::start();
    let app = model.app_at(&cluster.url(), &[("COMPANION_TIMEOUT", "2")]);
    let (before, within, streamed) = (Chat::new(&app), Chat::new(&app), Chat::new(&app));
    let gate = Arc::new(Gate::default());
    model.next(pauses_at(&gate, "a ", "moment"));
    model.next(pauses_at(&gate, "a ", "moment"));
    let limit = Duration::from_secs(2);
    thread::scope(|scope| {
        let asking = scope.spawn(|| {
            assert_unavailable(&in_time(limit, "during the call", || within.send("hello")), "during the call");
        });
        let streaming = scope.spawn(|| in_time(limit, "a stream", || streamed.stream("hello").error(503)));
        model.wait_for_requests(2);
        cluster.freeze();
        gate.open();
        scope.spawn(|| {
            assert_unavailable(&in_time(limit, "before the call", || before.send("hello")), "before the call");
        });
        asking.join().unwrap();
        streaming.join().unwrap();
    });
    cluster.thaw();
    eventually(PATIENCE, || (app.client.get("/health/ready").status == 200).then_some(()));
    // A statement that missed its deadline may still have been executed; only the time of the response is promised.
    for chat in [&before, &within, &streamed] {
        eventually(PATIENCE, || (chat.send("again").status == 200).then_some(()));
    }
}

#[test]
fn a_database_that_stops_during_a_turn_is_503_and_the_key_can_be_resent() {
    let mut cluster = Cluster::start();
    let model = FakeModel::start();
    let app = model.app_at(&cluster.url(), &[("COMPANION_TIMEOUT", "4")]);
    let (whole, streamed) = (Chat::new(&app), Chat::new(&app));
    let gate = Arc::new(Gate::default());
    model.next(pauses_at(&gate, "a ", "moment"));
    model.next(pauses_at(&gate, "a ", "moment"));
    thread::scope(|scope| {
        let asking = scope.spawn(|| whole.send_with_key("key", "hello"));
        let mut events = streamed.stream_with_key("key", "hello");
        model.wait_for_requests(2);
        cluster.stop(None);
        gate.open();
        assert_unavailable(&asking.join().unwrap(), "whole");
        events.expect("message.start");
        events.error(503);
    });
    cluster.start_again();
    eventually(PATIENCE, || (app.client.get("/health/ready").status == 200).then_some(()));
    for chat in [&whole, &streamed] {
        assert_eq!(chat.transcript(), ["user: hello"]);
        eventually(PATIENCE, || (chat.send_with_key("key", "hello").status == 200).then_some(()));
        assert_eq!(chat.transcript().len(), 2);
    }
}

#[test]
fn stopping_the_service_ends_open_streams() {
    let model = FakeModel::start();
    let never = Arc::new(Gate::default());
    model.always(Arc::new(move |reply| reply.delta("half").and_then(|()| reply.wait(&never))));
    let app: TestApp = model.app(&[("COMPANION_TIMEOUT", "25"), ("APP_SHUTDOWN_GRACE", "1")]);
    let mut events = Chat::new(&app).stream("hello");
    events.expect("message.start");
    in_time(Duration::from_secs(5), "the end", || drop(app));
    model.wait_for_disconnects(1);
}
