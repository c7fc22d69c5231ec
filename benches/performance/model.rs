//! A fake model server that keeps streamed turns open: it sends the first delta of each answer, and the end when dropped.

use std::io::{self, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::support::completion_request;
use crate::support::outcome::Outcome;
use crate::support::server::Server;

/// The first event of a streamed chat completion.
const FIRST_DELTA: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n\
    data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"I am here\"},\"finish_reason\":null}]}\n\n";

/// The last events of a streamed chat completion.
const LAST_EVENTS: &str =
    "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\".\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";

/// Starts the server; dropping it finishes all answers.
pub(crate) fn start() -> Outcome<Server> {
    Server::start(serve)
}

/// One thread suffices: a client sends its whole request at once, and nothing is read after it.
fn serve(listener: &TcpListener, is_closing: &AtomicBool) {
    let mut answers = Vec::new();
    for stream in listener.incoming().flatten() {
        if is_closing.load(Ordering::Relaxed) {
            break;
        }
        answers.extend(begin(stream));
    }
    for mut stream in answers {
        let _ = stream.write_all(LAST_EVENTS.as_bytes()).and_then(|()| stream.shutdown(Shutdown::Write));
    }
}

/// Reads a request and starts its answer.
fn begin(mut stream: TcpStream) -> io::Result<TcpStream> {
    completion_request::read(&mut stream)?;
    stream.write_all(FIRST_DELTA.as_bytes())?;
    Ok(stream)
}
