//! Whether the settings that the service sends when it connects have an effect: a pooler drops them.

use std::time::Duration;

use postgres::Client;

const STATEMENT: &str = include_str!("../../sql/schema/session_settings.sql");

/// Says which of the settings do not hold on a connection whose statements are to end after `statement_timeout`; `None` if all do.
pub(super) fn warning(client: &mut Client, statement_timeout: Duration) -> Result<Option<String>, postgres::Error> {
    let timeout = statement_timeout.as_millis().to_string();
    let differs = |row: postgres::Row| {
        let (name, found): (&str, &str) = (row.get(0), row.get(1));
        let (wanted, unit, variable) = match name {
            "enable_seqscan" | "jit" => ("off", "", ""),
            "statement_timeout" => (timeout.as_str(), " ms", " (DB_QUERY_TIMEOUT)"),
            _ => (timeout.as_str(), " ms", ""),
        };
        (found != wanted).then(|| format!("{name} is {found} and not {wanted}{unit}{variable}"))
    };
    let found: Vec<String> = client.query_typed(STATEMENT, &[])?.into_iter().filter_map(differs).collect();
    if found.is_empty() {
        return Ok(None);
    }
    Ok(Some(format!(
        "PostgreSQL does not get what the service sets for its connections, as through a pooler: {}. Set it with ALTER ROLE, \
         then run RECONNECT in the console of PgBouncer (docs/setup.md)",
        found.join(", ")
    )))
}
