//! The companion is shared fairly: clients with many or long answers, and those that go away, leave the others theirs.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::chat::Chat;
use crate::support::fake_model::{FakeModel, Reply, pauses_at};
use crate::support::http::Client;
use crate::support::raw::Raw;
use crate::support::server::Gate;
use crate::support::timing::{PATIENCE, eventually};

/// An address in another network than 127.0.0.1, whose network is that of the other clients.
const ATTACKER: [u8; 4] = [127, 1, 2, 3];

/// The question that the model answers until its caller is gone.
const LONG_QUESTION: &str = "everything";

/// The time between two messages of the victim.
const PAUSE: Duration = Duration::from_millis(100);

/// Answers the long question without an end, and all others at once.
fn answer(reply: &mut Reply<'_>) -> io::Result<()> {
    let never = Gate::default();
    while reply.question == LONG_QUESTION {
        reply.delta("and on ")?;
        reply.wait_for(&never, Duration::from_millis(50))?;
    }
    reply.delta("yes")?;
    reply.finish("stop")
}

/// Sends a message every [`PAUSE`] for this time, each in a session of its own. Returns the number of messages, and the
/// statuses other than 200.
fn victim(client: &Client, time: Duration) -> (usize, Vec<u16>) {
    let (started, mut count, mut refused) = (Instant::now(), 0, Vec::new());
    while started.elapsed() < time {
        let status = Chat::create(client).send("hello").status;
        count += 1;
        refused.extend(Some(status).filter(|status| *status != 200));
        thread::sleep(PAUSE);
    }
    (count, refused)
}

/// Asserts that at least 95 of 100 were answered.
#[track_caller]
fn assert_answered((count, refused): (usize, Vec<u16>)) {
    println!("{} of {count} were answered", count - refused.len());
    assert!(refused.len() * 20 <= count, "{} of {count} were refused: {refused:?}", refused.len());
}

#[test]
fn long_answers_of_clients_that_go_away_leave_the_companion_to_others() {
    let model = FakeModel::start();
    model.always(Arc::new(answer));
    let app = model.app(&[("COMPANION_TIMEOUT", "4"), ("COMPANION_CONCURRENCY", "4")]);
    let (client, is_over) = (&app.client, AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                let connections = [(); 8].map(|()| {
                    let (mut raw, chat) = (Raw::connect(client.address()), Chat::create(client));
                    raw.send(&chat.stream_request(None, LONG_QUESTION));
                    raw
                });
                // They go away when the answers have begun.
                thread::sleep(Duration::from_millis(200));
                drop(connections);
            }
        });
        // Long enough for many answers to reach their deadline.
        let result = victim(client, Duration::from_secs(6));
        is_over.store(true, Ordering::Relaxed);
        assert_answered(result);
    });
}

#[test]
fn long_answers_of_one_peer_leave_the_companion_to_others() {
    let model = FakeModel::start();
    model.always(Arc::new(answer));
    let app = model.app(&[
        ("COMPANION_TIMEOUT", "2"),
        ("COMPANION_CONCURRENCY", "4"),
        ("RATE_LIMIT", "on"),
        ("RATE_LIMIT_BY_ADDRESS", "on"),
        // All sessions are created from one network.
        ("PROOF_OF_WORK", "off"),
    ]);
    let (client, is_over) = (&app.client, AtomicBool::new(false));
    thread::scope(|scope| {
        for _ in 0..12 {
            scope.spawn(|| {
                let mut raw = Raw::connect_from(ATTACKER, client.address());
                while !is_over.load(Ordering::Relaxed) {
                    // It reads to the end, a deadline or a 503, and asks again in another session.
                    raw.ask(&Chat::create(client).stream_request(None, LONG_QUESTION));
                }
            });
        }
        model.wait_for_requests(2);
        let result = victim(client, Duration::from_secs(4));
        is_over.store(true, Ordering::Relaxed);
        assert_answered(result);
    });
}

