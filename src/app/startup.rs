//! What precedes serving: the database, the limits of the server, and why a start fails.

use std::fmt::Write;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use chrono::Utc;

use crate::companion::{self, BuildError};
use crate::config::{
    self, ByAddress, Config, Database, Environment, PoolSettings, PrivateServer, ProtectionSettings, Server,
    StorageReserve,
};
use crate::data_file::FileError;
use crate::http::{self, Limits};
use crate::peers::{Distinct, Peers};
use crate::private_postgres::{self, NamedPrograms, PrivatePostgres, PrivatePostgresError};
use crate::resources::Registry;
use crate::store::distribution;
use crate::store::migrations::{self, Migrated, MigrationError};
use crate::store::{DataLocation, Disk, LossRisk, Store};

/// Attempts to reach the database. After the first the service waits one second, after the second two.
const MAX_ATTEMPTS: u32 = 3;

/// Descriptors of everything else: the log, the private PostgreSQL, signals, the poller, clients that scrape the metrics.
const OTHER_DESCRIPTORS: usize = 160;

/// Fewer connections than this are of no use, whatever the limit on descriptors.
const MIN_CONNECTIONS: usize = 16;

/// `max_wal_size` of the private PostgreSQL in MiB: PostgreSQL's default at most, and four segments at least.
const MAX_WAL_MIB: u64 = 1024;
const MIN_WAL_MIB: u64 = 64;

// The configuration allows as many header fields as the parser has room for.
const _: () = assert!(config::MAX_HEAD_FIELDS == http::MAX_FIELDS);

/// Why the service did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The private PostgreSQL did not start.
    #[error(transparent)]
    Private(PrivatePostgresError),
    /// The database cannot be reached or used.
    #[error("the database is not usable: {0}")]
    Database(#[from] MigrationError),
    /// In production, PostgreSQL can lose what it has acknowledged, and `DB_LOSS_ACCEPTED` is not set.
    #[error("PostgreSQL can lose what it has acknowledged: {0}; or set DB_LOSS_ACCEPTED=true to accept that")]
    LossRisk(LossRisk),
    /// The address, `APP_HOST:APP_PORT` or `METRICS_HOST:METRICS_PORT`, cannot be listened on.
    #[error("cannot listen on {0}: {1}")]
    Listen(String, io::Error),
    /// A file of texts cannot be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// The companion cannot be built as configured.
    #[error("the companion is not usable: {0}")]
    Companion(#[from] BuildError),
    /// `upgrade-data` for a PostgreSQL that is administered elsewhere.
    #[error(
        "upgrade-data is for the private PostgreSQL, and the configuration names another one; upgrade that with pg_upgrade"
    )]
    NotPrivate,
    /// The operating system does not let signals be handled.
    #[error("cannot wait for signals: {0}")]
    Signals(io::Error),
    /// `safespace check` found why the service would not serve, each in one line.
    #[error("it would not serve: {}", .0.join("\n  and: "))]
    WouldNotServe(Vec<String>),
    /// `safespace doctor` found so many serious faults, which its report has.
    #[error("serious faults of the deployment: {0}")]
    SeriousFaults(usize),
    /// A signal came before the new data was in use.
    #[error("interrupted; the old data is unchanged")]
    UpgradeInterrupted,
    /// A signal came before the service was up.
    #[error("stopped while starting")]
    Interrupted,
}

impl From<PrivatePostgresError> for StartError {
    fn from(error: PrivatePostgresError) -> StartError {
        match error {
            PrivatePostgresError::Interrupted => StartError::Interrupted,
            error => StartError::Private(error),
        }
    }
}

/// Brings the schema up to date and returns its version. A private PostgreSQL is started for it unless it runs.
///
/// # Errors
/// As [`StartError`].
pub fn migrate(config: &Config, stop: &AtomicBool) -> Result<i32, StartError> {
    let (server, _postgres) = match &config.database {
        Database::Private(private) if PrivatePostgres::is_running(private) => (PrivatePostgres::server(private), None),
        _ => open_database(config, stop)?,
    };
    let version = migrate_with_retries(&server, &config.pool, stop)?;
    if config.pool.is_distributed {
        distribution::refresh(&server, &config.pool)?;
    }
    Ok(version)
}

