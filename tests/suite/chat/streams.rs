//! An answer that comes piece by piece.

use std::sync::Arc;
use std::time::Duration;

use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::RcvBuf;
use serde_json::json;
use uuid::Uuid;

use crate::support::app::TestApp;
use crate::support::events::Events;
use crate::support::eventually;
use crate::support::model::{Model, says_at};
use crate::support::raw::Raw;
use crate::support::server::Gate;
use crate::support::talk::Talk;

const PATIENCE: Duration = Duration::from_secs(15);

#[test]
fn an_answer_streams_as_start_pieces_and_the_whole() {
    let app = TestApp::start();
    let talk = Talk::new(&app);
    let mut events = talk.stream("halo");
    assert_eq!(events.head.status, 200);
    assert_eq!(events.head.header("X-Accel-Buffering"), Some("no"));
    assert_eq!(events.head.header("Cache-Control"), Some("no-store"));
    assert_eq!(events.head.header("X-Content-Type-Options"), Some("nosniff"));
    let start = events.expect("message.start");
    assert!(events.began_with_comment);
    assert_eq!(start, json!({"id": start["id"], "session_id": talk.id, "role": "model"}));
    let end = events.message();
    let fields: Vec<&String> = end.as_object().unwrap().keys().collect();
    assert_eq!(fields, ["content", "created_at", "id", "role", "session_id", "source"]);
    assert_eq!((&end["id"], &end["source"]), (&start["id"], &json!("script")));
    let stored = &talk.messages()[1];
    for field in ["id", "role", "content", "created_at", "session_id"] {
        assert_eq!(stored[field], end[field], "{field}");
    }
}

#[test]
fn the_stream_begins_before_the_model_does() {
    let model = Model::start();
    let app = model.app(&[]);
    let gate = Arc::new(Gate::default());
    model.next(says_at(&gate, "", "words"));
    let mut events = Talk::new(&app).stream("hello");
    events.wait_for_comments(1);
    assert!(events.began_with_comment);
    gate.open();
    assert_eq!(events.message()["content"], "words");
}

#[test]
fn each_piece_comes_as_soon_as_the_model_says_it() {
    let model = Model::start();
    let app = model.app(&[]);
    let gates: [Arc<Gate>; 3] = Default::default();
    model.next({
        let gates = gates.clone();
        move |reply| {
            assert!(reply.is_streamed);
            for (gate, word) in gates.iter().zip(["one ", "two ", "three"]) {
                reply.say(word)?;
                reply.wait(gate)?;
            }
            reply.finish("stop")
        }
    });
    let talk = Talk::new(&app);
    let mut events = talk.stream("count");
    let start = events.expect("message.start");
    for (gate, word) in gates.iter().zip(["one ", "two ", "three"]) {
        assert_eq!(events.delta(), word);
        gate.open();
    }
    let end = events.expect("message.end");
    assert_eq!(
        (&end["id"], &end["content"], &end["source"]),
        (&start["id"], &json!("one two three"), &json!("companion"))
    );
    assert!(events.next().is_none());
    assert_eq!(talk.said(), ["user: count", "model: one two three"]);
}

#[test]
fn an_answer_that_comes_byte_by_byte_is_the_same() {
    let model = Model::start();
    let app = model.app(&[]);
    let words = "Aku di sini \u{1f9ed}\u{200d}\u{1f467}, e\u{301}\u{2028}\n\n\"kutip\" \\ data: x\r\n";
    model.always(Arc::new(move |reply| {
        reply.is_byte_by_byte = true;
        for piece in words.split_inclusive(' ') {
            reply.say(piece)?;
        }
        reply.finish("stop")
    }));
    let talk = Talk::new(&app);
    assert_eq!(talk.stream("hello").message()["content"], words);
    assert_eq!(talk.say("hello").assert_status(200).json()["content"], words);
    assert_eq!(talk.messages()[3]["content"], words);
}

#[test]
fn what_is_wrong_before_the_stream_is_an_ordinary_problem() {
    let model = Model::start();
    let app = model.app(&[]);
    let refused = |talk: &Talk<'_>, message: &str| talk.try_stream(None, message).err().expect("no stream");
    refused(&Talk::with(&app.client, &Uuid::new_v4().to_string()), "x").assert_problem(404);
    refused(&Talk::with(&app.client, "1"), "x").assert_problem(422);
    let talk = Talk::new(&app);
    let answer = refused(&talk, " ");
    answer.assert_problem(422);
    assert_eq!(answer.json()["errors"][0]["field"], "message");
    let answer = talk.try_stream(Some(&"k".repeat(201)), "x").err().expect("no stream");
    answer.assert_problem(422);
    assert_eq!(answer.json()["errors"][0]["field"], "Idempotency-Key");
    assert!(model.asked().is_empty());

    let gate = Arc::new(Gate::default());
    model.next(says_at(&gate, "wait", " for it"));
    let mut running = talk.stream("first");
    running.expect("message.start");
    let answer = refused(&talk, "second");
    answer.assert_problem(409);
    assert!(answer.header("Retry-After").is_some());
    gate.open();
    assert_eq!(running.message()["content"], "wait for it");
    assert_eq!(talk.said(), ["user: first", "model: wait for it"]);
}

