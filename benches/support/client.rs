//! An HTTP client that chooses its own loopback address and its receive buffer.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::os::fd::AsRawFd;
use std::time::Duration;

use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, bind, connect, setsockopt, socket, sockopt};
use nix::sys::time::{TimeVal, TimeValLike};

/// A client gives up after this time, as the front-end does.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(15);

/// Bound on connecting, in seconds.
const CONNECT_TIMEOUT_S: i64 = 5;

/// A response.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

/// A connection that is kept between requests.
pub(crate) struct Client {
    reader: BufReader<TcpStream>,
}

impl Client {
    pub(crate) fn connect(source: Ipv4Addr, address: SocketAddr) -> io::Result<Client> {
        let stream = open(source, address, None)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        Ok(Client { reader: BufReader::new(stream) })
    }

    /// Sends a request and reads its response.
    pub(crate) fn send(&mut self, request: &str) -> io::Result<Answer> {
        self.reader.get_mut().write_all(request.as_bytes())?;
        let status_line = self.line()?;
        let status = status_line.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.ok_or(io::ErrorKind::InvalidData)?;
        let (mut length, mut is_chunked) = (0, false);
        loop {
            let line = self.line()?.to_ascii_lowercase();
            match line.split_once(": ") {
                Some(("content-length", value)) => length = value.parse().map_err(io::Error::other)?,
                Some(("transfer-encoding", _)) => is_chunked = true,
                Some(_) => {}
                None => break,
            }
        }
        let mut body = Vec::new();
        if !request.starts_with("HEAD ") {
            if is_chunked { self.chunks(&mut body)? } else { self.bytes(length, &mut body)? }
        }
        Ok(Answer { status, body: String::from_utf8_lossy(&body).into_owned() })
    }

    fn chunks(&mut self, body: &mut Vec<u8>) -> io::Result<()> {
        loop {
            let size = usize::from_str_radix(&self.line()?, 16).map_err(io::Error::other)?;
            self.bytes(size, body)?;
            self.line()?;
            if size == 0 {
                return Ok(());
            }
        }
    }

    fn bytes(&mut self, count: usize, body: &mut Vec<u8>) -> io::Result<()> {
        let end = body.len();
        body.resize(end + count, 0);
        self.reader.read_exact(&mut body[end..])
    }

    /// The next line without its end.
    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        match self.reader.read_line(&mut line)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(line.trim_end().to_owned()),
        }
    }
}

/// Connects from a loopback address. A small receive buffer makes slow reading visible to the service at once.
pub(crate) fn open(source: Ipv4Addr, address: SocketAddr, receive_buffer: Option<usize>) -> io::Result<TcpStream> {
    let SocketAddr::V4(address) = address else { return Err(io::ErrorKind::Unsupported.into()) };
    let socket = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    // The kernel chooses the port when it knows both addresses; otherwise ports of closed connections are not used again.
    setsockopt(&socket, sockopt::IpBindAddressNoPort, &true)?;
    // On Linux, this bounds `connect` too.
    setsockopt(&socket, sockopt::SendTimeout, &TimeVal::seconds(CONNECT_TIMEOUT_S))?;
    if let Some(bytes) = receive_buffer {
        setsockopt(&socket, sockopt::RcvBuf, &bytes)?;
    }
    bind(socket.as_raw_fd(), &SockaddrIn::from(SocketAddrV4::new(source, 0)))?;
    connect(socket.as_raw_fd(), &SockaddrIn::from(address))?;
    Ok(TcpStream::from(socket))
}
