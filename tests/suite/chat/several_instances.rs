//! Several instances on one database: a session behaves as at one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::app::TestApp;
use crate::support::chat::{Chat, count_rows};
use crate::support::cluster::Schema;
use crate::support::fake_model::{FakeModel, answers, pauses_at};
use crate::support::http::Client;
use crate::support::server::Gate;
use crate::support::timing::timed;

/// Two instances on one database, with one model.
struct Instances {
    model: FakeModel,
    one: TestApp,
    other: TestApp,
    // Declared after the instances, so that it is dropped later.
    schema: Schema,
}

impl Instances {
    fn start() -> Instances {
        let (model, schema) = (FakeModel::start(), Schema::new());
        let [one, other] = [(); 2].map(|()| model.app_at(&schema.url(), &[]));
        Instances { model, one, other, schema }
    }

    /// With the statements for tables on one server, and with those for distributed tables.
    fn of_both_forms() -> [Instances; 2] {
        let (model, schema) = (FakeModel::start(), Schema::new());
        let url = schema.url_of_pretended_citus();
        let [one, other] = [(); 2].map(|()| model.app_at(&url, &[]));
        [Instances::start(), Instances { model, one, other, schema }]
    }

    /// A new session, at both.
    fn chats(&self) -> (Chat<'_>, Chat<'_>) {
        let chat = Chat::new(&self.one);
        let elsewhere = Chat::of(&self.other.client, &chat.id);
        (chat, elsewhere)
    }
}

/// Sends a message with a key, and returns the message of the answer.
#[track_caller]
fn say(chat: &Chat<'_>, is_streamed: bool) -> Value {
    if is_streamed {
        chat.stream_with_key("key", "hello").message()
    } else {
        chat.send_with_key("key", "hello").assert_status(200).json()
    }
}

fn count_claims(sql: &mut postgres::Client) -> i64 {
    sql.query_one("SELECT count(*) FROM turns", &[]).unwrap().get(0)
}

#[test]
fn a_session_erased_at_another_instance_ends_its_turn_within_300_ms_and_stays_erased() {
    for instances in Instances::of_both_forms() {
        for is_streamed in [false, true] {
            // The machine may do other work, so the shortest of some times counts.
            let mut times = Vec::new();
            for _ in 0..4 {
                let gate = Arc::new(Gate::default());
                instances.model.next(pauses_at(&gate, "half ", "an answer"));
                let (chat, elsewhere) = instances.chats();
                let (requests, disconnects) = (instances.model.requests().len(), instances.model.disconnects());
                thread::scope(|scope| {
                    let waiting = scope.spawn(|| {
                        chat.assert_erased_while_sending(is_streamed);
                        Instant::now()
                    });
                    instances.model.wait_for_requests(requests + 1);
                    elsewhere.erase().assert_status(204);
                    let erased = Instant::now();
                    times.push(waiting.join().unwrap().saturating_duration_since(erased));
                });
                instances.model.wait_for_disconnects(disconnects + 1);
                chat.send_with_key("key", "hello").assert_problem(404);
                let sql = &mut instances.schema.client();
                assert_eq!((count_rows(sql), count_claims(sql)), (0, 0), "streamed: {is_streamed}");
            }
            assert!(times.iter().min() < Some(&Duration::from_millis(300)), "streamed: {is_streamed}: {times:?}");
            assert!(times.iter().max() < Some(&Duration::from_secs(3)), "streamed: {is_streamed}: {times:?}");
        }
    }
}

