//! The floor below the model: help lines in answers, the script's reply where the model has none, and no invented numbers.

use std::io;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::support::app::TestApp;
use crate::support::chat::Chat;
use crate::support::events::Event;
use crate::support::fake_model::{FakeModel, Reply, answers, pauses_at};
use crate::support::http::Answer;
use crate::support::server::Gate;

const CRISIS: &str = "aku mau mati";

fn ids(safety: &Value) -> Vec<&str> {
    safety["resources"].as_array().unwrap().iter().map(|line| line["id"].as_str().unwrap()).collect()
}

fn names(events: &[Event]) -> Vec<&str> {
    events.iter().map(|event| event.name.as_str()).collect()
}

/// Asserts that it is the script's reply to self-harm, with help lines.
#[track_caller]
fn assert_helps(answer: &Answer, case: &str) -> String {
    assert_eq!(answer.status, 200, "{case}");
    let answer = answer.json();
    assert_eq!((&answer["source"], &answer["safety"]["level"]), (&json!("script"), &json!("crisis")), "{case}");
    let content = answer["content"].as_str().unwrap();
    assert!(content.contains("healing119"), "{case}: {content}");
    content.to_owned()
}

#[test]
fn an_answer_has_help_lines_for_what_its_question_speaks_of_and_no_other_answer_has() {
    let app = TestApp::with(&[("METRICS_PORT", "0")]);
    for level in ["concern", "crisis"] {
        assert!(app.metrics().contains(&format!("safespace_safety_total{{level=\"{level}\"}} 0\n")), "{level}");
    }
    let listed = app.client.get("/api/v1/resources").assert_status(200).json();
    for (question, level, id) in [
        (CRISIS, "crisis", "healing119_phone"),
        ("he has a knife", "crisis", "police_110"),
        ("dulu aku pernah mau bunuh diri", "concern", "healing119_phone"),
        ("suamiku sering memukulku", "concern", "sapa129_phone"),
        ("he hits me and I want to die", "crisis", "healing119_phone"),
    ] {
        let safety = &Chat::new(&app).send(question).assert_status(200).json()["safety"];
        assert_eq!(safety["level"], level, "{question}");
        let ids = ids(safety);
        assert!(ids[0] == "emergency_112" && ids.contains(&id) && ids.len() <= 6, "{question}: {ids:?}");
        for line in safety["resources"].as_array().unwrap() {
            assert!(listed["resources"].as_array().unwrap().contains(line), "the same shape: {line}");
        }
    }
    for question in ["halo", "deadline ini membunuhku", "aku sedih"] {
        assert_eq!(Chat::new(&app).send(question).assert_status(200).json().get("safety"), None, "{question}");
    }
    let metrics = app.metrics();
    assert!(metrics.contains("safespace_safety_total{level=\"crisis\"} 3\n"), "{metrics}");
    assert!(metrics.contains("safespace_safety_total{level=\"concern\"} 2\n"), "{metrics}");
}

#[test]
fn a_stored_answer_that_is_sent_again_has_the_same_help_lines_and_is_counted_once() {
    let app = TestApp::with(&[("METRICS_PORT", "0")]);
    let chat = Chat::new(&app);
    let [first, again] = [(); 2].map(|()| chat.send_with_key("k", CRISIS).assert_status(200).json());
    assert_eq!(first, again);
    assert_eq!(first["safety"]["level"], "crisis");
    let streamed = chat.stream_with_key("k", CRISIS).rest();
    assert_eq!(names(&streamed), ["message.start", "safety", "message.delta", "message.end"]);
    assert!(app.metrics().contains("safespace_safety_total{level=\"crisis\"} 1\n"));
    assert!(chat.messages().iter().all(|message| message.get("safety").is_none()), "it is not stored");
}

#[test]
fn a_stream_has_the_help_lines_behind_its_start_and_in_its_end() {
    let model = FakeModel::start();
    let app = model.app(&[]);
    let events = Chat::new(&app).stream(CRISIS).rest();
    assert_eq!(names(&events)[..3], ["message.start", "safety", "message.delta"]);
    let (start, end) = (&events[0].data, &events.last().unwrap().data);
    assert_eq!((&start["ai"], &end["ai"], &end["source"]), (&json!(true), &json!(true), &json!("companion")));
    assert_eq!(end["safety"], events[1].data);
}

