//! Why a statement failed, as texts that hold nothing of the statement or its values.

use postgres::error::SqlState;

use super::fault::{self, Fault};

/// Why a statement failed.
///
/// The text is safe to log: at most a SQLSTATE, never PostgreSQL's message, which can quote values.
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
    /// The session of a row does not exist; nothing was stored.
    #[error("the session does not exist")]
    NoSession,
    /// PostgreSQL cannot execute such statements at the moment, or gives no connection; nothing was executed.
    #[error("the database refuses to work: {}", .0.sentence())]
    Faulty(Fault),
    /// PostgreSQL rejected the statement: a bug, or a trigger that is not the service's.
    #[error("the database refused the statement ({0})")]
    Refused(String),
}

impl Error {
    /// Whether PostgreSQL certainly rolled the statement back, for a reason that may lie in a single item of it.
    pub(super) fn was_rolled_back(&self) -> bool {
        match self {
            Error::Conflict | Error::NoSession | Error::Refused(_) => true,
            Error::Faulty(fault) => fault.may_concern_one_item(),
            _ => false,
        }
    }

    /// Whether another statement would meet the same error now.
    pub(super) fn concerns_all(&self) -> bool {
        match self {
            Error::Unavailable | Error::Timeout => true,
            Error::Faulty(fault) => !fault.may_concern_one_item(),
            _ => false,
        }
    }
}

impl From<postgres::Error> for Error {
    fn from(error: postgres::Error) -> Error {
        let Some(database_error) = error.as_db_error() else {
            let source = std::error::Error::source(&error);
            let broken = error.is_closed() || source.is_some_and(<dyn std::error::Error>::is::<std::io::Error>);
            return if broken { Error::Unavailable } else { Error::Protocol };
        };
        let code = database_error.code();
        match *code {
            SqlState::QUERY_CANCELED => Error::Timeout,
            // Every foreign key refers to the table `sessions`.
            SqlState::FOREIGN_KEY_VIOLATION => Error::NoSession,
            SqlState::T_R_DEADLOCK_DETECTED | SqlState::T_R_SERIALIZATION_FAILURE => Error::Conflict,
            SqlState::IN_FAILED_SQL_TRANSACTION => refused(code),
            _ if !fault::keeps_connection(database_error) => Error::Unavailable,
            _ => Fault::of(code).map_or_else(|| refused(code), Error::Faulty),
        }
    }
}

fn refused(code: &SqlState) -> Error {
    Error::Refused(format!("SQLSTATE {}", code.code()))
}

/// The text of the innermost cause, which is that of PostgreSQL or of the operating system. The outer ones only repeat that
/// something failed.
pub(super) fn root_cause(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), root_cause)
}
