//! The limit of `GET /`: event loops that read whatever arrives and write one fixed response, without parsing. No HTTP server on
//! this machine can do less.

use std::env;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::Command;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token, Waker};

use crate::support::outcome::Outcome;

pub(crate) const NAME: &str = "limit";

/// As long as SafeSpace's response to `GET /`.
const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nCache-Control: no-store\r\n\
    X-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\nX-Request-Id: 0123456789abcdef0123456789abcdef\r\n\
    Date: Wed, 25 Nov 2026 15:00:00 GMT\r\nContent-Length: 60\r\n\r\n\
    {\"message\":\"SafeSpace backend is running\",\"version\":\"0.1.0\"}";

/// The token of the waker, above those of all connections.
const NEW_CONNECTIONS: Token = Token(usize::MAX - 1);

/// Starts it as a process of its own, so that its processor time can be read.
pub(crate) fn command(address: SocketAddr) -> Command {
    let mut command = Command::new(env::current_exe().unwrap_or_default());
    command.arg("--serve-limit").arg(address.to_string());
    command
}

/// Serves until the process is killed: one event loop for each processor, connections in turn.
pub(crate) fn serve(address: SocketAddr) -> Outcome<()> {
    let listener = TcpListener::bind(address)?;
    let loops = (0..thread::available_parallelism()?.get()).map(|_| start_loop()).collect::<Outcome<Vec<_>>>()?;
    for (sender, waker) in loops.iter().cycle() {
        let (stream, _) = listener.accept()?;
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        sender.send(TcpStream::from_std(stream))?;
        waker.wake()?;
    }
    Ok(())
}

fn start_loop() -> Outcome<(Sender<TcpStream>, Arc<Waker>)> {
    let poll = Poll::new()?;
    let waker = Arc::new(Waker::new(poll.registry(), NEW_CONNECTIONS)?);
    let (sender, receiver) = channel();
    thread::spawn(move || run_loop(poll, &receiver));
    Ok((sender, waker))
}

fn run_loop(mut poll: Poll, new: &Receiver<TcpStream>) {
    // A token is an index; those of closed connections are not used again.
    let mut connections: Vec<Option<TcpStream>> = Vec::new();
    let mut events = Events::with_capacity(256);
    while poll.poll(&mut events, None).is_ok() {
        for event in &events {
            if event.token() == NEW_CONNECTIONS {
                for mut connection in new.try_iter() {
                    let token = Token(connections.len());
                    let is_registered = poll.registry().register(&mut connection, token, Interest::READABLE).is_ok();
                    connections.push(is_registered.then_some(connection));
                }
            } else if let Some(slot) = connections.get_mut(event.token().0)
                && slot.as_mut().is_some_and(|connection| !respond(connection))
            {
                *slot = None;
            }
        }
    }
}

/// Reads once, because a client sends its next request after the response. Whether the connection stays open.
fn respond(connection: &mut TcpStream) -> bool {
    match connection.read(&mut [0; 8192]) {
        Ok(0) => false,
        Ok(_) => connection.write_all(RESPONSE).is_ok(),
        Err(error) => error.kind() == ErrorKind::WouldBlock,
    }
}
