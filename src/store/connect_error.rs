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
    /// The server only reads, where one that takes writes is wanted.
    #[error(
        "the server takes no writes: it is a standby, or default_transaction_read_only is on; DATABASE_URL must name the primary \
         too (docs/failover.md)"
    )]
    ReadOnly,
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
    /// The network or TLS failed, PostgreSQL is starting or stopping, or none of several hosts can be used.
    #[error("{0}")]
    Failed(String),
}

/// PgBouncer's refusal of the settings that the service sends when it connects.
const UNSUPPORTED_PARAMETER: &str = "unsupported startup parameter";

impl From<&postgres::Error> for ConnectError {
    fn from(error: &postgres::Error) -> ConnectError {
        let Some(code) = error.code() else { return ConnectError::Failed(root_cause(error)) };
        let (sqlstate, reason) = (code.code().to_owned(), root_cause(error));
        match Fault::of(code) {
            // For CONNECT on the database.
            Some(Fault::Privilege) => ConnectError::Refused { fault: Fault::Login, sqlstate, reason },
            Some(Fault::Schema | Fault::ReadOnly) | None => {
                let remedy = if reason.contains(UNSUPPORTED_PARAMETER) {
                    "; set ignore_startup_parameters = options in PgBouncer (docs/setup.md)"
                } else {
                    ""
                };
                ConnectError::Failed(format!("{reason} (SQLSTATE {sqlstate}){remedy}"))
            }
            Some(fault) => ConnectError::Refused { fault, sqlstate, reason },
        }
    }
}
