//! The groups of settings that are plain data: environment, connection pool, HTTP server, log.

use std::fmt;
use std::time::Duration;

use log::LevelFilter;

use super::host;
use super::reader::{Reader, pick};

/// Where the service runs (`ENVIRONMENT`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Environment {
    /// On a developer's machine: reads `.env`, and may run a private PostgreSQL.
    Development,
    /// In production: reads no `.env`, and requires a PostgreSQL that is administered elsewhere.
    Production,
}

pub(super) const ENVIRONMENTS: [(&str, Environment); 2] =
    [("development", Environment::Development), ("production", Environment::Production)];

/// Whether a value of `ENVIRONMENT` means production.
pub(super) fn is_production(value: &str) -> bool {
    pick(value, &ENVIRONMENTS) == Some(Environment::Production)
}

/// Sizes and timeouts of the connections to PostgreSQL (`DB_POOL_*`, `DB_*_TIMEOUT*`), and whether its tables are distributed.
#[derive(Debug, Clone)]
pub struct PoolSettings {
    /// Idle connections the pool keeps open; at most `max_size`.
    pub min_size: u32,
    /// Maximum of open connections.
    pub max_size: u32,
    /// PostgreSQL cancels a statement after this.
    pub query_timeout: Duration,
    /// Bounds the opening of one connection: TCP, TLS and login.
    pub connection_timeout: Duration,
    /// How long a request waits for a connection.
    pub acquire_timeout: Duration,
    /// Whether Citus distributes the tables of sessions (`DB_DISTRIBUTE`).
    pub is_distributed: bool,
}

pub(super) fn read_pool(reader: &mut Reader) -> PoolSettings {
    let max_size = reader.number("DB_POOL_MAX_SIZE", 1..=1000);
    let mut min_size = reader.number("DB_POOL_MIN_SIZE", 0..=1000);
    if min_size > max_size {
        // A minimum that was set contradicts the maximum; the default minimum is lowered.
        if reader.set("DB_POOL_MIN_SIZE").is_some() {
            reader.problem("DB_POOL_MIN_SIZE", format_args!("{min_size} is more than DB_POOL_MAX_SIZE, {max_size}"));
        }
        min_size = max_size;
    }
    PoolSettings {
        min_size,
        max_size,
        query_timeout: reader.seconds("DB_QUERY_TIMEOUT", 3600),
        connection_timeout: reader.seconds("DB_CONNECTION_TIMEOUT", 300),
        acquire_timeout: Duration::from_millis(reader.number("DB_ACQUIRE_TIMEOUT_MS", 1..=60_000)),
        is_distributed: reader.choice("DB_DISTRIBUTE", &[("off", false), ("citus", true)]),
    }
}

/// The HTTP parser's own limit of header fields, and so the maximum of `APP_MAX_HEAD_FIELDS`.
pub const MAX_HEAD_FIELDS: usize = 256;

/// An address to listen on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// Name or IP address; an IPv6 address has no brackets.
    pub host: String,
    /// 0 for a free port.
    pub port: u16,
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&host::with_port(&self.host, self.port))
    }
}

/// Where the service listens, and the limits of its HTTP server (`APP_*`).
#[derive(Debug)]
pub struct HttpSettings {
    /// The address to listen on.
    pub address: Address,
    /// From a signal to stop to the moment when the port is closed; 0 for none.
    pub shutdown_delay: Duration,
    /// How long requests in flight may take after that.
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
    /// Bytes per second at which a client must read its response.
    pub min_response_rate: u32,
    /// Bytes of all responses in memory.
    pub answer_memory: usize,
    /// How long an application may take to answer.
    pub request_timeout: Duration,
}

pub(super) fn read_http(reader: &mut Reader) -> HttpSettings {
    const MIB: usize = 1024 * 1024;
    HttpSettings {
        address: Address { host: host::read(reader, "APP_HOST"), port: reader.number("APP_PORT", 0..=u16::MAX) },
        shutdown_delay: Duration::from_secs(reader.number("APP_SHUTDOWN_DELAY", 0..=300)),
        shutdown_grace: reader.seconds("APP_SHUTDOWN_GRACE", 300),
        workers: reader.number("APP_WORKERS", 1..=1024),
        max_request_line_bytes: reader.number("APP_MAX_REQUEST_LINE_BYTES", 256..=MIB),
        max_head_bytes: reader.number("APP_MAX_HEAD_BYTES", 1024..=MIB),
        max_head_fields: reader.number("APP_MAX_HEAD_FIELDS", 8..=MAX_HEAD_FIELDS),
        max_body_bytes: reader.number("APP_MAX_BODY_BYTES", 1024..=16 * MIB),
        max_connections: reader.number("APP_MAX_CONNECTIONS", 1..=1_000_000),
        max_queued: reader.number("APP_MAX_QUEUED_REQUESTS", 1..=1_000_000),
        head_timeout: reader.seconds("APP_HEAD_TIMEOUT", 3600),
        body_timeout: reader.seconds("APP_BODY_TIMEOUT", 3600),
        idle_timeout: reader.seconds("APP_IDLE_TIMEOUT", 3600),
        write_timeout: reader.seconds("APP_WRITE_TIMEOUT", 3600),
        min_response_rate: reader.number("APP_MIN_RESPONSE_RATE", 1..=1_048_576),
        answer_memory: reader.number("APP_ANSWER_MEMORY", 4 * MIB..=65_536 * MIB),
        request_timeout: reader.seconds("APP_REQUEST_TIMEOUT", 3600),
    }
}

/// The address of the metrics (`METRICS_*`); `None` where `METRICS_PORT` is not set.
pub(super) fn read_metrics(reader: &mut Reader) -> Option<Address> {
    let port = reader.optional_number("METRICS_PORT", 0..=u16::MAX)?;
    Some(Address { host: host::read(reader, "METRICS_HOST"), port })
}

/// What is logged, and in which format (`LOG_*`, `RUST_LOG`).
#[derive(Debug)]
pub struct LogSettings {
    /// The least severe level that is logged.
    pub level: LevelFilter,
    /// A filter in `env_logger`'s syntax; takes precedence over `level`.
    pub filter: Option<String>,
    /// The format of a line.
    pub format: LogFormat,
}

/// The format of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// `time level message key=value …`, for people.
    Text,
    /// One JSON object a line, for log collectors.
    Json,
}

pub(super) fn read_log(reader: &mut Reader) -> LogSettings {
    use LevelFilter::{Debug, Error, Info, Off, Trace, Warn};
    let levels = [("off", Off), ("error", Error), ("warn", Warn), ("info", Info), ("debug", Debug), ("trace", Trace)];
    LogSettings {
        level: reader.choice("LOG_LEVEL", &levels),
        filter: read_filter(reader),
        format: reader.choice("LOG_FORMAT", &[("text", LogFormat::Text), ("json", LogFormat::Json)]),
    }
}

/// The filter, which the log would ignore as far as it is wrong.
fn read_filter(reader: &mut Reader) -> Option<String> {
    let filter = reader.set("RUST_LOG")?;
    if env_filter::Builder::new().try_parse(&filter).is_err() {
        reader.problem("RUST_LOG", format_args!("\"{filter}\" is not a filter such as info, or warn,safespace=debug"));
    }
    Some(filter)
}
