//! `safespace check`: says what the service would start with, and whether the database is as it should be.

use std::fmt::{self, Write};

use postgres::config::Host;

use crate::app::StartError;
use crate::config::{self, Config, Server};
use crate::store::migrations;
use crate::store::private::PrivatePostgres;
use crate::store::{Findings, inspect};

/// Looks at the configuration and the database, changes neither, and returns what it found, a line each.
///
/// # Errors
/// When the database cannot be reached, or there is no PostgreSQL to keep a private one.
pub fn check(config: &Config) -> Result<String, StartError> {
    let mut report = Report::default();
    report.line("Environment", format_args!("{:?}", config.environment));
    report.line("Address", format_args!("{}:{}, {} workers", config.http.host, config.http.port, config.http.workers));
    match &config.database {
        config::Database::Server(server) => {
            report.line("Database", Place(server));
            report.findings(&inspect(server, &config.pool)?);
        }
        config::Database::Private(private) => {
            let installed = PrivatePostgres::installed(private)?;
            let (version, folder) = (installed.version, installed.folder.display());
            report.line("Database", format_args!("private, in {}", private.data_folder.display()));
            report.line("Binaries", format_args!("PostgreSQL {version} in {folder}"));
            if PrivatePostgres::is_running(private) {
                report.findings(&inspect(&PrivatePostgres::server(private), &config.pool)?);
            } else {
                report.line("PostgreSQL", "not running; it starts and stops with the service");
            }
        }
    }
    let pool = &config.pool;
    report.line("Pool", format_args!("{} to {} connections", pool.min_size, pool.max_size));
    if let Some(warning) = config.warning() {
        report.line("Warning", warning);
    }
    Ok(report.0)
}

#[derive(Default)]
struct Report(String);

impl Report {
    fn line(&mut self, name: &str, value: impl fmt::Display) {
        let _ = writeln!(self.0, "{name:<12} {value}");
    }

    fn findings(&mut self, findings: &Findings) {
        let tls = findings.tls.as_deref().unwrap_or("no TLS");
        self.line("PostgreSQL", format_args!("{}, {tls}", findings.version));
        let (found, known) = (findings.schema, migrations::newest());
        match found {
            0 => self.line(
                "Schema",
                format_args!("none yet; starting, or `safespace migrate`, brings it to version {known}"),
            ),
            _ if found == known => self.line("Schema", format_args!("version {found}, current")),
            _ => self.line("Schema", format_args!("version {found}; this binary needs version {known}")),
        }
    }
}

/// A database's place, without its password.
struct Place<'a>(&'a Server);

impl fmt::Display for Place<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let connect = &self.0.connect;
        let user = connect.get_user().unwrap_or("(the system's user)");
        write!(formatter, "{} as {user} at ", connect.get_dbname().unwrap_or(user))?;
        for (number, host) in connect.get_hosts().iter().enumerate() {
            // One port holds for all hosts, or there is one for each.
            let port = connect.get_ports().get(number).or(connect.get_ports().first()).copied().unwrap_or(5432);
            let separator = if number == 0 { "" } else { ", " };
            match host {
                Host::Tcp(name) => write!(formatter, "{separator}{name}:{port}")?,
                Host::Unix(folder) => write!(formatter, "{separator}{}", folder.display())?,
            }
        }
        Ok(())
    }
}