#[test]
fn messages_of_one_session_at_two_instances_are_answered_once_and_in_order() {
    const MESSAGES: usize = 20;
    for instances in Instances::of_both_forms() {
        instances.model.always(Arc::new(|reply| {
            let text = format!("to {}", reply.question);
            reply.delta(&text)?;
            reply.finish("stop")
        }));
        let (chat, elsewhere) = instances.chats();
        let refused = AtomicUsize::new(0);
        thread::scope(|scope| {
            for (name, chat) in [("one", &chat), ("other", &elsewhere)] {
                let refused = &refused;
                scope.spawn(move || {
                    for number in 0..MESSAGES {
                        // Letters: an answer loses numbers that no help line has.
                        let message = format!("{name} {}", char::from(b'a' + number as u8));
                        while chat.send(&message).status == 409 {
                            refused.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        let transcript = chat.transcript();
        assert_eq!((transcript.len(), instances.model.requests().len()), (4 * MESSAGES, 2 * MESSAGES));
        for pair in transcript.chunks(2) {
            let question = pair[0].strip_prefix("user: ").expect("a question");
            assert_eq!(pair[1], format!("model: to {question}"));
        }
        assert!(refused.into_inner() > 0, "they were never at it at the same time");
    }
}

#[test]
fn a_second_message_at_another_instance_is_409_while_the_first_is_answered() {
    for instances in Instances::of_both_forms() {
        let gate = Arc::new(Gate::default());
        instances.model.next(pauses_at(&gate, "one ", "moment"));
        let (chat, elsewhere) = instances.chats();
        let running = chat.stream_with_key("key", "hello");
        instances.model.wait_for_requests(1);
        for answer in [elsewhere.send_with_key("other", "hello"), elsewhere.send("hello"), elsewhere.send("more")] {
            assert_eq!((answer.status, &answer.json()["code"]), (409, &json!("turn_in_progress")));
            assert!(answer.header("Retry-After").is_some());
        }
        gate.open();
        running.message();
        // At once: the answer ends the claim.
        elsewhere.send("more").assert_status(200);
        assert_eq!(chat.transcript()[..3], ["user: hello", "model: one moment", "user: more"]);
    }
}

#[test]
fn a_turn_without_an_answer_leaves_its_session_free_for_other_instances() {
    for instances in Instances::of_both_forms() {
        for is_resent in [false, true] {
            let (chat, elsewhere) = instances.chats();
            instances.model.next(|reply| reply.refuse(401));
            chat.send("hello").assert_problem(503);
            elsewhere.send(if is_resent { "hello" } else { "more" }).assert_status(200);
        }
    }
}

#[test]
fn a_stop_at_another_instance_stores_the_answer_so_far_before_it_is_answered() {
    for instances in Instances::of_both_forms() {
        for (first, rest) in [("half ", "never comes"), ("", "never comes")] {
            let gate = Arc::new(Gate::default());
            instances.model.next(pauses_at(&gate, first, rest));
            let (chat, elsewhere) = instances.chats();
            let requests = instances.model.requests().len();
            thread::scope(|scope| {
                let asking = scope.spawn(|| chat.send("hello"));
                instances.model.wait_for_requests(requests + 1);
                if !first.is_empty() {
                    // The piece has arrived when a stream would show it, which takes less time than this.
                    thread::sleep(Duration::from_millis(100));
                }
                let ((), took) = timed(|| {
                    elsewhere.stop().assert_status(204);
                });
                assert!(took < Duration::from_secs(8), "{took:?}");
                let stored = elsewhere.messages();
                let answer = asking.join().unwrap();
                if first.is_empty() {
                    assert_eq!((answer.status, &answer.json()["code"]), (409, &json!("answer_stopped")));
                    assert_eq!(stored.len(), 1);
                } else {
                    assert_eq!(answer.assert_status(200).json()["cut"], true);
                    assert_eq!((&stored[1]["content"], &stored[1]["cut"]), (&json!(first), &json!(true)));
                }
            });
            elsewhere.send("more").assert_status(200);
        }
        // Nothing runs.
        let (chat, elsewhere) = instances.chats();
        elsewhere.stop().assert_status(204);
        chat.erase().assert_status(204);
        elsewhere.stop().assert_problem(404);
    }
}

#[test]
fn a_key_sent_again_during_its_turn_waits_for_the_one_answer_at_any_instance() {
    for instances in Instances::of_both_forms() {
        for (is_first_streamed, is_second_streamed) in [(false, false), (true, false), (false, true), (true, true)] {
            let gate = Arc::new(Gate::default());
            instances.model.next(pauses_at(&gate, "one ", "answer"));
            let (chat, elsewhere) = instances.chats();
            let requests = instances.model.requests().len();
            let mut answers = thread::scope(|scope| {
                let first = scope.spawn(|| say(&chat, is_first_streamed));
                instances.model.wait_for_requests(requests + 1);
                let others: Vec<_> = [&chat, &elsewhere, &elsewhere]
                    .map(|chat| scope.spawn(move || say(chat, is_second_streamed)))
                    .into_iter()
                    .collect();
                // They wait, and do not end before the answer does.
                thread::sleep(Duration::from_millis(300));
                assert!(!others.iter().any(thread::ScopedJoinHandle::is_finished));
                gate.open();
                others.into_iter().chain([first]).map(|answer| answer.join().unwrap()).collect::<Vec<Value>>()
            });
            answers.dedup();
            assert_eq!(answers.len(), 1, "{answers:?}");
            assert_eq!(answers[0]["content"], "one answer");
            assert_eq!((instances.model.requests().len(), chat.transcript().len()), (requests + 1, 2));
        }
    }
}

#[test]
fn a_key_sent_again_during_a_turn_without_an_answer_is_answered_then() {
    for instances in Instances::of_both_forms() {
        for is_elsewhere in [false, true] {
            let gate = Arc::new(Gate::default());
            let (of_model, requests) = (gate.clone(), instances.model.requests().len());
            instances.model.next(move |reply| {
                reply.wait(&of_model)?;
                reply.refuse(401)
            });
            let (chat, elsewhere) = instances.chats();
            thread::scope(|scope| {
                let first = scope.spawn(|| chat.send_with_key("key", "hello"));
                instances.model.wait_for_requests(requests + 1);
                let second = scope.spawn(|| say(if is_elsewhere { &elsewhere } else { &chat }, true));
                thread::sleep(Duration::from_millis(200));
                gate.open();
                first.join().unwrap().assert_problem(503);
                assert_eq!(second.join().unwrap()["content"], "I am here, and I listen.");
            });
            assert_eq!((instances.model.requests().len(), chat.transcript().len()), (requests + 2, 2));
        }
    }
}

#[test]
fn a_message_that_waits_for_another_instance_is_answered_before_the_stop_or_refused_at_its_deadline() {
    for (is_answered, status) in [(true, 200), (false, 503)] {
        let (model, schema) = (FakeModel::start(), Schema::new());
        let one = model.app_at(&schema.url(), &[]);
        let other = model.app_at(&schema.url(), &[("APP_SHUTDOWN_GRACE", if is_answered { "10" } else { "2" })]);
        let gate = Arc::new(Gate::default());
        model.next(pauses_at(&gate, "half ", "an answer"));
        let chat = Chat::new(&one);
        let client = Client::new(other.client.address());
        let elsewhere = Chat::of(&client, &chat.id);
        thread::scope(|scope| {
            let running = scope.spawn(|| chat.send_with_key("key", "hello"));
            model.wait_for_requests(1);
            let waiting = scope.spawn(|| elsewhere.send_with_key("key", "hello"));
            // Long enough for the message to wait; sooner it would be refused for want of a connection.
            thread::sleep(Duration::from_millis(500));
            let stopping = scope.spawn(|| timed(|| drop(other)));
            if is_answered {
                // The stop has begun.
                thread::sleep(Duration::from_millis(200));
                gate.open();
            }
            waiting.join().unwrap().assert_status(status);
            let (_, took) = stopping.join().unwrap();
            assert!(took < Duration::from_secs(5), "{took:?}");
            gate.open();
            running.join().unwrap().assert_status(200);
        });
    }
}

/// The instance that was taken over hears of that within 200 ms, and then the stream ends with an error. Before that it stores its own
/// answer, and finds the other one.
#[test]
fn an_answer_that_another_instance_stored_takes_the_place_of_the_pieces_of_this_one() {
    let instances = Instances::start();
    instances.model.always(Arc::new(answers(&["the other answer"])));
    let reset = (0..50).any(|_| {
        let gate = Arc::new(Gate::default());
        instances.model.next(pauses_at(&gate, "these pieces ", "are not the answer"));
        let (chat, elsewhere) = instances.chats();
        let mut events = chat.stream_with_key("key", "hello");
        events.expect("message.start");
        assert_eq!(events.delta(), "these pieces ");
        instances.schema.client().execute("DELETE FROM turns", &[]).unwrap();
        let (other, events) = thread::scope(|scope| {
            let other = scope.spawn(|| say(&elsewhere, false));
            let limit = Instant::now() + Duration::from_millis(500);
            while !other.is_finished() && Instant::now() < limit {
                thread::sleep(Duration::from_millis(1));
            }
            gate.open();
            (other.join().unwrap(), events.rest())
        });
        let mut names: Vec<&str> = events.iter().map(|event| event.name.as_str()).collect();
        names.dedup();
        let last = &events.last().expect("a last event").data;
        assert_eq!(chat.transcript().len(), 2);
        match names[..] {
            ["message.delta", "message.reset", "message.delta", "message.end"] => {
                let mut pieces = events.iter().skip_while(|event| event.name != "message.reset").skip(1);
                assert_eq!((&pieces.next().unwrap().data["text"], last), (&other["content"], &other));
                other["content"] == "the other answer"
            }
            // The claim was restored before the other instance looked, so that this one has answered.
            ["message.delta", "message.end"] => {
                assert_eq!(last, &other);
                false
            }
            ["error"] => {
                assert_eq!(last["code"], "turn_in_progress");
                false
            }
            _ => panic!("{events:?}"),
        }
    });
    assert!(reset, "no answer was stored before the other instance heard of it");
}

#[test]
fn changes_and_messages_of_one_session_at_two_instances_do_not_block_each_other() {
    let schema = Schema::new();
    let url = schema.url();
    let variables = [("DATABASE_URL", url.as_str()), ("RATE_LIMIT", "off")];
    let [one, other] = [(); 2].map(|()| TestApp::with(&variables));
    let chat = Chat::new(&one);
    let path = format!("/api/v1/sessions/{}", chat.id);
    thread::scope(|scope| {
        for client in [&one.client, &other.client] {
            for seconds in [3600, 7200] {
                let path = &path;
                scope.spawn(move || {
                    for _ in 0..200 {
                        client.patch_json(path, &json!({"idle_timeout_seconds": seconds})).assert_status(200);
                    }
                });
            }
            let chat = Chat::of(client, &chat.id);
            scope.spawn(move || {
                for _ in 0..100 {
                    let status = chat.send("halo").status;
                    assert!(matches!(status, 200 | 409), "{status}");
                }
            });
        }
    });
}
