//! A turn as server-sent events (HTML standard, section 9.2), sent as the companion writes.

use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde::Serialize;

use super::wire::{AnswerMessage, MessageDelta, MessageReset, MessageStart};
use crate::api::problem::Problem;
use crate::api::respond;
use crate::api::responder::Responder;
use crate::http::{Response, SendError, StreamSender};
use crate::language::Language;
use crate::sync::{Timer, Timers};

/// Proxies and browsers close a connection on which nothing arrives, so after this silence a comment is sent.
const COMMENT_INTERVAL: Duration = Duration::from_secs(15);

const COMMENT: &[u8] = b": SafeSpace\n\n";

/// A stream of events to one client. Dropped before its last event, it ends with an `error`.
pub(super) struct EventStream(Arc<Mutex<State>>);

struct State {
    /// `None` after the last event, and when the client is gone.
    sender: Option<StreamSender>,
    /// Events so far.
    count: u64,
    /// Text that the client was too slow to receive. It is sent with the text that follows, so a slow client costs no
    /// more memory than one answer.
    unsent: String,
    /// Whether the pieces before the unsent text are not the answer, which the client does not know yet.
    is_reset: bool,
    last_activity: Instant,
    /// The language of an error.
    language: Language,
    /// The next look at [`State::last_activity`].
    keep_alive: Option<Timer>,
}

impl EventStream {
    /// Begins the response.
    pub(super) fn start(responder: Responder, timers: &Arc<Timers>) -> EventStream {
        let language = responder.language();
        let sender = responder.stream(response(Vec::new()));
        let (unsent, last_activity) = (String::new(), Instant::now());
        let (sender, is_reset) = (Some(sender), false);
        let mut state = State { sender, count: 0, unsent, is_reset, last_activity, language, keep_alive: None };
        state.send(COMMENT);
        let state = Arc::new(Mutex::new(state));
        keep_alive(&state, timers);
        EventStream(state)
    }

    /// Sends an event.
    pub(super) fn send<T: Serialize>(&self, name: &str, data: &T) {
        let mut state = self.0.lock();
        let event = state.event(name, data);
        state.send(&event);
    }

    /// Sends a piece of the answer.
    pub(super) fn send_text(&self, text: &str) {
        let mut state = self.0.lock();
        state.unsent.push_str(text);
        state.flush();
    }

    /// Has the client forget the pieces so far; the next piece follows.
    pub(super) fn reset(&self) {
        let mut state = self.0.lock();
        state.unsent.clear();
        state.is_reset = true;
        state.flush();
    }

    /// Sends the last event.
    pub(super) fn finish<T: Serialize>(self, name: &str, data: &T) {
        self.0.lock().finish(name, data);
    }

    /// Sends an error as the last event. Its cause is logged here, since the request was logged when the stream began.
    pub(super) fn fail(self, problem: &Problem) {
        self.0.lock().fail(problem);
    }
}

impl Drop for EventStream {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.keep_alive = None;
        if state.sender.is_some() {
            state.fail(&Problem::internal("a turn ended without an end"));
        }
    }
}

impl State {
    fn event<T: Serialize>(&mut self, name: &str, data: &T) -> Vec<u8> {
        self.count += 1;
        event(self.count, name, data)
    }

    /// The events that the client was too slow for, or that come now; empty where there are none.
    fn unsent_events(&mut self) -> Vec<u8> {
        let mut events = Vec::new();
        if mem::take(&mut self.is_reset) {
            events.extend(self.event("message.reset", &MessageReset {}));
        }
        if !self.unsent.is_empty() {
            let delta = MessageDelta { text: mem::take(&mut self.unsent) };
            events.extend(self.event("message.delta", &delta));
        }
        events
    }

    /// Sends what is unsent, or a comment where nothing is, if the client's buffer has room.
    fn flush(&mut self) {
        self.last_activity = Instant::now();
        if self.sender.as_ref().is_some_and(StreamSender::has_room) {
            let events = self.unsent_events();
            self.send(if events.is_empty() { COMMENT } else { &events });
        }
    }

    /// Sends bytes if the buffer has room for them. A client that is gone is sent nothing more.
    fn send(&mut self, bytes: &[u8]) {
        self.last_activity = Instant::now();
        if let Some(Err(SendError::Closed)) = self.sender.as_ref().map(|sender| sender.send(bytes)) {
            self.sender = None;
        }
    }

    fn finish<T: Serialize>(&mut self, name: &str, data: &T) {
        let Some(sender) = self.sender.take() else { return };
        let mut last = self.unsent_events();
        last.extend(self.event(name, data));
        sender.finish(&last);
    }

    fn fail(&mut self, problem: &Problem) {
        if let Some(cause) = problem.cause.as_deref() {
            log::error!(cause; "An answer failed while it was streamed");
        }
        let document = problem.document(self.language);
        self.finish("error", &document);
    }
}

fn event<T: Serialize>(number: u64, name: &str, data: &T) -> Vec<u8> {
    let mut event = format!("id: {number}\nevent: {name}\ndata: ").into_bytes();
    // JSON has no line breaks.
    event.extend_from_slice(&respond::to_json(data));
    event.extend_from_slice(b"\n\n");
    event
}

/// All events of an answer of which nothing was sent yet.
pub(super) fn complete(start: &MessageStart, end: &AnswerMessage) -> Response {
    let mut events = vec![COMMENT.to_vec(), event(1, "message.start", start)];
    if let Some(safety) = &end.safety {
        events.push(event(2, "safety", safety));
    }
    let (delta, next) = (MessageDelta { text: end.message.content.clone() }, events.len() as u64);
    events.extend([event(next, "message.delta", &delta), event(next + 1, "message.end", end)]);
    response(events.concat())
}

/// A response of events. nginx would buffer them until it has a page of them, and a proxy that compresses until it has a block.
fn response(body: Vec<u8>) -> Response {
    respond::with_body(200, "text/event-stream", body)
        .with_additional_header("X-Accel-Buffering", "no")
        .with_additional_header("Cache-Control", "no-store, no-transform")
}

/// Sends a comment, or text that the client was too slow for, whenever nothing was sent for [`COMMENT_INTERVAL`].
fn keep_alive(stream: &Arc<Mutex<State>>, timers: &Arc<Timers>) {
    let mut state = stream.lock();
    if state.last_activity.elapsed() >= COMMENT_INTERVAL {
        state.flush();
    }
    if state.sender.is_some() {
        let (stream, next) = (Arc::downgrade(stream), timers.clone());
        let look_again = state.last_activity + COMMENT_INTERVAL;
        state.keep_alive = Some(timers.schedule(look_again, move || {
            if let Some(stream) = stream.upgrade() {
                keep_alive(&stream, &next);
            }
        }));
    }
}
