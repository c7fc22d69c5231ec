//! Every setting, read once from the environment and `.env`, with all problems reported together.
//!
//! - `variables`: the list of all variables; `reader` reads single ones and collects the problems.
//! - `environment` and `dotenv`: where variables come from; `names`: those that are not used because of their names.
//! - `host`: names and addresses; `connection_url` and `connection_parameters`: `DATABASE_URL`.
//! - `database` (with TLS), `companion`, `origins` (CORS), `protection` (from abuse), `exit_urls`, `settings` (everything
//!   else): one file per group of settings.

mod companion;
mod connection_parameters;
mod connection_url;
mod database;
mod dotenv;
mod environment;
mod exit_urls;
mod host;
mod names;
mod origins;
mod protection;
mod reader;
mod settings;
mod texts;
mod variables;
mod web;

use std::collections::HashMap;
use std::env;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use reader::Reader;

pub use companion::{CompanionSettings, ModelSettings, Secret};
pub use database::{Authorities, Database, PrivateServer, Server, ServerHost, SslMode};
pub use origins::AllowedOrigins;
pub use protection::{
    ByAddress, ProofOfWork, ProtectionSettings, RetentionSettings, SessionLimits, StorageReserve, StorageSettings,
};
pub use reader::Problems;
pub use settings::{Address, Environment, HttpSettings, LogFormat, LogSettings, MAX_HEAD_FIELDS, PoolSettings};
pub use texts::TextSettings;
pub use variables::{VARIABLES, Variable};
pub use web::WebSettings;

/// The configuration of the service.
#[derive(Debug)]
pub struct Config {
    /// The PostgreSQL that stores the data.
    pub database: Database,
    /// Sizes and timeouts of the connections to it.
    pub pool: PoolSettings,
    /// Whether the service starts in production although PostgreSQL can lose what it has acknowledged (`DB_LOSS_ACCEPTED`).
    pub is_loss_accepted: bool,
    /// The HTTP server.
    pub http: HttpSettings,
    /// The other origins whose pages may use the API.
    pub allowed_origins: AllowedOrigins,
    /// The companion that answers in a chat.
    pub companion: CompanionSettings,
    /// Rates, and proof of work.
    pub protection: ProtectionSettings,
    /// The bounds of one session.
    pub session_limits: SessionLimits,
    /// When a session ends.
    pub retention: RetentionSettings,
    /// The bounds of what is stored.
    pub storage: StorageSettings,
    /// The files of help lines and of the texts of reports.
    pub texts: TextSettings,
    /// The page that people open in a browser.
    pub web: WebSettings,
    /// Where a person can leave to (`EXIT_URLS`): at least one, the default first.
    pub exit_urls: Vec<String>,
    /// The address of the metrics; `None` turns them off.
    pub metrics: Option<Address>,
    /// The log.
    pub log: LogSettings,
    /// Development or production.
    pub environment: Environment,
    /// The files from which secrets were read (`*_FILE`).
    pub secret_files: Vec<PathBuf>,
    warnings: Vec<String>,
}

impl Config {
    /// Reads the environment and, outside production, the `.env` in the working folder; the environment takes precedence.
    ///
    /// # Errors
    /// All problems together.
    pub fn from_environment() -> Result<Config, Problems> {
        let mut reader = Reader::default();
        environment::add(&mut reader, env::vars_os());
        if !reader.set("ENVIRONMENT").is_some_and(|value| settings::is_production(&value)) {
            dotenv::add(&mut reader, Path::new(".env"));
        }
        Config::read(reader)
    }

    /// Reads a given set of variables, and the files they name.
    ///
    /// # Errors
    /// All problems together.
    pub fn from_variables(variables: &HashMap<String, String>) -> Result<Config, Problems> {
        let mut reader = Reader::default();
        environment::add(&mut reader, variables.iter().map(|(name, value)| (name.into(), value.into())));
        Config::read(reader)
    }

    fn read(mut reader: Reader) -> Result<Config, Problems> {
        reader.read_secret_files();
        names::warn(&mut reader);
        reader.warnings.splice(..0, reader.name_warnings.iter().cloned());
        let environment = reader.choice("ENVIRONMENT", &settings::ENVIRONMENTS);
        let database = database::read(&mut reader, environment);
        let http = settings::read_http(&mut reader);
        let mut config = Config {
            pool: settings::read_pool(&mut reader),
            is_loss_accepted: reader.choice("DB_LOSS_ACCEPTED", &[("false", false), ("true", true)]),
            allowed_origins: origins::read(&mut reader, environment),
            companion: companion::read(&mut reader, http.request_timeout),
            texts: texts::read(&mut reader),
            web: web::read(&mut reader),
            protection: protection::read_protection(&mut reader, environment),
            session_limits: protection::read_session_limits(&mut reader),
            retention: protection::read_retention(&mut reader),
            storage: protection::read_storage(&mut reader),
            exit_urls: exit_urls::read(&mut reader),
            metrics: settings::read_metrics(&mut reader),
            log: settings::read_log(&mut reader),
            database,
            http,
            environment,
            secret_files: reader.secret_files,
            warnings: reader.warnings,
        };
        if let Database::Server(server) = &config.database
            && environment == Environment::Production
            && server.ssl_mode < SslMode::Require
            && !server.is_on_this_machine()
        {
            let text =
                "DB_SSLMODE is weaker than 'require': anyone on the network path to PostgreSQL can read everything";
            config.warnings.push(text.to_owned());
        }
        let is_unspecified = config.http.address.host.parse().is_ok_and(|host: IpAddr| host.is_unspecified());
        if environment == Environment::Production && is_unspecified && config.protection.trusted_proxies.is_empty() {
            config.warnings.push(format!(
                "APP_HOST is {} and TRUSTED_PROXIES is not set: anyone who reaches this machine can use the service \
                 without a proxy, and so without TLS. Behind a proxy on this machine set APP_HOST=127.0.0.1; behind one \
                 elsewhere set TRUSTED_PROXIES to its address, and let only the proxy reach the port",
                config.http.address.host
            ));
        }
        if reader.problems.is_empty() {
            return Ok(config);
        }
        reader.problems.append(&mut reader.name_warnings);
        Err(Problems(reader.problems))
    }

    /// The files and folders of texts that are not the embedded ones, each with its variable.
    #[must_use]
    pub fn text_files(&self) -> Vec<(&'static str, &Path)> {
        let prompt = self.companion.model.as_ref().and_then(|model| model.prompt.as_deref());
        let files = [
            ("COMPANION_SCRIPT", self.companion.script.as_deref()),
            ("COMPANION_PROMPT", prompt),
            ("RESOURCES", self.texts.resources.as_deref()),
            ("REPORT_TEMPLATES", self.texts.report_templates.as_deref()),
            ("WEB_FOLDER", self.web.folder.as_deref()),
        ];
        files.into_iter().filter_map(|(variable, path)| Some((variable, path?))).collect()
    }

    /// What the operator should know although the service can start.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        self.warnings.clone()
    }
}
