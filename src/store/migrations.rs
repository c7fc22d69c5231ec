//! The schema: migrations embedded in the binary, applied once even if several services start together, and its version.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use postgres::Client;
use postgres::error::SqlState;

use super::connection::Connection;
use super::connector::{ConnectError, Connector};
use super::error::{Error, root_cause};
use super::rights::Rights;
use super::storage::ServerStorage;
use crate::config::{PoolSettings, Server};

mod embedded {
    refinery::embed_migrations!("sql/migrations");
}

/// Bounds each statement of a migration, and the wait for the lock while another service migrates.
const MIGRATION_TIMEOUT: Duration = Duration::from_secs(600);

/// How often a service tries to take the lock.
const LOCK_POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Why the schema is not what this binary needs.
#[derive(Debug, thiserror::Error)]
pub enum MigrationError {
    /// The database could not be reached.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// A newer version of SafeSpace migrated the database.
    #[error(
        "the database has schema version {found}, and this binary knows versions up to {known}: \
         start the newer SafeSpace that migrated it, or restore a backup from before"
    )]
    Newer {
        /// The version of the database.
        found: i32,
        /// The newest version in this binary.
        known: i32,
    },
    /// A version from before the first release made the schema.
    #[error(
        "the database has the schema of a SafeSpace from before the first release, which stored the ids of sessions: \
         it cannot be carried over, so give the service a new, empty database and destroy this one"
    )]
    Unreleased,
    /// A signal asked the service to stop while it waited for the lock.
    #[error("stopped while another service was migrating")]
    Interrupted,
    /// The role lacks a privilege that serving needs.
    #[error("{0}")]
    Privileges(Rights),
    /// A statement of a migration, or one that reads the version, failed.
    #[error("the schema cannot be read or migrated: {0}")]
    Failed(String),
}

impl From<postgres::Error> for MigrationError {
    fn from(error: postgres::Error) -> MigrationError {
        let remedy = match error.code() {
            Some(&SqlState::INSUFFICIENT_PRIVILEGE) => "; grant this role what docs/setup.md lists",
            _ => "",
        };
        MigrationError::Failed(root_cause(&error) + remedy)
    }
}

/// The version of the newest migration in this binary.
pub const NEWEST: i32 = 5;

/// The name of version 1. A schema from before the first release has another one there, and stores the ids of sessions.
const FIRST_NAME: &str = "sessions_and_messages";

const LOCK: &str = include_str!("../../sql/schema/lock_migrations.sql");
const VERSION: &str = include_str!("../../sql/schema/version.sql");

/// Whether the database has exactly the schema this binary was built for.
pub(super) fn is_current(connection: &mut Connection) -> Result<bool, Error> {
    let newest = connection.query(VERSION, &[])?;
    Ok(newest.first().is_some_and(|row| row.get::<_, i32>(0) == NEWEST && row.get::<_, &str>(1) == FIRST_NAME))
}

/// The version of the database's schema; 0 for one that was never migrated.
///
/// # Errors
/// When the database does not answer, or its schema is from before the first release.
pub fn version(client: &mut Client) -> Result<i32, MigrationError> {
    let rows = match client.query_typed(VERSION, &[]) {
        Err(error) if error.code() == Some(&SqlState::UNDEFINED_TABLE) => return Ok(0),
        result => result?,
    };
    match rows.first().map(|row| (row.get(0), row.get::<_, &str>(1))) {
        Some((version, first_name)) if version <= NEWEST && first_name != FIRST_NAME => Err(MigrationError::Unreleased),
        newest => Ok(newest.map_or(0, |(version, _)| version)),
    }
}

