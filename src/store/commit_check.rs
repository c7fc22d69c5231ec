//! Whether PostgreSQL acknowledges commits, for `safespace check`.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::connect_error::ConnectError;
use super::connector::Connector;
use super::migrations::MigrationError;
use crate::config::{PoolSettings, Server};

/// The time for a commit, as readiness allows it.
pub const TIMEOUT: Duration = Duration::from_secs(2);

/// Connects, commits a record of the write-ahead log that changes no table, and returns whether that was over within [`TIMEOUT`].
///
/// PostgreSQL bounds no commit: one that waits for a standby is left to a thread, until the process ends.
///
/// # Errors
/// When the database cannot be reached or refuses.
pub fn run(server: &Server, pool: &PoolSettings) -> Result<bool, MigrationError> {
    let mut client = Connector::new(server, pool, pool.query_timeout)?.connect()?;
    let (sender, result) = mpsc::channel();
    let commit = move || {
        let committed = client.query_typed(include_str!("../../sql/schema/commit.sql"), &[]).map(drop);
        let _ = sender.send(committed);
    };
    let thread = thread::Builder::new().name("commit".to_owned()).spawn(commit);
    thread.map_err(|error| ConnectError::Failed(error.to_string()))?;
    match result.recv_timeout(TIMEOUT) {
        Ok(committed) => Ok(committed.map(|()| true)?),
        Err(_) => Ok(false),
    }
}
