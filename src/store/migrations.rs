//! The schema: migrations embedded in the binary, applied once even if several instances start together, and its version.

use std::error::Error as StdError;
use std::iter;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use postgres::error::SqlState;
use postgres::types::Type;
use postgres::{Client, Row, Transaction};
use refinery::{Migration, Target};
use refinery_core::traits::sync as refinery_traits;

use super::connect_error::ConnectError;
use super::connection::Connection;
use super::connector::Connector;
use super::error::{Error, root_cause};
use super::rights::Rights;
use super::session_settings;
use super::statements::StatementMode;
use super::storage::ServerStorage;
use crate::config::{PoolSettings, Server};

mod embedded {
    refinery::embed_migrations!("sql/migrations");
}

/// Bounds each statement of a migration, and the time from the start to the last attempt.
pub(super) const MIGRATION_TIMEOUT: Duration = Duration::from_secs(600);

/// How long a migration waits for the lock on a table. Requests that need the table wait behind it.
pub(super) const LOCK_TIMEOUT: Duration = Duration::from_secs(1);

/// The time from such a wait to the next one, in which those requests get through.
const PAUSE_AFTER_LOCK_TIMEOUT: Duration = Duration::from_secs(2);

/// How often an instance looks whether another one has finished its migration.
pub(super) const LOCK_POLL_INTERVAL: Duration = Duration::from_millis(100);

/// How often a pause looks whether the service was asked to stop.
const STOP_POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Why the schema is not what this binary needs.
#[derive(Debug, thiserror::Error)]
pub enum MigrationError {
    /// The database could not be reached.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// A newer version of SafeSpace migrated the database, and this one does not work with it.
    #[error(
        "the database has schema version {found}, which needs a SafeSpace that knows version {oldest}, and this binary knows \
         versions up to {known}: start the newer SafeSpace that migrated it, or restore a backup from before"
    )]
    Newer {
        /// The version of the database.
        found: i32,
        /// The lowest version that a binary must know to work with it.
        oldest: i32,
        /// The newest version in this binary.
        known: i32,
    },
    /// A version from before the first release made the schema.
    #[error(
        "the database has the schema of a SafeSpace from before the first release, which stored the ids of sessions: \
         it cannot be carried over, so give the service a new, empty database and destroy this one"
    )]
    Unreleased,
    /// A signal asked the service to stop while it waited for a lock.
    #[error("stopped while waiting to migrate")]
    Interrupted,
    /// The role lacks a privilege that serving needs.
    #[error("{0}")]
    Privileges(Rights),
    /// The tables must be distributed, and the database has no Citus.
    #[error(
        "DB_DISTRIBUTE is citus, and the database has no extension citus: add it on the coordinator and every worker \
         (docs/setup.md), or set DB_DISTRIBUTE=off"
    )]
    NoCitus,
    /// The tables are distributed, and the configuration does not say so.
    #[error(
        "Citus distributes the tables of this database: set DB_DISTRIBUTE=citus (to migrate, `safespace migrate \
         --distributed` does it too), without which statements of several sessions would be refused"
    )]
    Distributed,
    /// Someone distributed a table by hand.
    #[error(
        "Citus distributes the table {0} in another way than SafeSpace: undo it (undistribute_table), so that SafeSpace \
         can distribute it, or give the service a new, empty database"
    )]
    DistributedOtherwise(String),
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

/// The version of the newest migration in this binary. Versions have no gaps.
pub const NEWEST: i32 = 5;

/// The name of version 1. A schema from before the first release has another one there, and stores the ids of sessions.
const FIRST_NAME: &str = "sessions_and_messages";

pub(super) const LOCK: &str = include_str!("../../sql/schema/lock_migrations.sql");
pub(super) const TIMEOUTS: &str = include_str!("../../sql/schema/migration_timeouts.sql");
const VERSION: &str = include_str!("../../sql/schema/version.sql");
const OLDEST_VERSION: &str = include_str!("../../sql/schema/oldest_version.sql");

/// The schema of a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schema {
    /// The newest migration that was applied; 0 for a database that was never migrated.
    pub version: i32,
    /// The lowest version that a binary must know to work with it. Read only where `version` is above [`NEWEST`]; else 0.
    oldest_version: i32,
    /// Whether a version from before the first release made it.
    is_unreleased: bool,
}

