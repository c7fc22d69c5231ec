//! Delivers the events of a turn to its client: as one JSON document, or as server-sent events.

use std::mem;
use std::sync::Arc;

use uuid::Uuid;

use super::event_stream::{self, EventStream};
use super::wire::{AnswerMessage, Author, HelpSource, MessageStart};
use crate::api::respond;
use crate::api::responder::Responder;
use crate::companion::Safety;
use crate::session_id::SessionId;
use crate::sync::Timers;
use crate::turns::Event;

/// The delivery of one turn.
pub(super) struct Delivery {
    session_id: SessionId,
    help: HelpSource,
    timers: Arc<Timers>,
    state: State,
}

/// What the client was sent.
enum State {
    /// Nothing: it waits for the whole answer.
    Whole(Responder),
    /// Nothing: it accepts events, and an error is an ordinary response until the first of them.
    Unstarted(Responder),
    Streaming(EventStream),
    Done,
}

impl Delivery {
    pub(super) fn new(
        responder: Responder,
        streamed: bool,
        session_id: SessionId,
        help: HelpSource,
        timers: Arc<Timers>,
    ) -> Delivery {
        let state = if streamed { State::Unstarted(responder) } else { State::Whole(responder) };
        Delivery { session_id, help, timers, state }
    }

    /// Delivers an event; it never blocks.
    pub(super) fn deliver(&mut self, event: Event) {
        let session_id = self.session_id.clone();
        match (mem::replace(&mut self.state, State::Done), event) {
            (State::Whole(responder), Event::Finished(message, safety)) => {
                let safety = self.help.note(safety);
                let answer = move || Ok(respond::json(200, &AnswerMessage::new(session_id, message, safety)));
                responder.respond_with(answer);
            }
            (State::Whole(responder) | State::Unstarted(responder), Event::Failed(failure)) => {
                responder.respond_with(move || Err(failure.into()));
            }
            (State::Unstarted(responder), Event::Started(id, safety)) => {
                self.state = State::Streaming(self.start(responder, id, safety));
            }
            // The answer was made at once, or stored by an earlier request with the same key.
            (State::Unstarted(responder), Event::Finished(message, safety)) => {
                let (start, safety) = (self.message_start(message.id), self.help.note(safety));
                responder.respond_with(move || {
                    Ok(event_stream::complete(&start, &AnswerMessage::new(session_id, message, safety)))
                });
            }
            (State::Streaming(stream), Event::Delta(text)) => {
                stream.send_text(&text);
                self.state = State::Streaming(stream);
            }
            (State::Streaming(stream), Event::Reset) => {
                stream.reset();
                self.state = State::Streaming(stream);
            }
            (State::Streaming(stream), Event::Finished(message, safety)) => {
                stream.finish("message.end", &AnswerMessage::new(session_id, message, self.help.note(safety)));
            }
            (State::Streaming(stream), Event::Failed(failure)) => stream.fail(&failure.into()),
            (state, _) => self.state = state,
        }
    }

    fn start(&self, responder: Responder, id: Uuid, safety: Option<Safety>) -> EventStream {
        let stream = EventStream::start(responder, &self.timers);
        stream.send("message.start", &self.message_start(id));
        if let Some(note) = self.help.note(safety) {
            stream.send("safety", &note);
        }
        stream
    }

    fn message_start(&self, id: Uuid) -> MessageStart {
        MessageStart { id, session_id: self.session_id.clone(), role: Author::Model, ai: true }
    }
}
