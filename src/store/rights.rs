//! What a session may do in the database, as PostgreSQL says without being tried.

use std::fmt;

use postgres::Row;

/// The rights of a session, in the schema that its search path leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rights {
    /// Its role.
    pub role: String,
    /// Whether it can only read.
    pub read_only: bool,
    /// Whether its role may migrate the schema.
    pub may_migrate: bool,
    /// What serving needs and the role lacks, such as `INSERT ON messages`; all where a table is not found.
    pub missing: Vec<String>,
}

impl Rights {
    pub(super) const STATEMENT: &str = include_str!("../../sql/schema/rights.sql");

    /// Reads the row of [`Rights::STATEMENT`].
    pub(super) fn read(row: &Row) -> Rights {
        Rights {
            role: row.get("role"),
            read_only: row.get("read_only"),
            may_migrate: row.get("may_migrate"),
            missing: row.get("missing"),
        }
    }
}

impl fmt::Display for Rights {
    /// What is not as serving needs it.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.read_only {
            return formatter.write_str(
                "transactions are read-only: the server is a standby, or default_transaction_read_only is on",
            );
        }
        write!(formatter, "the role {} lacks {}; grant it (docs/setup.md)", self.role, self.missing.join("; "))
    }
}
