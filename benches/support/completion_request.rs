//! The model's side of a call: reads one request for a completion.

use std::io::{self, Read};
use std::net::TcpStream;

use super::process::TIMEOUT;

/// Reads a whole request. The service sends it at once, and nothing after it.
pub(crate) fn read(stream: &mut TcpStream) -> io::Result<String> {
    stream.set_read_timeout(Some(TIMEOUT))?;
    let mut request = Vec::new();
    let mut buffer = [0; 16 * 1024];
    while !is_complete(&request) {
        match stream.read(&mut buffer)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => request.extend_from_slice(&buffer[..count]),
        }
    }
    Ok(String::from_utf8_lossy(&request).into_owned())
}

/// Whether a body of the length in the head, or its last chunk, is there.
fn is_complete(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, _)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("Content-Length").then(|| value.trim().parse::<usize>().ok())?
    });
    match length {
        Some(length) => request.len() >= head.len() + 4 + length,
        None => request.ends_with(b"0\r\n\r\n"),
    }
}
