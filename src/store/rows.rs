//! What the statements on several tables read: rows, sealed.

use uuid::Uuid;

/// A message as it is stored.
#[derive(Clone)]
pub struct Row {
    /// Its position in the conversation, from 1 without gaps.
    pub position: i32,
    /// Its id.
    pub id: Uuid,
    /// Role, time and text, sealed.
    pub sealed: Vec<u8>,
    /// Sealed bytes of the session up to and including this message.
    pub total_bytes: i64,
}

/// A session as it is stored, with its newest message: all that tells when it ends.
pub struct StoredSession {
    /// The time of creation, sealed.
    pub sealed: Vec<u8>,
    /// The session's own idle timeout; `None` for the operator's.
    pub idle_timeout_seconds: Option<i32>,
    /// When a report of it was last made or changed, sealed; `None` where it never had one.
    pub last_report: Option<Vec<u8>>,
    /// Its newest message.
    pub newest: Option<Row>,
}

/// The message in the columns `position`, `message_id`, `sealed` and `total_bytes`; NULLs are none.
pub(super) fn read_row(row: &postgres::Row) -> Option<Row> {
    let position = row.get::<_, Option<i32>>("position")?;
    Some(Row { position, id: row.get("message_id"), sealed: row.get("sealed"), total_bytes: row.get("total_bytes") })
}

/// The session in the columns `session_sealed`, `idle_timeout_seconds` and `last_report`.
pub(super) fn read_session(row: &postgres::Row, newest: Option<Row>) -> StoredSession {
    let (sealed, idle_timeout_seconds) = (row.get("session_sealed"), row.get("idle_timeout_seconds"));
    StoredSession { sealed, idle_timeout_seconds, last_report: row.get("last_report"), newest }
}