#[test]
fn sessions_of_unknown_address_with_long_answers_leave_the_companion_to_one_that_has_used_it_less() {
    const HEAVY: usize = 12;
    let model = FakeModel::start();
    model.always(Arc::new(|reply| {
        // Behind a question without an answer, both are one.
        if reply.question.starts_with(LONG_QUESTION) {
            reply.delta("after a while: ")?;
            reply.wait_for(&Gate::default(), Duration::from_secs(1))?;
        }
        reply.delta("yes")?;
        reply.finish("stop")
    }));
    // A turn waits for half a second: less than a long answer takes.
    let app = model.app(&[("COMPANION_TIMEOUT", "2"), ("COMPANION_CONCURRENCY", "8")]);
    let (client, is_over, heavy) = (&app.client, AtomicBool::new(false), AtomicUsize::new(0));
    let light = Chat::create(client);
    light.send("hello").assert_status(200);
    thread::scope(|scope| {
        for _ in 0..HEAVY {
            scope.spawn(|| {
                let (mut raw, chat, mut answered) = (Raw::connect(client.address()), Chat::create(client), 0);
                while !is_over.load(Ordering::Relaxed) {
                    // An answer or a 503.
                    let is_answered = raw.ask(&chat.request("*/*", None, LONG_QUESTION)).status == 200;
                    answered += usize::from(is_answered);
                    heavy.fetch_add(usize::from(is_answered && answered == 3), Ordering::Relaxed);
                }
            });
        }
        // Each has used the companion for longer than its timeout.
        eventually(2 * PATIENCE, || (heavy.load(Ordering::Relaxed) >= HEAVY).then_some(()));
        // The answers that began before are over.
        model.wait_for_requests(model.requests().len() + 16);
        let (started, mut statuses) = (Instant::now(), Vec::new());
        while started.elapsed() < Duration::from_secs(3) {
            statuses.push(light.send("hello").status);
            thread::sleep(PAUSE);
        }
        is_over.store(true, Ordering::Relaxed);
        let count = statuses.len();
        assert_answered((count, statuses.into_iter().filter(|status| *status != 200).collect()));
    });
}

#[test]
fn an_abandoned_turn_gives_way_to_a_waiting_one_as_if_it_was_stopped() {
    let model = FakeModel::start();
    let app = model.app(&[("COMPANION_TIMEOUT", "25"), ("COMPANION_CONCURRENCY", "1")]);
    let never = Arc::new(Gate::default());
    for first in ["half of it ", ""] {
        model.next(pauses_at(&never, first, "too late"));
        let chat = Chat::new(&app);
        let requests = model.requests().len();
        let mut events = chat.stream_with_key("key", "hello");
        events.expect("message.start");
        model.wait_for_requests(requests + 1);
        if !first.is_empty() {
            assert_eq!(events.delta(), first);
        }
        drop(events);
        // Nobody waits, so it goes on; then somebody does.
        Chat::new(&app).send("hello").assert_status(200);
        let stopped = if first.is_empty() { vec![] } else { vec![format!("model: {first}")] };
        eventually(PATIENCE, || (chat.transcript()[1..] == stopped).then_some(()));
        let content = chat.send_with_key("key", "hello").assert_status(200).json()["content"].clone();
        assert_eq!(content, if first.is_empty() { "I am here, and I listen." } else { first });
        assert_eq!(chat.transcript().len(), 2);
    }
}

#[test]
fn answers_that_are_longer_than_their_timeout_are_cut_and_leave_the_circuit_closed() {
    let model = FakeModel::start();
    model.always(Arc::new(answer));
    let app = model.app(&[("COMPANION_TIMEOUT", "8")]);
    thread::scope(|scope| {
        for is_streamed in [true, false].into_iter().cycle().take(8) {
            let chat = Chat::new(&app);
            scope.spawn(move || {
                let answer = if is_streamed {
                    chat.stream(LONG_QUESTION).message()
                } else {
                    chat.send(LONG_QUESTION).assert_status(200).json()
                };
                assert_eq!(answer["cut"], true);
            });
        }
    });
    Chat::new(&app).send("hello").assert_status(200);
}

