//! Where the service listens, and the limits of its HTTP server.

use std::fmt;
use std::time::Duration;

use super::reader::Reader;

/// The HTTP parser's own limit of header fields, and so the maximum of `APP_MAX_HEAD_FIELDS`.
pub const MAX_HEAD_FIELDS: usize = 256;

/// An address to listen on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// Name or IP address.
    pub host: String,
    /// 0 for a free port.
    pub port: u16,
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.host, self.port)
    }
}

/// Where the service listens, and the limits of its HTTP server (`APP_*`).
#[derive(Debug)]
pub struct HttpSettings {
    /// The address to listen on.
    pub address: Address,
    /// How long requests in flight may take after a signal to stop.
    pub shutdown_grace: Duration,
    /// Threads that answer requests.
    pub workers: usize,
    /// Bytes of a request line.
    pub max_request_line_bytes: usize,
    /// Bytes of the head of a request.
    pub max_head_bytes: usize,
    /// Header fields of a request; at most [`MAX_HEAD_FIELDS`].
    pub max_head_fields: usize,
    /// Bytes of a request body.
    pub max_body_bytes: usize,
    /// Open connections; above it the least recently used idle connection is closed.
    pub max_connections: usize,
    /// Requests that wait for a worker; above it a request gets 503.
    pub max_queued: usize,
    /// From the first byte of a request's head to its last.
    pub head_timeout: Duration,
    /// From the end of the head to the end of the body.
    pub body_timeout: Duration,
    /// How long a connection stays open between requests.
    pub idle_timeout: Duration,
    /// How long a client may read nothing of its response.
    pub write_timeout: Duration,
    /// How long an application may take to answer.
    pub request_timeout: Duration,
}

pub(super) fn read(reader: &mut Reader<'_>) -> HttpSettings {
    const MIB: usize = 1024 * 1024;
    HttpSettings {
        address: Address { host: reader.text("APP_HOST"), port: reader.number("APP_PORT", 0..=u16::MAX) },
        shutdown_grace: Duration::from_secs(reader.number("APP_SHUTDOWN_GRACE", 1..=300)),
        workers: reader.number("APP_WORKERS", 1..=1024),
        max_request_line_bytes: reader.number("APP_MAX_REQUEST_LINE_BYTES", 256..=MIB),
        max_head_bytes: reader.number("APP_MAX_HEAD_BYTES", 1024..=MIB),
        max_head_fields: reader.number("APP_MAX_HEAD_FIELDS", 8..=MAX_HEAD_FIELDS),
        max_body_bytes: reader.number("APP_MAX_BODY_BYTES", 1024..=16 * MIB),
        max_connections: reader.number("APP_MAX_CONNECTIONS", 1..=1_000_000),
        max_queued: reader.number("APP_MAX_QUEUED_REQUESTS", 1..=1_000_000),
        head_timeout: seconds(reader, "APP_HEAD_TIMEOUT"),
        body_timeout: seconds(reader, "APP_BODY_TIMEOUT"),
        idle_timeout: seconds(reader, "APP_IDLE_TIMEOUT"),
        write_timeout: seconds(reader, "APP_WRITE_TIMEOUT"),
        request_timeout: seconds(reader, "APP_REQUEST_TIMEOUT"),
    }
}

fn seconds(reader: &mut Reader<'_>, name: &str) -> Duration {
    Duration::from_secs(reader.number(name, 1..=3600))
}

/// The address of the metrics (`METRICS_*`); `None` where `METRICS_PORT` is not set.
pub(super) fn read_metrics(reader: &mut Reader<'_>) -> Option<Address> {
    let port = reader.optional_number("METRICS_PORT", 0..=u16::MAX)?;
    Some(Address { host: reader.text("METRICS_HOST"), port })
}
