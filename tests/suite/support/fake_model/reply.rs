//! One reply of the fake model, and common behaviours.

use std::io::{self, ErrorKind, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::request::MODEL;
use crate::support::server::Gate;

/// Is in every error of the fake, and must never be in a response or a log line of the service.
pub(crate) const MARKER: &str = "marker-of-the-provider";

/// Replies to one request; an error means that the client closed the connection.
pub(crate) type Behaviour = Arc<dyn Fn(&mut Reply<'_>) -> io::Result<()> + Send + Sync>;

/// Answers with these pieces, streamed if the request asks for it.
pub(crate) fn answers(pieces: &[&str]) -> impl Fn(&mut Reply<'_>) -> io::Result<()> + Send + Sync + 'static {
    let pieces: Vec<String> = pieces.iter().map(|piece| (*piece).to_owned()).collect();
    move |reply| {
        pieces.iter().try_for_each(|piece| reply.delta(piece))?;
        reply.finish("stop")
    }
}

/// Sends the first piece, waits until the gate is open, and sends the rest.
pub(crate) fn pauses_at(
    gate: &Arc<Gate>,
    first: &str,
    rest: &str,
) -> impl Fn(&mut Reply<'_>) -> io::Result<()> + Send + Sync + 'static {
    let (gate, first, rest) = (gate.clone(), first.to_owned(), rest.to_owned());
    move |reply| {
        if !first.is_empty() {
            reply.delta(&first)?;
        }
        reply.wait(&gate)?;
        reply.delta(&rest)?;
        reply.finish("stop")
    }
}

/// The reply to one request.
pub(crate) struct Reply<'a> {
    stream: &'a TcpStream,
    is_stopping: &'a AtomicBool,
    pub(crate) is_streamed: bool,
    /// Whether each byte is written separately.
    pub(crate) is_byte_by_byte: bool,
    /// The last message of the request.
    pub(crate) question: String,
    /// The bytes of the request.
    pub(crate) length: usize,
    has_head: bool,
    is_finished: bool,
    /// The content so far of a reply that is not streamed.
    content: String,
}

impl<'a> Reply<'a> {
    pub(super) fn new(stream: &'a TcpStream, is_stopping: &'a AtomicBool) -> Reply<'a> {
        Reply {
            stream,
            is_stopping,
            is_streamed: false,
            is_byte_by_byte: false,
            question: String::new(),
            length: 0,
            has_head: false,
            is_finished: false,
            content: String::new(),
        }
    }

    /// Whether the connection can be used for another request.
    pub(super) fn is_finished(&self) -> bool {
        self.is_finished
    }

    /// Sends the head, once.
    pub(crate) fn head(&mut self) -> io::Result<()> {
        if std::mem::replace(&mut self.has_head, true) {
            return Ok(());
        }
        let media_type = if self.is_streamed { "text/event-stream; charset=utf-8" } else { "application/json" };
        self.send(
            format!("HTTP/1.1 200 OK\r\nContent-Type: {media_type}\r\nTransfer-Encoding: chunked\r\n\r\n").as_bytes(),
        )
    }

    /// Adds to the answer: a chunk of a stream, or a part of the complete content.
    pub(crate) fn delta(&mut self, text: &str) -> io::Result<()> {
        if self.is_streamed {
            self.chunk(&json!([{"index": 0, "delta": {"content": text}, "finish_reason": null}]))
        } else {
            self.content += text;
            self.head()
        }
    }

    /// Sends one chunk of a stream with these choices.
    pub(crate) fn chunk(&mut self, choices: &Value) -> io::Result<()> {
        let chunk = json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_760_000_000,
            "model": MODEL, "choices": choices});
        self.body(&format!("data: {chunk}\n\n"))
    }

    /// Sends a complete answer with these choices, but not the end of the body.
    pub(crate) fn completion(&mut self, choices: &Value) -> io::Result<()> {
        let completion = json!({"id": "chatcmpl-1", "object": "chat.completion", "created": 1_760_000_000,
            "model": MODEL, "choices": choices,
            "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}});
        self.body(&completion.to_string())
    }

    /// Ends the answer as the API defines.
    pub(crate) fn finish(&mut self, reason: &str) -> io::Result<()> {
        if self.is_streamed {
            self.chunk(&json!([{"index": 0, "delta": {}, "finish_reason": reason}]))?;
            self.body("data: [DONE]\n\n")?;
        } else {
            let message = json!({"role": "assistant", "content": self.content, "refusal": null});
            self.completion(&json!([{"index": 0, "message": message, "logprobs": null, "finish_reason": reason}]))?;
        }
        self.end()
    }

    /// Sends a part of the body.
    pub(crate) fn body(&mut self, text: &str) -> io::Result<()> {
        self.head()?;
        self.send(format!("{:x}\r\n{text}\r\n", text.len()).as_bytes())
    }

    /// Ends the body.
    pub(crate) fn end(&mut self) -> io::Result<()> {
        self.head()?;
        self.is_finished = true;
        self.send(b"0\r\n\r\n")
    }

    /// Sends an error with this status.
    pub(crate) fn refuse(&mut self, status: u16) -> io::Result<()> {
        let error = json!({"message": MARKER, "type": MARKER, "param": null, "code": MARKER});
        self.respond(&format!("{status} {MARKER}"), "application/json", &json!({"error": error}).to_string())
    }

    /// Sends a complete response.
    pub(crate) fn respond(&mut self, status: &str, media_type: &str, body: &str) -> io::Result<()> {
        self.is_finished = true;
        let head = format!("HTTP/1.1 {status}\r\nContent-Type: {media_type}\r\nContent-Length: {}\r\n\r\n", body.len());
        self.send(format!("{head}{body}").as_bytes())
    }

    /// Sends bytes as they are. Without one of the other ends, the connection is closed after the behaviour.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let size = if self.is_byte_by_byte { 1 } else { bytes.len().max(1) };
        bytes.chunks(size).try_for_each(|bytes| self.stream.write_all(bytes))
    }

    /// Waits until the client closes the connection, which is an error as everywhere.
    pub(crate) fn stall(&self) -> io::Result<()> {
        self.wait(&Gate::default())
    }

    /// Waits until the gate is open or the client closes the connection.
    pub(crate) fn wait(&self, gate: &Gate) -> io::Result<()> {
        self.wait_for(gate, Duration::MAX)
    }

    /// The same with a limit.
    pub(crate) fn wait_for(&self, gate: &Gate, limit: Duration) -> io::Result<()> {
        let started = Instant::now();
        self.stream.set_nonblocking(true)?;
        while !gate.wait_for(Duration::from_millis(5)) && started.elapsed() < limit {
            let is_stopping = self.is_stopping.load(Ordering::SeqCst);
            match self.stream.peek(&mut [0]) {
                Err(error) if error.kind() == ErrorKind::WouldBlock && !is_stopping => {}
                Err(error) => return Err(error),
                Ok(_) => return Err(ErrorKind::ConnectionAborted.into()),
            }
        }
        self.stream.set_nonblocking(false)
    }
}