#[test]
fn deadlines_of_turns_that_had_to_wait_leave_the_circuit_closed() {
    // On a machine that is busy with something else, a turn may give up before it gets its permit.
    assert!((0..3).any(|_| all_waiting_turns_reach_their_deadline()), "turns gave up in each round");
}

/// Has turns wait for their permits for more than a sixteenth of the timeout, so that the companion has no full time for
/// them, and returns whether all of them got one. In any case the circuit is closed when they are over.
fn all_waiting_turns_reach_their_deadline() -> bool {
    const PERMITS: usize = 6;
    let model = FakeModel::start();
    let gate = Arc::new(Gate::default());
    let first = pauses_at(&gate, "", "yes");
    model.always(Arc::new(move |reply| match reply.question.as_str() {
        "first" => first(reply),
        "second" => reply.stall(),
        _ => answer(reply),
    }));
    let app = model.app(&[("COMPANION_TIMEOUT", "8"), ("COMPANION_CONCURRENCY", &PERMITS.to_string())]);
    thread::scope(|scope| {
        let ask = |question: &'static str, expected: u16| {
            let chat = Chat::new(&app);
            let path = chat.path();
            scope.spawn(move || chat.send(question).assert_status(expected));
            path
        };
        (0..PERMITS).for_each(|_| _ = ask("first", 200));
        model.wait_for_requests(PERMITS);
        let waiting: Vec<String> = (0..PERMITS).map(|_| ask("second", 503)).collect();
        let has_begun = |path: &String| app.client.get(path).text().contains("second");
        eventually(PATIENCE, || waiting.iter().all(has_begun).then_some(()));
        thread::sleep(Duration::from_millis(600));
        gate.open();
    });
    let asked = model.requests().len();
    Chat::new(&app).send("hello").assert_status(200);
    asked == 2 * PERMITS
}

#[test]
fn a_peer_with_too_many_turns_gets_429_and_others_are_answered() {
    let model = FakeModel::start();
    let app = model.app(&[
        ("APP_REQUEST_TIMEOUT", "120"),
        ("COMPANION_TIMEOUT", "100"),
        ("COMPANION_CONCURRENCY", "4"),
        ("RATE_LIMIT", "on"),
        ("RATE_LIMIT_BY_ADDRESS", "on"),
        ("PROOF_OF_WORK", "off"),
        ("METRICS_PORT", "0"),
    ]);
    let gate = Arc::new(Gate::default());
    model.always(Arc::new(pauses_at(&gate, "", "yes")));
    let connect = || Raw::connect_from(ATTACKER, app.client.address());
    // An eighth of the threads for turns, which are 224 more than the companion answers.
    let chats = [(); (4 + 224) / 8].map(|()| Chat::new(&app));
    let mut connections: Vec<Raw> = chats.iter().map(|_| connect()).collect();
    for (raw, chat) in connections.iter_mut().zip(&chats) {
        raw.send(&chat.request("*/*", None, "hello"));
    }
    eventually(PATIENCE, || chats.iter().all(|chat| chat.transcript().len() == 1).then_some(()));
    let one_more = Chat::new(&app);
    for accept in ["*/*", "text/event-stream"] {
        let refused = connect().ask(&one_more.request(accept, None, "hello"));
        assert!(refused.assert_problem(429).contains("network"));
        assert_eq!(
            (refused.json()["code"].clone(), refused.header("Retry-After")),
            (json!("network_limited"), Some("1"))
        );
    }
    assert!(one_more.transcript().is_empty());
    let metrics = app.metrics();
    assert!(metrics.contains("\nsafespace_abuse_refusals_total{reason=\"turns_in_progress\"} 2\n"), "{metrics}");
    gate.open();
    Chat::new(&app).send("hello").assert_status(200);
    assert!(connections.iter_mut().all(|raw| raw.answer().status == 200));
    assert_eq!(connect().ask(&one_more.request("*/*", None, "hello")).status, 200);
}