#[test]
#[allow(clippy::type_complexity, reason = "a table of functions")]
fn where_the_model_has_no_words_for_a_crisis_the_script_replies_in_its_place() {
    let model = FakeModel::start();
    // A sixteenth of it is for what follows the model's deadline, on a machine that runs other tests too.
    let app = model.app(&[("COMPANION_TIMEOUT", "8"), ("METRICS_PORT", "0")]);
    let failures: [(&str, fn(&mut Reply<'_>) -> io::Result<()>); 5] = [
        ("refused", |reply| reply.refuse(401)),
        ("filtered", |reply| reply.finish("content_filter")),
        ("empty", |reply| reply.finish("stop")),
        ("no completion", |reply| reply.respond("200 OK", "text/html", "<html>")),
        ("timed out", |reply| reply.stall()),
    ];
    for (case, failure) in failures {
        model.next(failure);
        let chat = Chat::new(&app);
        let content = assert_helps(&chat.send(CRISIS), case);
        assert_eq!(chat.messages()[1]["content"], content, "{case}");
        model.next(failure);
        let events = Chat::new(&app).stream(CRISIS).rest();
        assert_eq!(events.last().unwrap().data["source"], "script", "{case}");
        let text: String = events.iter().filter_map(|event| event.data["text"].as_str()).collect();
        assert_eq!(events.last().unwrap().data["content"], text, "{case}");
        model.next(failure);
        assert_eq!(Chat::new(&app).send("hari ini hujan").status, 503, "{case}: without danger");
    }
    assert!(app.metrics().contains("safespace_turns_total{outcome=\"answered_by_script\"} 10\n"));
}

#[test]
fn words_that_a_provider_withdraws_give_way_to_the_script() {
    let model = FakeModel::start();
    let app = model.app(&[]);
    model.always(Arc::new(|reply: &mut Reply<'_>| {
        // The filter of numbers holds back what may be one.
        reply.delta("half of a thought. Call 0812 ")?;
        reply.finish("content_filter")
    }));
    let chat = Chat::new(&app);
    let content = assert_helps(&chat.send(CRISIS), "whole");
    assert_eq!((chat.messages().len(), &chat.messages()[1]["content"]), (2, &json!(content)));
    let mut events = Chat::new(&app).stream(CRISIS);
    events.expect("message.start");
    events.expect("safety");
    assert_eq!(events.delta(), "half of a thought. Call ", "what was held back is withdrawn too");
    assert_eq!(events.expect("message.reset"), json!({}));
    let end = events.message();
    assert_eq!((&end["content"], &end["source"]), (&json!(content), &json!("script")));
}

#[test]
fn help_lines_do_not_wait_for_the_permit_of_the_companion() {
    let model = FakeModel::start();
    let app = model.app(&[("COMPANION_CONCURRENCY", "1")]);
    let gate = Arc::new(Gate::default());
    model.next(pauses_at(&gate, "", "an answer to another person"));
    std::thread::scope(|scope| {
        scope.spawn(|| Chat::create(&app.client).send("hari ini hujan"));
        model.wait_for_requests(1);
        let mut stream = Chat::new(&app).stream(CRISIS);
        stream.expect("message.start");
        let safety = stream.expect("safety");
        gate.open();
        let end = stream.message();
        assert_eq!((&end["source"], &end["safety"]), (&json!("companion"), &safety), "it had not begun to fail");
    });
}

#[test]
fn with_an_open_circuit_and_without_a_permit_the_script_replies_too() {
    let model = FakeModel::start();
    let app = model.app(&[("COMPANION_CONCURRENCY", "1"), ("COMPANION_TIMEOUT", "2")]);
    model.next(|reply| reply.stall());
    let client = &app.client;
    std::thread::scope(|scope| {
        scope.spawn(|| Chat::create(client).send("hari ini hujan"));
        model.wait_for_requests(1);
        assert_helps(&Chat::new(&app).send(CRISIS), "no permit");
        let end = Chat::new(&app).stream(CRISIS).message();
        assert_eq!((&end["source"], &end["safety"]["level"]), (&json!("script"), &json!("crisis")));
    });
    model.always(Arc::new(|reply: &mut Reply<'_>| reply.refuse(401)));
    for round in 0..9 {
        assert_helps(&Chat::new(&app).send(CRISIS), &format!("round {round}"));
    }
}

#[test]
fn a_number_that_the_model_invents_becomes_help_lines_in_an_answer_and_in_a_stream() {
    let model = FakeModel::start();
    let app = model.app(&[]);
    model.always(Arc::new(answers(&[
        "Call 9",
        "1",
        "1 or 0812-",
        "3456-7890, or see https://evil.exam",
        "ple.org. You have 3 ways.",
    ])));
    let chat = Chat::new(&app);
    let answer = chat.send("I am lonely").assert_status(200).json();
    let content = answer["content"].as_str().unwrap();
    assert!(
        content.starts_with("Call ") && content.ends_with("[\u{2026}], or see [\u{2026}]. You have 3 ways."),
        "{content}"
    );
    let first = app.client.get("/api/v1/resources").assert_status(200).json()["resources"][0].clone();
    let line = format!("{}: {}", first["name"].as_str().unwrap(), first["value"].as_str().unwrap());
    assert!(content.contains(&line), "{content}");
    assert!(["911", "3456", "evil"].iter().all(|invented| !content.contains(invented)), "{content}");
    let events = Chat::new(&app).stream("I am lonely").rest();
    let text: String = events.iter().filter_map(|event| event.data["text"].as_str()).collect();
    assert_eq!(text, content);
    assert_eq!(chat.messages()[1]["content"], content);
}
