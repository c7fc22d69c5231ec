//! `Idempotency-Key`: a resent message is neither stored nor answered twice.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::app::TestApp;
use crate::support::chat::Chat;
use crate::support::cluster::Schema;
use crate::support::fake_model::{FakeModel, answers, pauses_at};
use crate::support::http::Answer;
use crate::support::raw::Raw;
use crate::support::server::Gate;

/// Fails the next call: the first attempt and its retry.
fn fail_next_call(model: &FakeModel) {
    model.next(|reply| reply.refuse(500));
    model.next(|reply| reply.refuse(500));
}

/// Says hello, and returns the message of the answer, or the problem.
#[track_caller]
fn say(chat: &Chat<'_>, key: Option<&str>, is_streamed: bool) -> Value {
    match key {
        _ if is_streamed => match chat.try_stream(key, "hello") {
            Ok(mut events) => loop {
                let event = events.next().expect("a terminal event");
                if matches!(event.name.as_str(), "message.end" | "error") {
                    break event.data;
                }
            },
            Err(answer) => answer.json(),
        },
        Some(key) => chat.send_with_key(key, "hello").json(),
        None => chat.send("hello").json(),
    }
}

/// Sends one message from eight clients, `pace` apart: while the first turn runs, and when it is about to end.
fn send_concurrently(chat: &Chat<'_>, key: &str, pace: Duration) -> Vec<Answer> {
    thread::scope(|scope| {
        let clients: Vec<_> = (0..8)
            .map(|number| {
                scope.spawn(move || {
                    thread::sleep(pace * number);
                    chat.send_with_key(key, "hello")
                })
            })
            .collect();
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    })
}

#[track_caller]
fn assert_invalid_key(answer: &Answer, case: &str) {
    assert_eq!(answer.status, 422, "{case:?}");
    answer.assert_problem(422);
    assert_eq!(answer.json()["errors"][0]["field"], "Idempotency-Key", "{case:?}");
}

#[test]
fn resending_a_key_with_its_message_returns_the_stored_answer() {
    let model = FakeModel::start();
    let app = model.app(&[]);
    let chat = Chat::new(&app);
    let answer = chat.send_with_key("first", "hello").assert_status(200).json();
    chat.send_with_key("second", "more").assert_status(200);
    chat.send("and more").assert_status(200);
    for _ in 0..2 {
        assert_eq!(chat.send_with_key("first", "hello").assert_status(200).json(), answer);
    }
    assert_eq!((model.requests().len(), chat.transcript().len()), (3, 6));
}

#[test]
fn a_stored_answer_is_returned_whole_or_as_a_stream() {
    let model = FakeModel::start();
    let app = model.app(&[]);
    let chat = Chat::new(&app);
    let whole = chat.send_with_key("whole", "hello").assert_status(200).json();
    assert_eq!(chat.stream_with_key("whole", "hello").message(), whole);
    let streamed = chat.stream_with_key("streamed", "hello").message();
    assert_eq!(chat.send_with_key("streamed", "hello").assert_status(200).json(), streamed);
    let mut again = chat.stream_with_key("streamed", "hello");
    assert_eq!(again.expect("message.start")["id"], streamed["id"]);
    assert_eq!(again.message(), streamed);
    assert_eq!(model.requests().len(), 2);
}

#[test]
fn reusing_a_key_with_another_message_is_422() {
    let app = TestApp::start();
    let chat = Chat::new(&app);
    chat.send_with_key("key", "halo").assert_status(200);
    for message in ["halo ", "Halo", "x"] {
        assert_invalid_key(&chat.send_with_key("key", message), message);
        assert_invalid_key(&chat.try_stream(Some("key"), message).err().expect("no stream"), message);
    }
    assert_eq!(chat.transcript().len(), 2);
}

#[test]
fn a_second_turn_of_a_session_is_409_while_the_first_runs() {
    let model = FakeModel::start();
    let app = model.app(&[]);
    let gate = Arc::new(Gate::default());
    model.next(pauses_at(&gate, "one ", "moment"));
    let (chat, other) = (Chat::new(&app), Chat::new(&app));
    let running = chat.stream_with_key("key", "hello");
    model.wait_for_requests(1);
    for (case, answer) in [
        ("another key", chat.send_with_key("other", "hello")),
        ("the same message", chat.send("hello")),
        ("another message", chat.send("more")),
    ] {
        assert_eq!(answer.status, 409, "{case}");
        answer.assert_problem(409);
        assert!(answer.header("Retry-After").is_some_and(|seconds| seconds.parse::<u32>().is_ok()), "{case}");
    }
    other.send_with_key("key", "hello").assert_status(200);
    gate.open();
    let answer = running.message();
    assert_eq!(chat.send_with_key("key", "hello").assert_status(200).json(), answer);
    assert_eq!(chat.transcript(), ["user: hello", "model: one moment"]);
}

