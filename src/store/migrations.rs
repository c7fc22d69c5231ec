//! The schema: migrations embedded in the binary and applied once, however many services start at once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use postgres::Client;
use postgres::error::SqlState;

use super::error::root_cause;
use super::{ConnectError, Connection, Error, Target};
use crate::config::{Pool, Server};

mod embedded {
    refinery::embed_migrations!("sql/migrations");
}

/// What a statement of a migration may take, and waiting for another service that is migrating.
const MIGRATION_TIMEOUT: Duration = Duration::from_secs(600);

/// How often a service asks whether another has finished migrating.
const TURN_POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Why the schema is not what this binary needs.
#[derive(Debug, thiserror::Error)]
pub enum MigrationError {
    /// The database could not be reached.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// A newer version of SafeSpace was here.
    #[error(
        "the database has schema version {found}, and this binary knows versions up to {known}: \
         start the newer SafeSpace that migrated it, or restore a backup from before"
    )]
    Newer {
        /// The version of the database.
        found: i32,
        /// The newest version this binary has.
        known: i32,
    },
    /// A version from before the first release was here.
    #[error(
        "the database has the schema of a SafeSpace from before the first release, which stored the ids of sessions: \
         it cannot be carried over, so give the service a new, empty database and destroy this one"
    )]
    Unreleased,
    /// The service was told to stop while it waited for another to finish migrating.
    #[error("stopped while another service was migrating")]
    Interrupted,
    /// A statement of a migration, or about them, failed.
    #[error("the schema cannot be read or migrated: {0}")]
    Failed(String),
}

impl From<postgres::Error> for MigrationError {
    fn from(error: postgres::Error) -> MigrationError {
        MigrationError::Failed(root_cause(&error))
    }
}

/// The version of the newest migration in this binary.
pub const NEWEST: i32 = 1;

/// Its name. Before the first release the first migration was another, which stored the ids of sessions.
const NEWEST_NAME: &str = "sessions_and_messages";

/// The versions of the migrations in this binary. Asking refinery takes its time and leaves half a megabyte behind.
#[must_use]
pub fn versions() -> Vec<i32> {
    embedded::migrations::runner().get_migrations().iter().map(refinery::Migration::version).collect()
}

/// Whether the database has exactly the schema this binary was built for.
///
/// # Errors
/// As [`Error`] has them.
pub(super) fn is_current(connection: &mut Connection) -> Result<bool, Error> {
    let newest = connection.query(VERSION, &[])?;
    Ok(newest.first().is_some_and(|row| row.get::<_, i32>(0) == NEWEST && row.get::<_, &str>(1) == NEWEST_NAME))
}

/// The version of the database's schema; 0 for one that was never migrated.
///
/// # Errors
/// When the database does not answer, or was made before the first release.
pub fn version(client: &mut Client) -> Result<i32, MigrationError> {
    match client.query_typed(VERSION, &[]) {
        Ok(rows) => match rows.first() {
            None => Ok(0),
            Some(row) if row.get::<_, i32>(0) == NEWEST && row.get::<_, &str>(1) != NEWEST_NAME => {
                Err(MigrationError::Unreleased)
            }
            Some(row) => Ok(row.get(0)),
        },
        Err(error) if error.code() == Some(&SqlState::UNDEFINED_TABLE) => Ok(0),
        Err(error) => Err(error.into()),
    }
}

const TAKE_TURN: &str = include_str!("../../sql/schema/take_turn.sql");
const VERSION: &str = include_str!("../../sql/schema/version.sql");

/// Brings the schema to [`NEWEST`] and returns how many migrations that took.
///
/// Where it is current nothing is written, so that a service whose role may not change the schema can start.
///
/// # Errors
/// As [`MigrationError`] has them; a migration that fails leaves the schema at the one before.
pub fn apply(server: &Server, pool: &Pool, stop: &AtomicBool) -> Result<usize, MigrationError> {
    let target = Target::new(server, pool, MIGRATION_TIMEOUT)?;
    let mut client = target.connect()?;
    if is_up_to_date(&mut client)? {
        return Ok(0);
    }
    // Services that start together take turns. The lock belongs to a transaction on a second connection, not to a
    // connection, so that it also holds behind PgBouncer's transaction mode, and to the schema, not to the whole database.
    let mut turn = target.connect()?;
    let mut turn = turn.transaction()?;
    let deadline = Instant::now() + MIGRATION_TIMEOUT;
    while !turn.query_typed(TAKE_TURN, &[])?.iter().any(|row| row.get(0)) {
        if stop.load(Ordering::Relaxed) {
            return Err(MigrationError::Interrupted);
        }
        if Instant::now() > deadline {
            return Err(MigrationError::Failed("another service has been migrating for too long".to_owned()));
        }
        thread::sleep(TURN_POLL_INTERVAL);
    }
    if is_up_to_date(&mut client)? {
        return Ok(0);
    }
    let report =
        embedded::migrations::runner().run(&mut client).map_err(|error| MigrationError::Failed(root_cause(&error)))?;
    turn.commit()?;
    Ok(report.applied_migrations().len())
}

fn is_up_to_date(client: &mut Client) -> Result<bool, MigrationError> {
    let (found, known) = (version(client)?, NEWEST);
    if found > known { Err(MigrationError::Newer { found, known }) } else { Ok(found == known) }
}
