//! Reads a response of `text/event-stream` event by event, as a browser does.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;

use super::http::Answer;
use super::raw::Raw;

/// One event.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub(crate) name: String,
    pub(crate) data: Value,
}

/// A response that is being received. Dropping it closes the connection.
pub(crate) struct Events {
    raw: Raw,
    pub(crate) head: Answer,
    received: Vec<u8>,
    event: String,
    data: Option<String>,
    last_id: u64,
    /// Events that were received and not yet returned.
    ready: VecDeque<Event>,
    /// Number of comment lines so far.
    pub(crate) comments: usize,
    /// Whether the first line was a comment.
    pub(crate) began_with_comment: bool,
    is_over: bool,
}

impl Events {
    /// Sends a request on a new connection. A response that is no stream is the error.
    #[track_caller]
    pub(crate) fn request(address: SocketAddr, request: &[u8]) -> Result<Events, Answer> {
        Events::of(Raw::connect(address), request)
    }

    /// The same on an existing connection.
    #[track_caller]
    pub(crate) fn of(mut raw: Raw, request: &[u8]) -> Result<Events, Answer> {
        raw.send(request);
        let head = raw.head();
        if head.header("Content-Type") != Some("text/event-stream") {
            return Err(raw.body(head));
        }
        // The events of an answer that is made at once come together.
        let is_over = head.header("Content-Length").is_some();
        assert_eq!(head.header("Transfer-Encoding"), if is_over { None } else { Some("chunked") });
        let head = if is_over { raw.body(head) } else { head };
        let received = head.body.clone();
        let mut events = Events {
            raw,
            head,
            received,
            event: String::new(),
            data: None,
            last_id: 0,
            ready: VecDeque::new(),
            comments: 0,
            began_with_comment: false,
            is_over,
        };
        events.take_lines();
        Ok(events)
    }

    /// The next event; `None` at the end of the stream.
    #[track_caller]
    pub(crate) fn next(&mut self) -> Option<Event> {
        while self.ready.is_empty() && !self.is_over {
            self.read();
        }
        self.ready.pop_front()
    }

    /// The data of the next event, which must have this name.
    #[track_caller]
    pub(crate) fn expect(&mut self, name: &str) -> Value {
        let event = self.next().expect("another event");
        assert_eq!(event.name, name, "{event:?}");
        event.data
    }

    /// The text of the next event, which must be a delta.
    #[track_caller]
    pub(crate) fn delta(&mut self) -> String {
        let data = self.expect("message.delta");
        assert_eq!(data.as_object().unwrap().len(), 1, "{data}");
        data["text"].as_str().unwrap().to_owned()
    }

    /// All remaining events.
    #[track_caller]
    pub(crate) fn rest(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.next()).collect()
    }

    /// Reads to the end and returns the message of the last event; asserts that its deltas add up to it, those after the last reset.
    #[track_caller]
    pub(crate) fn message(mut self) -> Value {
        let mut events = self.rest();
        let end = events.pop().expect("a last event");
        assert_eq!(end.name, "message.end", "{end:?}");
        let last = events.rsplit(|event| event.name == "message.reset").next().unwrap_or_default();
        let deltas = last.iter().filter(|event| event.name == "message.delta");
        let text: String = deltas.map(|delta| delta.data["text"].as_str().unwrap()).collect();
        assert_eq!(end.data["content"], text);
        end.data
    }

    /// Reads to the end and returns the error of the last event; asserts a problem document with this status.
    #[track_caller]
    pub(crate) fn error(mut self, status: u16) -> Value {
        let error = self.rest().pop().expect("a last event");
        assert_eq!(error.name, "error", "{error:?}");
        assert_eq!(error.data["status"], status, "{error:?}");
        let code = error.data["code"].as_str().expect("a code");
        assert_eq!(error.data["type"], format!("/docs/errors#{code}"));
        assert_eq!(error.data["retry_after"].is_u64(), status == 503, "{error:?}");
        assert!(error.data["title"].as_str().is_some_and(|title| !title.is_empty()), "{error:?}");
        assert!(error.data["detail"].as_str().is_some_and(|detail| detail.ends_with('.')), "{error:?}");
        error.data
    }

    /// Sets the timeout of every read.
    pub(crate) fn set_read_timeout(&self, timeout: Duration) {
        self.raw.stream.set_read_timeout(Some(timeout)).unwrap();
    }

    /// Reads until there were this many comment lines.
    #[track_caller]
    pub(crate) fn wait_for_comments(&mut self, count: usize) {
        while self.comments < count {
            assert!(!self.is_over, "the stream ended");
            self.read();
        }
    }

    /// The connection for another request; asserts that no event remains.
    #[track_caller]
    pub(crate) fn into_raw(mut self) -> Raw {
        assert_eq!(self.rest().len(), 0);
        self.raw
    }

    #[track_caller]
    fn read(&mut self) {
        let chunk = self.raw.chunk();
        self.is_over = chunk.is_empty();
        self.received.extend(chunk);
        self.take_lines();
    }

    #[track_caller]
    fn take_lines(&mut self) {
        while let Some(at) = self.received.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.received.drain(..=at).collect();
            self.line(std::str::from_utf8(&line[..at]).expect("UTF-8"));
        }
        let is_cut = self.is_over && (!self.received.is_empty() || self.data.is_some());
        assert!(!is_cut, "the stream ends within an event");
    }

    #[track_caller]
    fn line(&mut self, line: &str) {
        if line.is_empty() {
            // A blank line without data before it is no event.
            if let Some(data) = self.data.take() {
                let data = serde_json::from_str(&data).unwrap_or_else(|error| panic!("{error}: {data}"));
                self.ready.push_back(Event { name: std::mem::take(&mut self.event), data });
            }
            return;
        }
        let (name, value) = line.split_once(':').unwrap_or_else(|| panic!("no field: {line}"));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "" => {
                self.began_with_comment |= self.comments == 0 && self.last_id == 0;
                self.comments += 1;
            }
            "id" => {
                assert_eq!(value.parse(), Ok(self.last_id + 1), "ids count up");
                self.last_id += 1;
            }
            "event" => value.clone_into(&mut self.event),
            "data" => {
                let data = self.data.get_or_insert_default();
                *data += value;
            }
            _ => panic!("not a field: {line}"),
        }
    }
}
