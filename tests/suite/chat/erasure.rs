//! Erasing a session and stopping its turn while the companion answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::support::chat::{Chat, count_rows};
use crate::support::fake_model::{FakeModel, pauses_at};
use crate::support::http::Answer;
use crate::support::raw::Raw;
use crate::support::server::Gate;
use crate::support::timing::{PATIENCE, eventually};

/// Has the model send a first delta and then wait for the gate.
fn hang(model: &FakeModel, first: &str) -> Arc<Gate> {
    let never = Arc::new(Gate::default());
    model.next(pauses_at(&never, first, "too late"));
    never
}

#[test]
fn erasing_a_session_cancels_its_running_turn_at_once() {
    let model = FakeModel::start();
    let app = model.app(&[("COMPANION_TIMEOUT", "25")]);
    let mut fastest = Duration::MAX;
    for round in 1..=6 {
        hang(&model, "half");
        let chat = Chat::new(&app);
        let is_streamed = round % 2 == 0;
        thread::scope(|scope| {
            let waiting = scope.spawn(|| chat.assert_erased_while_sending(is_streamed));
            model.wait_for_requests(round);
            let started = Instant::now();
            chat.erase().assert_status(204);
            fastest = fastest.min(started.elapsed());
            model.wait_for_disconnects(round);
            waiting.join().unwrap();
        });
        chat.history("").assert_problem(404);
        assert_eq!(count_rows(&mut app.sql()), 0);
    }
    // Other load on the machine may slow some rounds, not all.
    assert!(fastest < Duration::from_millis(100), "{fastest:?}");
}

#[test]
fn erasing_a_session_cancels_a_turn_whose_client_disconnected() {
    let model = FakeModel::start();
    let app = model.app(&[("COMPANION_TIMEOUT", "25")]);
    hang(&model, "half ");
    let chat = Chat::new(&app);
    let mut events = chat.stream("hello");
    events.expect("message.start");
    assert_eq!(events.delta(), "half ");
    drop(events);
    chat.erase().assert_status(204);
    model.wait_for_disconnects(1);
    assert_eq!(count_rows(&mut app.sql()), 0);
}

#[test]
fn erasing_a_session_cancels_a_turn_that_waits_for_a_permit() {
    let model = FakeModel::start();
    let app = model.app(&[("COMPANION_TIMEOUT", "25"), ("COMPANION_CONCURRENCY", "1")]);
    let gate = hang(&model, "half");
    let (chat, other) = (Chat::new(&app), Chat::new(&app));
    let running = chat.stream("hello");
    model.wait_for_requests(1);
    thread::scope(|scope| {
        let waiting = scope.spawn(|| other.send("hello"));
        eventually(PATIENCE, || (other.transcript().len() == 1).then_some(()));
        other.erase().assert_status(204);
        waiting.join().unwrap().assert_problem(404);
    });
    gate.open();
    running.message();
    assert_eq!((model.requests().len(), count_rows(&mut app.sql())), (1, 3));
}

#[test]
fn stopping_a_turn_stores_the_answer_so_far() {
    let model = FakeModel::start();
    let app = model.app(&[("COMPANION_TIMEOUT", "25")]);
    hang(&model, "half of it ");
    let chat = Chat::new(&app);
    let mut events = chat.stream("hello");
    let start = events.expect("message.start");
    let delta = events.delta();
    chat.stop().assert_status(204);
    // The turn is over when the stop is answered.
    assert_eq!(chat.transcript(), ["user: hello", "model: half of it "]);
    let end = events.expect("message.end");
    assert_eq!((&end["id"], end["content"].as_str()), (&start["id"], Some(delta.as_str())));
    assert_eq!((&end["cut"], &chat.messages()[1]["cut"]), (&true.into(), &true.into()));
    assert!(events.next().is_none());
    model.wait_for_disconnects(1);
    chat.stop().assert_status(204);
    chat.send("more").assert_status(200);
    assert_eq!(chat.transcript().len(), 4);
    let requests = model.requests();
    assert_eq!(
        requests[1].messages[1..],
        [("user", "hello"), ("assistant", "half of it "), ("user", "more")]
            .map(|(role, text)| (role.to_owned(), text.to_owned()))
    );
}

#[test]
fn stopping_a_turn_before_the_first_delta_is_409_and_keeps_the_question() {
    let model = FakeModel::start();
    let app = model.app(&[("COMPANION_TIMEOUT", "25")]);
    let (whole, streamed) = (Chat::new(&app), Chat::new(&app));
    hang(&model, "");
    hang(&model, "");
    thread::scope(|scope| {
        let waiting = scope.spawn(|| whole.send_with_key("key", "hello"));
        let streaming = scope.spawn(|| streamed.stream_with_key("key", "hello").error(409));
        model.wait_for_requests(2);
        whole.stop().assert_status(204);
        streamed.stop().assert_status(204);
        waiting.join().unwrap().assert_problem(409);
        streaming.join().unwrap();
    });
    model.wait_for_disconnects(2);
    for chat in [whole, streamed] {
        assert_eq!(chat.transcript(), ["user: hello"]);
        chat.send_with_key("key", "hello").assert_status(200);
        assert_eq!(chat.transcript().len(), 2);
    }
}