/// Migrates the schema to [`NEWEST`] and returns the number of migrations applied.
///
/// A current schema is only read, so a service whose role may not change the schema can start.
///
/// # Errors
/// As [`MigrationError`] lists them; a migration that fails leaves the schema at the version before it.
pub fn apply(server: &Server, pool: &PoolSettings, stop: &AtomicBool) -> Result<usize, MigrationError> {
    let connector = Connector::new(server, pool, MIGRATION_TIMEOUT)?;
    let mut client = connector.connect()?;
    if is_up_to_date(&mut client)? {
        return Ok(0);
    }
    // An advisory lock serializes services that start together. It belongs to a transaction on a second connection, so that
    // PgBouncer's transaction mode keeps it, and its key is the schema's, so that other schemas are not blocked.
    let mut lock_client = connector.connect()?;
    let mut lock = lock_client.transaction()?;
    let deadline = Instant::now() + MIGRATION_TIMEOUT;
    while !lock.query_typed(LOCK, &[])?.iter().any(|row| row.get(0)) {
        if stop.load(Ordering::Relaxed) {
            return Err(MigrationError::Interrupted);
        }
        if Instant::now() > deadline {
            return Err(MigrationError::Failed("another service has been migrating for too long".to_owned()));
        }
        thread::sleep(LOCK_POLL_INTERVAL);
    }
    if is_up_to_date(&mut client)? {
        return Ok(0);
    }
    let report = embedded::migrations::runner().run(&mut client);
    let report = report.map_err(|error| MigrationError::Failed(root_cause(&error)))?;
    lock.commit()?;
    Ok(report.applied_migrations().len())
}

fn is_up_to_date(client: &mut Client) -> Result<bool, MigrationError> {
    let (found, known) = (version(client)?, NEWEST);
    if found > known { Err(MigrationError::Newer { found, known }) } else { Ok(found == known) }
}

/// Fails if the role of the service lacks a privilege that serving needs. A server that only reads passes: a standby can become
/// the primary one later.
///
/// # Errors
/// [`MigrationError::Privileges`], or when the database cannot be reached or does not answer.
pub fn ensure_privileges(server: &Server, pool: &PoolSettings) -> Result<(), MigrationError> {
    let rights = ask_rights(&mut Connector::new(server, pool, pool.query_timeout)?.connect()?)?;
    if rights.missing.is_empty() {
        return Ok(());
    }
    Err(MigrationError::Privileges(Rights { read_only: false, ..rights }))
}

fn ask_rights(client: &mut Client) -> Result<Rights, MigrationError> {
    let rows = client.query_typed(Rights::STATEMENT, &[])?;
    let rights = rows.first().map(Rights::read);
    rights.ok_or_else(|| MigrationError::Failed("the server did not say what is allowed".to_owned()))
}

/// The versions of a database, and its storage.
#[derive(Debug)]
pub struct ServerFindings {
    /// The version of PostgreSQL.
    pub version: String,
    /// The version of TLS on the connection; `None` without TLS.
    pub tls: Option<String>,
    /// The version of the schema; 0 for a database that was never migrated.
    pub schema: i32,
    /// What the role may do.
    pub rights: Rights,
    /// Connections that the server, the database and the role allow.
    pub max_connections: u32,
    /// Its storage.
    pub storage: ServerStorage,
}

/// Connects once and reads these, without changing anything.
///
/// # Errors
/// When the database cannot be reached or does not answer.
pub fn inspect(server: &Server, pool: &PoolSettings) -> Result<ServerFindings, MigrationError> {
    let mut client = Connector::new(server, pool, pool.query_timeout)?.connect()?;
    let rows = client.query_typed(include_str!("../../sql/schema/server.sql"), &[])?;
    let row = rows.first().ok_or_else(|| MigrationError::Failed("the server did not say what it is".to_owned()))?;
    let schema = version(&mut client)?;
    let rights = ask_rights(&mut client)?;
    let storage = ServerStorage::ask(&mut client).map_err(MigrationError::Failed)?;
    let max_connections = u32::try_from(row.get::<_, i32>("max_connections")).unwrap_or(0);
    Ok(ServerFindings { version: row.get("version"), tls: row.get("tls"), schema, rights, max_connections, storage })
}
