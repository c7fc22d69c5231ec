//! `Idempotency-Key`: sent again, a message is neither doubled nor answered twice.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::support::app::TestApp;
use crate::support::cluster::Schema;
use crate::support::http::Answer;
use crate::support::model::{Model, Reply, says, says_at};
use crate::support::raw::Raw;
use crate::support::server::Gate;
use crate::support::talk::Talk;

fn refuses(reply: &mut Reply<'_>) -> std::io::Result<()> {
    reply.refuse(500)
}

#[track_caller]
fn assert_bad_key(answer: &Answer) {
    answer.assert_problem(422);
    assert_eq!(answer.json()["errors"][0]["field"], "Idempotency-Key");
}

#[test]
fn the_same_key_with_the_same_message_gives_the_stored_answer() {
    let model = Model::start();
    let app = model.app(&[]);
    let talk = Talk::new(&app);
    let answer = talk.say_as("first", "hello").assert_status(200).json();
    talk.say_as("second", "more").assert_status(200);
    talk.say("and more").assert_status(200);
    for _ in 0..2 {
        assert_eq!(talk.say_as("first", "hello").assert_status(200).json(), answer);
    }
    assert_eq!((model.asked().len(), talk.said().len()), (3, 6));
}

#[test]
fn an_answer_given_again_comes_as_it_is_asked_for() {
    let model = Model::start();
    let app = model.app(&[]);
    let talk = Talk::new(&app);
    let whole = talk.say_as("whole", "hello").assert_status(200).json();
    assert_eq!(talk.stream_as("whole", "hello").message(), whole);
    let streamed = talk.stream_as("streamed", "hello").message();
    assert_eq!(talk.say_as("streamed", "hello").assert_status(200).json(), streamed);
    let mut again = talk.stream_as("streamed", "hello");
    assert_eq!(again.expect("message.start")["id"], streamed["id"]);
    assert_eq!(again.message(), streamed);
    assert_eq!(model.asked().len(), 2);
}

#[test]
fn the_same_key_with_another_message_is_422() {
    let app = TestApp::start();
    let talk = Talk::new(&app);
    talk.say_as("key", "halo").assert_status(200);
    for message in ["halo ", "Halo", "x"] {
        assert_bad_key(&talk.say_as("key", message));
        assert_bad_key(&talk.try_stream(Some("key"), message).err().expect("no stream"));
    }
    assert_eq!(talk.said().len(), 2);
}

#[test]
fn while_a_turn_runs_there_is_no_other_in_its_session() {
    let model = Model::start();
    let app = model.app(&[]);
    let gate = Arc::new(Gate::default());
    model.next(says_at(&gate, "one ", "moment"));
    let (talk, other) = (Talk::new(&app), Talk::new(&app));
    let running = talk.stream_as("key", "hello");
    model.wait_until_asked(1);
    for answer in [talk.say_as("key", "hello"), talk.say_as("other", "hello"), talk.say("hello"), talk.say("more")] {
        answer.assert_problem(409);
        assert!(answer.header("Retry-After").is_some_and(|seconds| seconds.parse::<u32>().is_ok()));
    }
    other.say_as("key", "hello").assert_status(200);
    gate.open();
    let answer = running.message();
    assert_eq!(talk.say_as("key", "hello").assert_status(200).json(), answer);
    assert_eq!(talk.said(), ["user: hello", "model: one moment"]);
}

#[test]
fn of_many_at_once_with_one_key_one_is_a_turn() {
    let model = Model::start();
    let app = model.app(&[]);
    for round in 1..=20 {
        let talk = Talk::new(&app);
        let answers: Vec<Answer> = thread::scope(|scope| {
            let asking: Vec<_> = (0..8)
                .map(|at| {
                    let talk = &talk;
                    scope.spawn(move || {
                        // Some come while the first is asking, and some when it is about to end.
                        thread::sleep(Duration::from_millis(at * 3));
                        talk.say_as("key", "hello")
                    })
                })
                .collect();
            asking.into_iter().map(|asking| asking.join().unwrap()).collect()
        });
        assert!(answers.iter().all(|answer| matches!(answer.status, 200 | 409)), "{answers:?}");
        assert_eq!(talk.said(), ["user: hello", "model: I am here, and I listen."]);
        let answer = talk.say_as("key", "hello").assert_status(200).json();
        assert!(answers.iter().all(|other| other.status == 409 || other.json() == answer), "{answers:?}");
        assert!(answers.iter().any(|answer| answer.status == 200));
        assert_eq!(model.asked().len(), round);
    }
}

#[test]
fn a_failed_message_that_many_send_again_at_once_is_answered_once() {
    let model = Model::start();
    let app = model.app(&[]);
    let talk = Talk::new(&app);
    // What has to be opened makes time between reading and answering, in which others come and go.
    for _ in 0..30 {
        talk.say("before").assert_status(200);
    }
    for round in 0..8 {
        let key = format!("key {round}");
        model.next(refuses);
        model.next(refuses);
        talk.say_as(&key, "hello").assert_problem(503);
        model.always(Arc::new(says(&["better late"])));
        talk.say("lest it rests").assert_status(200);
        let asked = model.asked().len();
        let answers: Vec<Answer> = thread::scope(|scope| {
            let asking: Vec<_> = (0..8)
                .map(|at| {
                    let (talk, key) = (&talk, &key);
                    scope.spawn(move || {
                        thread::sleep(Duration::from_millis(at * 2));
                        talk.say_as(key, "hello")
                    })
                })
                .collect();
            asking.into_iter().map(|asking| asking.join().unwrap()).collect()
        });
        assert!(answers.iter().all(|answer| matches!(answer.status, 200 | 409)), "{answers:?}");
        assert_eq!(model.asked().len(), asked + 1, "in round {round}");
    }
}