#[test]
fn stopping_a_turn_without_a_stream_returns_the_answer_so_far() {
    let model = FakeModel::start();
    let app = model.app(&[("COMPANION_TIMEOUT", "25")]);
    let first_is_read = Arc::new(Gate::default());
    let gate = first_is_read.clone();
    model.next(move |reply| {
        reply.delta("half of it")?;
        // 7 MiB of comments are more than the buffers of two sockets hold unread, and less than a stream may have.
        let comment = format!(":{}\n", "x".repeat(32 * 1024));
        (0..7 * 32).try_for_each(|_| reply.body(&comment))?;
        gate.open();
        reply.stall()
    });
    let chat = Chat::new(&app);
    thread::scope(|scope| {
        let waiting = scope.spawn(|| chat.send("hello"));
        assert!(first_is_read.wait_for(PATIENCE));
        chat.stop().assert_status(204);
        let answer = waiting.join().unwrap().assert_status(200).json();
        assert_eq!((&answer["content"], &answer["cut"]), (&"half of it".into(), &true.into()));
    });
    assert_eq!(chat.transcript(), ["user: hello", "model: half of it"]);
}

#[test]
fn stop_affects_one_session_and_is_204_without_a_turn() {
    let model = FakeModel::start();
    let app = model.app(&[("COMPANION_TIMEOUT", "25")]);
    let gate = hang(&model, "half ");
    let (chat, other) = (Chat::new(&app), Chat::new(&app));
    let mut events = chat.stream("hello");
    events.expect("message.start");
    model.wait_for_requests(1);
    other.stop().assert_status(204);
    other.send("hello").assert_status(200);
    other.stop().assert_status(204);
    Chat::of(&app.client, &Uuid::new_v4().to_string()).stop().assert_problem(404);
    let answer = Chat::of(&app.client, "1").stop();
    answer.assert_problem(422);
    assert_eq!(answer.json()["errors"][0]["field"], "session_id");
    gate.open();
    assert_eq!(events.message()["content"], "half too late");
    assert_eq!(other.transcript().len(), 2);
}

#[test]
fn a_thousand_sessions_erased_during_their_turns_leave_no_rows() {
    const PAIRS: usize = 1_000;
    const THREADS: usize = 32;
    let model = FakeModel::start();
    let app = model.app(&[("APP_WORKERS", "32"), ("COMPANION_CONCURRENCY", "24"), ("DB_ACQUIRE_TIMEOUT_MS", "30000")]);
    let (next, answered) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let (client, address) = (&app.client, app.client.address());
    let pair = |at: usize| {
        let chat = Chat::create(client);
        let key = at.is_multiple_of(3).then_some("key");
        let accept = if at.is_multiple_of(2) { "text/event-stream" } else { "*/*" };
        let mut sending = Raw::connect(address);
        let mut erasing = Raw::connect(address);
        sending.send(&chat.request(accept, key, "hello"));
        // Each erases at another moment of the turn: before the question is stored, while the answer is stored, and so on.
        thread::sleep(Duration::from_millis((at % 20 * 3) as u64));
        let erase = format!("DELETE /api/v1/sessions/{} HTTP/1.1\r\nHost: x\r\n\r\n", chat.id);
        erasing.ask(erase.as_bytes()).assert_status(204);
        let answer: Answer = sending.answer();
        let text = answer.text();
        assert!(matches!(answer.status, 200 | 404 | 503), "{}: {text}", answer.status);
        if answer.header("Content-Type") == Some("text/event-stream") {
            let last = text.rsplit("event: ").next().unwrap();
            assert!(last.starts_with("message.end") || last.contains("404") || last.contains("503"), "{last}");
        }
        let was_answered = answer.status == 200 && !text.contains("event: error");
        answered.fetch_add(usize::from(was_answered), Ordering::Relaxed);
    };
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    if at >= PAIRS {
                        break;
                    }
                    pair(at);
                }
            });
        }
    });
    assert_eq!(count_rows(&mut app.sql()), 0);
    let answered = answered.into_inner();
    println!("{answered} of {PAIRS} were answered before they were erased");
    assert!(answered < PAIRS, "no session was erased during its turn");
    // After one more turn the tables hold that turn alone: turns that still ran have written nothing.
    Chat::create(client).send("hello").assert_status(200);
    assert_eq!(count_rows(&mut app.sql()), 3);
}
