//! The whole configuration, and the warnings about it.

use std::collections::HashMap;

use super::companion::{self, CompanionSettings};
use super::database::{self, Database};
use super::dotenv;
use super::environment::{ENVIRONMENTS, Environment};
use super::http::{self, Address, HttpSettings};
use super::logging::{self, LogSettings};
use super::pool::{self, PoolSettings};
use super::reader::{Problems, Reader};
use super::tls::SslMode;
use super::variables::is_known;

/// Prefixes of this program's variables. An unknown variable with one of them is most likely misspelled.
const PREFIXES: [&str; 5] = ["APP_", "COMPANION_", "DB_", "METRICS_", "SAFESPACE_"];

/// The configuration of the service.
#[derive(Debug)]
pub struct Config {
    /// The PostgreSQL that stores the data.
    pub database: Database,
    /// Sizes and timeouts of the connections to it.
    pub pool: PoolSettings,
    /// The HTTP server.
    pub http: HttpSettings,
    /// The companion that answers in a chat.
    pub companion: CompanionSettings,
    /// The address of the metrics; `None` turns them off.
    pub metrics: Option<Address>,
    /// The log.
    pub log: LogSettings,
    /// Development or production.
    pub environment: Environment,
    /// Variables with a prefix of this program's that do not exist.
    pub unknown_variables: Vec<String>,
}

impl Config {
    /// Reads the environment and, outside production, the `.env` in the working folder; the environment takes precedence.
    ///
    /// # Errors
    /// All problems together.
    pub fn from_environment() -> Result<Config, Problems> {
        let (variables, mut problems) = dotenv::variables();
        match Config::from_variables(&variables) {
            Ok(config) if problems.is_empty() => Ok(config),
            Ok(_) => Err(Problems(problems)),
            Err(Problems(more)) => {
                problems.extend(more);
                Err(Problems(problems))
            }
        }
    }

    /// Reads a given set of variables, and the files they name.
    ///
    /// # Errors
    /// All problems together.
    pub fn from_variables(variables: &HashMap<String, String>) -> Result<Config, Problems> {
        let mut reader = Reader::new(variables);
        let environment = reader.choice("ENVIRONMENT", &ENVIRONMENTS);
        let database = database::read(&mut reader, environment);
        let http = http::read(&mut reader);
        let config = Config {
            database,
            pool: pool::read(&mut reader),
            companion: companion::read(&mut reader, http.request_timeout),
            http,
            metrics: http::read_metrics(&mut reader),
            log: logging::read(&mut reader),
            environment,
            unknown_variables: unknown_variables(variables),
        };
        reader.finish(config)
    }

    /// What the operator should know although the service can start.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let unknown = |name: &String| format!("{name} is set and means nothing; --help lists the variables there are");
        let mut warnings: Vec<String> = self.unknown_variables.iter().map(unknown).collect();
        warnings.extend(self.companion.warnings.iter().cloned());
        if let Database::Server(server) = &self.database {
            let is_plain_text = server.ssl_mode < SslMode::Require && !server.is_on_this_machine();
            if self.environment == Environment::Production && is_plain_text {
                let text =
                    "DB_SSLMODE is weaker than 'require': whoever is on the way to PostgreSQL can read everything";
                warnings.push(text.to_owned());
            }
        }
        warnings
    }
}

fn unknown_variables(variables: &HashMap<String, String>) -> Vec<String> {
    let is_unknown = |name: &str| PREFIXES.iter().any(|prefix| name.starts_with(prefix)) && !is_known(name);
    let mut unknown: Vec<String> = variables.keys().filter(|name| is_unknown(name)).cloned().collect();
    unknown.sort_unstable();
    unknown
}
