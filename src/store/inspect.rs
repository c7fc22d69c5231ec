//! Reads the versions of a database without changing it, for `safespace check`.

use super::connector::Connector;
use super::migrations::{self, MigrationError};
use crate::config::{PoolSettings, Server};

/// The versions of a database.
#[derive(Debug)]
pub struct Findings {
    /// The version of PostgreSQL.
    pub version: String,
    /// The version of TLS on the connection; `None` without TLS.
    pub tls: Option<String>,
    /// The version of the schema; 0 for a database that was never migrated.
    pub schema: i32,
}

/// Connects once and reads the versions.
///
/// # Errors
/// When the database cannot be reached or does not answer.
pub fn inspect(server: &Server, pool: &PoolSettings) -> Result<Findings, MigrationError> {
    let mut client = Connector::new(server, pool, pool.query_timeout)?.connect()?;
    let rows = client.query_typed(include_str!("../../sql/schema/server.sql"), &[])?;
    let row = rows.first().ok_or_else(|| MigrationError::Failed("the server did not say what it is".to_owned()))?;
    let (version, tls) = (row.get("version"), row.get("tls"));
    Ok(Findings { version, tls, schema: migrations::version(&mut client)? })
}
