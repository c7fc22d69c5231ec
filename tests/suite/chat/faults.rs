//! The companion fails, in every way it can: the person is told so in time, their words are kept, and no others.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::thread;

use serde_json::json;

use crate::support::app::TestApp;
use crate::support::cluster::Schema;
use crate::support::http::Answer;
use crate::support::model::{Behaviour, MARKER, Model, Reply, says};
use crate::support::talk::Talk;

/// Words of a model that come to nothing.
const HALF: &str = "half of a thought";

/// Ways to fail at once. Some need a stream, and are something like it where the whole was asked for.
fn failures() -> Vec<(&'static str, Behaviour)> {
    fn fails(behave: impl Fn(&mut Reply<'_>) -> io::Result<()> + Send + Sync + 'static) -> Behaviour {
        Arc::new(behave)
    }
    fn refuses(status: u16) -> Behaviour {
        fails(move |reply| reply.refuse(status))
    }
    fn is_whole(media_type: &'static str, body: String) -> Behaviour {
        fails(move |reply| reply.whole("200 OK", media_type, &body))
    }
    /// Ends for this reason, after these words or none.
    fn ends(words: &'static str, reason: &'static str) -> Behaviour {
        fails(move |reply| {
            if !words.is_empty() {
                reply.say(words)?;
            }
            reply.finish(reason)
        })
    }
    /// Has these choices, of a stream or of the whole.
    fn chooses(streamed: serde_json::Value, whole: serde_json::Value) -> Behaviour {
        fails(move |reply| {
            if reply.is_streamed {
                reply.choices(&streamed)?;
                reply.text("data: [DONE]\n\n")?;
            } else {
                reply.completion(&whole)?;
            }
            reply.end()
        })
    }
    let refusal = json!({"role": "assistant", "content": null, "refusal": MARKER});
    vec![
        ("400", refuses(400)),
        ("401", refuses(401)),
        ("404", refuses(404)),
        ("429", refuses(429)),
        ("500", refuses(500)),
        ("503", refuses(503)),
        ("204", fails(|reply| reply.whole("204 No Content", "text/plain", ""))),
        ("HTML", is_whole("text/html", format!("<html><body>{MARKER}</body></html>"))),
        ("an empty body", is_whole("application/json", String::new())),
        ("broken JSON", is_whole("application/json", format!("{{\"choices\": [{{\"{MARKER}\""))),
        ("broken JSON in a stream", is_whole("text/event-stream", format!("data: {{\"{MARKER}\n\ndata: [DONE]\n\n"))),
        ("JSON without choices", is_whole("application/json", json!({"error": MARKER}).to_string())),
        ("an error in a stream", is_whole("text/event-stream", format!("data: {{\"error\": \"{MARKER}\"}}\n\n"))),
        ("an array", is_whole("application/json", json!([MARKER]).to_string())),
        ("bytes that are no text", fails(|reply| reply.whole("200 OK", "application/json", "\u{0}\u{1}"))),
        ("no HTTP", fails(|reply| reply.send(format!("{MARKER}\r\n\r\n").as_bytes()))),
        ("no answer", fails(|_| Ok(()))),
        ("a head alone", fails(|reply| reply.text("\n"))),
        ("a cut in the middle", fails(|reply| reply.say(HALF))),
        ("no end of the stream", fails(|reply| reply.say(HALF).and_then(|()| reply.end()))),
        ("no choices", chooses(json!([]), json!([]))),
        ("no words", ends("", "stop")),
        ("blank words", ends(" \n", "stop")),
        (
            "null",
            chooses(
                json!([{"index": 0, "delta": {"role": "assistant", "content": null}, "finish_reason": "stop"}]),
                json!([{"index": 0, "message": {"role": "assistant", "content": null}, "finish_reason": "stop"}]),
            ),
        ),
        (
            "a number",
            chooses(
                json!([{"index": 0, "delta": {"content": 1}, "finish_reason": "stop"}]),
                json!([{"index": 0, "message": {"role": "assistant", "content": 1}, "finish_reason": "stop"}]),
            ),
        ),
        (
            "a refusal",
            chooses(
                json!([{"index": 0, "delta": {"refusal": MARKER}, "finish_reason": "stop"}]),
                json!([{"index": 0, "message": refusal, "finish_reason": "stop"}]),
            ),
        ),
        ("a filter", ends("", "content_filter")),
        ("a filter after words", ends(HALF, "content_filter")),
    ]
}

#[track_caller]
fn assert_unavailable(answer: &Answer, case: &str) {
    assert_eq!(answer.status, 503, "{case}: {}", answer.text());
    answer.assert_problem(503);
    let wait = answer.header("Retry-After").and_then(|seconds| seconds.parse::<u32>().ok());
    assert!(wait.is_some_and(|seconds| seconds > 0), "{case}");
    assert!(!answer.text().contains(MARKER) && !answer.text().contains(HALF), "{case}: {}", answer.text());
}

/// Lets a service fail at each, on a database of its own, so that none finds it resting after the others.
fn fail_at_each(failures: &[(&'static str, Behaviour)]) {
    for (case, failure) in failures {
        let model = Model::start();
        model.always(failure.clone());
        let app = model.app(&[]);
        let talk = Talk::new(&app);
        assert_unavailable(&talk.say("hello"), case);
        assert!((1..=2).contains(&model.asked().len()), "{case}: asked {} times", model.asked().len());
        let error = talk.stream("hello again").error(503).to_string();
        assert!(!error.contains(MARKER) && !error.contains(HALF), "{case}: {error}");
        assert_eq!(talk.said(), ["user: hello", "user: hello again"], "{case}");
        model.always(Arc::new(says(&["all is well"])));
        assert_eq!(talk.say("and again").assert_status(200).json()["content"], "all is well", "{case}");
    }
}

#[test]
fn a_model_that_fails_is_503_and_none_of_its_words_are_kept() {
    let failures = failures();
    thread::scope(|scope| {
        for some in failures.chunks(failures.len().div_ceil(4)) {
            scope.spawn(|| fail_at_each(some));
        }
    });
}

#[test]
fn neither_the_words_of_a_provider_nor_those_of_a_person_reach_the_log() {
    let (model, schema) = (Model::start(), Schema::new());
    let [_, key, _] = model.variables();
    let mut service = model.service_at(&schema.url());
    for (at, (_, failure)) in failures().into_iter().enumerate() {
        let talk = Talk::by(&service.client);
        model.always(failure);
        assert_unavailable(&talk.say("words of a person"), "in the binary");
        // A success now and then, lest it rests.
        if at % 3 == 2 {
            model.always(Arc::new(says(&["words of a model"])));
            talk.say("words of a person").assert_status(200);
        }
    }
    service.signal("TERM");
    assert!(service.wait().success());
    let log = service.log();
    for secret in [MARKER, HALF, "words of a", &key.1, "stand-in"] {
        assert!(!log.contains(secret), "the log has {secret}: {log}");
    }
}

#[test]
fn a_model_that_is_not_there_is_503() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1", nobody.local_addr().unwrap());
    drop(nobody);
    let app = TestApp::with(&[("OPENAI_BASE_URL", &url), ("COMPANION_MODEL", "any"), ("OPENAI_API_KEY", "any")]);
    let talk = Talk::new(&app);
    assert_unavailable(&talk.say("hello"), "JSON");
    talk.stream("hello").error(503);
    assert_eq!(talk.said(), ["user: hello", "user: hello"]);
}

#[test]
fn one_failure_before_a_word_is_made_good() {
    for is_streamed in [false, true] {
        let model = Model::start();
        let app = model.app(&[]);
        let talk = Talk::new(&app);
        model.next(|reply| reply.refuse(503));
        let answer = if is_streamed { talk.stream("hello").message() } else { talk.say("hello").json() };
        assert_eq!(answer["content"], "I am here, and I listen.");
        assert_eq!((model.asked().len(), talk.said().len()), (2, 2));
    }
}

#[test]
fn words_that_were_heard_are_not_said_again() {
    let model = Model::start();
    let app = model.app(&[]);
    model.next(|reply| reply.say(HALF));
    let mut events = Talk::new(&app).stream("hello");
    events.expect("message.start");
    assert_eq!(events.delta(), HALF);
    events.error(503);
    assert_eq!(model.asked().len(), 1);
}

#[test]
fn a_model_that_fails_again_and_again_is_not_asked_for_a_while() {
    let model = Model::start();
    model.always(Arc::new(|reply| reply.refuse(500)));
    let app = model.app(&[]);
    let talk = Talk::new(&app);
    let unasked = (0..30).find(|_| {
        let asked = model.asked().len();
        assert_unavailable(&talk.say("hello"), "again");
        model.asked().len() == asked
    });
    let unasked = unasked.expect("at some time it rests");
    assert!(unasked >= 2, "one failure is no reason");
    let asked = model.asked().len();
    for _ in 0..5 {
        assert_unavailable(&talk.say("hello"), "resting");
        talk.stream("hello").error(503);
    }
    assert_eq!(model.asked().len(), asked);
    assert!(talk.said().iter().all(|said| said == "user: hello"));
    // Nothing else rests.
    app.client.get("/health/ready").assert_status(200);
}

#[test]
fn whatever_is_no_fault_is_no_failure() {
    let model = Model::start();
    let app = model.app(&[]);
    let talk = Talk::new(&app);
    let says_it = |reply: &mut Reply<'_>| {
        if reply.is_streamed {
            reply.text(": keep-alive\n\nevent: x\nid: 7\nretry: 1\n")?;
            reply.choices(
                &json!([{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": null}]),
            )?;
            reply.choices(&json!([]))?;
            reply.say("it is ")?;
            reply.choices(&json!([{"index": 0, "delta": {}, "finish_reason": null, "logprobs": null}]))?;
            reply.text("data:")?;
            reply.text("{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"we")?;
            reply.text("ll\"},\"finish_reason\":null}]}\r\n\r\n")?;
            reply.choices(&json!([{"index": 0, "delta": {}, "finish_reason": "length"}]))?;
            reply.text("data: {\"choices\": [], \"usage\": {\"total_tokens\": 3}}\n\n")?;
            // Some never say [DONE].
            return reply.end();
        }
        reply.say("it is well")?;
        reply.finish("length")
    };
    model.always(Arc::new(says_it));
    assert_eq!(talk.stream("hello").message()["content"], "it is well");
    assert_eq!(talk.say("hello").assert_status(200).json()["content"], "it is well");
    assert_eq!(model.asked().len(), 2);
}

#[test]
fn a_model_that_sends_its_asker_elsewhere_is_not_obeyed() {
    let (model, elsewhere) = (Model::start(), Model::start());
    let app = model.app(&[]);
    // Some make a GET of it, which would be held against the service just so.
    for status in ["302 Found", "303 See Other", "307 Temporary Redirect", "308 Permanent Redirect"] {
        let [(_, url), ..] = elsewhere.variables();
        model.next(move |reply| {
            let status = format!("{status}\r\nLocation: {url}/chat/completions");
            reply.whole(&status, "text/plain", MARKER)
        });
        assert_unavailable(&Talk::new(&app).say("hello"), status);
    }
    assert!(elsewhere.asked().is_empty());
}

#[test]
fn a_model_that_never_ends_is_cut_off() {
    let model = Model::start();
    let app = model.app(&[("COMPANION_TIMEOUT", "25")]);
    model.next(|reply| {
        assert!(reply.is_streamed);
        loop {
            reply.say("and on and on ")?;
        }
    });
    let talk = Talk::new(&app);
    let answer = talk.stream("hello").message();
    assert_eq!(answer["content"].as_str().unwrap().chars().count(), 16_384);
    model.wait_for_hang_ups(1);
    assert_eq!(talk.messages()[1]["content"], answer["content"]);
}