/// Brings the data of the private PostgreSQL to a newer major version, and returns what to do next. `on_line` gets the progress.
///
/// # Errors
/// As [`StartError`]; the old data is as it was then.
pub fn upgrade_data(
    config: &Config,
    programs: &NamedPrograms,
    stop: &AtomicBool,
    on_line: &mut dyn FnMut(&str),
) -> Result<String, StartError> {
    let upgrade = private_postgres::upgrade(private_server(config)?, programs, stop, on_line);
    let upgrade = upgrade.map_err(|error| match error {
        PrivatePostgresError::Interrupted => StartError::UpgradeInterrupted,
        error => error.into(),
    })?;
    let mut report = format!(
        "The data is of PostgreSQL {} now. That of PostgreSQL {} is kept in {}, with all that people delete from now on.\n\
         Start SafeSpace and look whether everything is there. Then run: safespace upgrade-data --delete-old",
        upgrade.to,
        upgrade.from,
        upgrade.kept.display()
    );
    if let Some(folder) = upgrade.set_pg_bin {
        let _ = write!(report, "\nSet PG_BIN={} before you start SafeSpace.", folder.display());
    }
    Ok(report)
}

/// Deletes the data that [`upgrade_data`] has kept, and returns its folders.
///
/// # Errors
/// As [`StartError`]; there may be none.
pub fn delete_old_data(config: &Config) -> Result<Vec<PathBuf>, StartError> {
    Ok(private_postgres::delete_old_data(private_server(config)?)?)
}

fn private_server(config: &Config) -> Result<&PrivateServer, StartError> {
    match &config.database {
        Database::Private(private) => Ok(private),
        Database::Server(_) => Err(StartError::NotPrivate),
    }
}

/// Where the database is, after starting it if it is the service's own.
pub(super) fn open_database(
    config: &Config,
    stop: &AtomicBool,
) -> Result<(Server, Option<PrivatePostgres>), StartError> {
    match &config.database {
        Database::Server(server) => Ok(((**server).clone(), None)),
        Database::Private(private) => {
            let max_connections = PrivatePostgres::max_connections(Store::max_connections(&config.pool));
            let max_wal_size = max_wal_size(private, config.storage.reserve);
            let minimal_wal = PrivatePostgres::MINIMAL_WAL.map(str::to_owned);
            let settings = [&[max_connections, max_wal_size], minimal_wal.as_slice()].concat();
            let mut postgres = PrivatePostgres::start(private, &settings, stop)?;
            postgres.remove_wal_soon();
            Ok((PrivatePostgres::server(private), Some(postgres)))
        }
    }
}

/// The setting that keeps the write-ahead log within the reserve of the disk: it grows while sessions are deleted.
fn max_wal_size(private: &PrivateServer, reserve: StorageReserve) -> String {
    let reserve_mib = Disk::measure(&private.data_folder, reserve).map_or(0, |disk| disk.reserve >> 20);
    let size = if reserve_mib == 0 { MAX_WAL_MIB } else { reserve_mib.clamp(MIN_WAL_MIB, MAX_WAL_MIB) };
    format!("max_wal_size={size}MB")
}

/// Where the data folder of the database is.
pub(super) fn data_location(config: &Config) -> DataLocation {
    match &config.database {
        Database::Private(private) => DataLocation::Local(private.data_folder.clone()),
        Database::Server(server) if server.is_on_this_machine() => DataLocation::AskServer,
        Database::Server(_) => DataLocation::Remote,
    }
}

/// Asks the database; again if it is not reached yet: services and databases are often started together, and a pooler may reload.
fn ask_with_retries<T>(
    server: &Server,
    stop: &AtomicBool,
    ask: impl Fn() -> Result<T, MigrationError>,
) -> Result<T, StartError> {
    let mut attempt = 1;
    loop {
        let reason = match ask() {
            Ok(answer) => return Ok(answer),
            Err(MigrationError::Connect(reason)) => reason,
            Err(MigrationError::Interrupted) => return Err(StartError::Interrupted),
            Err(error) => return Err(error.into()),
        };
        log::warn!(attempt, of = MAX_ATTEMPTS, database:% = server, reason:% = reason; "Database not reached");
        if attempt == MAX_ATTEMPTS {
            return Err(MigrationError::Connect(reason).into());
        }
        for _ in 0..attempt * 20 {
            if stop.load(Ordering::Relaxed) {
                return Err(StartError::Interrupted);
            }
            thread::sleep(Duration::from_millis(50));
        }
        attempt += 1;
    }
}

/// Applies the migrations, and distributes the tables where they must be. Returns the version of the schema.
pub(super) fn migrate_with_retries(server: &Server, pool: &PoolSettings, stop: &AtomicBool) -> Result<i32, StartError> {
    let Migrated { applied, version } = ask_with_retries(server, stop, || migrations::apply(server, pool, stop))?;
    if applied > 0 {
        log::info!(applied, version; "Schema migrated");
    } else if version > migrations::NEWEST {
        log::info!(version, known = migrations::NEWEST; "The schema is newer than this version, and works with it");
    }
    let tables = distribution::ensure(server, pool, stop).map_err(|error| match error {
        MigrationError::Interrupted => StartError::Interrupted,
        error => error.into(),
    })?;
    if tables > 0 {
        log::info!(tables; "Tables distributed");
    }
    Ok(version)
}

