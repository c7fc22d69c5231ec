//! Every setting, read once from the environment and `.env`, with all problems reported together.
//!
//! - `settings`: [`Config`], the whole configuration.
//! - `variables`: the list of all variables; `reader` reads single ones and collects the problems.
//! - `dotenv`: merges the environment and `.env`.
//! - `database`, `tls`, `pool`, `http`, `companion`, `logging`, `environment`: one file per group of settings.
//! - `locality`: which addresses are private.

mod companion;
mod database;
mod dotenv;
mod environment;
mod http;
mod locality;
mod logging;
mod pool;
mod reader;
mod settings;
mod tls;
mod variables;

pub use self::http::{Address, HttpSettings, MAX_HEAD_FIELDS};
pub use companion::{CompanionSettings, Kind, ModelSettings, Secret};
pub use database::{Database, PrivateServer, Server};
pub use environment::Environment;
pub use locality::is_local;
pub use logging::{LogFormat, LogSettings};
pub use pool::PoolSettings;
pub use reader::Problems;
pub use settings::Config;
pub use tls::{Authorities, SslMode};
pub use variables::{VARIABLES, Variable};
