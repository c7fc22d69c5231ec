//! A fake model server: a streamed answer of about a second, and now and then a failure.

use std::io::{self, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::chance;
use crate::support::completion_request;
use crate::support::outcome::Outcome;
use crate::support::server::Server;

const PIECES: usize = 20;
const PAUSE: Duration = Duration::from_millis(50);

/// Stack of the thread of an answer.
const STACK_BYTES: usize = 256 * 1024;

/// Starts the server. Answers in progress when it is dropped end with the connection of the service.
pub(crate) fn start() -> Outcome<Server> {
    Server::start(serve)
}

fn serve(listener: &TcpListener, is_closing: &AtomicBool) {
    for stream in listener.incoming().flatten() {
        if is_closing.load(Ordering::Relaxed) {
            break;
        }
        // An error means that the service has cancelled the call, or that there is no thread, which it sees as a failure.
        let _ = thread::Builder::new().stack_size(STACK_BYTES).spawn(move || answer(stream));
    }
}

fn answer(mut stream: TcpStream) -> io::Result<()> {
    let request = completion_request::read(&mut stream)?;
    stream.set_nodelay(true)?;
    if chance::percent(1) {
        return stream
            .write_all(b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    }
    let words: Vec<String> = (0..PIECES).map(|_| format!("{} ", chance::word())).collect();
    if !request.contains("\"stream\":true") {
        let message = format!("{{\"role\":\"assistant\",\"content\":\"{}\"}}", words.concat());
        let body = format!("{{\"choices\":[{{\"index\":0,\"message\":{message},\"finish_reason\":\"stop\"}}]}}");
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close";
        return stream.write_all(format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).as_bytes());
    }
    // Some answers break off.
    let pieces = if chance::percent(1) { PIECES / 2 } else { PIECES };
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")?;
    for word in &words[..pieces] {
        stream.write_all(event(&format!("{{\"content\":\"{word}\"}}"), "null").as_bytes())?;
        thread::sleep(PAUSE);
    }
    if pieces < PIECES {
        return Ok(());
    }
    stream.write_all(format!("{}data: [DONE]\n\n", event("{}", "\"stop\"")).as_bytes())
}

/// An event of a stream.
fn event(delta: &str, finish_reason: &str) -> String {
    format!("data: {{\"choices\":[{{\"index\":0,\"delta\":{delta},\"finish_reason\":{finish_reason}}}]}}\n\n")
}
