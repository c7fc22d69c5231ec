//! Two services on one database, as during a rolling update.

use std::sync::Arc;
use std::thread;

use serde_json::json;

use crate::support::app::TestApp;
use crate::support::chat::{Chat, count_rows};
use crate::support::cluster::Schema;
use crate::support::fake_model::{FakeModel, pauses_at};
use crate::support::server::Gate;

#[test]
fn a_session_erased_by_another_service_stays_erased() {
    let (model, schema) = (FakeModel::start(), Schema::new());
    let [one, other] = [(); 2].map(|()| model.app_at(&schema.url(), &[]));
    for is_streamed in [false, true] {
        let gate = Arc::new(Gate::default());
        model.next(pauses_at(&gate, "half ", "an answer"));
        let chat = Chat::new(&one);
        let requests = model.requests().len();
        thread::scope(|scope| {
            let waiting = scope.spawn(|| chat.assert_erased_while_sending(is_streamed));
            model.wait_for_requests(requests + 1);
            Chat::of(&other.client, &chat.id).erase().assert_status(204);
            gate.open();
            waiting.join().unwrap();
        });
        chat.send_with_key("key", "hello").assert_problem(404);
        assert_eq!(count_rows(&mut schema.client()), 0, "streamed: {is_streamed}");
    }
}

#[test]
fn simultaneous_turns_of_two_services_lose_no_message_and_keep_the_order() {
    let (model, schema) = (FakeModel::start(), Schema::new());
    let [one, other] = [(); 2].map(|()| model.app_at(&schema.url(), &[]));
    let (first, second) = (Arc::new(Gate::default()), Arc::new(Gate::default()));
    model.next(pauses_at(&first, "", "the first answer"));
    model.next(pauses_at(&second, "", "the second answer"));
    let chat = Chat::new(&one);
    let elsewhere = Chat::of(&other.client, &chat.id);
    thread::scope(|scope| {
        let asking = scope.spawn(|| chat.send_with_key("one", "the first question"));
        model.wait_for_requests(1);
        let asking_elsewhere = scope.spawn(|| elsewhere.send_with_key("other", "the second question"));
        model.wait_for_requests(2);
        second.open();
        let later = asking_elsewhere.join().unwrap().assert_status(200).json();
        assert_eq!(later["content"], "the second answer");
        first.open();
        let earlier = asking.join().unwrap().assert_status(200).json();
        assert_eq!(earlier["content"], "the first answer");
    });
    let expected = [
        "user: the first question",
        "user: the second question",
        "model: the second answer",
        "model: the first answer",
    ];
    assert_eq!((chat.transcript(), elsewhere.transcript()), (expected.map(str::to_owned).to_vec(), chat.transcript()));
}

#[test]
fn one_key_at_two_services_at_once_gets_one_answer() {
    let (model, schema) = (FakeModel::start(), Schema::new());
    let [one, other] = [(); 2].map(|()| model.app_at(&schema.url(), &[]));
    let gate = Arc::new(Gate::default());
    model.next(pauses_at(&gate, "", "an answer"));
    model.next(pauses_at(&gate, "", "another answer"));
    let chat = Chat::new(&one);
    let elsewhere = Chat::of(&other.client, &chat.id);
    thread::scope(|scope| {
        let asking = scope.spawn(|| chat.send_with_key("key", "hello"));
        model.wait_for_requests(1);
        let asking_elsewhere = scope.spawn(|| elsewhere.send_with_key("key", "hello"));
        // A service does not know the turns of another: both call the model, and the first answer to be stored counts.
        model.wait_for_requests(2);
        gate.open();
        let answers = [asking, asking_elsewhere].map(|asking| asking.join().unwrap().assert_status(200).json());
        assert_eq!(answers[0], answers[1]);
    });
    assert_eq!(chat.transcript().len(), 2);
}

#[test]
fn a_fallback_that_another_service_stored_is_the_answer_of_both_and_is_counted_once() {
    let (model, schema) = (FakeModel::start(), Schema::new());
    let [one, other] = [(); 2].map(|()| model.app_at(&schema.url(), &[("METRICS_PORT", "0")]));
    let gate = Arc::new(Gate::default());
    model.next(pauses_at(&gate, "", "an answer"));
    model.next(|reply| reply.refuse(401));
    let chat = Chat::new(&one);
    let elsewhere = Chat::of(&other.client, &chat.id);
    thread::scope(|scope| {
        let asking = scope.spawn(|| chat.send_with_key("key", "aku mau mati"));
        model.wait_for_requests(1);
        let fallback = elsewhere.send_with_key("key", "aku mau mati").assert_status(200).json();
        assert_eq!(fallback["source"], "script");
        gate.open();
        assert_eq!(asking.join().unwrap().assert_status(200).json(), fallback);
    });
    let [first, second] = [&one, &other].map(TestApp::metrics);
    let by_script = "safespace_turns_total{outcome=\"answered_by_script\"} 1\n";
    assert!(first.contains(by_script) && second.contains(by_script), "{first}{second}");
    let counted = [first, second].map(|metrics| metrics.contains("safespace_safety_total{level=\"crisis\"} 1\n"));
    assert_eq!(counted, [false, true]);
}

#[test]
fn changes_and_messages_of_one_session_at_two_services_do_not_block_each_other() {
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
