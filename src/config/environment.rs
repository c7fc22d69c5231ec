//! Development or production.

use super::reader::pick;

/// Where the service runs (`ENVIRONMENT`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Environment {
    /// On a developer's machine: reads `.env`, and may run a private PostgreSQL.
    Development,
    /// In production: reads no `.env`, and requires a PostgreSQL that is administered elsewhere.
    Production,
}

pub(super) const ENVIRONMENTS: [(&str, Environment); 2] =
    [("development", Environment::Development), ("production", Environment::Production)];

/// Whether a value of `ENVIRONMENT` means production.
pub(super) fn is_production(value: &str) -> bool {
    pick(value, &ENVIRONMENTS) == Some(Environment::Production)
}
