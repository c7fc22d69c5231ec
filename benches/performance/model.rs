//! A fake model server: every 50 ms it sends a piece of each answer, with the time at which it was sent, and the end when dropped.

use std::io::{self, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::completion_request;
use crate::support::outcome::Outcome;
use crate::support::server::Server;

/// From one piece of an answer to the next.
pub(crate) const INTERVAL: Duration = Duration::from_millis(50);

/// Between two looks at which answers are due.
const TICK: Duration = Duration::from_millis(1);

const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n";

/// The last events of a streamed chat completion.
const LAST_EVENTS: &str =
    "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\".\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";

/// Letters of a time: one for each half byte, because the service looks for numbers in an answer and takes them out.
const LETTERS: &[u8; 16] = b"ABCDEFGHIJKLMNOP";
const TIME_LENGTH: usize = 8;

/// A streamed answer.
struct Answer {
    stream: TcpStream,
    next: Instant,
}

/// Starts the server; dropping it finishes all answers. Times are in microseconds since `epoch`.
pub(crate) fn start(epoch: Instant) -> Outcome<Server> {
    Server::start(move |listener, is_closing| serve(listener, is_closing, epoch))
}

/// The times in a text that the service made of pieces.
pub(crate) fn times(text: &[u8]) -> impl Iterator<Item = u32> + '_ {
    let words = text.split(|byte| !byte.is_ascii_uppercase()).filter(|word| word.len() == TIME_LENGTH);
    words.filter_map(|word| {
        word.iter().try_fold(0, |time, letter| {
            let half_byte = LETTERS.iter().position(|candidate| candidate == letter)?;
            Some(time << 4 | u32::try_from(half_byte).ok()?)
        })
    })
}

fn serve(listener: &TcpListener, is_closing: &AtomicBool, epoch: Instant) {
    let answers = Mutex::new(Vec::new());
    thread::scope(|scope| {
        scope.spawn(|| send_pieces(&answers, is_closing, epoch));
        for stream in listener.incoming().flatten() {
            if is_closing.load(Ordering::Relaxed) {
                break;
            }
            if let (Ok(answer), Ok(mut answers)) = (begin(stream), answers.lock()) {
                answers.push(answer);
            }
        }
    });
}

/// Reads a request, which the client sends at once, and begins the answer.
fn begin(mut stream: TcpStream) -> io::Result<Answer> {
    completion_request::read(&mut stream)?;
    stream.set_nodelay(true)?;
    stream.write_all(HEAD.as_bytes())?;
    stream.set_nonblocking(true)?;
    Ok(Answer { stream, next: Instant::now() })
}

fn send_pieces(answers: &Mutex<Vec<Answer>>, is_closing: &AtomicBool, epoch: Instant) {
    while !is_closing.load(Ordering::Relaxed) {
        let now = Instant::now();
        if let Ok(mut answers) = answers.lock() {
            answers.retain_mut(|answer| answer.next > now || send_piece(answer, epoch).is_ok());
        }
        thread::sleep(TICK);
    }
    for answer in answers.lock().into_iter().flat_map(|mut answers| answers.split_off(0)) {
        let _ =
            (&answer.stream).write_all(LAST_EVENTS.as_bytes()).and_then(|()| answer.stream.shutdown(Shutdown::Write));
    }
}

fn send_piece(answer: &mut Answer, epoch: Instant) -> io::Result<()> {
    let time = u32::try_from(epoch.elapsed().as_micros()).unwrap_or(u32::MAX);
    let letter = |index: usize| char::from(LETTERS[(time >> (4 * (TIME_LENGTH - 1 - index)) & 0xf) as usize]);
    let word: String = (0..TIME_LENGTH).map(letter).collect();
    answer.next += INTERVAL;
    let event = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"";
    answer.stream.write_all(format!("{event}{word} \"}},\"finish_reason\":null}}]}}\n\n").as_bytes())
}
