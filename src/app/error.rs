//! Why the service did not start.

use std::io;

use crate::companion::BuildError;
use crate::config::Address;
use crate::private_postgres::PrivatePostgresError;
use crate::store::ConnectError;
use crate::store::migrations::MigrationError;

/// Why the service did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The private PostgreSQL did not start.
    #[error(transparent)]
    Private(PrivatePostgresError),
    /// The database cannot be reached or used.
    #[error("the database is not usable: {0}")]
    Database(#[from] MigrationError),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {reason}")]
    Listen {
        /// `APP_HOST:APP_PORT` or `METRICS_HOST:METRICS_PORT`.
        address: String,
        /// The operating system's reason.
        reason: String,
    },
    /// The companion cannot be built as configured.
    #[error("the companion is not usable: {0}")]
    Companion(#[from] BuildError),
    /// The operating system does not let signals be handled.
    #[error("cannot wait for signals: {0}")]
    Signals(io::Error),
    /// A signal came before the service was up.
    #[error("stopped while starting")]
    Interrupted,
}

impl StartError {
    pub(super) fn listen(address: &Address, reason: &io::Error) -> StartError {
        StartError::Listen { address: address.to_string(), reason: reason.to_string() }
    }
}

impl From<PrivatePostgresError> for StartError {
    fn from(error: PrivatePostgresError) -> StartError {
        match error {
            PrivatePostgresError::Interrupted => StartError::Interrupted,
            error => StartError::Private(error),
        }
    }
}

impl From<ConnectError> for StartError {
    fn from(error: ConnectError) -> StartError {
        StartError::Database(error.into())
    }
}