#[test]
fn concurrent_requests_with_one_key_run_one_turn() {
    let model = FakeModel::start();
    let app = model.app(&[]);
    for round in 1..=20 {
        let chat = Chat::new(&app);
        let answers = send_concurrently(&chat, "key", Duration::from_millis(3));
        assert_eq!(chat.transcript(), ["user: hello", "model: I am here, and I listen."]);
        let answer = chat.send_with_key("key", "hello").assert_status(200).json();
        assert!(answers.iter().all(|other| other.status == 200 && other.json() == answer), "{answers:?}");
        assert_eq!(model.requests().len(), round);
    }
}

#[test]
fn concurrent_resends_of_a_failed_message_run_one_turn() {
    let model = FakeModel::start();
    let app = model.app(&[]);
    let chat = Chat::new(&app);
    // Opening a long history takes time, in which other requests start and end.
    for _ in 0..30 {
        chat.send("before").assert_status(200);
    }
    for round in 0..8 {
        let key = format!("key {round}");
        fail_next_call(&model);
        chat.send_with_key(&key, "hello").assert_problem(503);
        model.always(Arc::new(answers(&["better late"])));
        chat.send("a success closes the circuit").assert_status(200);
        let requests = model.requests().len();
        let answers = send_concurrently(&chat, &key, Duration::from_millis(2));
        assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
        assert_eq!(model.requests().len(), requests + 1, "round {round}");
    }
}

#[test]
fn a_key_belongs_to_its_session_and_is_erased_with_it() {
    let model = FakeModel::start();
    let app = model.app(&[]);
    let (one, other) = (Chat::new(&app), Chat::new(&app));
    let first = one.send_with_key("key", "hello").assert_status(200).json();
    let second = other.send_with_key("key", "something else").assert_status(200).json();
    assert_ne!(first["id"], second["id"]);
    one.erase().assert_status(204);
    one.send_with_key("key", "hello").assert_problem(404);
    assert_eq!(other.send_with_key("key", "something else").assert_status(200).json(), second);
}

#[test]
fn resending_a_failed_message_with_its_key_or_without_one_continues_its_turn() {
    for (first, again) in [(Some("key"), Some("key")), (None, None), (Some("key"), None)] {
        for is_streamed in [false, true] {
            let case = format!("{first:?}, then {again:?}, streamed: {is_streamed}");
            let model = FakeModel::start();
            let app = model.app(&[]);
            let chat = Chat::new(&app);
            chat.send("before").assert_status(200);
            for key in [first, again] {
                fail_next_call(&model);
                assert_eq!(say(&chat, key, is_streamed)["code"], "no_answer", "{case}");
            }
            let question = chat.messages()[2].clone();
            model.always(Arc::new(answers(&["better late"])));
            let answer = say(&chat, again, is_streamed);
            assert_eq!(chat.transcript()[2..], ["user: hello", "model: better late"], "{case}");
            assert_eq!(chat.messages()[2], question, "{case}");
            let requests = model.requests();
            let last: Vec<&str> =
                requests.last().unwrap().messages[1..].iter().map(|(_, text)| text.as_str()).collect();
            assert_eq!(last, ["before", "I am here, and I listen.", "hello"], "the model receives it once: {case}");
            if first.is_some() {
                assert_eq!(say(&chat, first, is_streamed), answer, "{case}");
                assert_eq!(model.requests().len(), requests.len(), "{case}");
            }
        }
    }
}

#[test]
fn without_a_key_only_the_same_words_without_an_answer_are_a_resend() {
    let model = FakeModel::start();
    let app = model.app(&[]);
    let chat = Chat::new(&app);
    chat.send("hello").assert_status(200);
    chat.send("hello").assert_status(200);
    fail_next_call(&model);
    chat.send("hello").assert_problem(503);
    chat.send("Hello").assert_status(200);
    let answer = "model: I am here, and I listen.";
    assert_eq!(chat.transcript(), ["user: hello", answer, "user: hello", answer, "user: hello", "user: Hello", answer]);
}

