//! A client that sends arbitrary bytes at any pace, and reads responses one by one.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, bind, connect, setsockopt, socket, sockopt};

use super::http::{Answer, Client};
use super::timing::PATIENCE;

/// A connection, with the bytes that were received and not yet consumed.
pub(crate) struct Raw {
    pub(crate) stream: TcpStream,
    received: Vec<u8>,
    /// Whether a write failed.
    pub(crate) was_refused: bool,
    /// Whether the connection ended with a reset (RST) instead of FIN.
    pub(crate) was_reset: bool,
}

impl Raw {
    #[track_caller]
    pub(crate) fn connect(address: SocketAddr) -> Raw {
        Raw::new(TcpStream::connect(address).unwrap())
    }

    /// A client on a connection that exists.
    pub(crate) fn new(stream: TcpStream) -> Raw {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Raw { stream, received: Vec::new(), was_refused: false, was_reset: false }
    }

    /// Resets the connection (RST): what is on its way in either direction is lost.
    pub(crate) fn reset(self) {
        let linger = nix::libc::linger { l_onoff: 1, l_linger: 0 };
        setsockopt(&self.stream, sockopt::Linger, &linger).unwrap();
    }

    /// Connects from another address of the loopback network.
    #[track_caller]
    pub(crate) fn connect_from(source: [u8; 4], address: SocketAddr) -> Raw {
        Raw::connect_with(source, address, |_| {})
    }

    /// Connects with a receive buffer of a few kilobytes.
    #[track_caller]
    pub(crate) fn connect_with_little_buffer(address: SocketAddr) -> Raw {
        Raw::connect_with([127, 0, 0, 1], address, |socket| setsockopt(socket, sockopt::RcvBuf, &4096).unwrap())
    }

    #[track_caller]
    fn connect_with(source: [u8; 4], address: SocketAddr, set_options: fn(&OwnedFd)) -> Raw {
        let SocketAddr::V4(address) = address else { panic!("{address} is not of IPv4") };
        let [a, b, c, d] = source;
        let stream = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).unwrap();
        set_options(&stream);
        bind(stream.as_raw_fd(), &SockaddrIn::new(a, b, c, d, 0)).unwrap();
        connect(stream.as_raw_fd(), &SockaddrIn::from(address)).unwrap();
        Raw::new(stream.into())
    }

    /// Sends bytes. A failed write is only recorded: a response that the server sent before closing can still be read.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.was_refused |= self.stream.write_all(bytes).is_err();
    }

    /// Closes the sending side of the connection.
    pub(crate) fn end(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Sends bytes and reads one answer.
    #[track_caller]
    pub(crate) fn ask(&mut self, bytes: &[u8]) -> Answer {
        self.send(bytes);
        self.answer()
    }

    /// Reads one answer.
    #[track_caller]
    pub(crate) fn answer(&mut self) -> Answer {
        self.read_answer(true)
    }

    /// Reads the answer to `HEAD`, which has no body whatever its framing fields say.
    #[track_caller]
    pub(crate) fn head_answer(&mut self) -> Answer {
        self.read_answer(false)
    }

    #[track_caller]
    fn read_answer(&mut self, has_body: bool) -> Answer {
        let answer = self.head();
        let bodiless = !has_body || answer.status < 200 || matches!(answer.status, 204 | 304);
        if bodiless { answer } else { self.body(answer) }
    }

    /// Reads the head of an answer.
    #[track_caller]
    pub(crate) fn head(&mut self) -> Answer {
        let end = loop {
            if let Some(at) = self.received.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            let read = self.read();
            assert!(read > 0, "no answer but: {:?}", String::from_utf8_lossy(&self.received));
        };
        let head: Vec<u8> = self.received.drain(..end).collect();
        Answer::parse(&head)
    }

    /// Reads the body that follows a head.
    #[track_caller]
    pub(crate) fn body(&mut self, mut answer: Answer) -> Answer {
        if let Some(length) = answer.header("Content-Length") {
            let length = length.parse().unwrap();
            while self.received.len() < length {
                assert!(self.read() > 0, "the body has {} bytes of {length}", self.received.len());
            }
            answer.body = self.received.drain(..length).collect();
        } else if answer.header("Transfer-Encoding") == Some("chunked") {
            loop {
                let chunk = self.chunk();
                if chunk.is_empty() {
                    break;
                }
                answer.body.extend(chunk);
            }
        } else {
            while self.read() > 0 {}
            answer.body = std::mem::take(&mut self.received);
        }
        answer
    }

    /// Reads one chunk of a body; the last is empty.
    #[track_caller]
    pub(crate) fn chunk(&mut self) -> Vec<u8> {
        let line = loop {
            if let Some(at) = self.received.windows(2).position(|window| window == b"\r\n") {
                break self.received.drain(..at + 2).collect::<Vec<u8>>();
            }
            assert!(self.read() > 0, "a chunk is missing");
        };
        let size = usize::from_str_radix(std::str::from_utf8(&line).unwrap().trim(), 16).unwrap();
        while self.received.len() < size + 2 {
            assert!(self.read() > 0, "a chunk is cut");
        }
        let mut chunk: Vec<u8> = self.received.drain(..size + 2).collect();
        assert!(chunk.ends_with(b"\r\n"));
        chunk.truncate(size);
        chunk
    }

    /// Asserts that the server closes the connection without a further byte and without a reset, which could discard a
    /// response in flight.
    #[track_caller]
    pub(crate) fn assert_closed(&mut self) {
        let read = self.read();
        assert!(
            read == 0 && self.received.is_empty(),
            "unexpected data: {:?}",
            String::from_utf8_lossy(&self.received)
        );
        assert!(!self.was_reset, "the connection was reset");
    }

    /// Reads until the connection ends, in order or by a reset, and returns the number of bytes.
    #[track_caller]
    pub(crate) fn count_rest(&mut self) -> usize {
        let mut received = 0;
        loop {
            match self.read() {
                0 => return received,
                read => received += read,
            }
        }
    }

    /// Reads once and returns the number of bytes; 0 when the connection has ended, in order or by a reset.
    #[track_caller]
    pub(crate) fn read(&mut self) -> usize {
        let mut buffer = [0; 16 * 1024];
        match self.stream.read(&mut buffer) {
            Ok(read) => {
                self.received.extend_from_slice(&buffer[..read]);
                read
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                panic!("no data within {PATIENCE:?}, after {:?}", String::from_utf8_lossy(&self.received));
            }
            Err(error) => {
                self.was_reset |= error.kind() == ErrorKind::ConnectionReset;
                0
            }
        }
    }
}

impl Client {
    /// Sends these bytes on a new connection and reads the response.
    #[track_caller]
    pub(crate) fn raw(&self, bytes: &[u8]) -> Answer {
        Raw::connect(self.address()).ask(bytes)
    }
}
