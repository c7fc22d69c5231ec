//! The circuit breaker of a model, seen from outside.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use chrono::{TimeDelta, Utc};
use safespace::companion::{Call, Companion, Finish, Unavailable};
use serde_json::json;

use super::fixture::{LONG, ask, call, client, completion, fake_sending, response, status};
use crate::support::eventually;
use crate::support::fake_model::{FakeModel, Reply, answers};
use crate::support::server::Gate;
use crate::support::timing::PATIENCE;

/// Failures in a row that open the circuit.
const THRESHOLD: usize = 5;

/// Enough time for the first piece of a local fake.
const SHORT_CALL: Duration = Duration::from_millis(300);

/// Asks more often than opens a circuit, at the same time, and returns the results.
fn ask_all(client: &Companion, has_full_time: bool) -> Vec<Result<Finish, Unavailable>> {
    thread::scope(|scope| {
        let ask = || ask(client, &Call { has_full_time, ..call(SHORT_CALL) }).0;
        let asked: Vec<_> = (0..=THRESHOLD).map(|_| scope.spawn(ask)).collect();
        asked.into_iter().map(|asked| asked.join().unwrap()).collect()
    })
}

fn is_open(client: &Companion) -> bool {
    matches!(ask(client, &call(SHORT_CALL)).0, Err(Unavailable::CircuitOpen(_)))
}

/// Asserts that the failures so far open the circuit as soon as a probe has failed too, or that they do not.
#[track_caller]
fn assert_opens(client: &Companion, opens: bool, case: &str) {
    if opens {
        eventually(PATIENCE, || is_open(client).then_some(()));
    } else {
        assert!(!is_open(client), "{case}");
    }
}

#[test]
fn after_five_failures_in_a_row_and_a_failed_probe_no_request_is_sent() {
    let model = fake_sending(status(401));
    let client = client(&model);
    for failure in 1..=5 {
        assert_eq!(ask(&client, &call(LONG)).0, Err(Unavailable::Refused(401)), "failure {failure}");
    }
    let left = eventually(PATIENCE, || match ask(&client, &call(LONG)).0 {
        Err(Unavailable::CircuitOpen(left)) => Some(left),
        result => {
            assert_eq!(result, Err(Unavailable::Refused(401)));
            None
        }
    });
    assert!(left > Duration::from_secs(3) && left <= Duration::from_secs(5), "{left:?}");
    let requests = model.requests();
    assert!(requests[..5].iter().all(|request| !request.is_probe()));
    assert_eq!(requests.iter().filter(|request| request.is_probe()).count(), 1);
    for _ in 0..10 {
        assert!(is_open(&client));
    }
    assert_eq!(model.requests().len(), requests.len());
}

#[test]
fn failures_do_not_open_the_circuit_while_probes_are_answered() {
    for reply in
        [status(403), status(500), response("application/json", "{\"error\":{\"message\":\"context length\"}}")]
    {
        let model = FakeModel::start();
        model.always(Arc::new(move |answer| {
            if answer.question == "Hello." { answer.delta("a") } else { answer.send(reply.as_bytes()) }
        }));
        let client = client(&model);
        for call_number in 0..20 {
            let result = ask(&client, &call(LONG)).0;
            assert!(!matches!(result, Ok(_) | Err(Unavailable::CircuitOpen(_))), "call {call_number}: {result:?}");
        }
    }
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
            assert!(ask(&client, &call(LONG)).0.is_err(), "{case}");
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
                let expected = if case == "a piece" { Ok(Finish::Cut) } else { Err(Unavailable::TimedOut) };
                let results = ask_all(&client, true);
                assert!(results.iter().all(|result| *result == expected), "{case}: {results:?}");
                assert_opens(&client, opens, case);
            });
        }
    });
}

