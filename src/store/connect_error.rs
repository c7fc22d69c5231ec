//! Why there is no connection to PostgreSQL.

use std::time::Duration;

use super::error::root_cause;
use super::fault::Fault;

/// Why there is no connection. The text is for the operator; it may name a host or a user, never a password.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ConnectError {
    /// TCP, TLS, login and the check for writes together took too long.
    #[error("no connection within {} s (DB_CONNECTION_TIMEOUT, or connect_timeout in DATABASE_URL)", .0.as_secs())]
    TimedOut(Duration),
    /// Too many earlier attempts are pending, so none was made.
    #[error("too many earlier attempts still hang")]
    TooManyPending,
    /// PostgreSQL is reachable, and refuses the connection for a fault that an operator can mend.
    #[error("{reason} (SQLSTATE {sqlstate})")]
    Refused {
        /// What is wrong.
        fault: Fault,
        /// The SQLSTATE.
        sqlstate: String,
        /// PostgreSQL's words.
        reason: String,
    },
    /// The network or TLS failed, PostgreSQL is starting or stopping, or none of several hosts takes writes.
    #[error("{0}")]
    Failed(String),
}

impl From<&postgres::Error> for ConnectError {
    fn from(error: &postgres::Error) -> ConnectError {
        let Some(code) = error.code() else { return ConnectError::Failed(root_cause(error)) };
        let (sqlstate, reason) = (code.code().to_owned(), root_cause(error));
        match Fault::of(code) {
            // For CONNECT on the database.
            Some(Fault::Privilege) => ConnectError::Refused { fault: Fault::Login, sqlstate, reason },
            Some(Fault::Schema | Fault::ReadOnly) | None => {
                ConnectError::Failed(format!("{reason} (SQLSTATE {sqlstate})"))
            }
            Some(fault) => ConnectError::Refused { fault, sqlstate, reason },
        }
    }
}
