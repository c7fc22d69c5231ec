//! Clients that read a long history as slowly as they can, and begin again when the service gives them up.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::{Duration, Instant};

use safespace::session_id::SessionId;

use crate::requests::From;
use crate::shared::Shared;
use crate::support::client;
use crate::support::outcome::Outcome;
use crate::support::rows;

const READERS: usize = 24;

/// Messages of the history, and characters of each.
const MESSAGES: i32 = 400;
const CHARACTERS: usize = 2_000;

/// Bytes that a reader reads in each interval: 400 B/s.
const INTERVAL: Duration = Duration::from_millis(250);
const BYTES: usize = 100;

/// Bytes of the kernel's buffer of a reader.
const RECEIVE_BUFFER: usize = 4096;

/// Stores the session with the history, and returns its id.
pub(crate) fn store_history(sql: &mut postgres::Client) -> Outcome<String> {
    let id = SessionId::random();
    rows::store_sessions(sql, std::slice::from_ref(&id))?;
    let text = "panjang ".repeat(CHARACTERS / 8);
    rows::store_messages(sql, &id, MESSAGES, [&text, &text])?;
    Ok(id.expose().to_string())
}

/// Reads until the load is over.
pub(crate) fn run(shared: &Shared, session: &str) {
    let mut readers: Vec<TcpStream> = Vec::new();
    while shared.wait_until(Instant::now() + INTERVAL) {
        readers.retain_mut(|reader| is_open(reader.read(&mut [0; BYTES])));
        // A service that restarts refuses them.
        while readers.len() < READERS {
            let Ok(reader) = begin(shared, session) else { break };
            readers.push(reader);
        }
    }
}

fn begin(shared: &Shared, session: &str) -> io::Result<TcpStream> {
    let from = From { address: shared.people.new_address(), session: Some(session) };
    let mut stream = client::open(Ipv4Addr::LOCALHOST, shared.address, Some(RECEIVE_BUFFER))?;
    stream.write_all(from.get("/api/v1/session/chat", "application/json").as_bytes())?;
    stream.set_nonblocking(true)?;
    Ok(stream)
}

fn is_open(read: io::Result<usize>) -> bool {
    match read {
        Ok(count) => count > 0,
        Err(error) => error.kind() == ErrorKind::WouldBlock,
    }
}
