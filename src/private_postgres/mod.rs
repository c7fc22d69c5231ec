//! A PostgreSQL of the service's own, for a machine without one: found, initialized, started, kept running, stopped.
//!
//! It listens on a Unix socket in a folder that only its own user can enter, so it needs no password.

mod binaries;
mod data_folder;
mod error;
mod postgres;
mod process;
mod trusted;

pub use self::postgres::PrivatePostgres;
pub use binaries::Binaries;
pub use error::Error as PrivatePostgresError;
