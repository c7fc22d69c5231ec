//! The bounds of a server, on everything that a client or the application can stretch.

use std::time::Duration;

/// Connections that may linger at once, beyond [`Limits::max_connections`].
pub(super) const MAX_LINGERING: usize = 64;

/// The bounds of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Worker threads.
    pub workers: usize,
    /// Bytes of a request line; a longer one is refused with 414.
    pub max_request_line_bytes: usize,
    /// Bytes of a request head, including the request line; a larger one is refused with 431.
    pub max_head_bytes: usize,
    /// Fields of a request head, [`MAX_FIELDS`](super::MAX_FIELDS) at most; more are refused with 431.
    pub max_head_fields: usize,
    /// Bytes of a request body, unless the application has another bound for the request; a larger one is refused with 413.
    pub max_body_bytes: usize,
    /// Open connections. Above this limit the first of these gives way to a new one:
    ///
    /// 1. one whose client has shut its side and has no response yet;
    /// 2. the least recently used one that is idle for a second;
    /// 3. the oldest incomplete request, which is refused with 503;
    /// 4. the one whose client has not read for the longest time;
    /// 5. the new one, which is refused with 503.
    pub max_connections: usize,
    /// New requests in the run queue, not yet taken by a worker; further ones are refused with 503. Of each peer it takes
    /// an eighth from half of that on. Requests that are never refused and pipelined ones do not count.
    pub max_queued: usize,
    /// Bytes of the responses of all clients in memory, without those that the socket takes at once and those of up to 4 KiB; and
    /// of incomplete bodies that are longer than [`Limits::max_body_bytes`], which are refused with 503 where there is no memory.
    /// A piece that [`Responder::stream_from`](super::Responder::stream_from) asks for waits for memory, and clients that
    /// read nothing give way; a response in pieces is refused with 503 while many wait, another one if it has more than
    /// 64 KiB.
    pub max_answer_bytes: usize,
    /// From the first byte of a head to its last; then 408.
    pub head_timeout: Duration,
    /// From the end of a head to the end of the body; then 408.
    pub body_timeout: Duration,
    /// Between two requests; then the connection is closed.
    pub idle_timeout: Duration,
    /// Without the client reading any byte of a response; then the connection is closed.
    pub write_timeout: Duration,
    /// Bytes a second that a client has to read of a response while the server waits for it, not counting the first
    /// [`Limits::write_timeout`] of that; then the connection is closed.
    pub min_response_rate: u32,
    /// For the application to answer; then 504. The same for each further piece of a response; then the connection is
    /// closed.
    pub request_timeout: Duration,
}

impl Limits {
    /// Descriptors beyond [`Limits::max_connections`]: of lingering connections, and of workers that are stuck, whose place
    /// others take.
    #[must_use]
    pub fn extra_descriptors(&self) -> usize {
        MAX_LINGERING + 2 * self.workers
    }

    /// Connections of one peer.
    pub(super) fn max_connections_of_peer(&self) -> usize {
        (self.max_connections / 8).max(64)
    }

    /// Requests of one peer that are not complete yet.
    pub(super) fn max_incomplete_of_peer(&self) -> usize {
        (self.max_connections / 32).max(16)
    }

    /// The limits of unit tests: those of a small server.
    #[cfg(test)]
    pub(crate) fn for_tests() -> Limits {
        let timeout = Duration::from_secs(10);
        Limits {
            workers: 1,
            max_request_line_bytes: 8192,
            max_head_bytes: 16 * 1024,
            max_head_fields: 100,
            max_body_bytes: 512,
            max_connections: 10,
            max_queued: 10,
            max_answer_bytes: 1 << 20,
            head_timeout: timeout,
            body_timeout: timeout,
            idle_timeout: timeout,
            write_timeout: timeout,
            min_response_rate: 1,
            request_timeout: timeout,
        }
    }
}
