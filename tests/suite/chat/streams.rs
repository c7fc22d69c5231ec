//! Answers as server-sent events.

use std::sync::Arc;
use std::time::Duration;

use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::RcvBuf;
use serde_json::json;
use uuid::Uuid;

use crate::support::app::TestApp;
use crate::support::chat::Chat;
use crate::support::events::Events;
use crate::support::fake_model::{FakeModel, pauses_at};
use crate::support::raw::Raw;
use crate::support::server::Gate;
use crate::support::timing::{PATIENCE, eventually};

#[test]
fn a_streamed_answer_is_start_deltas_and_end() {
    let app = TestApp::start();
    let chat = Chat::new(&app);
    let mut events = chat.stream("halo");
    assert_eq!(events.head.status, 200);
    assert_eq!(events.head.header("X-Accel-Buffering"), Some("no"));
    assert_eq!(events.head.header("Cache-Control"), Some("no-store, no-transform"));
    assert_eq!(events.head.header("X-Content-Type-Options"), Some("nosniff"));
    let start = events.expect("message.start");
    assert!(events.began_with_comment);
    assert_eq!(start, json!({"id": start["id"], "session_id": chat.id, "role": "model", "ai": true}));
    let end = events.message();
    let fields: Vec<&String> = end.as_object().unwrap().keys().collect();
    assert_eq!(fields, ["ai", "content", "created_at", "id", "role", "session_id", "source"]);
    assert_eq!((&end["id"], &end["source"]), (&start["id"], &json!("script")));
    let stored = &chat.messages()[1];
    for field in ["id", "role", "content", "created_at", "session_id"] {
        assert_eq!(stored[field], end[field], "{field}");
    }
}

#[test]
fn the_stream_starts_before_the_first_delta() {
    let model = FakeModel::start();
    let app = model.app(&[]);
    let gate = Arc::new(Gate::default());
    model.next(pauses_at(&gate, "", "words"));
    let mut events = Chat::new(&app).stream("hello");
    events.wait_for_comments(1);
    assert!(events.began_with_comment);
    gate.open();
    assert_eq!(events.message()["content"], "words");
}

#[test]
fn each_delta_is_sent_as_soon_as_the_model_sends_it() {
    let model = FakeModel::start();
    let app = model.app(&[]);
    let gates: [Arc<Gate>; 3] = Default::default();
    model.next({
        let gates = gates.clone();
        move |reply| {
            assert!(reply.is_streamed);
            for (gate, word) in gates.iter().zip(["I ", "am ", "here. "]) {
                reply.delta(word)?;
                reply.wait(gate)?;
            }
            reply.finish("stop")
        }
    });
    let chat = Chat::new(&app);
    let mut events = chat.stream("count");
    let start = events.expect("message.start");
    for (gate, word) in gates.iter().zip(["I ", "am ", "here. "]) {
        assert_eq!(events.delta(), word);
        gate.open();
    }
    let end = events.expect("message.end");
    assert_eq!(
        (&end["id"], &end["content"], &end["source"]),
        (&start["id"], &json!("I am here. "), &json!("companion"))
    );
    assert!(events.next().is_none());
    assert_eq!(chat.transcript(), ["user: count", "model: I am here. "]);
}

#[test]
fn an_answer_received_byte_by_byte_is_the_same() {
    let model = FakeModel::start();
    let app = model.app(&[]);
    let text = "Aku di sini \u{1f9ed}\u{200d}\u{1f467}, e\u{301}\u{2028}\n\n\"kutip\" \\ data: x\n";
    model.always(Arc::new(move |reply| {
        reply.is_byte_by_byte = true;
        for piece in text.split_inclusive(' ') {
            reply.delta(piece)?;
        }
        reply.finish("stop")
    }));
    let chat = Chat::new(&app);
    assert_eq!(chat.stream("hello").message()["content"], text);
    assert_eq!(chat.send("hello").assert_status(200).json()["content"], text);
    assert_eq!(chat.messages()[3]["content"], text);
}

#[test]
fn control_characters_of_a_model_are_neither_sent_nor_stored() {
    let model = FakeModel::start();
    let app = model.app(&[]);
    for is_streamed in [true, false] {
        model.always(Arc::new(move |reply| {
            reply.is_streamed = is_streamed;
            reply.delta("a\0\u{1b}[31mb\u{202e}\r")?;
            reply.delta("\n\u{feff}\u{9b}c\td\u{7f}")?;
            reply.finish("stop")
        }));
        let chat = Chat::new(&app);
        assert_eq!(chat.stream("hello").message()["content"], "a[31mb\nc\td");
        assert_eq!(chat.send("hello").assert_status(200).json()["content"], "a[31mb\nc\td");
        assert_eq!(chat.transcript()[1..=3], ["model: a[31mb\nc\td", "user: hello", "model: a[31mb\nc\td"]);
    }
}

