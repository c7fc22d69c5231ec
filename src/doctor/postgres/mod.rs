//! PostgreSQL: what it is asked, and what is judged of the answers.
//!
//! - `facts`: what is asked; the others are functions of it.
//! - `log`: what its log tells; `copies`: what keeps older states; `durability`: what can be lost; `role`: who may do what;
//!   `upkeep`: vacuum, connections, version.

mod checks;
mod copies;
mod durability;
mod facts;
mod log;
mod role;
mod upkeep;

use std::path::PathBuf;
use std::time::Duration;

use chrono::NaiveDate;

use super::finding::Report;
use super::host;
use crate::config::{Config, Database, Environment, PoolSettings, Server, StorageReserve};
use crate::private_postgres::PrivatePostgres;
use crate::store::migrations::NEWEST;
use crate::store::{Disk, Store};
pub(super) use checks::ALL;
use durability::Network;
use facts::{Facts, ReadError};

/// The time for a connection, and for each statement.
const TIMEOUT: Duration = Duration::from_secs(5);

/// What is asked, as far as it comes from the configuration.
pub(super) struct Target {
    server: Server,
    pool: PoolSettings,
    /// The data folder of the private PostgreSQL.
    private_folder: Option<PathBuf>,
    is_production: bool,
    reserve: StorageReserve,
    /// How many connections the service opens.
    opened: u32,
}

impl Target {
    /// The PostgreSQL of a configuration; `None` for a private one that does not run, which `report` then says.
    pub(super) fn find(config: &Config, report: &mut Report) -> Option<Target> {
        let (server, private_folder) = match &config.database {
            Database::Server(server) => ((**server).clone(), None),
            Database::Private(private) if PrivatePostgres::is_running(private) => {
                (PrivatePostgres::server(private), Some(private.data_folder.clone()))
            }
            Database::Private(_) => {
                report.skip(
                    "PostgreSQL",
                    "it is the private one, which runs only while the service does",
                    "start that",
                );
                return None;
            }
        };
        let pool = &config.pool;
        let bounded = |timeout: Duration| timeout.min(TIMEOUT);
        Some(Target {
            server,
            pool: PoolSettings {
                query_timeout: bounded(pool.query_timeout),
                connection_timeout: bounded(pool.connection_timeout),
                ..pool.clone()
            },
            private_folder,
            is_production: config.environment == Environment::Production,
            reserve: config.storage.reserve,
            opened: Store::max_connections(pool),
        })
    }

    /// Asks and judges.
    pub(super) fn examine(&self, today: NaiveDate) -> Report {
        let mut report = Report::default();
        match facts::read(&self.server, &self.pool, TIMEOUT) {
            Ok(facts) => self.judge(&facts, today, &mut report),
            Err(ReadError::Unusable(reason)) => {
                report.find(checks::UNREACHABLE, format_args!("{}: {reason}", self.server));
            }
            Err(ReadError::NotAnswered(reason)) => report.skip(
                "the settings and the state of PostgreSQL",
                format_args!("it did not answer a question: {reason}"),
                "look whether its version is one that docs/setup.md names",
            ),
        }
        report
    }

    fn judge(&self, facts: &Facts, today: NaiveDate, report: &mut Report) {
        let (found, known) = (facts.findings.schema.version, NEWEST);
        if found < known {
            report.find(checks::SCHEMA_BEHIND, format_args!("the schema has version {found}, and this binary {known}"));
        } else if found > known {
            report.find(checks::SCHEMA_AHEAD, format_args!("the schema has version {found}, and this binary {known}"));
        }
        if let Some(warning) = &facts.findings.settings_warning {
            report.find(checks::SESSION_SETTINGS, warning);
        }
        log::judge(&facts.settings, report);
        copies::judge(facts, self.disk(facts), report);
        let network = Network { is_local: self.server.is_on_this_machine(), ssl_mode: self.server.ssl_mode };
        durability::judge(facts, network, report);
        // The role of the private one owns it, and nobody else comes to its socket.
        if self.private_folder.is_none() {
            role::judge(facts, self.is_production, report);
        }
        upkeep::judge(facts, self.opened, today, report);
        if self.pool.is_distributed {
            report.skip(
                "the workers of Citus",
                "only the coordinator is asked",
                "run the doctor with DATABASE_URL naming each of them",
            );
        }
        host::judge_clock(facts.state.clock_ahead, report);
        if let (true, None, Some(folder)) =
            (self.server.is_on_this_machine(), &self.private_folder, &facts.findings.storage.data_folder)
        {
            host::judge_data_folder(folder, report);
        }
    }

    /// The disk of the data folder, where it is here and a reserve is kept on it.
    fn disk(&self, facts: &Facts) -> Option<Disk> {
        let told = facts.findings.storage.data_folder.clone().filter(|_| self.server.is_on_this_machine());
        let folder = self.private_folder.clone().or(told).filter(|folder| folder.exists())?;
        let keeps_reserve = self.reserve != StorageReserve::Bytes(0);
        Disk::measure(&folder, self.reserve).filter(|_| keeps_reserve)
    }
}
