//! The sizes and timeouts of the connections to PostgreSQL.

use std::time::Duration;

use super::reader::Reader;

/// Sizes and timeouts of the connections to PostgreSQL (`DB_POOL_*`, `DB_*_TIMEOUT*`).
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
}

pub(super) fn read(reader: &mut Reader<'_>) -> PoolSettings {
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
        query_timeout: Duration::from_secs(reader.number("DB_QUERY_TIMEOUT", 1..=3600)),
        connection_timeout: Duration::from_secs(reader.number("DB_CONNECTION_TIMEOUT", 1..=300)),
        acquire_timeout: Duration::from_millis(reader.number("DB_ACQUIRE_TIMEOUT_MS", 1..=60_000)),
    }
}