impl Schema {
    /// Reads it with a function that executes a statement.
    fn read<E>(mut query: impl FnMut(&'static str) -> Result<Vec<Row>, E>) -> Result<Schema, E> {
        let rows = query(VERSION)?;
        let (version, first_name) = rows.first().map_or((0, FIRST_NAME), |row| (row.get(0), row.get(1)));
        let mut schema = Schema { version, oldest_version: 0, is_unreleased: first_name != FIRST_NAME };
        if version > NEWEST {
            let rows = query(OLDEST_VERSION)?;
            schema.oldest_version = rows.first().map_or(version, |row| row.get(0));
            schema.is_unreleased = false;
        }
        Ok(schema)
    }

    /// Reads it; a table that does not exist has no rows.
    fn ask(client: &mut Client) -> Result<Schema, postgres::Error> {
        Schema::read(|statement| match client.query_typed(statement, &[]) {
            Err(error) if error.code() == Some(&SqlState::UNDEFINED_TABLE) => Ok(Vec::new()),
            result => result,
        })
    }

    /// Whether this binary works with it as it is.
    fn is_served(self) -> bool {
        !self.is_unreleased && self.version >= NEWEST && self.oldest_version <= NEWEST
    }

    /// Whether this binary works with it as it is, or `false` if it must be migrated first.
    ///
    /// # Errors
    /// [`MigrationError::Newer`] and [`MigrationError::Unreleased`].
    pub fn ensure_known(self) -> Result<bool, MigrationError> {
        if self.is_unreleased {
            return Err(MigrationError::Unreleased);
        }
        if self.oldest_version > NEWEST {
            let Schema { version: found, oldest_version: oldest, .. } = self;
            return Err(MigrationError::Newer { found, oldest, known: NEWEST });
        }
        Ok(self.is_served())
    }
}

/// Whether this binary works with the schema of the database: its own, or a newer one that allows it.
pub(super) fn is_served(connection: &mut Connection) -> Result<bool, Error> {
    Ok(Schema::read(|statement| connection.query(statement, &[]))?.is_served())
}

/// What [`apply`] did.
#[derive(Debug, Clone, Copy)]
pub struct Migrated {
    /// Migrations that this process applied.
    pub applied: usize,
    /// The version of the schema, at least [`NEWEST`].
    pub version: i32,
}

/// Brings the schema to [`NEWEST`]. One that this binary works with is only read, so a service whose role may not change the
/// schema can start.
///
/// One connection is used, and none is kept for waiting, so that a pooler with a single connection to PostgreSQL is enough.
///
/// # Errors
/// As [`MigrationError`] lists them; a migration that fails leaves the schema at the version before it.
pub fn apply(server: &Server, pool: &PoolSettings, stop: &AtomicBool) -> Result<Migrated, MigrationError> {
    let mut client = Connector::new(server, pool, MIGRATION_TIMEOUT)?.connect()?;
    let deadline = Instant::now() + MIGRATION_TIMEOUT;
    let mut applied = 0;
    loop {
        let schema = Schema::ask(&mut client)?;
        if schema.ensure_known()? {
            return Ok(Migrated { applied, version: schema.version });
        }
        let pause = match apply_next(&mut client, schema.version + 1)? {
            Attempt::Applied(count) => {
                applied += count;
                Duration::ZERO
            }
            Attempt::OtherMigrates => LOCK_POLL_INTERVAL,
            Attempt::LockTimeout => {
                log::info!(version = schema.version + 1, next_after_s = PAUSE_AFTER_LOCK_TIMEOUT.as_secs();
                    "A table is in use, the migration tries again");
                PAUSE_AFTER_LOCK_TIMEOUT
            }
        };
        let next = Instant::now() + pause;
        if next > deadline {
            let waited = MIGRATION_TIMEOUT.as_secs();
            return Err(MigrationError::Failed(format!(
                "after {waited} s another instance still migrates, or a transaction still holds a table: end it \
                 (pg_stat_activity shows it), and try again"
            )));
        }
        while Instant::now() < next {
            if stop.load(Ordering::Relaxed) {
                return Err(MigrationError::Interrupted);
            }
            thread::sleep(STOP_POLL_INTERVAL);
        }
    }
}

/// What became of an attempt to migrate.
enum Attempt {
    /// So many migrations were applied.
    Applied(usize),
    /// Another instance migrates.
    OtherMigrates,
    /// A table was in use for [`LOCK_TIMEOUT`].
    LockTimeout,
}

/// Applies the migration of this version, in a transaction of its own that ends with the attempt. Each migration has its own, so
/// that the locks of one are not held while the next one runs.
fn apply_next(client: &mut Client, version: i32) -> Result<Attempt, MigrationError> {
    let mut transaction = client.transaction()?;
    // It serializes instances that start together. Its key is the schema's, so that other schemas are not blocked.
    if !transaction.query_typed(LOCK, &[])?.iter().any(|row| row.get(0)) {
        transaction.rollback()?;
        return Ok(Attempt::OtherMigrates);
    }
    let [lock, statement] = [LOCK_TIMEOUT, MIGRATION_TIMEOUT].map(|timeout| timeout.as_millis().to_string());
    transaction.query_typed(TIMEOUTS, &[(&lock, Type::TEXT), (&statement, Type::TEXT)])?;
    let runner = embedded::migrations::runner().set_target(Target::Version(version));
    match runner.run(&mut InTransaction(&mut transaction)) {
        Ok(report) => {
            transaction.commit()?;
            Ok(Attempt::Applied(report.applied_migrations().len()))
        }
        Err(error) if is_lock_timeout(&error) => {
            transaction.rollback()?;
            Ok(Attempt::LockTimeout)
        }
        Err(error) => Err(MigrationError::Failed(root_cause(&error))),
    }
}

/// Whether a lock was not free in time, or PostgreSQL chose the migration to end a deadlock.
fn is_lock_timeout(error: &refinery::Error) -> bool {
    let mut causes = iter::successors(Some(error as &dyn StdError), |&error| error.source());
    let code = causes.find_map(|cause| cause.downcast_ref::<postgres::Error>()?.code());
    matches!(code, Some(&SqlState::LOCK_NOT_AVAILABLE | &SqlState::T_R_DEADLOCK_DETECTED))
}

/// A transaction in which refinery executes everything, and which it neither begins nor ends.
struct InTransaction<'a, 'b>(&'a mut Transaction<'b>);

impl refinery_traits::Transaction for InTransaction<'_, '_> {
    type Error = postgres::Error;

