//! A turn as server-sent events (HTML standard, section 9.2): the body of a response that comes as the companion speaks.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::Duration;

use rouille::{Response, ResponseBody};
use serde::Serialize;

use crate::api::problem::Problem;
use crate::api::respond;

/// Proxies and browsers take a connection for dead on which nothing comes.
const COMMENT_PACE: Duration = Duration::from_secs(15);

const COMMENT: &[u8] = b": SafeSpace\n\n";

/// One event: its name and its data, which is JSON and so has no line breaks.
pub(super) struct Event {
    name: &'static str,
    data: Vec<u8>,
    is_last: bool,
}

impl Event {
    pub(super) fn new<T: Serialize>(name: &'static str, data: &T) -> Event {
        Event { name, data: respond::to_json(data), is_last: false }
    }

    /// One after which nothing comes.
    pub(super) fn last<T: Serialize>(name: &'static str, data: &T) -> Event {
        Event { is_last: true, ..Event::new(name, data) }
    }

    /// What went wrong after the stream began. Its cause, if it is a bug, is logged here, since the request was logged then.
    pub(super) fn error(problem: &Problem) -> Event {
        if let Some(cause) = problem.cause.as_deref() {
            log::error!(cause; "An answer failed while it was streamed");
        }
        Event::last("error", problem)
    }
}

/// Sends events as they come. It ends behind the last one.
pub(super) fn response(events: Receiver<Event>) -> Response {
    let stream = Stream { events, unread: COMMENT.to_vec(), read: 0, count: 0, is_over: false };
    Response {
        status_code: 200,
        headers: vec![
            ("Content-Type".into(), "text/event-stream".into()),
            // nginx would keep them back until it has a bufferful.
            ("X-Accel-Buffering".into(), "no".into()),
        ],
        data: ResponseBody::from_reader(stream),
        upgrade: None,
    }
}

struct Stream {
    events: Receiver<Event>,
    unread: Vec<u8>,
    read: usize,
    count: u64,
    is_over: bool,
}

impl Read for Stream {
    /// Gives what is there, and waits only where there is nothing.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.read == self.unread.len() && !self.is_over {
            self.unread.clear();
            self.read = 0;
            self.wait();
        }
        let left = &self.unread[self.read..];
        let length = left.len().min(buffer.len());
        buffer[..length].copy_from_slice(&left[..length]);
        self.read += length;
        Ok(length)
    }
}

impl Stream {
    fn wait(&mut self) {
        match self.events.recv_timeout(COMMENT_PACE) {
            Ok(event) => self.add(&event),
            Err(RecvTimeoutError::Timeout) => self.unread.extend_from_slice(COMMENT),
            Err(RecvTimeoutError::Disconnected) => self.break_off(),
        }
        while !self.is_over {
            match self.events.try_recv() {
                Ok(event) => self.add(&event),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => self.break_off(),
            }
        }
    }

    fn add(&mut self, event: &Event) {
        self.count += 1;
        let head = format!("id: {}\nevent: {}\ndata: ", self.count, event.name);
        self.unread.extend_from_slice(head.as_bytes());
        self.unread.extend_from_slice(&event.data);
        self.unread.extend_from_slice(b"\n\n");
        self.is_over = event.is_last;
    }

    /// Whoever was to tell the end has panicked.
    fn break_off(&mut self) {
        self.add(&Event::error(&Problem::internal("a turn ended without an end")));
    }
}
