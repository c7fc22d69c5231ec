//! The rate of a session's messages as its client sees it. The exact bounds are tested beside the code, with a clock.

use crate::support::app::TestApp;
use crate::support::chat::Chat;
use crate::support::cluster::Schema;
use crate::support::eventually;
use crate::support::http::Answer;
use crate::support::process::Binary;
use crate::support::timing::PATIENCE;

const POLICY: &str = "\"messages\";q=20;w=60;safespace-burst=5";

/// The parameters `r` and `t` of `RateLimit`.
#[track_caller]
fn rate_limit(answer: &Answer) -> (u32, u32) {
    assert_eq!(answer.header("RateLimit-Policy"), Some(POLICY), "{}", answer.status);
    let value = answer.header("RateLimit").expect("a RateLimit field");
    let numbers = value.strip_prefix("\"messages\";r=").and_then(|rest| rest.split_once(";t="));
    let (remaining, seconds) = numbers.unwrap_or_else(|| panic!("RateLimit: {value}"));
    (remaining.parse().unwrap(), seconds.parse().unwrap())
}

/// Sends messages until one is refused, and returns how many were admitted, and the refusal.
#[track_caller]
fn exhaust(chat: &Chat<'_>) -> (usize, Answer) {
    for admitted in 0..100 {
        let answer = chat.send("hello");
        if answer.status == 429 {
            return (admitted, answer);
        }
        rate_limit(&answer.assert_status(200));
    }
    panic!("100 messages were admitted");
}

#[test]
fn messages_above_the_rate_get_429_with_the_fields_of_the_draft_until_there_is_quota_again() {
    let app = TestApp::with(&[("RATE_LIMIT", "on")]);
    let chat = Chat::new(&app);
    assert_eq!(rate_limit(&chat.send("hello").assert_status(200)), (4, 3));
    let (admitted, refused) = exhaust(&chat);
    assert!(admitted >= 4, "{admitted}");
    let detail = refused.assert_problem(429);
    assert!(detail.contains("5 in a row") && detail.contains("20 in a minute"), "{detail}");
    assert_eq!(refused.json()["code"], "rate_limited");
    let (remaining, seconds) = rate_limit(&refused);
    assert_eq!(remaining, 0);
    assert!((1..=3).contains(&seconds), "{seconds}");
    assert_eq!(refused.header("Retry-After"), Some(seconds.to_string().as_str()));
    assert_eq!(chat.messages().len(), 2 * (admitted + 1), "a refused message is not stored");
    let next = eventually(PATIENCE, || Some(chat.send("hello")).filter(|answer| answer.status == 200));
    assert!(rate_limit(&next).0 < 5);
}

#[test]
fn streams_and_errors_have_the_fields_too() {
    let app = TestApp::with(&[("RATE_LIMIT", "on")]);
    let chat = Chat::new(&app);
    let mut stream = chat.stream("hello");
    assert_eq!(rate_limit(&stream.head), (4, 3));
    while stream.next().is_some() {}
    let invalid = chat.send(" ");
    invalid.assert_problem(422);
    rate_limit(&invalid);
    let unknown = Chat::of(&app.client, "550e8400-e29b-41d4-a716-446655440000").send("hello");
    unknown.assert_problem(404);
    assert_eq!(rate_limit(&unknown), (4, 3));
    exhaust(&chat);
    let refused = chat.try_stream(None, "hello").map(|_| ()).unwrap_err();
    refused.assert_problem(429);
    rate_limit(&refused);
}

#[test]
fn nothing_but_messages_is_limited_and_nobody_elses() {
    let app = TestApp::with(&[("RATE_LIMIT", "on")]);
    let (chat, other) = (Chat::new(&app), Chat::new(&app));
    exhaust(&chat);
    assert_eq!(rate_limit(&other.send("hello").assert_status(200)), (4, 3));
    for _ in 0..30 {
        chat.stop().assert_status(204);
        chat.history("").assert_status(200);
        app.client.get("/health/ready").assert_status(200);
    }
    assert!(chat.history("").header("RateLimit").is_none());
    chat.erase().assert_status(204);
}

#[test]
fn without_rate_limit_there_is_no_bound_and_no_field() {
    let app = TestApp::with(&[("RATE_LIMIT", "off"), ("PROOF_OF_WORK", "always")]);
    let chat = Chat::new(&app);
    for _ in 0..30 {
        let answer = chat.send("hello").assert_status(200);
        assert!(answer.header("RateLimit").is_none() && answer.header("RateLimit-Policy").is_none());
    }
}

#[test]
fn refusals_are_counted_by_reason() {
    let schema = Schema::new();
    let url = schema.url();
    let variables = [("DATABASE_URL", url.as_str()), ("RATE_LIMIT", "on"), ("METRICS_PORT", "0")];
    let service = Binary::new(&variables).serve();
    let (_, _) = exhaust(&Chat::create(&service.client));
    let metrics = service.metrics().get("/metrics").text();
    assert!(metrics.contains("safespace_abuse_refusals_total{reason=\"rate_limited\"} 1\n"), "{metrics}");
}