#[test]
fn a_deadline_of_a_call_that_had_to_wait_before_does_not_open_the_circuit() {
    let model = FakeModel::start();
    model.always(Arc::new(|reply| reply.stall()));
    let client = client(&model);
    ask_all(&client, false);
    model.always(Arc::new(answers(&["a"])));
    assert!(!is_open(&client));
    // Other failures count whatever the time.
    model.always(Arc::new(|reply| reply.refuse(401)));
    ask_all(&client, false);
    assert_opens(&client, true, "refusals");
}

#[test]
fn an_interruption_after_the_first_piece_does_not_open_the_circuit() {
    let interrupted = Err(Unavailable::Interrupted);
    for (case, end, opens, expected) in
        [("before the first piece", "", true, interrupted), ("after it", "a", false, Ok(Finish::Cut))]
    {
        let model = FakeModel::start();
        model.always(Arc::new(move |reply| reply.delta(end)));
        let client = client(&model);
        let results = ask_all(&client, true);
        assert!(results.iter().all(|result| *result == expected), "{case}: {results:?}");
        assert_opens(&client, opens, case);
    }
}

#[test]
fn only_a_probe_with_a_fixed_text_closes_the_circuit_and_its_connection_ends_after_the_first_piece() {
    let model = FakeModel::start();
    model.always(Arc::new(|reply| reply.refuse(401)));
    let client = client(&model);
    ask_all(&client, true);
    assert_opens(&client, true, "refusals");
    let (opened, asked) = (Instant::now(), model.requests().len());
    // It would be answered, but the circuit is open: no call is sent.
    model.always(Arc::new(|reply| reply.delta("a").and_then(|()| reply.stall())));
    // On a busy machine a short call may end before the model has it.
    eventually(PATIENCE, || {
        let _ = ask(&client, &call(SHORT_CALL));
        (model.requests().len() > asked + 1).then_some(())
    });
    assert!(opened.elapsed() > Duration::from_secs(4), "{:?}", opened.elapsed());
    let requests = model.requests();
    assert!(requests[asked].is_probe() && !requests[asked + 1].is_probe());
    assert_eq!(requests.len(), asked + 2, "one probe, then one call");
    model.wait_for_disconnects(2);
}

/// A refusal with these fields in its head.
fn refusal(code: u16, fields: &str) -> String {
    format!("HTTP/1.1 {code} Reason\r\n{fields}Content-Length: 2\r\n\r\n{{}}")
}

#[test]
fn a_server_that_wants_no_request_gets_none_for_that_time_not_even_a_probe() {
    let date = |seconds| (Utc::now() + TimeDelta::seconds(seconds)).format("%a, %d %b %Y %H:%M:%S GMT").to_string();
    let google = "{\"error\":{\"details\":[{\"retryDelay\":\"59.3s\"}]}}";
    let google = format!("HTTP/1.1 429 Reason\r\nContent-Length: {}\r\n\r\n{google}", google.len());
    for (case, reply, status, seconds) in [
        ("429, seconds", refusal(429, "Retry-After: 60\r\n"), 429, 60),
        ("503, a date", refusal(503, &format!("Retry-After: {}\r\n", date(60))), 503, 60),
        ("a day is an hour", refusal(429, "Retry-After: 86400\r\n"), 429, 3600),
        ("the field of LiteLLM", refusal(429, "llm_provider-retry-after: 60\r\n"), 429, 60),
        ("in the body", google, 429, 60),
    ] {
        let model = fake_sending(reply);
        let client = client(&model);
        let (result, _) = ask(&client, &call(LONG));
        let Err(Unavailable::RetryAfter { status: refused, delay }) = result else { panic!("{case}: {result:?}") };
        let expected = Duration::from_secs(seconds);
        assert!(
            refused == status && delay <= expected && expected - delay < Duration::from_secs(3),
            "{case}: {delay:?}"
        );
        for _ in 0..10 {
            let (result, _) = ask(&client, &call(LONG));
            let Err(Unavailable::CircuitOpen(left)) = result else { panic!("{case}: {result:?}") };
            assert!(left <= delay && delay - left < Duration::from_secs(3), "{case}: {left:?}");
        }
        assert_eq!(model.requests().len(), 1, "{case}");
    }
}