#[test]
fn a_client_that_goes_away_does_not_stop_the_turn() {
    let model = Model::start();
    let app = model.app(&[]);
    for first in ["", "half of "] {
        let gate = Arc::new(Gate::default());
        model.next(says_at(&gate, first, "the answer"));
        let talk = Talk::new(&app);
        let asked = model.asked().len();
        let mut events = talk.stream("hello");
        events.wait_for_comments(1);
        model.wait_until_asked(asked + 1);
        if !first.is_empty() {
            events.expect("message.start");
            assert_eq!(events.delta(), first);
        }
        drop(events);
        gate.open();
        eventually(PATIENCE, || (talk.said().len() == 2).then_some(()));
        assert_eq!(talk.said(), ["user: hello".to_owned(), format!("model: {first}the answer")]);
    }
    assert_eq!(model.hang_ups(), 0);
}

#[test]
fn a_client_that_waits_for_the_whole_and_goes_away_does_not_stop_the_turn_either() {
    let model = Model::start();
    let app = model.app(&[]);
    let gate = Arc::new(Gate::default());
    model.next(says_at(&gate, "the ", "answer"));
    let talk = Talk::new(&app);
    let request = String::from_utf8(talk.request(None, "hello")).unwrap().replace("text/event-stream", "*/*");
    let mut raw = Raw::connect(app.client.address());
    raw.send(request.as_bytes());
    model.wait_until_asked(1);
    drop(raw);
    gate.open();
    eventually(PATIENCE, || (talk.said().len() == 2).then_some(()));
    assert_eq!(talk.said()[1], "model: the answer");
}

#[test]
fn clients_that_do_not_read_hold_up_nobody() {
    let model = Model::start();
    let app = model.app(&[("APP_WORKERS", "6"), ("COMPANION_CONCURRENCY", "2"), ("COMPANION_TIMEOUT", "25")]);
    // Each letter is an event, so that a whole answer is more than the sockets on the way hold.
    let long: String = "many words and more ".repeat(800);
    let letters = long.clone();
    model.always(Arc::new(move |reply| {
        letters.split_inclusive(|_| true).try_for_each(|letter| reply.say(letter))?;
        reply.finish("stop")
    }));
    let talks: Vec<Talk<'_>> = (0..8).map(|_| Talk::new(&app)).collect();
    let mut silent = Vec::new();
    for talk in &talks {
        let mut raw = Raw::connect(app.client.address());
        setsockopt(&raw.stream, RcvBuf, &4096).unwrap();
        raw.send(&talk.request(None, "hello"));
        silent.push(raw);
        eventually(PATIENCE, || (talk.said().len() == 2).then_some(()));
        assert_eq!(talk.said()[1].len(), "model: ".len() + long.len());
    }
}

#[test]
fn after_a_stream_the_connection_serves_on() {
    let app = TestApp::start();
    let talk = Talk::new(&app);
    let mut events = talk.stream("halo");
    while events.next().is_some_and(|event| event.name != "message.end") {}
    let again = Events::of(events.into_raw(), &talk.request(None, "masih di sini")).expect("a stream");
    assert_eq!(again.message()["role"], "model");
    assert_eq!(talk.said().len(), 4);
}

#[test]
fn a_stream_is_for_whoever_says_so() {
    let app = TestApp::start();
    let talk = Talk::new(&app);
    for (accept, expected) in [
        ("text/event-stream", "text/event-stream"),
        ("text/event-stream, application/json;q=0.1", "text/event-stream"),
        ("Text/Event-Stream", "text/event-stream"),
        ("application/json", "application/json"),
        ("*/*", "application/json"),
        ("text/html", "application/json"),
    ] {
        let answer = app.client.post_json(&talk.path(), &json!({"message": "halo"}), &[("Accept", accept)]);
        assert_eq!((answer.status, answer.header("Content-Type")), (200, Some(expected)), "{accept}");
    }
}

#[test]
fn a_silent_stream_has_a_comment_every_fifteen_seconds() {
    let model = Model::start();
    let app = model.app(&[("COMPANION_TIMEOUT", "25")]);
    let gate = Arc::new(Gate::default());
    model.next(says_at(&gate, "", "at last"));
    let mut events = Talk::new(&app).stream("hello");
    // The comments are 15 s apart, which is as long as a test usually waits for anything.
    events.wait_longer(Duration::from_secs(25));
    events.wait_for_comments(2);
    gate.open();
    assert_eq!(events.message()["content"], "at last");
}
