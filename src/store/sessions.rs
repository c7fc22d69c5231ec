//! The table `sessions`.

use chrono::{DateTime, Utc};
use postgres::types::Type;

use super::{Connection, Error};
use crate::session_id::SessionId;

/// Stores a new session; when this returns, it is durable.
///
/// # Errors
/// As [`Error`] has them.
pub fn create(connection: &mut Connection, id: SessionId, created_at: DateTime<Utc>) -> Result<(), Error> {
    let statement = include_str!("../../sql/sessions/create.sql");
    connection.execute(statement, &[(id.expose(), Type::UUID), (&created_at, Type::TIMESTAMPTZ)])?;
    Ok(())
}

/// When a session was created, or `None` where there is no such session.
///
/// # Errors
/// As [`Error`] has them.
pub fn find(connection: &mut Connection, id: SessionId) -> Result<Option<DateTime<Utc>>, Error> {
    let rows = connection.query(include_str!("../../sql/sessions/find.sql"), &[(id.expose(), Type::UUID)])?;
    Ok(rows.first().map(|row| row.get("created_at")))
}

/// Erases a session and all that belongs to it; says whether it was there. Of several at once, one is told `true`.
///
/// # Errors
/// As [`Error`] has them.
pub fn delete(connection: &mut Connection, id: SessionId) -> Result<bool, Error> {
    let rows = connection.execute(include_str!("../../sql/sessions/delete.sql"), &[(id.expose(), Type::UUID)])?;
    Ok(rows > 0)
}
