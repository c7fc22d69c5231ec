//! PostgreSQL: how it is reached, how its schema came about, and one file per table.
//!
//! A [`Connection`] is borrowed from the [`Database`] for one short statement and given back: it is never held across a call
//! to something else or while a client is written to. Those who wait for one at the same time share it ([`batch`]).

mod availability;
pub mod batch;
mod connect;
mod connection;
mod database;
mod error;
pub mod health;
mod inspect;
pub mod messages;
pub mod migrations;
pub mod private;
pub mod sessions;
mod tls;

pub use batch::{Done, wait};
pub use connect::{ConnectError, Target};
pub use connection::{Connection, Parameter};
pub use database::{Database, PoolState};
pub use error::Error;
pub use inspect::{Findings, inspect};
