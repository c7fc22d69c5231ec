//! The database of the service under attack.

use postgres::Client;
use safespace::session_id::SessionId;

use crate::support::outcome::Outcome;
use crate::support::rows;

/// A connection to the database, which is filled before an attack.
pub(crate) struct Database {
    pub(crate) client: Client,
    /// Seconds of the attack.
    pub(crate) seconds: u64,
}

impl Database {
    /// Stores sessions of this many messages with this text.
    pub(crate) fn store(&mut self, sessions: usize, messages: i32, text: &str) -> Outcome<Vec<SessionId>> {
        let ids: Vec<SessionId> = (0..sessions).map(|_| SessionId::random()).collect();
        rows::store_sessions(&mut self.client, &ids)?;
        for id in ids.iter().filter(|_| messages > 0) {
            rows::store_messages(&mut self.client, id, messages, [text, text])?;
        }
        Ok(ids)
    }

    /// The size of the database, and the position in the write-ahead log, in MiB.
    pub(crate) fn written(&mut self) -> Outcome<[f64; 2]> {
        let query = "SELECT pg_database_size(current_database())::float8, (pg_current_wal_lsn() - '0/0')::float8";
        let row = self.client.query_one(query, &[])?;
        Ok([row.get(0), row.get(1)].map(|bytes: f64| bytes / 1_048_576.0))
    }
}
