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
    /// PostgreSQL undid the statement in favour of another at the same time: the same request may work in a moment.
    #[error("the statement gave way to another")]
    GaveWay,
    /// The driver and the database misunderstand each other, so that nobody knows what was done.
    #[error("the database said something unexpected")]
    Misunderstood,
    /// The program and the database disagree: a bug, or a schema somebody changed.
    #[error("the database refused the statement ({0})")]
    Refused(String),
}

impl Error {
    /// Whether PostgreSQL is sure to have done nothing, for a reason that may lie in a part of the statement.
    pub(super) fn undid_everything(&self) -> bool {
        matches!(self, Error::GaveWay | Error::Refused(_))
    }
}

impl From<postgres::Error> for Error {
    fn from(error: postgres::Error) -> Error {
        let Some(code) = error.code() else {
            let broken = error.is_closed() || source_is_io(&error);
            return if broken { Error::Unavailable } else { Error::Misunderstood };
        };
        if *code == SqlState::QUERY_CANCELED {
            Error::Timeout
        } else if [SqlState::T_R_DEADLOCK_DETECTED, SqlState::T_R_SERIALIZATION_FAILURE].contains(code) {
            Error::GaveWay
        } else if is_outage(code) {
            Error::Unavailable
        } else {
            Error::Refused(format!("SQLSTATE {}", code.code()))
        }
    }
}

/// Codes that say the server, rather than the statement, is the trouble: connection failures, shutdown, start-up, no
/// room for another connection or another row, a standby after a failover.
fn is_outage(code: &SqlState) -> bool {
    const CLASSES: [&str; 2] = ["08", "53"];
    const CODES: [SqlState; 5] = [
        SqlState::ADMIN_SHUTDOWN,
        SqlState::CRASH_SHUTDOWN,
        SqlState::CANNOT_CONNECT_NOW,
        SqlState::DATABASE_DROPPED,
        SqlState::READ_ONLY_SQL_TRANSACTION,
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
