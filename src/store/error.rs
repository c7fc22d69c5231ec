//! Why a statement has no result, in words that hold nothing of the statement.

use postgres::error::SqlState;

/// Why a statement has no result.
///
/// Its text is safe to log: a SQLSTATE at most, never PostgreSQL's message, which quotes values.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No connection came free in time, or the one there was broke: the same request may work in a moment.
    #[error("the database is not available")]
    Unavailable,
    /// PostgreSQL cancelled the statement after `DB_QUERY_TIMEOUT`.
    #[error("the statement took too long")]
    Timeout,
    /// The program and the database disagree: a bug, or a schema somebody changed.
    #[error("the database refused the statement ({0})")]
    Refused(String),
}

impl From<postgres::Error> for Error {
    fn from(error: postgres::Error) -> Error {
        let Some(code) = error.code() else {
            let broken = error.is_closed() || source_is_io(&error);
            return if broken { Error::Unavailable } else { Error::Refused("no SQLSTATE".to_owned()) };
        };
        if *code == SqlState::QUERY_CANCELED {
            Error::Timeout
        } else if is_outage(code) {
            Error::Unavailable
        } else {
            Error::Refused(format!("SQLSTATE {}", code.code()))
        }
    }
}

/// Codes that say the server, rather than the statement, is the trouble: connection failures, shutdown, start-up, no
/// room for another connection or another row, a standby after a failover, and conflicts that ask to be tried again.
fn is_outage(code: &SqlState) -> bool {
    const CLASSES: [&str; 2] = ["08", "53"];
    const CODES: [SqlState; 7] = [
        SqlState::ADMIN_SHUTDOWN,
        SqlState::CRASH_SHUTDOWN,
        SqlState::CANNOT_CONNECT_NOW,
        SqlState::DATABASE_DROPPED,
        SqlState::READ_ONLY_SQL_TRANSACTION,
        SqlState::T_R_SERIALIZATION_FAILURE,
        SqlState::T_R_DEADLOCK_DETECTED,
    ];
    CODES.contains(code) || CLASSES.iter().any(|class| code.code().starts_with(class))
}

fn source_is_io(error: &postgres::Error) -> bool {
    std::error::Error::source(error).is_some_and(<dyn std::error::Error>::is::<std::io::Error>)
}

/// The innermost cause: what PostgreSQL or the operating system said. The texts around it only say that something
/// failed.
pub(super) fn root_cause(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), root_cause)
}
