//! PostgreSQL: how it is reached, how its schema came about, and one file per table.
//!
//! A handler borrows a [`Connection`] from the [`Database`] for one short statement and gives it back: it is never held
//! across a call to something else or while a client is written to.

mod availability;
mod connect;
mod connection;
mod database;
mod error;
mod inspect;
pub mod migrations;
pub mod private;
pub mod sessions;
mod tls;

pub use connect::{ConnectError, Target};
pub use connection::{Connection, Parameter};
pub use database::{Database, PoolState};
pub use error::Error;
pub use inspect::{Findings, inspect};
