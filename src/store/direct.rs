//! Whether a connection goes to PostgreSQL itself, and not through a pooler: PostgreSQL's end of it and ours must be the two ends of one
//! socket. That holds for as long as the connection lives, since nothing can give one end of a socket to another process of PostgreSQL.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::RawFd;
use std::path::{Path, PathBuf};

use nix::sys::socket::{SockaddrStorage, getpeername, getsockname};
use postgres::{GenericClient, Row};

/// What PostgreSQL's process says of its connection.
#[derive(Debug, Clone, Copy)]
struct ServerEnd {
    /// The addresses of its client and of itself; `None` for a Unix socket.
    addresses: Option<[SocketAddr; 2]>,
    process: i32,
}

/// Asks PostgreSQL's process. `sockets`: the Unix sockets that the connection may go through.
pub(super) fn is_direct(client: &mut impl GenericClient, sockets: &[PathBuf]) -> Result<bool, postgres::Error> {
    let rows = client.query_typed(include_str!("../../sql/schema/connection_ends.sql"), &[])?;
    Ok(rows.first().map(ServerEnd::read).is_some_and(|end| end.is_of_this_process(sockets)))
}

impl ServerEnd {
    fn read(row: &Row) -> ServerEnd {
        let address = |address: &str, port: &str| {
            let (address, port) = (row.get::<_, Option<&str>>(address)?, row.get::<_, Option<i32>>(port)?);
            Some(SocketAddr::new(address.parse().ok()?, u16::try_from(port).ok()?))
        };
        let ends = [address("client_address", "client_port"), address("server_address", "server_port")];
        let addresses = if let [Some(client), Some(server)] = ends { Some([client, server]) } else { None };
        ServerEnd { addresses, process: row.get("process") }
    }

    fn is_of_this_process(self, sockets: &[PathBuf]) -> bool {
        match self.addresses {
            Some(ends) => own_connections().any(|own| own == ends),
            // The process that listens is PostgreSQL's first one, of which all others are children.
            None => parent(self.process).is_some_and(|first| sockets.iter().any(|path| listener(path) == Some(first))),
        }
    }
}

/// Both addresses of each TCP connection of this process, the own one first.
fn own_connections() -> impl Iterator<Item = [SocketAddr; 2]> {
    let descriptors = fs::read_dir("/dev/fd").into_iter().flatten().flatten();
    let descriptors = descriptors.filter_map(|entry| entry.file_name().to_str()?.parse::<RawFd>().ok());
    descriptors.filter_map(|descriptor| {
        Some([address(&getsockname(descriptor).ok()?)?, address(&getpeername(descriptor).ok()?)?])
    })
}

fn address(address: &SockaddrStorage) -> Option<SocketAddr> {
    let of_v4 = address.as_sockaddr_in().map(|it| SocketAddr::new(IpAddr::V4(it.ip()), it.port()));
    of_v4.or_else(|| address.as_sockaddr_in6().map(|it| SocketAddr::new(IpAddr::V6(it.ip()), it.port())))
}

/// The process that listens at a Unix socket.
#[cfg(target_os = "linux")]
fn listener(path: &Path) -> Option<i32> {
    use std::os::unix::net::UnixStream;

    use nix::sys::socket::{getsockopt, sockopt};

    let stream = UnixStream::connect(path).ok()?;
    getsockopt(&stream, sockopt::PeerCredentials).ok().map(|credentials| credentials.pid())
}

/// The parent of a process of PostgreSQL on this machine.
#[cfg(target_os = "linux")]
fn parent(process: i32) -> Option<i32> {
    // `process (name) state parent …`
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    stat.split_once(" (postgres) ")?.1.split(' ').nth(1)?.parse().ok()
}

#[cfg(not(target_os = "linux"))]
fn listener(_: &Path) -> Option<i32> {
    None
}

#[cfg(not(target_os = "linux"))]
fn parent(_: i32) -> Option<i32> {
    None
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn only_the_other_end_of_an_own_socket_is_direct() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let client = TcpStream::connect(listener.local_addr().expect("it listens")).expect("it accepts");
        let (_server, seen) = listener.accept().expect("a client came");
        let ours = [seen, client.peer_addr().expect("it is connected")];
        let elsewhere: SocketAddr = "192.0.2.1:5432".parse().expect("an address");
        for (addresses, is_direct) in [
            (Some(ours), true),
            // A pooler's own connection to the server, and another server's connection with the same port of ours.
            (Some([elsewhere, ours[1]]), false),
            (Some([ours[0], elsewhere]), false),
            (None, false),
        ] {
            let end = ServerEnd { addresses, process: 1 };
            assert_eq!(end.is_of_this_process(&[]), is_direct, "{addresses:?}");
        }
    }
}
