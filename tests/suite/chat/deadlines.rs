//! Whatever hangs, the answer comes in time, and nobody else waits.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::support::app::TestApp;
use crate::support::cluster::Cluster;
use crate::support::eventually;
use crate::support::http::Answer;
use crate::support::model::{Model, Reply, says_at};
use crate::support::server::Gate;
use crate::support::talk::Talk;

const PATIENCE: Duration = Duration::from_secs(15);

/// What a test may take beyond what it is about, on a machine that does much else.
const SLACK: Duration = Duration::from_secs(1);

#[track_caller]
fn in_time<T>(limit: Duration, what: &str, ask: impl FnOnce() -> T) -> T {
    let started = Instant::now();
    let answer = ask();
    let took = started.elapsed();
    assert!(took < limit + SLACK, "{what} took {took:?}");
    answer
}

#[track_caller]
fn assert_unavailable(answer: &Answer) {
    answer.assert_problem(503);
    assert!(answer.header("Retry-After").is_some());
}

#[test]
fn a_model_that_stalls_is_503_in_time_wherever_it_does() {
    let model = Model::start();
    let never = Arc::new(Gate::default());
    let stalls: [fn(&mut Reply<'_>, &Gate) -> std::io::Result<()>; 4] = [
        |reply, never| reply.wait(never),
        |reply, never| reply.head().and_then(|()| reply.wait(never)),
        |reply, never| reply.say("half of it").and_then(|()| reply.wait(never)),
        |reply, never| reply.text("data: {\"choi").and_then(|()| reply.wait(never)),
    ];
    for stall in stalls {
        let app = model.app(&[("COMPANION_TIMEOUT", "2")]);
        let never = never.clone();
        model.always(Arc::new(move |reply| stall(reply, &never)));
        let (whole, streamed) = (Talk::new(&app), Talk::new(&app));
        let limit = Duration::from_secs(2);
        let hang_ups = model.hang_ups();
        thread::scope(|scope| {
            scope.spawn(|| assert_unavailable(&in_time(limit, "the whole", || whole.say("hello"))));
            scope.spawn(|| in_time(limit, "the stream", || streamed.stream("hello").error(503)));
        });
        assert_eq!((whole.said(), streamed.said()), (vec!["user: hello".to_owned()], vec!["user: hello".to_owned()]));
        model.wait_for_hang_ups(hang_ups + 2);
    }
}

#[test]
fn a_model_that_says_a_little_now_and_then_is_503_in_time() {
    let model = Model::start();
    model.always(Arc::new(|reply| {
        let closed = Gate::default();
        loop {
            // Something comes all the time, so that no limit on silence ends it.
            reply.say("x")?;
            reply.wait_for(&closed, Duration::from_millis(200))?;
        }
    }));
    let app = model.app(&[("COMPANION_TIMEOUT", "2")]);
    let talk = Talk::new(&app);
    in_time(Duration::from_secs(2), "the stream", || talk.stream("hello").error(503));
    assert_eq!(talk.said(), ["user: hello"]);
}

#[test]
fn a_turn_waits_for_its_place_only_so_long_and_its_words_are_kept() {
    let model = Model::start();
    let app = model.app(&[("COMPANION_TIMEOUT", "8"), ("COMPANION_CONCURRENCY", "1")]);
    let gate = Arc::new(Gate::default());
    model.next(says_at(&gate, "a ", "moment"));
    let (talk, other, third) = (Talk::new(&app), Talk::new(&app), Talk::new(&app));
    let running = talk.stream("first");
    model.wait_until_asked(1);
    thread::scope(|scope| {
        let started = Instant::now();
        let streamed = scope.spawn(|| third.try_stream(None, "third").err().expect("no stream"));
        assert_unavailable(&in_time(Duration::from_secs(2), "the wait", || other.say_as("key", "second")));
        assert!(started.elapsed() > Duration::from_secs(1), "it waits for a quarter of the time");
        assert_unavailable(&streamed.join().unwrap());
    });
    assert_eq!((other.said(), third.said()), (vec!["user: second".to_owned()], vec!["user: third".to_owned()]));
    assert_eq!(model.asked().len(), 1);
    gate.open();
    running.message();
    other.say_as("key", "second").assert_status(200);
    assert_eq!(other.said().len(), 2);
}

#[test]
fn a_turn_that_gets_its_place_in_time_is_answered() {
    let model = Model::start();
    let app = model.app(&[("COMPANION_TIMEOUT", "25"), ("COMPANION_CONCURRENCY", "1")]);
    let gate = Arc::new(Gate::default());
    model.next(says_at(&gate, "a ", "moment"));
    let (talk, other) = (Talk::new(&app), Talk::new(&app));
    let running = talk.stream("first");
    model.wait_until_asked(1);
    thread::scope(|scope| {
        let waiting = scope.spawn(|| other.say("second"));
        // It is in the queue as soon as its words are stored.
        eventually(PATIENCE, || (other.said().len() == 1).then_some(()));
        gate.open();
        waiting.join().unwrap().assert_status(200);
    });
    running.message();
}

#[test]
fn while_every_turn_hangs_nobody_else_waits() {
    let model = Model::start();
    let never = Arc::new(Gate::default());
    model.always(Arc::new(move |reply| reply.wait(&never)));
    let app = model.app(&[("COMPANION_TIMEOUT", "25"), ("COMPANION_CONCURRENCY", "4"), ("DB_POOL_MAX_SIZE", "2")]);
    let talks: Vec<Talk<'_>> = (0..24).map(|_| Talk::new(&app)).collect();
    let address = app.client.address();
    let mut hanging: Vec<_> = talks
        .iter()
        .map(|talk| {
            let mut raw = crate::support::raw::Raw::connect(address);
            raw.send(&talk.request(None, "hello"));
            raw
        })
        .collect();
    model.wait_until_asked(4);
    eventually(PATIENCE, || talks.iter().all(|talk| talk.said().len() == 1).then_some(()));
    // The service is to take 50 ms at most; a machine that runs other tests beside may add much to that by itself, but
    // nothing like the seconds for which the model hangs.
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
    let (idle, other) = (Talk::new(&app), Talk::new(&app));
    for path in ["/", "/health/live", "/health/db", "/health/ready", "/openapi.json", "/docs"] {
        quick(path, &|| app.client.get(path), 200);
    }
    quick("create", &|| app.client.post("/api/v1/sessions"), 201);
    quick("find", &|| app.client.get(&format!("/api/v1/sessions/{}", idle.id)), 200);
    quick("history", &|| talks[0].history(""), 200);
    quick("a page", &|| talks[0].history("?limit=5"), 200);
    quick("a second turn", &|| talks[0].say("more"), 409);
    quick("stop", &|| other.stop(), 204);
    quick("erase", &|| Talk::new(&app).erase(), 204);
    for talk in &talks {
        talk.erase().assert_status(204);
    }
    hanging.clear();
}

#[test]
fn a_frozen_database_is_503_in_time() {
    let cluster = Cluster::start();
    let model = Model::start();
    let app = model.app_at(&cluster.url(), &[("COMPANION_TIMEOUT", "2")]);
    let (before, within, streamed) = (Talk::new(&app), Talk::new(&app), Talk::new(&app));
    let gate = Arc::new(Gate::default());
    model.next(says_at(&gate, "a ", "moment"));
    model.next(says_at(&gate, "a ", "moment"));
    let limit = Duration::from_secs(2);
    thread::scope(|scope| {
        let asking = scope.spawn(|| assert_unavailable(&in_time(limit, "one in its turn", || within.say("hello"))));
        let streaming = scope.spawn(|| in_time(limit, "a stream", || streamed.stream("hello").error(503)));
        model.wait_until_asked(2);
        cluster.freeze();
        gate.open();
        scope.spawn(|| assert_unavailable(&in_time(limit, "one before its turn", || before.say("hello"))));
        asking.join().unwrap();
        streaming.join().unwrap();
    });
    cluster.thaw();
    eventually(PATIENCE, || (app.client.get("/health/ready").status == 200).then_some(()));
    // What could not be written in time may have been written after it; what was promised is that nobody waits.
    for talk in [&before, &within, &streamed] {
        eventually(PATIENCE, || (talk.say("again").status == 200).then_some(()));
    }
}

#[test]
fn a_database_that_goes_away_within_a_turn_is_503_and_the_key_continues() {
    let mut cluster = Cluster::start();
    let model = Model::start();
    let app = model.app_at(&cluster.url(), &[("COMPANION_TIMEOUT", "4")]);
    let (whole, streamed) = (Talk::new(&app), Talk::new(&app));
    let gate = Arc::new(Gate::default());
    model.next(says_at(&gate, "a ", "moment"));
    model.next(says_at(&gate, "a ", "moment"));
    thread::scope(|scope| {
        let asking = scope.spawn(|| whole.say_as("key", "hello"));
        let mut events = streamed.stream_as("key", "hello");
        model.wait_until_asked(2);
        cluster.stop(None);
        gate.open();
        assert_unavailable(&asking.join().unwrap());
        events.expect("message.start");
        events.error(503);
    });
    cluster.start_again();
    eventually(PATIENCE, || (app.client.get("/health/ready").status == 200).then_some(()));
    for talk in [&whole, &streamed] {
        assert_eq!(talk.said(), ["user: hello"]);
        eventually(PATIENCE, || (talk.say_as("key", "hello").status == 200).then_some(()));
        assert_eq!(talk.said().len(), 2);
    }
}

#[test]
fn a_service_that_stops_leaves_no_stream_open() {
    let model = Model::start();
    let never = Arc::new(Gate::default());
    model.always(Arc::new(move |reply| reply.say("half").and_then(|()| reply.wait(&never))));
    let app: TestApp = model.app(&[("COMPANION_TIMEOUT", "25"), ("APP_SHUTDOWN_GRACE", "1")]);
    let mut events = Talk::new(&app).stream("hello");
    events.expect("message.start");
    in_time(Duration::from_secs(5), "the end", || drop(app));
    model.wait_for_hang_ups(1);
}