#[test]
fn reusing_the_key_of_a_failed_message_with_another_message_is_422() {
    let model = FakeModel::start();
    let app = model.app(&[]);
    let chat = Chat::new(&app);
    fail_next_call(&model);
    chat.send_with_key("key", "hello").assert_problem(503);
    assert_invalid_key(&chat.send_with_key("key", "something else"), "another message");
    assert_eq!(chat.transcript(), ["user: hello"]);
}

#[test]
fn resending_a_failed_message_with_another_key_stores_it_again() {
    let model = FakeModel::start();
    let app = model.app(&[]);
    let chat = Chat::new(&app);
    fail_next_call(&model);
    chat.send_with_key("key", "hello").assert_problem(503);
    model.always(Arc::new(answers(&["better late"])));
    chat.send_with_key("another key", "hello").assert_status(200);
    assert_eq!(chat.transcript(), ["user: hello", "user: hello", "model: better late"]);
}

#[test]
fn keys_are_1_to_200_printable_characters() {
    let app = TestApp::start();
    let chat = Chat::new(&app);
    let post = |key: &[u8]| {
        let body = json!({"message": "halo"}).to_string();
        let head = format!("POST {} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n", chat.path());
        let head = format!("{head}Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());
        let request = [head.as_bytes(), b"Idempotency-Key: ", key, b"\r\n\r\n", body.as_bytes()].concat();
        Raw::connect(app.client.address()).ask(&request)
    };
    let (longest, longest_and_wide, too_long) = ("k".repeat(200), "\u{e9}".repeat(200), "k".repeat(201));
    let good = ["0", "a b", "k\u{1f9ed}", "{\"'\\%00", "\u{3a9}", &longest, &longest_and_wide];
    for key in good {
        let answer = post(key.as_bytes()).assert_status(200).json();
        assert_eq!(post(key.as_bytes()).assert_status(200).json(), answer, "{key}");
    }
    assert_eq!(chat.transcript().len(), 2 * good.len());
    for key in ["", " ", &too_long, "a\tb", "a\u{85}b", "a\u{9f}"] {
        assert_invalid_key(&post(key.as_bytes()), key);
    }
    // Bytes that are not UTF-8, and bytes that no field value may have (RFC 9110, section 5.5).
    assert_eq!(post(b"a\xffb").status, 422);
    assert!(matches!(post(b"a\x01b").status, 400 | 422));
    assert!(matches!(post(b"a\x7fb").status, 400 | 422));
    assert_eq!(chat.transcript().len(), 2 * good.len());
}

#[test]
fn a_key_is_known_after_a_restart() {
    let (model, schema) = (FakeModel::start(), Schema::new());
    let app = model.app_at(&schema.url(), &[]);
    let chat = Chat::new(&app);
    let id = chat.id.clone();
    let answer = chat.send_with_key("answered", "hello").assert_status(200).json();
    fail_next_call(&model);
    chat.send_with_key("failed", "more").assert_problem(503);
    drop(app);

    let app = model.app_at(&schema.url(), &[]);
    let chat = Chat::of(&app.client, &id);
    assert_eq!(chat.send_with_key("answered", "hello").assert_status(200).json(), answer);
    assert_invalid_key(&chat.send_with_key("failed", "less"), "another message");
    chat.send_with_key("failed", "more").assert_status(200);
    assert_eq!(chat.transcript().len(), 4);
}

#[test]
fn resending_a_key_after_stop_returns_the_stored_answer() {
    let model = FakeModel::start();
    let app = model.app(&[]);
    let gate = Arc::new(Gate::default());
    model.next(pauses_at(&gate, "half ", "never comes"));
    let chat = Chat::new(&app);
    let mut events = chat.stream_with_key("key", "hello");
    events.expect("message.start");
    let delta = events.delta();
    chat.stop().assert_status(204);
    let end = events.expect("message.end");
    assert_eq!((end["content"].as_str(), delta.as_str()), (Some("half "), "half "));
    assert_eq!(chat.send_with_key("key", "hello").assert_status(200).json(), end);
    assert_eq!(model.requests().len(), 1);
}
