//! Failures of the model before the first words: the turn is a 503, the question is stored, and nothing of the answer.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::thread;

use serde_json::json;

use crate::support::app::TestApp;
use crate::support::chat::{Chat, assert_unavailable};
use crate::support::cluster::Schema;
use crate::support::fake_model::{Behaviour, FakeModel, MARKER, Reply, answers};
use crate::support::http::Answer;

/// A delta of an answer that fails afterwards.
const HALF: &str = "half of a thought";

/// Immediate failures, in a stream and in a complete answer, which servers send that ignore the `stream` of a request.
fn failures() -> Vec<(&'static str, Behaviour)> {
    fn fails(behave: impl Fn(&mut Reply<'_>) -> io::Result<()> + Send + Sync + 'static) -> Behaviour {
        Arc::new(behave)
    }
    fn refuses(status: u16) -> Behaviour {
        fails(move |reply| reply.refuse(status))
    }
    fn is_whole(media_type: &'static str, body: String) -> Behaviour {
        fails(move |reply| reply.respond("200 OK", media_type, &body))
    }
    /// Finishes with this `finish_reason`, after this text.
    fn ends(text: &'static str, reason: &'static str) -> Behaviour {
        fails(move |reply| {
            if !text.is_empty() {
                reply.delta(text)?;
            }
            reply.finish(reason)
        })
    }
    /// Sends these choices as a chunk.
    fn chunk(choices: serde_json::Value) -> Behaviour {
        fails(move |reply| {
            reply.chunk(&choices)?;
            reply.body("data: [DONE]\n\n")?;
            reply.end()
        })
    }
    /// Sends these choices as a complete answer.
    fn completion(choices: serde_json::Value) -> Behaviour {
        fails(move |reply| {
            reply.is_streamed = false;
            reply.completion(&choices)?;
            reply.end()
        })
    }
    let refusal = json!({"role": "assistant", "content": null, "refusal": MARKER});
    let in_stream = format!("event: error\ndata: {{\"error\": {{\"code\": 401, \"message\": \"{MARKER}\"}}}}\n\n");
    vec![
        ("400", refuses(400)),
        ("401", refuses(401)),
        ("404", refuses(404)),
        ("429", refuses(429)),
        ("500", refuses(500)),
        ("503", refuses(503)),
        ("204", fails(|reply| reply.respond("204 No Content", "text/plain", ""))),
        ("HTML", is_whole("text/html", format!("<html><body>{MARKER}</body></html>"))),
        ("an empty body", is_whole("application/json", String::new())),
        ("broken JSON", is_whole("application/json", format!("{{\"choices\": [{{\"{MARKER}\""))),
        ("broken JSON in a stream", is_whole("text/event-stream", format!("data: {{\"{MARKER}\n\ndata: [DONE]\n\n"))),
        ("JSON without choices", is_whole("application/json", json!({"error": MARKER}).to_string())),
        ("an error in a stream", is_whole("text/event-stream", format!("data: {{\"error\": \"{MARKER}\"}}\n\n"))),
        ("an array", is_whole("application/json", json!([MARKER]).to_string())),
        ("bytes that are no text", fails(|reply| reply.respond("200 OK", "application/json", "\u{0}\u{1}"))),
        ("no HTTP", fails(|reply| reply.send(format!("{MARKER}\r\n\r\n").as_bytes()))),
        ("no answer", fails(|_| Ok(()))),
        ("a head alone", fails(|reply| reply.body("\n"))),
        ("an error that names its status", is_whole("text/event-stream", in_stream)),
        ("no choices", chunk(json!([]))),
        ("no choices in a complete answer", completion(json!([]))),
        ("no text", ends("", "stop")),
        ("blank text", ends(" \n", "stop")),
        (
            "null",
            chunk(json!([{"index": 0, "delta": {"role": "assistant", "content": null}, "finish_reason": "stop"}])),
        ),
        (
            "null in a complete answer",
            completion(
                json!([{"index": 0, "message": {"role": "assistant", "content": null}, "finish_reason": "stop"}]),
            ),
        ),
        ("a number", chunk(json!([{"index": 0, "delta": {"content": 1}, "finish_reason": "stop"}]))),
        (
            "a number in a complete answer",
            completion(json!([{"index": 0, "message": {"role": "assistant", "content": 1}, "finish_reason": "stop"}])),
        ),
        ("a refusal", chunk(json!([{"index": 0, "delta": {"refusal": MARKER}, "finish_reason": "stop"}]))),
        (
            "a refusal in a complete answer",
            completion(json!([{"index": 0, "message": refusal, "finish_reason": "stop"}])),
        ),
        ("a filter", ends("", "content_filter")),
        ("a filter after text", ends(HALF, "content_filter")),
    ]
}

#[track_caller]
fn assert_failed(answer: &Answer, case: &str) {
    assert_unavailable(answer, case);
    assert!(!answer.text().contains(MARKER) && !answer.text().contains(HALF), "{case}: {}", answer.text());
}

/// Runs each failure against a service of its own, so that no circuit is open after another failure.
fn fail_at_each(failures: &[(&'static str, Behaviour)]) {
    for (case, failure) in failures {
        let model = FakeModel::start();
        model.always(failure.clone());
        let app = model.app(&[]);
        let chat = Chat::new(&app);
        assert_failed(&chat.send("hello"), case);
        assert!((1..=2).contains(&model.requests().len()), "{case}: asked {} times", model.requests().len());
        let error = chat.stream("hello again").error(503).to_string();
        assert!(!error.contains(MARKER) && !error.contains(HALF), "{case}: {error}");
        assert_eq!(chat.transcript(), ["user: hello", "user: hello again"], "{case}");
        model.always(Arc::new(answers(&["all is well"])));
        assert_eq!(chat.send("and again").assert_status(200).json()["content"], "all is well", "{case}");
    }
}

#[test]
fn a_failed_call_is_503_and_stores_nothing_of_the_answer() {
    let failures = failures();
    thread::scope(|scope| {
        for some in failures.chunks(failures.len().div_ceil(4)) {
            scope.spawn(|| fail_at_each(some));
        }
    });
}

#[test]
fn the_log_has_no_text_of_the_user_or_the_provider() {
    let (model, schema) = (FakeModel::start(), Schema::new());
    let [_, key, _] = model.variables();
    let mut service = model.service_at(&schema.url());
    for (at, (_, failure)) in failures().into_iter().enumerate() {
        let chat = Chat::create(&service.client);
        model.always(failure);
        assert_failed(&chat.send("text of a user"), "in the binary");
        // Successes in between keep the circuit closed.
        if at % 3 == 2 {
            model.always(Arc::new(answers(&["text of a model"])));
            chat.send("text of a user").assert_status(200);
        }
    }
    service.signal("TERM");
    assert!(service.wait().success());
    let log = service.log();
    for secret in [MARKER, HALF, "text of a", &key.1, "stand-in"] {
        assert!(!log.contains(secret), "the log has {secret}: {log}");
    }
}

#[test]
fn a_model_that_refuses_connections_is_503() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    drop(listener);
    let app = TestApp::with(&[("OPENAI_BASE_URL", &url), ("COMPANION_MODEL", "any"), ("OPENAI_API_KEY", "any")]);
    let chat = Chat::new(&app);
    assert_failed(&chat.send("hello"), "JSON");
    chat.stream("hello").error(503);
    assert_eq!(chat.transcript(), ["user: hello"]);
}

#[test]
fn one_failure_before_the_first_delta_is_retried() {
    for is_streamed in [false, true] {
        let model = FakeModel::start();
        let app = model.app(&[]);
        let chat = Chat::new(&app);
        model.next(|reply| reply.refuse(503));
        let answer = if is_streamed { chat.stream("hello").message() } else { chat.send("hello").json() };
        assert_eq!(answer["content"], "I am here, and I listen.");
        assert_eq!((model.requests().len(), chat.transcript().len()), (2, 2));
    }
}

#[test]
fn a_failure_after_the_first_delta_is_not_retried_and_the_answer_is_cut() {
    let model = FakeModel::start();
    let app = model.app(&[]);
    model.next(|reply| reply.delta(HALF));
    let chat = Chat::new(&app);
    let answer = chat.stream("hello").message();
    assert_eq!((&answer["content"], &answer["cut"]), (&json!(HALF), &json!(true)));
    assert_eq!((model.requests().len(), chat.transcript().len()), (1, 2));
}

#[test]
fn repeated_failures_open_the_circuit() {
    let model = FakeModel::start();
    model.always(Arc::new(|reply| reply.refuse(500)));
    let app = model.app(&[]);
    let chat = Chat::new(&app);
    let refused = (0..30).find(|_| {
        let asked = model.requests().len();
        assert_failed(&chat.send("hello"), "failing");
        model.requests().len() == asked
    });
    let refused = refused.expect("the circuit opens");
    assert!(refused >= 2, "one failure does not open the circuit");
    let asked = model.requests().len();
    for _ in 0..5 {
        assert_failed(&chat.send("hello"), "open circuit");
        chat.stream("hello").error(503);
    }
    assert_eq!(model.requests().len(), asked);
    assert!(chat.transcript().iter().all(|message| message == "user: hello"));
    // The circuit is the model's alone.
    app.client.get("/health/ready").assert_status(200);
}

#[test]
fn a_client_is_told_how_long_the_model_wants_no_request() {
    let (model, schema) = (FakeModel::start(), Schema::new());
    model.always(Arc::new(|reply| {
        reply.respond(
            &format!("429 {MARKER}\r\nRetry-After: 60"),
            "application/json",
            &json!({"error": MARKER}).to_string(),
        )
    }));
    let mut service = model.service_at(&schema.url());
    let chat = Chat::create(&service.client);
    for _ in 0..5 {
        let answer = chat.send_with_key("key", "hello");
        assert_failed(&answer, "429");
        let seconds: u32 = answer.header("Retry-After").unwrap().parse().unwrap();
        assert!((55..=60).contains(&seconds), "{seconds}");
    }
    Chat::create(&service.client).stream("hello").error(503);
    assert_eq!(model.requests().len(), 1);
    service.signal("TERM");
    assert!(service.wait().success());
    let log = service.log();
    assert!(!log.contains(MARKER) && log.contains("wants no request for 60 s"), "{log}");
}

#[test]
fn unusual_but_valid_answers_are_accepted() {
    let model = FakeModel::start();
    let app = model.app(&[]);
    let chat = Chat::new(&app);
    let behaviour = |reply: &mut Reply<'_>| {
        reply.body(": keep-alive\n\nevent: x\nid: 7\nretry: 1\n")?;
        reply.chunk(&json!([{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": null}]))?;
        reply.chunk(&json!([]))?;
        reply.delta("it is ")?;
        reply.chunk(&json!([{"index": 0, "delta": {}, "finish_reason": null, "logprobs": null}]))?;
        reply.body("data:")?;
        reply.body("{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"we")?;
        reply.body("ll\"},\"finish_reason\":null}]}\r\n\r\n")?;
        reply.chunk(&json!([{"index": 0, "delta": {}, "finish_reason": "length"}]))?;
        reply.body("data: {\"choices\": [], \"usage\": {\"total_tokens\": 3}}\n\n")?;
        // Some servers never send [DONE].
        reply.end()
    };
    let whole = |reply: &mut Reply<'_>| {
        reply.is_streamed = false;
        reply.delta("it is well")?;
        reply.finish("length")
    };
    for behaviour in [Arc::new(behaviour) as Behaviour, Arc::new(whole)] {
        model.always(behaviour);
        for answer in [chat.stream("hello").message(), chat.send("hello").assert_status(200).json()] {
            assert_eq!((&answer["content"], &answer["cut"]), (&json!("it is well"), &json!(true)));
        }
    }
    assert_eq!(model.requests().len(), 4);
}

#[test]
fn redirects_are_not_followed() {
    let (model, elsewhere) = (FakeModel::start(), FakeModel::start());
    let app = model.app(&[]);
    // A client that follows a 302 or 303 sends a GET, which is a violation of the schema too.
    for status in ["302 Found", "303 See Other", "307 Temporary Redirect", "308 Permanent Redirect"] {
        let [(_, url), ..] = elsewhere.variables();
        model.next(move |reply| {
            let status = format!("{status}\r\nLocation: {url}/chat/completions");
            reply.respond(&status, "text/plain", MARKER)
        });
        assert_failed(&Chat::new(&app).send("hello"), status);
    }
    assert!(elsewhere.requests().is_empty());
}

#[test]
fn an_endless_answer_is_cut_at_its_limit() {
    let model = FakeModel::start();
    let app = model.app(&[("COMPANION_TIMEOUT", "25")]);
    model.next(|reply| {
        assert!(reply.is_streamed);
        loop {
            reply.delta("and on and on ")?;
        }
    });
    let chat = Chat::new(&app);
    let answer = chat.stream("hello").message();
    assert_eq!(answer["content"].as_str().unwrap().chars().count(), 16_384);
    model.wait_for_disconnects(1);
    let stored = &chat.messages()[1];
    assert_eq!((&stored["content"], &stored["cut"]), (&answer["content"], &json!(true)));
}
