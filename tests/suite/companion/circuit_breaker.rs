//! The circuit breaker of a model, seen from outside.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use safespace::companion::{Call, Companion, Unavailable};
use serde_json::json;

use super::fixture::{LONG, ask, call, client, completion, fake_sending, response, status};
use crate::support::eventually;
use crate::support::fake_model::{FakeModel, Reply, answers};
use crate::support::timing::PATIENCE;

/// Failures in a row that open the circuit.
const THRESHOLD: usize = 5;

/// Enough time for the first piece of a local fake.
const SHORT_CALL: Duration = Duration::from_millis(300);

/// Asks more often than opens a circuit, at the same time, and returns the failures.
fn ask_all(client: &dyn Companion, has_full_time: bool) -> Vec<Unavailable> {
    thread::scope(|scope| {
        let ask = || ask(client, &Call { has_full_time, ..call(SHORT_CALL) }).0.expect_err("no answer");
        let asked: Vec<_> = (0..=THRESHOLD).map(|_| scope.spawn(ask)).collect();
        asked.into_iter().map(|asked| asked.join().unwrap()).collect()
    })
}

fn is_open(client: &dyn Companion) -> bool {
    matches!(ask(client, &call(LONG)).0, Err(Unavailable::CircuitOpen(_)))
}

#[test]
fn after_five_failures_in_a_row_no_request_is_sent() {
    let model = fake_sending(status(401));
    let client = client(&model);
    for failure in 1..=5 {
        assert_eq!(ask(&*client, &call(LONG)).0, Err(Unavailable::Refused(401)), "failure {failure}");
    }
    let (Err(Unavailable::CircuitOpen(left)), _) = ask(&*client, &call(LONG)) else { panic!("the circuit is closed") };
    assert!(left > Duration::from_secs(3) && left <= Duration::from_secs(5), "{left:?}");
    assert_eq!(model.requests().len(), 5);
}

#[test]
fn failures_that_a_conversation_causes_do_not_open_the_circuit() {
    for (case, reply) in [
        ("status 400", status(400)),
        ("an empty answer", completion(" ")),
        ("a refusal", response("application/json", "{\"choices\":[{\"message\":{\"refusal\":\"no\"}}]}")),
    ] {
        let model = fake_sending(reply);
        let client = client(&model);
        for _ in 0..6 {
            assert!(ask(&*client, &call(LONG)).0.is_err(), "{case}");
        }
        assert_eq!(model.requests().len(), 6, "{case}");
    }
}

#[test]
fn no_first_piece_in_time_opens_the_circuit_and_any_piece_of_a_model_does_not() {
    type Start = fn(&mut Reply<'_>) -> io::Result<()>;
    let cases: [(&str, Start, bool); 6] = [
        ("no response", |_| Ok(()), true),
        ("a head alone", |reply| reply.head(), true),
        ("a chunk without text", |reply| reply.delta(""), true),
        ("a piece", |reply| reply.delta("a"), false),
        ("reasoning", |reply| reply.chunk(&json!([{"delta": {"content": "", "reasoning": "hm"}}])), false),
        ("reasoning_content", |reply| reply.chunk(&json!([{"delta": {"reasoning_content": "hm"}}])), false),
    ];
    thread::scope(|scope| {
        for (case, start, opens) in cases {
            scope.spawn(move || {
                let model = FakeModel::start();
                model.always(Arc::new(move |reply| start(reply).and_then(|()| reply.stall())));
                let client = client(&model);
                let failures = ask_all(&*client, true);
                assert!(failures.iter().all(|failure| *failure == Unavailable::TimedOut), "{case}: {failures:?}");
                model.always(Arc::new(answers(&["a"])));
                assert_eq!(is_open(&*client), opens, "{case}");
            });
        }
    });
}

#[test]
fn a_deadline_of_a_call_that_had_to_wait_before_does_not_open_the_circuit() {
    let model = FakeModel::start();
    model.always(Arc::new(|reply| reply.stall()));
    let client = client(&model);
    ask_all(&*client, false);
    model.always(Arc::new(answers(&["a"])));
    assert!(!is_open(&*client));
    // Other failures count whatever the time.
    model.always(Arc::new(|reply| reply.refuse(401)));
    ask_all(&*client, false);
    assert!(is_open(&*client));
}

#[test]
fn an_interruption_after_the_first_piece_does_not_open_the_circuit() {
    for (case, end, opens) in [("before the first piece", "", true), ("after it", "a", false)] {
        let model = FakeModel::start();
        model.always(Arc::new(move |reply| reply.delta(end)));
        let client = client(&model);
        let failures = ask_all(&*client, true);
        assert!(failures.iter().all(|failure| *failure == Unavailable::Interrupted), "{case}: {failures:?}");
        assert_eq!(is_open(&*client), opens, "{case}");
    }
}

#[test]
fn only_a_probe_with_a_fixed_text_closes_the_circuit_and_its_connection_ends_after_the_first_piece() {
    let model = FakeModel::start();
    model.always(Arc::new(|reply| reply.refuse(401)));
    let client = client(&model);
    ask_all(&*client, true);
    let (opened, asked) = (Instant::now(), model.requests().len());
    // It would be answered, but the circuit is open: no call is sent.
    model.always(Arc::new(|reply| reply.delta("a").and_then(|()| reply.stall())));
    eventually(PATIENCE, || {
        let is_closed = !matches!(ask(&*client, &call(SHORT_CALL)).0, Err(Unavailable::CircuitOpen(_)));
        is_closed.then_some(())
    });
    assert!(opened.elapsed() > Duration::from_secs(4), "{:?}", opened.elapsed());
    let requests = model.requests();
    assert!(requests[..asked].iter().all(|request| !request.is_probe()) && requests[asked].is_probe());
    assert_eq!(requests.len(), asked + 2, "one probe, then one call");
    model.wait_for_disconnects(2);
}

#[test]
fn dropping_a_companion_ends_its_probe() {
    let model = FakeModel::start();
    model.always(Arc::new(|reply| reply.refuse(401)));
    let client = client(&model);
    ask_all(&*client, true);
    model.always(Arc::new(|reply| reply.stall()));
    let asked = model.requests().len();
    model.wait_for_requests(asked + 1);
    let dropped = Instant::now();
    drop(client);
    model.wait_for_disconnects(1);
    assert!(dropped.elapsed() < Duration::from_secs(5), "before the timeout of the probe: {:?}", dropped.elapsed());
}