#[test]
fn a_short_wait_that_a_server_asks_for_fits_into_a_call_and_a_probe_keeps_to_the_next_one() {
    let model = FakeModel::start();
    model.next(|reply| reply.send(refusal(429, "Retry-After: 1\r\n").as_bytes()));
    let client = client(&model);
    let begin = Instant::now();
    assert_eq!(ask(&client, &call(LONG)).0, Ok(Finish::Complete));
    assert!(begin.elapsed() >= Duration::from_secs(1), "{:?}", begin.elapsed());
    eventually(PATIENCE, || ask(&client, &call(LONG)).0.is_ok().then_some(()));
    // The call does not wait for longer than its deadline allows, and the probe is refused in the same way.
    let asked = model.requests().len();
    model.next(|reply| reply.send(refusal(503, "Retry-After: 1\r\n").as_bytes()));
    model.next(|reply| reply.send(refusal(503, "Retry-After: 3600\r\n").as_bytes()));
    let result = ask(&client, &call(Duration::from_millis(1500))).0;
    assert_eq!(result, Err(Unavailable::RetryAfter { status: 503, delay: Duration::from_secs(1) }));
    model.wait_for_requests(asked + 2);
    assert!(model.requests()[asked + 1].is_probe());
    eventually(PATIENCE, || {
        let (result, _) = ask(&client, &call(LONG));
        matches!(result, Err(Unavailable::CircuitOpen(left)) if left > Duration::from_secs(3000)).then_some(())
    });
}

#[test]
fn a_call_that_waits_for_its_retry_keeps_to_the_wait_that_another_call_was_asked_for() {
    let (model, gate) = (FakeModel::start(), Arc::new(Gate::default()));
    let sender_gate = gate.clone();
    model.next(move |reply| {
        reply.wait(&sender_gate)?;
        reply.refuse(500)
    });
    model.next(|reply| reply.send(refusal(429, "Retry-After: 60\r\n").as_bytes()));
    let client = client(&model);
    thread::scope(|scope| {
        let first = scope.spawn(|| ask(&client, &call(LONG)).0);
        model.wait_for_requests(1);
        assert!(matches!(ask(&client, &call(LONG)).0, Err(Unavailable::RetryAfter { status: 429, .. })));
        gate.open();
        assert_eq!(first.join().unwrap(), Err(Unavailable::Refused(500)));
    });
    assert_eq!(model.requests().len(), 2);
}

#[test]
fn a_wait_that_makes_no_sense_is_as_if_none_was_asked_for() {
    for fields in ["Retry-After: soon\r\n", "Retry-After: -1\r\n", "Retry-After:\r\n", "Retry-After: 0\r\n"] {
        let model = fake_sending(refusal(429, fields));
        assert_eq!(ask(&client(&model), &call(LONG)).0, Err(Unavailable::Refused(429)), "{fields}");
        assert_eq!(model.requests().len(), 2, "{fields}");
    }
    // Only with these two statuses it is about all requests.
    let model = fake_sending(refusal(400, "Retry-After: 60\r\n"));
    assert_eq!(ask(&client(&model), &call(LONG)).0, Err(Unavailable::Refused(400)));
}

#[test]
fn dropping_a_companion_ends_its_probe() {
    let model = FakeModel::start();
    model.always(Arc::new(|reply| reply.refuse(401)));
    let client = client(&model);
    ask_all(&client, true);
    model.always(Arc::new(|reply| reply.stall()));
    let asked = model.requests().len();
    model.wait_for_requests(asked + 1);
    let dropped = Instant::now();
    drop(client);
    model.wait_for_disconnects(1);
    assert!(dropped.elapsed() < Duration::from_secs(5), "before the timeout of the probe: {:?}", dropped.elapsed());
}
