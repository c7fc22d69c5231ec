//! Every column of the tables in which something of a session is stored, and what it holds.

use serde::Serialize;
use utoipa::ToSchema;

/// A column of the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct StoredColumn {
    /// Its table.
    #[schema(example = "sessions")]
    pub table: &'static str,
    /// Its name.
    #[schema(example = "created_hour")]
    pub column: &'static str,
    /// What it holds, as a code.
    #[schema(example = "hour_of_creation")]
    pub holds: &'static str,
    /// Whether that is encrypted.
    #[schema(example = false)]
    pub sealed: bool,
}

const fn clear(table: &'static str, column: &'static str, holds: &'static str) -> StoredColumn {
    StoredColumn { table, column, holds, sealed: false }
}

const fn sealed(table: &'static str, column: &'static str, holds: &'static str) -> StoredColumn {
    StoredColumn { table, column, holds, sealed: true }
}

/// All of them, in the order of docs/privacy.md. A test compares them with the tables.
pub(super) static COLUMNS: &[StoredColumn] = &[
    clear("sessions", "id", "lookup"),
    sealed("sessions", "sealed", "time_of_creation"),
    clear("sessions", "created_hour", "hour_of_creation"),
    clear("sessions", "last_used_hour", "hour_of_last_use"),
    clear("sessions", "idle_timeout_seconds", "chosen_timeout"),
    sealed("sessions", "last_report", "time_of_last_report"),
    clear("messages", "session_id", "lookup"),
    clear("messages", "position", "position"),
    clear("messages", "id", "derived_id"),
    sealed("messages", "sealed", "message"),
    clear("messages", "total_bytes", "sum_of_lengths"),
    clear("reports", "session_id", "lookup"),
    clear("reports", "position", "position"),
    clear("reports", "id", "random_id"),
    sealed("reports", "sealed", "report"),
    clear("turns", "session_id", "lookup"),
    clear("turns", "position", "position"),
    clear("turns", "claim", "random_number"),
    clear("turns", "ends_at", "time_seconds_ahead"),
    clear("turns", "is_stopped", "whether_stopped"),
];