#[test]
fn a_key_is_of_its_session_and_goes_with_it() {
    let model = Model::start();
    let app = model.app(&[]);
    let (one, other) = (Talk::new(&app), Talk::new(&app));
    let first = one.say_as("key", "hello").assert_status(200).json();
    let second = other.say_as("key", "something else").assert_status(200).json();
    assert_ne!(first["id"], second["id"]);
    one.erase().assert_status(204);
    one.say_as("key", "hello").assert_problem(404);
    assert_eq!(other.say_as("key", "something else").assert_status(200).json(), second);
}

#[test]
fn sent_again_with_its_key_a_failed_message_is_answered_and_not_doubled() {
    for is_streamed in [false, true] {
        let model = Model::start();
        let app = model.app(&[]);
        let talk = Talk::new(&app);
        talk.say("before").assert_status(200);
        model.next(refuses);
        // It may ask once more.
        model.next(refuses);
        if is_streamed {
            talk.stream_as("key", "hello").error(503);
        } else {
            talk.say_as("key", "hello").assert_problem(503);
        }
        model.always(Arc::new(says(&["better late"])));
        assert_bad_key(&talk.say_as("key", "something else"));
        let said = |count: usize| talk.said()[2..].to_vec() == ["user: hello", "model: better late"][..count];
        assert!(said(1), "{:?}", talk.said());
        let question = talk.messages()[2].clone();
        let answer = talk.say_as("key", "hello").assert_status(200).json();
        assert!(said(2), "{:?}", talk.said());
        assert_eq!(talk.messages()[2], question);
        assert_eq!(talk.stream_as("key", "hello").message(), answer);
        let asked = model.asked();
        let last: Vec<&str> = asked.last().unwrap().messages[1..].iter().map(|(_, words)| words.as_str()).collect();
        assert_eq!(last, ["before", "I am here, and I listen.", "hello"], "the model has the question once");
    }
}

#[test]
fn sent_again_without_its_key_a_failed_message_is_a_second_one() {
    let model = Model::start();
    let app = model.app(&[]);
    let talk = Talk::new(&app);
    model.next(refuses);
    model.next(refuses);
    talk.say_as("key", "hello").assert_problem(503);
    model.always(Arc::new(says(&["better late"])));
    talk.say_as("another key", "hello").assert_status(200);
    assert_eq!(talk.said(), ["user: hello", "user: hello", "model: better late"]);
}

#[test]
fn keys_are_printable_and_of_at_most_two_hundred_characters() {
    let app = TestApp::start();
    let talk = Talk::new(&app);
    let post = |key: &[u8]| {
        let body = json!({"message": "halo"}).to_string();
        let head = format!("POST {} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n", talk.path());
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
    assert_eq!(talk.said().len(), 2 * good.len());
    for key in ["", " ", &too_long, "a\tb", "a\u{85}b", "a\u{9f}"] {
        assert_bad_key(&post(key.as_bytes()));
    }
    // What is no text has no characters, and what cannot be in a head at all may be told so.
    assert_eq!(post(b"a\xffb").status, 422);
    assert!(matches!(post(b"a\x01b").status, 400 | 422));
    assert!(matches!(post(b"a\x7fb").status, 400 | 422));
    assert_eq!(talk.said().len(), 2 * good.len());
}

#[test]
fn a_key_outlives_the_service() {
    let (model, schema) = (Model::start(), Schema::new());
    let app = model.app_at(&schema.url(), &[]);
    let talk = Talk::new(&app);
    let id = talk.id.clone();
    let answer = talk.say_as("answered", "hello").assert_status(200).json();
    model.next(refuses);
    model.next(refuses);
    talk.say_as("failed", "more").assert_problem(503);
    drop(app);

    let app = model.app_at(&schema.url(), &[]);
    let talk = Talk::with(&app.client, &id);
    assert_eq!(talk.say_as("answered", "hello").assert_status(200).json(), answer);
    assert_bad_key(&talk.say_as("failed", "less"));
    talk.say_as("failed", "more").assert_status(200);
    assert_eq!(talk.said().len(), 4);
}

#[test]
fn what_was_stopped_is_the_answer_of_its_key() {
    let model = Model::start();
    let app = model.app(&[]);
    let gate = Arc::new(Gate::default());
    model.next(says_at(&gate, "half", " never comes"));
    let talk = Talk::new(&app);
    let mut events = talk.stream_as("key", "hello");
    events.expect("message.start");
    let delta = events.delta();
    talk.stop().assert_status(204);
    let end = events.expect("message.end");
    assert_eq!((end["content"].as_str(), delta.as_str()), (Some("half"), "half"));
    assert_eq!(talk.say_as("key", "hello").assert_status(200).json(), end);
    assert_eq!(model.asked().len(), 1);
}
