//! Many who stream at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::support::events::Events;
use crate::support::model::Model;
use crate::support::raw::Raw;
use crate::support::talk::Talk;

const TURNS: usize = 2_000;
const CLIENTS: usize = 64;

/// Turns of one session; longer ones would measure the history.
const TURNS_OF_A_SESSION: usize = 8;

#[test]
fn two_thousand_streamed_turns_of_sixty_four_clients_all_end_well() {
    let model = Model::start();
    // It echoes in pieces, so that an answer that went to another would be seen.
    model.always(Arc::new(|reply| {
        let words = reply.asked.clone();
        words.split_inclusive(' ').try_for_each(|word| reply.say(word))?;
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
                'talks: loop {
                    let talk = Talk::by(client);
                    let mut said = Vec::new();
                    for turn in 0..TURNS_OF_A_SESSION {
                        if next.fetch_add(1, Ordering::Relaxed) >= TURNS {
                            break 'talks;
                        }
                        let message =
                            format!("client {number} says in turn {turn} of {}", next.load(Ordering::Relaxed));
                        let key = (turn % 2 == 0).then(|| format!("key {turn}"));
                        let request = talk.request(key.as_deref(), &message);
                        let mut events = Events::of(raw, &request).unwrap_or_else(|answer| panic!("{}", answer.text()));
                        events.expect("message.start");
                        let mut answer = String::new();
                        let end = loop {
                            let event = events.next().expect("an end");
                            match event.name.as_str() {
                                "message.delta" => answer += event.data["text"].as_str().unwrap(),
                                "message.end" => break event.data,
                                name => panic!("{name}: {}", event.data),
                            }
                        };
                        assert_eq!((end["content"].as_str(), &answer), (Some(message.as_str()), &message));
                        said.extend([format!("user: {message}"), format!("model: {message}")]);
                        raw = events.into_raw();
                    }
                    if number % 8 == 0 {
                        assert_eq!(talk.said(), said);
                    }
                }
            });
        }
    });
    assert_eq!(model.asked().len(), TURNS);
    let stored: i64 = app.sql().query_one("SELECT count(*) FROM messages", &[]).unwrap().get(0);
    assert_eq!(stored, 2 * TURNS as i64);
}
