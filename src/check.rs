//! `safespace check`: prints what the service would start with, and whether the database can be used.

use std::fmt::{self, Write};

use crate::app::{self, StartError};
use crate::companion;
use crate::config::{self, Config};
use crate::private_postgres::PrivatePostgres;
use crate::store::migrations::{self, MigrationError};
use crate::store::{Findings, inspect};

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
    for warning in app::warnings(config) {
        report.line("Warning", warning);
    }
    report.line("Companion", &config.companion);
    companion::build(&config.companion)?;
    match &config.database {
        config::Database::Server(server) => {
            report.line("Database", server);
            report.findings(&inspect(server, &config.pool)?)?;
        }
        config::Database::Private(private) => {
            let installed = PrivatePostgres::installed(private)?;
            let (version, folder) = (installed.version, installed.folder.display());
            report.line("Database", format_args!("private, in {}", private.data_folder.display()));
            report.line("Binaries", format_args!("PostgreSQL {version} in {folder}"));
            if PrivatePostgres::is_running(private) {
                report.findings(&inspect(&PrivatePostgres::server(private), &config.pool)?)?;
            } else {
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
