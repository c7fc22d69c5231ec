//! A fake model server: a short answer at once, or what an attacker's message asks for.

use std::io::{self, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::requests::{LETTERS, LONG, SLOW};
use crate::support::completion_request;
use crate::support::outcome::Outcome;
use crate::support::server::Server;

/// Letters of an answer; the service cuts it off at 16,384.
const MAX_LETTERS: usize = 16_384;

/// Pieces that are written together.
const PIECES_PER_WRITE: usize = 256;

/// Starts the server. Answers that are in progress when it is dropped end with the connection of the service.
pub(crate) fn start() -> Outcome<Server> {
    Server::start(serve)
}

/// The variables that make a service use it.
pub(crate) fn variables(model: &Server) -> [(&'static str, String); 2] {
    [("OPENAI_BASE_URL", format!("http://{}/v1", model.address)), ("COMPANION_MODEL", "bench".to_owned())]
}

fn serve(listener: &TcpListener, is_closing: &AtomicBool) {
    for stream in listener.incoming().flatten() {
        if is_closing.load(Ordering::Relaxed) {
            break;
        }
        // An error means that the service has cancelled the call.
        thread::spawn(move || answer(stream));
    }
}

/// Answers one request as its last message asks.
fn answer(mut stream: TcpStream) -> io::Result<()> {
    let request = completion_request::read(&mut stream)?;
    let messages = request.rsplit_once("\"content\":\"").map_or("", |(_, last)| last);
    let is = |text: &&str| messages.contains(*text);
    let answer = match [LONG, SLOW, LETTERS].iter().find(|text| is(text)) {
        Some(&LONG) => Answer { pieces: 120, text: "I am here. ", pause: Duration::from_millis(500) },
        Some(&SLOW) => Answer { pieces: 20, text: "I am here. ", pause: Duration::from_millis(500) },
        Some(_) => Answer { pieces: MAX_LETTERS, text: "x", pause: Duration::ZERO },
        None => Answer { pieces: 1, text: "I am here, and I listen.", pause: Duration::ZERO },
    };
    stream.set_nodelay(true)?;
    if request.contains("\"stream\":true") { answer.stream(&mut stream) } else { answer.respond(&mut stream) }
}

/// An answer of equal pieces, with a pause after each.
struct Answer {
    pieces: usize,
    text: &'static str,
    pause: Duration,
}

impl Answer {
    fn stream(&self, stream: &mut TcpStream) -> io::Result<()> {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")?;
        let piece = event(&format!("{{\"content\":\"{}\"}}", self.text), "null");
        let together = if self.pause.is_zero() { self.pieces.min(PIECES_PER_WRITE) } else { 1 };
        let bytes = piece.repeat(together);
        for _ in 0..self.pieces / together {
            stream.write_all(bytes.as_bytes())?;
            thread::sleep(self.pause);
        }
        stream.write_all(format!("{}data: [DONE]\n\n", event("{}", "\"stop\"")).as_bytes())
    }

    fn respond(&self, stream: &mut TcpStream) -> io::Result<()> {
        thread::sleep(self.pause * u32::try_from(self.pieces).unwrap_or(u32::MAX));
        let content = self.text.repeat(self.pieces);
        let message = format!("{{\"role\":\"assistant\",\"content\":\"{content}\"}}");
        let body = format!("{{\"choices\":[{{\"index\":0,\"message\":{message},\"finish_reason\":\"stop\"}}]}}");
        let length = body.len();
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close";
        stream.write_all(format!("{head}\r\nContent-Length: {length}\r\n\r\n{body}").as_bytes())
    }
}

/// An event of a stream.
fn event(delta: &str, finish_reason: &str) -> String {
    format!("data: {{\"choices\":[{{\"index\":0,\"delta\":{delta},\"finish_reason\":{finish_reason}}}]}}\n\n")
}
