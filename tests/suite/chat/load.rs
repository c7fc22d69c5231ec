//! Many streams at the same time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::support::chat::Chat;
use crate::support::events::Events;
use crate::support::fake_model::FakeModel;
use crate::support::raw::Raw;

const TURNS: usize = 2_000;
const CLIENTS: usize = 64;

/// Turns of one session; more would measure the history.
const TURNS_PER_SESSION: usize = 8;

#[test]
fn two_thousand_streamed_turns_of_64_clients_all_finish() {
    let model = FakeModel::start();
    // Answers with the question, so that an answer sent to another client is noticed.
    model.always(Arc::new(|reply| {
        let text = reply.question.clone();
        text.split_inclusive(' ').try_for_each(|word| reply.delta(word))?;
        reply.finish("stop")
    }));
    let app = model.app(&[
        ("APP_WORKERS", "16"),
        ("DB_ACQUIRE_TIMEOUT_MS", "30000"),
        ("COMPANION_TIMEOUT", "25"),
        ("COMPANION_CONCURRENCY", "8"),
    ]);
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for number in 0..CLIENTS {
            let (next, client) = (&next, &app.client);
            scope.spawn(move || {
                let mut raw = Raw::connect(client.address());
                'sessions: loop {
                    let chat = Chat::create(client);
                    let mut expected = Vec::new();
                    for turn in 0..TURNS_PER_SESSION {
                        if next.fetch_add(1, Ordering::Relaxed) >= TURNS {
                            break 'sessions;
                        }
                        let message =
                            format!("client {number} in turn {turn} after {} times", next.load(Ordering::Relaxed));
                        let key = (turn % 2 == 0).then(|| format!("key {turn}"));
                        let request = chat.stream_request(key.as_deref(), &message);
                        let mut events = Events::of(raw, &request).unwrap_or_else(|answer| panic!("{}", answer.text()));
                        events.expect("message.start");
                        let mut answer = String::new();
                        let end = loop {
                            let event = events.next().expect("a terminal event");
                            match event.name.as_str() {
                                "message.delta" => answer += event.data["text"].as_str().unwrap(),
                                "message.end" => break event.data,
                                name => panic!("{name}: {}", event.data),
                            }
                        };
                        assert_eq!((end["content"].as_str(), &answer), (Some(message.as_str()), &message));
                        expected.extend([format!("user: {message}"), format!("model: {message}")]);
                        raw = events.into_raw();
                    }
                    if number % 8 == 0 {
                        assert_eq!(chat.transcript(), expected);
                    }
                }
            });
        }
    });
    assert_eq!(model.requests().len(), TURNS);
    let stored: i64 = app.sql().query_one("SELECT count(*) FROM messages", &[]).unwrap().get(0);
    assert_eq!(stored, 2 * TURNS as i64);
}