#[test]
fn an_error_before_the_stream_is_a_problem_document() {
    let model = FakeModel::start();
    let app = model.app(&[]);
    let refused = |chat: &Chat<'_>, message: &str| chat.try_stream(None, message).err().expect("no stream");
    refused(&Chat::of(&app.client, &Uuid::new_v4().to_string()), "x").assert_problem(404);
    refused(&Chat::of(&app.client, "1"), "x").assert_problem(422);
    let chat = Chat::new(&app);
    let answer = refused(&chat, " ");
    answer.assert_problem(422);
    assert_eq!(answer.json()["errors"][0]["field"], "message");
    let answer = chat.try_stream(Some(&"k".repeat(201)), "x").err().expect("no stream");
    answer.assert_problem(422);
    assert_eq!(answer.json()["errors"][0]["field"], "Idempotency-Key");
    assert!(model.requests().is_empty());

    let gate = Arc::new(Gate::default());
    model.next(pauses_at(&gate, "wait", " for it"));
    let mut running = chat.stream("first");
    running.expect("message.start");
    let answer = refused(&chat, "second");
    answer.assert_problem(409);
    assert!(answer.header("Retry-After").is_some());
    gate.open();
    assert_eq!(running.message()["content"], "wait for it");
    assert_eq!(chat.transcript(), ["user: first", "model: wait for it"]);
}

#[test]
fn a_disconnect_during_a_stream_does_not_stop_the_turn() {
    let model = FakeModel::start();
    let app = model.app(&[]);
    for first in ["", "half of "] {
        let gate = Arc::new(Gate::default());
        model.next(pauses_at(&gate, first, "the answer"));
        let chat = Chat::new(&app);
        let requests = model.requests().len();
        let mut events = chat.stream("hello");
        events.wait_for_comments(1);
        model.wait_for_requests(requests + 1);
        if !first.is_empty() {
            events.expect("message.start");
            assert_eq!(events.delta(), first);
        }
        drop(events);
        gate.open();
        eventually(PATIENCE, || (chat.transcript().len() == 2).then_some(()));
        assert_eq!(chat.transcript(), ["user: hello".to_owned(), format!("model: {first}the answer")], "{first:?}");
    }
    assert_eq!(model.disconnects(), 0);
}

#[test]
fn a_disconnect_before_a_whole_answer_does_not_stop_the_turn() {
    let model = FakeModel::start();
    let app = model.app(&[]);
    let gate = Arc::new(Gate::default());
    model.next(pauses_at(&gate, "the ", "answer"));
    let chat = Chat::new(&app);
    let mut raw = Raw::connect(app.client.address());
    raw.send(&chat.request("*/*", None, "hello"));
    model.wait_for_requests(1);
    drop(raw);
    gate.open();
    eventually(PATIENCE, || (chat.transcript().len() == 2).then_some(()));
    assert_eq!(chat.transcript()[1], "model: the answer");
}

#[test]
fn clients_that_do_not_read_delay_no_other_turn() {
    let model = FakeModel::start();
    let app = model.app(&[("APP_WORKERS", "6"), ("COMPANION_CONCURRENCY", "2"), ("COMPANION_TIMEOUT", "25")]);
    // One event for each letter: a whole answer exceeds the buffers of the sockets.
    let long: String = "many words and more ".repeat(800);
    let letters = long.clone();
    model.always(Arc::new(move |reply| {
        letters.split_inclusive(|_| true).try_for_each(|letter| reply.delta(letter))?;
        reply.finish("stop")
    }));
    let chats: Vec<Chat<'_>> = (0..8).map(|_| Chat::new(&app)).collect();
    let mut silent_clients = Vec::new();
    for chat in &chats {
        let mut raw = Raw::connect(app.client.address());
        setsockopt(&raw.stream, RcvBuf, &4096).unwrap();
        raw.send(&chat.stream_request(None, "hello"));
        silent_clients.push(raw);
        eventually(PATIENCE, || (chat.transcript().len() == 2).then_some(()));
        assert_eq!(chat.transcript()[1].len(), "model: ".len() + long.len());
    }
}

#[test]
fn the_connection_is_reused_after_a_stream() {
    let app = TestApp::start();
    let chat = Chat::new(&app);
    let mut events = chat.stream("halo");
    while events.next().is_some_and(|event| event.name != "message.end") {}
    let again = Events::of(events.into_raw(), &chat.stream_request(None, "masih di sini")).expect("a stream");
    assert_eq!(again.message()["role"], "model");
    assert_eq!(chat.transcript().len(), 4);
}

#[test]
fn only_accept_text_event_stream_gets_a_stream() {
    let app = TestApp::start();
    let chat = Chat::new(&app);
    for (accept, expected) in [
        ("text/event-stream", "text/event-stream"),
        ("text/event-stream, application/json;q=0.1", "text/event-stream"),
        ("Text/Event-Stream", "text/event-stream"),
        ("application/json", "application/json"),
        ("*/*", "application/json"),
        ("text/html", "application/json"),
    ] {
        let answer = app.client.post_json(&chat.path(), &json!({"message": "halo"}), &[("Accept", accept)]);
        assert_eq!((answer.status, answer.header("Content-Type")), (200, Some(expected)), "{accept}");
    }
}

#[test]
fn an_idle_stream_has_a_comment_every_15_seconds() {
    let model = FakeModel::start();
    let app = model.app(&[("COMPANION_TIMEOUT", "25")]);
    let gate = Arc::new(Gate::default());
    model.next(pauses_at(&gate, "", "at last"));
    let mut events = Chat::new(&app).stream("hello");
    // Comments are 15 s apart, as long as the usual timeout of a read.
    events.set_read_timeout(Duration::from_secs(25));
    events.wait_for_comments(2);
    gate.open();
    assert_eq!(events.message()["content"], "at last");
}
