//! Every setting, read once from the environment and `.env`, with all problems reported together.

mod companion;
mod database;
mod locality;
mod reader;
mod variables;

use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::path::Path;
use std::time::Duration;

use log::LevelFilter;

pub use companion::{Companion, Kind, ModelSettings, Secret};
pub use database::{Authorities, Database, PrivateServer, Server, SslMode};
pub use locality::is_local;
pub use reader::Problems;
pub use variables::{VARIABLES, Variable};

use crate::http::{Limits, head};
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
    /// Who answers a person.
    pub companion: Companion,
    /// Where it tells the operator what it counts, if it does.
    pub metrics: Option<Address>,
    /// What it logs.
    pub log: LogSettings,
    /// Development or production.
    pub environment: Environment,
    /// Variables that look like this program's and are not: misspelled, most likely.
    pub unknown_variables: Vec<String>,
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

/// Where to listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// Name or address.
    pub host: String,
    /// 0 for a free one.
    pub port: u16,
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.host, self.port)
    }
}

/// How the service listens and answers (`APP_*`).
#[derive(Debug)]
pub struct Http {
    /// Where it listens.
    pub address: Address,
    /// The bounds of the server.
    pub limits: Limits,
    /// How long requests in flight may take after a signal to stop.
    pub shutdown_grace: Duration,
}

/// What is logged and how (`LOG_*`, `RUST_LOG`).
#[derive(Debug)]
pub struct LogSettings {
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

const LOG_FORMATS: [(&str, LogFormat); 2] = [("text", LogFormat::Text), ("json", LogFormat::Json)];

/// Where the service runs (`ENVIRONMENT`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Environment {
    /// On a developer's machine: reads `.env`, may keep a private PostgreSQL.
    Development,
    /// For real: no `.env`, and a PostgreSQL that somebody administers.
    Production,
}

const ENVIRONMENTS: [(&str, Environment); 2] =
    [("development", Environment::Development), ("production", Environment::Production)];

/// Threads that a database that hangs can hold: for each of the six statements that requests share, one for each batch
/// that may run (1, 2, 2, 2, 1, 1), for two more that run when those are overdue, and for one that waits. (Turns have threads
/// of their own.)
const MOST_HELD: usize = 27;

const LOG_LEVELS: [(&str, LevelFilter); 6] = [
    ("off", LevelFilter::Off),
    ("error", LevelFilter::Error),
    ("warn", LevelFilter::Warn),
    ("info", LevelFilter::Info),
    ("debug", LevelFilter::Debug),
    ("trace", LevelFilter::Trace),
];

impl Config {
    /// Reads the environment and, outside production, the `.env` in the working folder; the environment wins.
    ///
    /// # Errors
    /// Every problem, together.
    pub fn from_environment() -> Result<Config, Problems> {
        let mut variables = HashMap::new();
        let mut problems = Vec::new();
        for (name, value) in std::env::vars_os() {
            // A name that is not UTF-8 is none of ours.
            let Ok(name) = name.into_string() else { continue };
            match value.into_string() {
                Ok(value) => _ = variables.insert(name, value),
                Err(_) if is_known(&name) => problems.push(format!("{name}: not UTF-8")),
                Err(_) => {}
            }
        }
        let production = variables.get("ENVIRONMENT").is_some_and(|value| is_production(value));
        if !production && Path::new(".env").exists() {
            add_dotenv(&mut variables, &mut problems);
        }
        match Config::from_variables(&variables) {
            Ok(config) if problems.is_empty() => Ok(config),
            Ok(_) => Err(Problems(problems)),
            Err(Problems(more)) => Err(Problems(problems.into_iter().chain(more).collect())),
        }
    }

    /// Reads a given set of variables and nothing else, except the files they name.
    ///
    /// # Errors
    /// Every problem, together.
    pub fn from_variables(variables: &HashMap<String, String>) -> Result<Config, Problems> {
        let mut reader = Reader::new(variables);
        let environment = reader.choice("ENVIRONMENT", &ENVIRONMENTS);
        let limits = read_limits(&mut reader);
        let config = Config {
            database: database::read(&mut reader, environment),
            pool: read_pool(&mut reader),
            http: Http {
                address: Address { host: reader.text("APP_HOST"), port: reader.number("APP_PORT", 0..=u16::MAX) },
                limits: limits.clone(),
                shutdown_grace: Duration::from_secs(reader.number("APP_SHUTDOWN_GRACE", 1..=300)),
            },
            companion: companion::read(&mut reader, limits.workers, limits.request_timeout),
            metrics: reader
                .optional_number("METRICS_PORT", 0..=u16::MAX)
                .map(|port| Address { host: reader.text("METRICS_HOST"), port }),
            log: LogSettings {
                level: reader.choice("LOG_LEVEL", &LOG_LEVELS),
                filter: reader.set("RUST_LOG"),
                format: reader.choice("LOG_FORMAT", &LOG_FORMATS),
            },
            environment,
            unknown_variables: unknown_variables(variables),
        };
        reader.finish(config)
    }

