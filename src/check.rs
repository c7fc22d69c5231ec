//! `safespace check`: prints what the service would start with, and whether the database can be used.

use std::fmt::{self, Write};
use std::path::Path;

use crate::app::{self, StartError};
use crate::companion;
use crate::config::{self, Config, StorageReserve, StorageSettings};
use crate::private_postgres::PrivatePostgres;
use crate::store::migrations::{self, MigrationError};
use crate::store::{Disk, Findings, ServerStorage, Usage, inspect};

/// Reads the configuration and the database, changes neither, and appends its findings to `findings`, one line each.
///
/// # Errors
/// When the companion cannot be built, the database cannot be reached, or no PostgreSQL is installed for the private one.
/// The findings up to there remain.
pub fn check(config: &Config, findings: &mut String) -> Result<(), StartError> {
    let mut report = Report(findings);
    report.line("Environment", format_args!("{:?}", config.environment));
    report.line("Address", format_args!("{}, {} workers", config.http.address, config.http.workers));
    if let Some(address) = &config.metrics {
        report.line("Metrics", address);
    }
    report.line("Pool", format_args!("{} to {} connections", config.pool.min_size, config.pool.max_size));
    report.line("Limits", &config.protection);
    report.line("Sessions", config.session_limits);
    for warning in app::warnings(config) {
        report.line("Warning", warning);
    }
    report.line("Companion", &config.companion);
    companion::build(&config.companion)?;
    match &config.database {
        config::Database::Server(server) => {
            report.line("Database", server);
            let findings = inspect(server, &config.pool)?;
            report.findings(&findings)?;
            let local =
                findings.storage.data_folder.clone().filter(|folder| server.is_on_this_machine() && folder.exists());
            report.storage(config, local.as_deref(), Some(&findings.storage));
        }
        config::Database::Private(private) => {
            let installed = PrivatePostgres::installed(private)?;
            let (version, folder) = (installed.version, installed.folder.display());
            report.line("Database", format_args!("private, in {}", private.data_folder.display()));
            report.line("Binaries", format_args!("PostgreSQL {version} in {folder}"));
            let folder = Some(private.data_folder.as_path());
            if PrivatePostgres::is_running(private) {
                let findings = inspect(&PrivatePostgres::server(private), &config.pool)?;
                report.findings(&findings)?;
                report.storage(config, folder, Some(&findings.storage));
            } else {
                report.storage(config, folder, None);
                report.line("PostgreSQL", "not running; it starts and stops with the service");
            }
        }
    }
    Ok(())
}

struct Report<'a>(&'a mut String);

impl Report<'_> {
    fn line(&mut self, name: &str, value: impl fmt::Display) {
        let _ = writeln!(self.0, "{name:<12} {value}");
    }

    /// The room for the database, where it can be measured: on the disk of `folder`, and below `DB_MAX_BYTES`.
    fn storage(&mut self, config: &Config, folder: Option<&Path>, server: Option<&ServerStorage>) {
        let StorageSettings { reserve, max_database_bytes } = config.storage;
        let folder = folder.filter(|_| reserve != StorageReserve::Bytes(0));
        let usage = Usage {
            disk: folder.and_then(|folder| Disk::measure(folder, reserve)),
            database_bytes: server.map(|server| server.database_bytes),
            max_database_bytes,
        };
        if usage.disk.is_some() || (max_database_bytes.is_some() && server.is_some()) {
            self.line("Storage", usage);
        } else if reserve == StorageReserve::Bytes(0) {
            self.line("Storage", "no reserve (STORAGE_RESERVE is 0)");
        } else if max_database_bytes.is_none() {
            let grant = "GRANT pg_read_all_settings to the role, if PostgreSQL is on this machine";
            self.line(
                "Warning",
                format_args!("the disk of PostgreSQL cannot be measured: set DB_MAX_BYTES, or {grant}"),
            );
        }
        if usage.is_full(false) {
            self.line("Warning", "the storage is full: new sessions and messages get 503");
        }
        let max_wal = server.map(|server| server.max_wal_bytes);
        if let Some((Disk { reserve, .. }, max_wal)) = usage.disk.zip(max_wal)
            && max_wal > reserve
        {
            let remedy = "PostgreSQL's log can fill the disk while sessions are deleted; lower max_wal_size or set STORAGE_RESERVE";
            let max_wal = max_wal >> 20;
            self.line("Warning", format_args!("max_wal_size, {max_wal} MiB, is more than the reserve: {remedy}"));
        }
    }

    /// # Errors
    /// When the schema is newer than this binary.
    fn findings(&mut self, findings: &Findings) -> Result<(), MigrationError> {
        let tls = findings.tls.as_deref().unwrap_or("no TLS");
        self.line("PostgreSQL", format_args!("{}, {tls}", findings.version));
        let (found, known) = (findings.schema, migrations::NEWEST);
        if found > known {
            return Err(MigrationError::Newer { found, known });
        }
        let version = if found == 0 { "none yet".to_owned() } else { format!("version {found}") };
        if found == known {
            self.line("Schema", format_args!("{version}, current"));
        } else {
            let next = "starting, or `safespace migrate`, brings it to version";
            self.line("Schema", format_args!("{version}; {next} {known}"));
        }
        Ok(())
    }
}
