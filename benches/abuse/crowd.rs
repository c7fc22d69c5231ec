//! Attackers that hold many connections open: each sends one request and reads as slowly as it likes. One that the service
//! refuses or closes is opened again.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::attack::{ATTACKER, Attacker, Tally};
use crate::support::client;

/// From one look at all connections to the next.
const SWEEP_INTERVAL: Duration = Duration::from_millis(50);

/// Bytes of the kernel's buffer for a connection that reads slowly.
const RECEIVE_BUFFER: usize = 4096;

/// Bytes of `HTTP/1.1 200`.
const STATUS_BYTES: usize = 12;

/// A rate without a bound.
pub(crate) const FAST: f64 = 1e9;

/// The rate of the slow readers: a few bytes in the time in which the service expects one.
pub(crate) const SLOWLY: f64 = 357.0;

/// For a client that stays as long as it can.
pub(crate) const FOREVER: Duration = Duration::MAX;

/// How many connections there are, and what they do.
pub(crate) struct Crowd {
    pub(crate) connections: usize,
    pub(crate) opened_per_second: f64,
    pub(crate) bytes_read_per_second: f64,
    /// The client closes a connection after this time.
    pub(crate) leaves_after: Duration,
}

/// One connection.
struct Member {
    stream: TcpStream,
    opened_at: Instant,
    bytes_read: usize,
}

impl Crowd {
    /// An attacker with these connections. `next` is the request of a new one.
    pub(crate) fn attacker(self, next: impl FnMut() -> Option<String> + Send + 'static) -> Attacker {
        Box::new(move |address, is_over| self.run(address, is_over, next))
    }

    fn run(&self, address: SocketAddr, is_over: &AtomicBool, mut next: impl FnMut() -> Option<String>) -> Tally {
        let (started, mut tally, mut members) = (Instant::now(), Tally::default(), Vec::new());
        while !is_over.load(Ordering::Relaxed) {
            members.retain_mut(|member| self.attend(member, &mut tally).is_ok());
            let allowed = self.opened_per_second * (started.elapsed() + SWEEP_INTERVAL).as_secs_f64();
            while members.len() < self.connections && (tally.requests as f64) < allowed {
                let Some(request) = next() else { break };
                tally.requests += 1;
                match enter(address, &request) {
                    Ok(member) => members.push(member),
                    Err(_) => break,
                }
            }
            thread::sleep(SWEEP_INTERVAL);
        }
        tally
    }

    /// Reads as much as is due; an error if the connection is over.
    fn attend(&self, member: &mut Member, tally: &mut Tally) -> io::Result<()> {
        let age = member.opened_at.elapsed();
        if age > self.leaves_after {
            return Err(ErrorKind::TimedOut.into());
        }
        let mut buffer = [0; 4096];
        loop {
            let due = (self.bytes_read_per_second * age.as_secs_f64()) as usize;
            let due = due.saturating_sub(member.bytes_read).min(buffer.len());
            if due == 0 || (member.bytes_read == 0 && due < STATUS_BYTES) {
                return Ok(());
            }
            match member.stream.read(&mut buffer[..due]) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => {
                    if member.bytes_read == 0 && !tally.count(status(&buffer[..count])) {
                        return Err(ErrorKind::ConnectionRefused.into());
                    }
                    member.bytes_read += count;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }
}

/// Opens a connection and sends its request.
fn enter(address: SocketAddr, request: &str) -> io::Result<Member> {
    let mut stream = client::open(ATTACKER, address, Some(RECEIVE_BUFFER))?;
    stream.write_all(request.as_bytes())?;
    stream.set_nonblocking(true)?;
    Ok(Member { stream, opened_at: Instant::now(), bytes_read: 0 })
}

/// The status at the beginning of a response; 0 for less than a status line.
fn status(bytes: &[u8]) -> u16 {
    let text = String::from_utf8_lossy(bytes);
    text.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default()
}
