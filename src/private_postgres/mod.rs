//! A PostgreSQL of the service's own, for a machine without one: found, initialized, started, kept running, stopped.
//!
//! It listens on a Unix socket in a folder that only its own user can enter, so it needs no password.

mod binaries;
mod data_folder;
mod error;
mod left_over;
mod memory;
mod postgres;
mod process;
mod program;
mod reason;
mod room;
mod trusted;
mod upgrade;
mod wal;

pub use self::postgres::PrivatePostgres;
pub use binaries::{Binaries, NamedPrograms};
pub use error::Error as PrivatePostgresError;
pub use program::kill_programs;
pub use upgrade::{Upgrade, delete_old_data, upgrade};
