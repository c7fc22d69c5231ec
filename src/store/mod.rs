//! PostgreSQL: how it is reached, how its schema is migrated, and one file per table.
//!
//! - `store`: the [`Store`], which owns the pool and the statements.
//! - `sessions`, `messages`, `health`: the statements, one file per table.
//! - `batcher`, `batch`, `callback`: group commit, by which concurrent requests share a statement.
//! - `pool`, `availability`: r2d2, and the log lines about an outage.
//! - `connection`, `connector`, `tls`, `error`: one connection and how it is opened.
//! - [`migrations`], `inspect`: the schema, at the start and for `safespace check`.

mod availability;
mod batch;
mod batcher;
mod callback;
mod connection;
mod connector;
mod error;
mod health;
mod inspect;
mod messages;
pub mod migrations;
mod pool;
mod sessions;
#[expect(clippy::module_inception, reason = "the file is named after its type")]
mod store;
mod tls;

pub use callback::{Callback, wait};
pub use connector::{ConnectError, Connector};
pub use error::Error;
pub use health::Health;
pub use inspect::{Findings, inspect};
pub use messages::{Appended, Messages, Page, PageRequest, Row};
pub use pool::PoolState;
pub use sessions::Sessions;
pub use store::Store;
