//! The listener: accepts connections, and pauses after an error.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};

/// The pause after an error: most likely no descriptor is left, and epoll would report the listener without end.
const PAUSE: Duration = Duration::from_millis(100);

/// The listener of a server, registered with its poller. Dropped, it is closed.
pub(super) struct Acceptor {
    listener: TcpListener,
    /// epoll reported connections, and `accept` has not said yet that there are no more.
    pub(super) is_readable: bool,
    /// When to accept again after an error.
    pub(super) resume_at: Option<Instant>,
}

impl Acceptor {
    pub(super) fn new(listener: TcpListener, registry: &Registry, token: Token) -> io::Result<Acceptor> {
        listener.set_nonblocking(true)?;
        registry.register(&mut SourceFd(&listener.as_raw_fd()), token, Interest::READABLE)?;
        Ok(Acceptor { listener, is_readable: false, resume_at: None })
    }

    /// Whether there may be connections to accept.
    pub(super) fn is_ready(&self, now: Instant) -> bool {
        self.is_readable && self.resume_at.is_none_or(|resume_at| resume_at <= now)
    }

    /// Accepts up to `max` connections.
    pub(super) fn accept(&mut self, max: usize, now: Instant) -> Vec<(TcpStream, SocketAddr)> {
        let mut accepted = Vec::new();
        while self.is_readable && accepted.len() < max {
            match self.listener.accept() {
                Ok(connection) => accepted.push(connection),
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => self.is_readable = false,
                    // The client is gone again, or a signal came: neither concerns the next one.
                    io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted => {}
                    _ => {
                        if self.resume_at.replace(now + PAUSE).is_none() {
                            log::warn!(error:%; "Cannot accept connections, trying on");
                        }
                        return accepted;
                    }
                },
            }
        }
        if self.resume_at.take().is_some() {
            log::warn!("Accepting connections again");
        }
        accepted
    }
}
