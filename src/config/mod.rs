//! Every setting, read once from the environment and `.env`, with all problems reported together.

mod database;
mod reader;
mod variables;

use std::collections::HashMap;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use log::LevelFilter;

pub use database::{Authorities, Database, PrivateServer, Server, SslMode};
pub use reader::Problems;
pub use variables::{VARIABLES, Variable};

use reader::Reader;

/// What the service was told to be.
#[derive(Debug)]
pub struct Config {
    /// Where the data lives.
    pub database: Database,
    /// Sizes and deadlines of the connections to it.
    pub pool: Pool,
    /// How it listens and answers.
    pub http: Http,
    /// What it logs.
    pub log: Log,
    /// Development or production.
    pub environment: Environment,
}

/// Sizes and deadlines of the database connections (`DB_POOL_*`, `DB_*_TIMEOUT`).
#[derive(Debug, Clone)]
pub struct Pool {
    /// Idle connections kept ready; never more than `max_size`.
    pub min_size: u32,
    /// Connections open at most.
    pub max_size: u32,
    /// A statement is cancelled by PostgreSQL after this.
    pub query_timeout: Duration,
    /// Opening one connection is given up after this.
    pub connection_timeout: Duration,
    /// A request waits this long for a connection.
    pub acquire_timeout: Duration,
}

/// How the service listens and answers (`APP_*`).
#[derive(Debug)]
pub struct Http {
    /// Name or address to listen on.
    pub host: String,
    /// Port to listen on; 0 for a free one.
    pub port: u16,
    /// Threads that answer requests.
    pub workers: usize,
    /// Bytes a request body may have.
    pub max_body_bytes: usize,
    /// How long requests in flight may take after a signal to stop.
    pub shutdown_grace: Duration,
}

/// What is logged and how (`LOG_*`, `RUST_LOG`).
#[derive(Debug)]
pub struct Log {
    /// Least severe level that is logged.
    pub level: LevelFilter,
    /// A filter in `env_logger`'s syntax that wins over `level`.
    pub filter: Option<String>,
    /// The form of a line.
    pub format: LogFormat,
}

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// `time level message key=value …`, for people.
    Text,
    /// One JSON object a line, for collectors.
    Json,
}

impl FromStr for LogFormat {
    type Err = ();

    fn from_str(text: &str) -> Result<LogFormat, ()> {
        match text {
            "text" => Ok(LogFormat::Text),
            "json" => Ok(LogFormat::Json),
            _ => Err(()),
        }
    }
}

/// Where the service runs (`ENVIRONMENT`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Environment {
    /// On a developer's machine: reads `.env`, may keep a private PostgreSQL.
    Development,
    /// For real: no `.env`, and a PostgreSQL that somebody administers.
    Production,
}

impl FromStr for Environment {
    type Err = ();

    fn from_str(text: &str) -> Result<Environment, ()> {
        match text {
            "development" => Ok(Environment::Development),
            "production" => Ok(Environment::Production),
            _ => Err(()),
        }
    }
}

impl Config {
    /// Reads the environment and, outside production, the `.env` in the working folder; the environment wins.
    ///
    /// # Errors
    /// Every problem, together.
    pub fn from_environment() -> Result<Config, Problems> {
        let mut variables = HashMap::new();
        for (name, value) in std::env::vars_os() {
            // A variable that is not UTF-8 cannot be one of ours with a meaning; it stands as if it were not set.
            if let (Ok(name), Ok(value)) = (name.into_string(), value.into_string()) {
                variables.insert(name, value);
            }
        }
        let production =
            variables.get("ENVIRONMENT").is_some_and(|value| value.trim().eq_ignore_ascii_case("production"));
        if !production && Path::new(".env").exists() {
            add_dotenv(&mut variables)?;
        }
        Config::from_variables(&variables)
    }

    /// Reads a given set of variables and nothing else, except the files they name.
    ///
    /// # Errors
    /// Every problem, together.
    pub fn from_variables(variables: &HashMap<String, String>) -> Result<Config, Problems> {
        let mut reader = Reader::new(variables);
        let environment = reader.choice("ENVIRONMENT", "development, production");
        let config = Config {
            database: database::read(&mut reader, environment),
            pool: read_pool(&mut reader),
            http: Http {
                host: reader.text("APP_HOST"),
                port: reader.number("APP_PORT", 0..=u16::MAX),
                workers: reader.number("APP_WORKERS", 1..=1024),
                max_body_bytes: reader.number("APP_MAX_BODY_BYTES", 1024..=16 * 1024 * 1024),
                shutdown_grace: Duration::from_secs(reader.number("APP_SHUTDOWN_GRACE", 1..=300)),
            },
            log: Log {
                level: reader.choice("LOG_LEVEL", "off, error, warn, info, debug, trace"),
                filter: reader.set("RUST_LOG"),
                format: reader.choice("LOG_FORMAT", "text, json"),
            },
            environment,
        };
        reader.finish(config)
    }

    /// What an operator should know although the service starts.
    #[must_use]
    pub fn warning(&self) -> Option<&'static str> {
        let Database::Server(server) = &self.database else { return None };
        let readable = server.ssl_mode < SslMode::Require && !server.is_on_this_machine();
        (self.environment == Environment::Production && readable)
            .then_some("DB_SSLMODE is weaker than 'require': whoever is on the way to PostgreSQL can read everything")
    }
}

fn read_pool(reader: &mut Reader<'_>) -> Pool {
    let max_size = reader.number("DB_POOL_MAX_SIZE", 1..=1000);
    let mut min_size = reader.number("DB_POOL_MIN_SIZE", 0..=1000);
    if min_size > max_size {
        // Only a minimum that somebody chose can contradict the maximum; the default gives way.
        if reader.set("DB_POOL_MIN_SIZE").is_some() {
            reader.problem("DB_POOL_MIN_SIZE", format_args!("{min_size} is more than DB_POOL_MAX_SIZE, {max_size}"));
        }
        min_size = max_size;
    }
    Pool {
        min_size,
        max_size,
        query_timeout: Duration::from_secs(reader.number("DB_QUERY_TIMEOUT", 1..=3600)),
        connection_timeout: Duration::from_secs(reader.number("DB_CONNECTION_TIMEOUT", 1..=300)),
        acquire_timeout: Duration::from_millis(reader.number("DB_ACQUIRE_TIMEOUT_MS", 1..=60_000)),
    }
}

/// Adds what `.env` says of variables the environment does not have.
fn add_dotenv(variables: &mut HashMap<String, String>) -> Result<(), Problems> {
    // dotenvy's error quotes the line, which may hold a password, so only its kind is passed on.
    let problem = |error: &dotenvy::Error| {
        Problems(vec![match error {
            dotenvy::Error::LineParse(_, _) => {
                ".env: a line is not NAME=value; a value with spaces, # or $ belongs in single quotes".to_owned()
            }
            dotenvy::Error::Io(error) => format!(".env: cannot be read: {error}"),
            _ => ".env: cannot be read".to_owned(),
        }])
    };
    for pair in dotenvy::from_path_iter(".env").map_err(|error| problem(&error))? {
        let (name, value) = pair.map_err(|error| problem(&error))?;
        variables.entry(name).or_insert(value);
    }
    Ok(())
}