/// Whether a risk that PostgreSQL loses what it has acknowledged keeps the service from starting.
#[must_use]
pub fn refuses_risk(config: &Config) -> bool {
    config.environment == Environment::Production && !config.is_loss_accepted
}

/// Refuses the start if PostgreSQL can lose what it has acknowledged. Where that is accepted, a watch logs it.
pub(super) fn ensure_durability(server: &Server, config: &Config, stop: &AtomicBool) -> Result<(), StartError> {
    if config.pool.is_distributed {
        log::info!("{ONLY_COORDINATOR}");
    }
    if !refuses_risk(config) {
        return Ok(());
    }
    let risk = ask_with_retries(server, stop, || LossRisk::find(server, &config.pool))?;
    risk.map_or(Ok(()), |risk| Err(StartError::LossRisk(risk)))
}

/// What is not found where Citus distributes the tables.
pub const ONLY_COORDINATOR: &str = "Only the coordinator is asked whether it can lose commits and whether they hang: \
     see to fsync, synchronous_commit and synchronous standbys of each worker yourself";

/// What the operator should know although the service can start.
#[must_use]
pub fn warnings(config: &Config) -> Vec<String> {
    let mut warnings = config.warnings();
    let (workers, max_blocked) = (config.http.workers, Store::MAX_BLOCKED_CALLERS);
    if workers <= max_blocked {
        warnings.push(format!(
            "APP_WORKERS is {workers} and should be more than {max_blocked}: a database that hangs can block that many \
             workers, and none is left to answer"
        ));
    }
    warnings
}

/// What the operator should know of the files of texts although they can be used.
#[must_use]
pub fn text_warnings(config: &Config, resources: &Registry) -> Vec<String> {
    let mut warnings = companion::warnings(&config.companion, resources);
    let days = config.texts.resources_max_age_days;
    let (count, all) = (resources.unverified(days, Utc::now().date_naive()).len(), resources.resources.len());
    if count > 0 {
        warnings.push(format!(
            "{count} of {all} help lines were not verified in the last {days} days: a person must call each of them, or write \
             to it, and then set verified_at in the file of RESOURCES; `safespace check` lists them"
        ));
    }
    warnings
}

/// What tells clients apart by their addresses.
pub(super) fn peers(settings: &ProtectionSettings) -> Peers {
    Peers::new(match settings.by_address {
        _ if !settings.rate_limit => Distinct::None,
        ByAddress::Off => Distinct::None,
        ByAddress::Auto => Distinct::Public,
        ByAddress::On => Distinct::All,
    })
}

/// Descriptors that the service can need besides those of its clients' connections.
#[must_use]
pub fn needed_descriptors(config: &Config) -> usize {
    configured_limits(config).extra_descriptors()
        + Store::max_descriptors(&config.pool)
        + companion::max_descriptors(&config.companion)
        + OTHER_DESCRIPTORS
}

fn configured_limits(config: &Config) -> Limits {
    let settings = &config.http;
    Limits {
        workers: settings.workers,
        max_request_line_bytes: settings.max_request_line_bytes,
        max_head_bytes: settings.max_head_bytes,
        max_head_fields: settings.max_head_fields,
        max_body_bytes: settings.max_body_bytes,
        max_connections: settings.max_connections,
        max_queued: settings.max_queued,
        max_answer_bytes: settings.answer_memory,
        head_timeout: settings.head_timeout,
        body_timeout: settings.body_timeout,
        idle_timeout: settings.idle_timeout,
        write_timeout: settings.write_timeout,
        min_response_rate: settings.min_response_rate,
        request_timeout: settings.request_timeout,
    }
}

/// The limits of the server. It accepts no more connections than there are descriptors for: a client can be refused, while a
/// database that cannot be reached for want of a descriptor fails every client.
pub(super) fn server_limits(config: &Config) -> Limits {
    let mut limits = configured_limits(config);
    let descriptors = http::raise_limit().unwrap_or_else(|error| {
        log::warn!(error:%; "The limit on open descriptors is not known");
        u64::MAX
    });
    let needed = needed_descriptors(config);
    let room = usize::try_from(descriptors).unwrap_or(usize::MAX).saturating_sub(needed).max(MIN_CONNECTIONS);
    if room < limits.max_connections {
        log::warn!(descriptors, connections = room; "The limit on open descriptors allows fewer than APP_MAX_CONNECTIONS");
        limits.max_connections = room;
    }
    limits
}