    /// What an operator should know although the service starts.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let unknown = |name: &String| format!("{name} is set and means nothing; --help lists the variables there are");
        let mut warnings: Vec<String> = self.unknown_variables.iter().map(unknown).collect();
        warnings.extend(self.companion.warnings.iter().cloned());
        let (workers, streams) = (self.http.limits.workers, self.companion.concurrency);
        let held = MOST_HELD + streams;
        if workers <= held {
            let text = format!(
                "APP_WORKERS is {workers} and should be more than {held} (COMPANION_CONCURRENCY and {MOST_HELD}): \
                 while the database hangs, nobody is left to say so"
            );
            warnings.push(text);
        }
        if let Database::Server(server) = &self.database {
            let readable = server.ssl_mode < SslMode::Require && !server.is_on_this_machine();
            if self.environment == Environment::Production && readable {
                let text =
                    "DB_SSLMODE is weaker than 'require': whoever is on the way to PostgreSQL can read everything";
                warnings.push(text.to_owned());
            }
        }
        warnings
    }
}

fn is_known(name: &str) -> bool {
    let of_secret = |variable: &Variable| variable.secret && name.strip_suffix("_FILE") == Some(variable.name);
    VARIABLES.iter().any(|variable| variable.name == name || of_secret(variable))
}

fn unknown_variables(variables: &HashMap<String, String>) -> Vec<String> {
    let looks_like_ours = |name: &str| {
        ["APP_", "COMPANION_", "DB_", "METRICS_", "SAFESPACE_"].iter().any(|prefix| name.starts_with(prefix))
    };
    let mut unknown: Vec<String> =
        variables.keys().filter(|name| looks_like_ours(name) && !is_known(name)).cloned().collect();
    unknown.sort_unstable();
    unknown
}

fn read_limits(reader: &mut Reader<'_>) -> Limits {
    let mut seconds = |name| Duration::from_secs(reader.number(name, 1..=3600));
    let head_timeout = seconds("APP_HEAD_TIMEOUT");
    let body_timeout = seconds("APP_BODY_TIMEOUT");
    let idle_timeout = seconds("APP_IDLE_TIMEOUT");
    let write_timeout = seconds("APP_WRITE_TIMEOUT");
    let request_timeout = seconds("APP_REQUEST_TIMEOUT");
    Limits {
        workers: reader.number("APP_WORKERS", 1..=1024),
        max_request_line_bytes: reader.number("APP_MAX_REQUEST_LINE_BYTES", 256..=1024 * 1024),
        max_head_bytes: reader.number("APP_MAX_HEAD_BYTES", 1024..=1024 * 1024),
        max_head_fields: reader.number("APP_MAX_HEAD_FIELDS", 8..=head::MOST_FIELDS),
        max_body_bytes: reader.number("APP_MAX_BODY_BYTES", 1024..=16 * 1024 * 1024),
        max_connections: reader.number("APP_MAX_CONNECTIONS", 1..=1_000_000),
        max_queued: reader.number("APP_MAX_QUEUED_REQUESTS", 1..=1_000_000),
        head_timeout,
        body_timeout,
        idle_timeout,
        write_timeout,
        request_timeout,
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
fn add_dotenv(variables: &mut HashMap<String, String>, problems: &mut Vec<String>) {
    let text = match fs::read_to_string(".env") {
        Ok(text) => text,
        Err(error) => return problems.push(format!(".env: cannot be read: {error}")),
    };
    // Some editors begin a file with a byte order mark.
    let text = text.trim_start_matches('\u{feff}');
    for pair in dotenvy::from_read_iter(text.as_bytes()) {
        match pair {
            Ok((name, value)) if name == "ENVIRONMENT" && !variables.contains_key(&name) && is_production(&value) => {
                let problem = "production reads no .env, so it cannot be set there; set it in the environment itself";
                problems.push(format!("{name}: {problem}"));
            }
            Ok((name, value)) => _ = variables.entry(name).or_insert(value),
            // dotenvy's error quotes the line, which may hold a password.
            Err(error) => problems.push(format!(".env: {}", dotenv_problem(text, &error))),
        }
    }
}

fn dotenv_problem(text: &str, error: &dotenvy::Error) -> String {
    let place = match error {
        dotenvy::Error::LineParse(line, _) => text.lines().position(|found| found.contains(line.trim())),
        _ => None,
    };
    let place = place.map_or_else(|| "a line".to_owned(), |line| format!("line {}", line + 1));
    format!("{place} is not NAME=value; a value with spaces, # or $ belongs in single quotes")
}

fn is_production(environment: &str) -> bool {
    reader::pick(environment, &ENVIRONMENTS) == Some(Environment::Production)
}