    fn execute<'a, T: Iterator<Item = &'a str>>(&mut self, queries: T) -> Result<usize, postgres::Error> {
        queries.map(|query| self.0.batch_execute(query).map(|()| 1)).sum()
    }
}

impl refinery_traits::Query<Vec<Migration>> for InTransaction<'_, '_> {
    fn query(&mut self, query: &str) -> Result<Vec<Migration>, postgres::Error> {
        let applied = |row: &Row| {
            let checksum = row.get::<_, &str>(3).parse().unwrap_or(0);
            // refinery compares version, name and checksum; when it was applied does not matter to it.
            Migration::applied(row.get(0), row.get(1), SystemTime::UNIX_EPOCH.into(), checksum)
        };
        Ok(self.0.query_typed(query, &[])?.iter().map(applied).collect())
    }
}

impl refinery_traits::Migrate for InTransaction<'_, '_> {}

/// Fails if the role of the service lacks a privilege that serving needs. A server that only reads passes: a standby can become
/// the primary one later. Returns what the operator should know of the settings of its connections.
///
/// # Errors
/// [`MigrationError::Privileges`], or when the database cannot be reached or does not answer.
pub fn verify(server: &Server, pool: &PoolSettings) -> Result<Option<String>, MigrationError> {
    let mut client = Connector::new(server, pool, pool.query_timeout)?.connect()?;
    let rights = ask_rights(&mut client)?;
    if !rights.missing.is_empty() {
        return Err(MigrationError::Privileges(Rights { read_only: false, ..rights }));
    }
    Ok(session_settings::warning(&mut client, pool.query_timeout)?)
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
    /// The schema.
    pub schema: Schema,
    /// What the role may do.
    pub rights: Rights,
    /// Connections that the server, the database and the role allow.
    pub max_connections: u32,
    /// Its storage.
    pub storage: ServerStorage,
    /// How statements are executed.
    pub statements: StatementMode,
    /// What the operator should know of the settings of a connection.
    pub settings_warning: Option<String>,
}

/// Connects once and reads these, without changing anything.
///
/// # Errors
/// When the database cannot be reached or does not answer.
pub fn inspect(server: &Server, pool: &PoolSettings) -> Result<ServerFindings, MigrationError> {
    let connector = Connector::new(server, pool, pool.query_timeout)?;
    let mut client = connector.connect()?;
    let rows = client.query_typed(include_str!("../../sql/schema/server.sql"), &[])?;
    let row = rows.first().ok_or_else(|| MigrationError::Failed("the server did not say what it is".to_owned()))?;
    let schema = Schema::ask(&mut client)?;
    let rights = ask_rights(&mut client)?;
    let storage = ServerStorage::ask(&mut client).map_err(MigrationError::Failed)?;
    let statements = StatementMode::find(&mut client, connector.sockets())?;
    let settings_warning = session_settings::warning(&mut client, pool.query_timeout)?;
    let max_connections = u32::try_from(row.get::<_, i32>("max_connections")).unwrap_or(0);
    let (version, tls) = (row.get("version"), row.get("tls"));
    Ok(ServerFindings { version, tls, schema, rights, max_connections, storage, statements, settings_warning })
}
