//! The database at start: the private PostgreSQL, if it is configured, and the migrations.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::error::StartError;
use crate::config::{Config, Database, PoolSettings, Server};
use crate::private_postgres::PrivatePostgres;
use crate::store::migrations::{self, MigrationError};

/// Attempts to reach the database, and the wait after the first one; it doubles after each.
const MAX_ATTEMPTS: u32 = 3;
const FIRST_WAIT: Duration = Duration::from_secs(1);

/// Brings the schema up to date and returns its version. A private PostgreSQL is started for it unless it runs.
///
/// # Errors
/// As [`StartError`].
pub fn migrate(config: &Config, stop: &AtomicBool) -> Result<i32, StartError> {
    let (server, _postgres) = match &config.database {
        Database::Private(private) if PrivatePostgres::is_running(private) => (PrivatePostgres::server(private), None),
        _ => open(config, stop)?,
    };
    migrate_with_retries(&server, &config.pool, stop)?;
    Ok(migrations::NEWEST)
}

/// Where the database is, after starting it if it is the service's own.
pub(super) fn open(config: &Config, stop: &AtomicBool) -> Result<(Server, Option<PrivatePostgres>), StartError> {
    match &config.database {
        Database::Server(server) => Ok(((**server).clone(), None)),
        Database::Private(private) => {
            let postgres =
                PrivatePostgres::start(private, &[PrivatePostgres::max_connections(config.pool.max_size)], stop)?;
            Ok((PrivatePostgres::server(private), Some(postgres)))
        }
    }
}

/// Applies the migrations. Services and databases are often started together, so a database that cannot be reached yet is
/// tried again.
pub(super) fn migrate_with_retries(server: &Server, pool: &PoolSettings, stop: &AtomicBool) -> Result<(), StartError> {
    let mut wait = FIRST_WAIT;
    let mut attempt = 1;
    let applied = loop {
        let reason = match migrations::apply(server, pool, stop) {
            Ok(applied) => break applied,
            Err(MigrationError::Connect(reason)) => reason,
            Err(MigrationError::Interrupted) => return Err(StartError::Interrupted),
            Err(error) => return Err(error.into()),
        };
        log::warn!(attempt, of = MAX_ATTEMPTS, database:% = server, reason:% = reason; "Database not reached");
        if attempt == MAX_ATTEMPTS {
            return Err(reason.into());
        }
        sleep_unless_stopped(wait, stop)?;
        wait *= 2;
        attempt += 1;
    };
    if applied > 0 {
        log::info!(applied, version = migrations::NEWEST; "Schema migrated");
    }
    Ok(())
}

fn sleep_unless_stopped(wait: Duration, stop: &AtomicBool) -> Result<(), StartError> {
    let slice = Duration::from_millis(50);
    for _ in 0..wait.as_millis() / slice.as_millis() {
        if stop.load(Ordering::Relaxed) {
            return Err(StartError::Interrupted);
        }
        thread::sleep(slice);
    }
    Ok(())
}
