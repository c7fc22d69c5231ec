//! Distributing the tables with Citus: the rows of a session on one shard, and what every node must know on all nodes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use postgres::error::SqlState;
use postgres::types::Type;
use postgres::{Client, Transaction};

use super::connector::Connector;
use super::migrations::{LOCK, LOCK_POLL_INTERVAL, LOCK_TIMEOUT, MIGRATION_TIMEOUT, MigrationError, TIMEOUTS};
use crate::config::{PoolSettings, Server};

/// What the database says of Citus.
#[derive(Debug)]
pub struct Distribution {
    /// The version of the extension.
    pub citus: String,
    /// Whether every table is distributed as this binary needs it.
    pub is_complete: bool,
}

/// A table, and how it is distributed.
struct Table {
    name: String,
    /// The column whose value chooses the shard; `None` for a table that every node has.
    column: Option<String>,
    /// `None` where it is not distributed.
    is_as_wanted: Option<bool>,
}

/// Distributes the tables that are not distributed yet, with their rows, in one transaction. Does nothing without
/// `DB_DISTRIBUTE=citus` but find out that nothing is distributed. Returns the number of tables distributed.
///
/// # Errors
/// [`MigrationError::NoCitus`], [`MigrationError::Distributed`] or [`MigrationError::DistributedOtherwise`]; also when a table is in
/// use, or the role does not own it. Then no table is changed.
pub fn ensure(server: &Server, pool: &PoolSettings, stop: &AtomicBool) -> Result<usize, MigrationError> {
    let mut client = Connector::new(server, pool, MIGRATION_TIMEOUT)?.connect()?;
    let deadline = Instant::now() + MIGRATION_TIMEOUT;
    while !is_complete(&mut client, pool)? {
        let mut transaction = client.transaction()?;
        // The lock of the migrations: instances that start together distribute one after the other.
        if transaction.query_typed(LOCK, &[])?.iter().any(|row| row.get(0)) {
            let count = distribute(&mut transaction).map_err(in_use)?;
            transaction.commit()?;
            repeat_statistics(&mut client)?;
            return Ok(count);
        }
        transaction.rollback()?;
        if stop.load(Ordering::Relaxed) {
            return Err(MigrationError::Interrupted);
        }
        if Instant::now() > deadline {
            return Err(MigrationError::Failed(
                "another instance has been distributing the tables for too long".to_owned(),
            ));
        }
        thread::sleep(LOCK_POLL_INTERVAL);
    }
    Ok(0)
}

/// Tells the planner on the shards again how many messages a session has: shards that were moved or split do not know it any more.
///
/// # Errors
/// When the database cannot be reached or does not answer.
pub fn refresh(server: &Server, pool: &PoolSettings) -> Result<(), MigrationError> {
    repeat_statistics(&mut Connector::new(server, pool, MIGRATION_TIMEOUT)?.connect()?)
}

/// Asks without changing anything; `None` without `DB_DISTRIBUTE=citus`.
///
/// # Errors
/// As [`ensure`], where it would not distribute the tables.
pub fn inspect(server: &Server, pool: &PoolSettings) -> Result<Option<Distribution>, MigrationError> {
    let mut client = Connector::new(server, pool, pool.query_timeout)?.connect()?;
    let is_complete = is_complete(&mut client, pool)?;
    let citus = citus(&mut client)?.filter(|_| pool.is_distributed);
    Ok(citus.map(|citus| Distribution { citus, is_complete }))
}

/// Whether the tables are as the configuration says; `false` where they must be distributed first.
fn is_complete(client: &mut Client, pool: &PoolSettings) -> Result<bool, MigrationError> {
    if citus(client)?.is_none() {
        return if pool.is_distributed { Err(MigrationError::NoCitus) } else { Ok(true) };
    }
    let tables = ask(&mut client.transaction()?)?;
    if !pool.is_distributed {
        let is_distributed = tables.iter().any(|table| table.is_as_wanted.is_some());
        return if is_distributed { Err(MigrationError::Distributed) } else { Ok(true) };
    }
    match tables.iter().find(|table| table.is_as_wanted == Some(false)) {
        Some(table) => Err(MigrationError::DistributedOtherwise(table.name.clone())),
        None => Ok(tables.iter().all(|table| table.is_as_wanted.is_some())),
    }
}

fn citus(client: &mut Client) -> Result<Option<String>, postgres::Error> {
    let rows = client.query_typed(include_str!("../../sql/citus/version.sql"), &[])?;
    Ok(rows.first().map(|row| row.get("extversion")))
}

fn ask(transaction: &mut Transaction<'_>) -> Result<Vec<Table>, postgres::Error> {
    let rows = transaction.query_typed(include_str!("../../sql/citus/distributed.sql"), &[])?;
    let table = |row: &postgres::Row| Table {
        name: row.get("name"),
        column: row.get("column_name"),
        is_as_wanted: row.get("is_as_wanted"),
    };
    Ok(rows.iter().map(table).collect())
}

/// Distributes the tables that are not distributed, and returns their number.
fn distribute(transaction: &mut Transaction<'_>) -> Result<usize, postgres::Error> {
    let [lock, statement] = [LOCK_TIMEOUT, MIGRATION_TIMEOUT].map(|timeout: Duration| timeout.as_millis().to_string());
    transaction.query_typed(TIMEOUTS, &[(&lock, Type::TEXT), (&statement, Type::TEXT)])?;
    let mut tables = ask(transaction)?;
    tables.retain(|table| table.is_as_wanted.is_none());
    for Table { name, column, .. } in &tables {
        let name = (name as _, Type::TEXT);
        match column {
            Some(column) => {
                let statement = include_str!("../../sql/citus/distribute.sql");
                transaction.query_typed(statement, &[name, (column, Type::TEXT)])?;
            }
            None => _ = transaction.query_typed(include_str!("../../sql/citus/make_reference.sql"), &[name])?,
        }
    }
    // Only once the tables that refer to a table are distributed too.
    for table in &tables {
        transaction.query_typed(include_str!("../../sql/citus/forget_local_rows.sql"), &[(&table.name, Type::TEXT)])?;
    }
    Ok(tables.len())
}

fn repeat_statistics(client: &mut Client) -> Result<(), MigrationError> {
    let shards = client.query_typed(include_str!("../../sql/citus/shard_statistics.sql"), &[])?;
    let failed = shards.iter().filter(|row| !row.get::<_, bool>("success")).count();
    if failed > 0 {
        log::warn!(failed; "Shards whose planner does not know the length of sessions; run `safespace migrate --distributed` again");
    }
    Ok(())
}

/// Says what to do where a table was in use.
fn in_use(error: postgres::Error) -> MigrationError {
    if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) {
        let remedy = "the tables are in use: stop every instance, then distribute them again";
        return MigrationError::Failed(remedy.to_owned());
    }
    error.into()
}
