//! The circuit breaker of a model, seen from outside.

use std::time::Duration;

use safespace::companion::Unavailable;

use super::fixture::{LONG, ask, call, client, completion, fake_sending, response, status};

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
