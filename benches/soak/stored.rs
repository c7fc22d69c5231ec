//! What the tables have, asked without the service. The tests include this file.

use postgres::{Client, Error};
use uuid::Uuid;

/// The tables whose rows belong to a session, and the column that names it.
const TABLES: [(&str, &str); 4] =
    [("sessions", "id"), ("messages", "session_id"), ("reports", "session_id"), ("turns", "session_id")];

/// The rows of these sessions, in all tables.
pub(crate) fn rows_of(client: &mut Client, lookups: &[Uuid]) -> Result<i64, Error> {
    TABLES.iter().try_fold(0, |rows, (table, column)| {
        let count = format!("SELECT count(*) FROM {table} WHERE {column} = ANY ($1)");
        Ok(rows + client.query_one(&count, &[&lookups])?.get::<_, i64>(0))
    })
}

/// The rows whose session does not exist.
pub(crate) fn orphans(client: &mut Client) -> Result<i64, Error> {
    TABLES.iter().skip(1).try_fold(0, |rows, (table, column)| {
        let count = format!(
            "SELECT count(*) FROM {table} AS part WHERE NOT EXISTS (SELECT FROM sessions WHERE id = part.{column})"
        );
        Ok(rows + client.query_one(&count, &[])?.get::<_, i64>(0))
    })
}

/// Makes the rows of sessions look as many hours older, as if they had been stored then.
pub(crate) fn make_older(client: &mut Client, lookups: &[Uuid], hours: i32) -> Result<(), Error> {
    let update = "UPDATE sessions SET created_hour = created_hour - $2, last_used_hour = last_used_hour - $2
                  WHERE id = ANY ($1)";
    client.execute(update, &[&lookups, &hours]).map(drop)
}

/// Sessions that chose their own idle timeout, whose end the sweeper knows for certain since so many seconds: ten minutes after the end
/// of the hour of their last use and the timeout. Those that [`make_older`] made so many hours older, do not count.
pub(crate) fn overdue(client: &mut Client, seconds: f64, hours_older: i32) -> Result<i64, Error> {
    let overdue = "SELECT count(*) FROM sessions
        WHERE created_hour > floor(extract(epoch FROM now()) / 3600)::integer - $2
            AND (last_used_hour::bigint + 1) * 3600 + idle_timeout_seconds + 600 < extract(epoch FROM now())::float8 - $1";
    client.query_one(overdue, &[&seconds, &hours_older]).map(|row| row.get(0))
}
