//! Why a statement failed, as texts that hold nothing of the statement or its values.

use postgres::error::SqlState;

/// Why a statement failed.
///
/// The text is safe to log: at most a SQLSTATE, never PostgreSQL's message, which quotes values.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No connection came free in time, or the connection broke. The client may retry.
    #[error("the database is not available")]
    Unavailable,
    /// PostgreSQL cancelled the statement after `DB_QUERY_TIMEOUT`.
    #[error("the statement took too long")]
    Timeout,
    /// PostgreSQL rolled the statement back because of a concurrent one: a deadlock or a serialization failure. The client
    /// may retry.
    #[error("the statement gave way to another")]
    Conflict,
    /// The driver received something unexpected, so it is unknown whether the statement was executed.
    #[error("the database said something unexpected")]
    Protocol,
    /// PostgreSQL rejected the statement: a bug, or a schema that was changed by hand.
    #[error("the database refused the statement ({0})")]
    Refused(String),
}

impl Error {
    /// Whether PostgreSQL certainly rolled the statement back, for a reason that may lie in a single item of it.
    pub(super) fn was_rolled_back(&self) -> bool {
        matches!(self, Error::Conflict | Error::Refused(_))
    }
}

impl From<postgres::Error> for Error {
    fn from(error: postgres::Error) -> Error {
        let Some(code) = error.code() else {
            let source = std::error::Error::source(&error);
            let broken = error.is_closed() || source.is_some_and(<dyn std::error::Error>::is::<std::io::Error>);
            return if broken { Error::Unavailable } else { Error::Protocol };
        };
        match *code {
            SqlState::QUERY_CANCELED => Error::Timeout,
            SqlState::T_R_DEADLOCK_DETECTED | SqlState::T_R_SERIALIZATION_FAILURE => Error::Conflict,
            // The cause is the server rather than the statement. The last is a standby after a failover.
            SqlState::ADMIN_SHUTDOWN
            | SqlState::CRASH_SHUTDOWN
            | SqlState::CANNOT_CONNECT_NOW
            | SqlState::DATABASE_DROPPED
            | SqlState::READ_ONLY_SQL_TRANSACTION => Error::Unavailable,
            // Connection failures (class 08) and insufficient resources (class 53).
            _ if ["08", "53"].iter().any(|class| code.code().starts_with(class)) => Error::Unavailable,
            _ => Error::Refused(format!("SQLSTATE {}", code.code())),
        }
    }
}

/// The text of the innermost cause, which is that of PostgreSQL or of the operating system. The outer ones only repeat that
/// something failed.
pub(super) fn root_cause(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), root_cause)
}
