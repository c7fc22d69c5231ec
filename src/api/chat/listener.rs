//! A client that waits for an answer: for all of it, or for each piece as it is made.

use std::mem;
use std::sync::mpsc::{self, Sender};

use uuid::Uuid;

use super::events::{self, Event};
use super::wire::{Answer, Delta, Start};
use crate::api::later::Responder;
use crate::api::respond;
use crate::session_id::SessionId;
use crate::turns;

/// Who waits, and what it was sent.
pub(super) enum Listener {
    /// It wants the answer when it is whole.
    ForAll(Responder),
    /// It wants events, and nothing was sent: an error is an ordinary answer.
    Waiting(Responder),
    /// The stream has begun.
    Listening(Sender<Event>),
    /// Everything was.
    Done,
}

impl Listener {
    pub(super) fn tell(&mut self, session_id: SessionId, event: turns::Event) {
        *self = match (mem::replace(self, Listener::Done), event) {
            (Listener::ForAll(responder), turns::Event::Ended(message)) => {
                responder.answer(move || Ok(respond::json(200, &Answer::new(session_id, message))));
                Listener::Done
            }
            (Listener::ForAll(responder) | Listener::Waiting(responder), turns::Event::Failed(failure)) => {
                responder.answer(move || Err(failure.into()));
                Listener::Done
            }
            (Listener::Waiting(responder), turns::Event::Began(id)) => Listener::listen(responder, session_id, id),
            // An answer that was stored before.
            (Listener::Waiting(responder), turns::Event::Ended(message)) => {
                let mut listener = Listener::listen(responder, session_id, message.id);
                listener.tell(session_id, turns::Event::Said(message.text.clone()));
                listener.tell(session_id, turns::Event::Ended(message));
                listener
            }
            (Listener::Listening(events), turns::Event::Said(text)) => {
                send(&events, Event::new("message.delta", &Delta { text: &text }));
                Listener::Listening(events)
            }
            (Listener::Listening(events), turns::Event::Ended(message)) => {
                send(&events, Event::last("message.end", &Answer::new(session_id, message)));
                Listener::Done
            }
            (Listener::Listening(events), turns::Event::Failed(failure)) => {
                send(&events, Event::error(&failure.into()));
                Listener::Done
            }
            (listener, _) => listener,
        };
    }

    fn listen(responder: Responder, session_id: SessionId, id: Uuid) -> Listener {
        let (sender, receiver) = mpsc::channel();
        send(&sender, Event::new("message.start", &Start { id, session_id, role: "model" }));
        responder.answer(move || Ok(events::response(receiver)));
        Listener::Listening(sender)
    }
}

/// Whoever has gone away is told nothing.
fn send(events: &Sender<Event>, event: Event) {
    let _ = events.send(event);
}
