//! Requests as the bytes that a client sends.

/// `GET /`, which both the service and [`TestServer`](super::server::TestServer) answer with 200.
pub(crate) const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";

/// Creates a session in the service.
pub(crate) const POST_SESSION: &[u8] = b"POST /api/v1/sessions HTTP/1.1\r\nHost: x\r\n\r\n";

/// Blocks a worker of a `TestServer` until its gate is open.
pub(crate) const WAIT: &[u8] = b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n";

/// Leaves the response of a `TestServer` to the test.
pub(crate) const DEFERRED: &[u8] = b"GET /deferred HTTP/1.1\r\nHost: x\r\n\r\n";

pub(crate) fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").into_bytes()
}
