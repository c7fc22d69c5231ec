//! What PostgreSQL says of itself: read once, with one connection.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use postgres::{Client, Row};

use crate::config::{PoolSettings, Server};
use crate::store::{Connector, LossRisk, ServerFindings, inspect};

/// Everything that is asked of PostgreSQL.
pub(super) struct Facts {
    /// What `safespace check` asks too.
    pub(super) findings: ServerFindings,
    pub(super) risk: Option<LossRisk>,
    pub(super) settings: Settings,
    pub(super) state: State,
    pub(super) role: Role,
    pub(super) slots: Vec<Slot>,
    pub(super) tables: Vec<Table>,
}

/// The settings that the role may see, by name. Some, such as `archive_command`, can hold a secret: none is printed but by name.
pub(super) struct Settings(HashMap<String, String>);

impl Settings {
    /// A setting; `None` where the server has none of this name, or the role may not see it.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Whether a setting is there and has this value.
    pub(super) fn is(&self, name: &str, value: &str) -> bool {
        self.get(name) == Some(value)
    }

    /// A setting that is a number, in its own unit.
    pub(super) fn number(&self, name: &str) -> Option<f64> {
        self.get(name)?.parse().ok()
    }

    /// The libraries that every connection loads, by their names without a folder; `None` where the role may not see all of them.
    pub(super) fn libraries(&self) -> Option<Vec<&str>> {
        let lists = ["shared_preload_libraries", "session_preload_libraries", "local_preload_libraries"];
        let lists = lists.into_iter().map(|name| self.get(name)).collect::<Option<Vec<_>>>()?;
        let names = lists.into_iter().flat_map(|list| list.split(','));
        let bare = |name: &str| name.trim().trim_matches('"').rsplit('/').next().unwrap_or_default().len();
        let names = names.map(|name| {
            let name = name.trim().trim_matches('"');
            &name[name.len() - bare(name)..]
        });
        Some(names.filter(|name| !name.is_empty()).collect())
    }
}

/// The state of the server.
pub(super) struct State {
    /// The version as a number: 150018 for 15.18.
    pub(super) version: i32,
    /// How far PostgreSQL's clock is ahead of this machine's.
    pub(super) clock_ahead: TimeDelta,
    /// Connections of all roles, and those that there may be.
    pub(super) connections: i32,
    pub(super) max_connections: i32,
    pub(super) frozen_age: i32,
    pub(super) is_archiving_failing: bool,
    pub(super) sees_transactions: bool,
    /// Seconds since the oldest transaction that is seen began; `None` without any.
    pub(super) oldest_transaction_s: Option<f64>,
}

/// The role that logged in, and what is allowed to it and to everybody beyond what docs/setup.md grants.
pub(super) struct Role {
    pub(super) name: String,
    pub(super) is_superuser: bool,
    pub(super) is_owner: bool,
    pub(super) attributes: Vec<String>,
    pub(super) memberships: Vec<String>,
    pub(super) privileges: Vec<String>,
    pub(super) public: Vec<String>,
}

/// A replication slot.
pub(super) struct Slot {
    pub(super) name: String,
    pub(super) is_logical: bool,
    pub(super) is_active: bool,
    /// Bytes of log that it keeps; `None` on a standby, and where it keeps none.
    pub(super) kept_bytes: Option<i64>,
}

/// A table of sessions.
pub(super) struct Table {
    pub(super) name: String,
    pub(super) live_rows: i64,
    pub(super) dead_rows: i64,
    /// Seconds since the last vacuum; `None` if there was none.
    pub(super) vacuumed_s_ago: Option<f64>,
    /// The size of its file.
    pub(super) bytes: i64,
    /// The average bytes of a row's values; `None` without statistics.
    pub(super) row_width: Option<i64>,
    pub(super) is_excluded: bool,
}

/// Why the facts are not known, in words that hold no secret.
pub(super) enum ReadError {
    /// There is no connection, or the service could not serve through it.
    Unusable(String),
    /// A question of the doctor itself was not answered.
    NotAnswered(String),
}

/// Asks for all of it. Each statement has `timeout`.
///
/// # Errors
/// As [`ReadError`].
pub(super) fn read(server: &Server, pool: &PoolSettings, timeout: Duration) -> Result<Facts, ReadError> {
    let unusable = |error: &dyn std::error::Error| ReadError::Unusable(error.to_string());
    let findings = inspect(server, pool).map_err(|error| unusable(&error))?;
    let risk = LossRisk::find(server, pool).map_err(|error| unusable(&error))?;
    let connector = Connector::new(server, pool, timeout).map_err(|error| unusable(&error))?;
    let mut client = connector.connect().map_err(|error| unusable(&error))?;
    // The clock of this machine is read in the middle of the round trip, as near as can be.
    let asked_at = Utc::now();
    let server_row = one(&mut client, include_str!("../../../sql/schema/doctor_server.sql"))?;
    let answered_at = Utc::now();
    let settings = rows(&mut client, include_str!("../../../sql/schema/doctor_settings.sql"))?;
    let settings = settings.iter().map(|row| (row.get("name"), row.get("setting"))).collect();
    let role = one(&mut client, include_str!("../../../sql/schema/doctor_role.sql"))?;
    let slots = rows(&mut client, include_str!("../../../sql/schema/doctor_slots.sql"))?;
    let tables = rows(&mut client, include_str!("../../../sql/schema/doctor_tables.sql"))?;
    Ok(Facts {
        findings,
        risk,
        settings: Settings(settings),
        state: state(&server_row, asked_at + (answered_at - asked_at) / 2),
        role: Role {
            name: role.get("role"),
            is_superuser: role.get("is_superuser"),
            is_owner: role.get("is_owner"),
            attributes: role.get("attributes"),
            memberships: role.get("memberships"),
            privileges: role.get("privileges"),
            public: role.get("public"),
        },
        slots: slots.iter().map(slot).collect(),
        tables: tables.iter().map(table).collect(),
    })
}

fn rows(client: &mut Client, statement: &str) -> Result<Vec<Row>, ReadError> {
    client.query_typed(statement, &[]).map_err(|error| {
        let reason = error.as_db_error().map_or_else(|| error.to_string(), |error| error.message().to_owned());
        ReadError::NotAnswered(reason)
    })
}

fn one(client: &mut Client, statement: &str) -> Result<Row, ReadError> {
    rows(client, statement)?
        .into_iter()
        .next()
        .ok_or_else(|| ReadError::NotAnswered("the server sent no row".to_owned()))
}

fn state(row: &Row, now: DateTime<Utc>) -> State {
    let seconds = |column| row.get::<_, Option<f64>>(column);
    State {
        version: row.get("version"),
        clock_ahead: row.get::<_, DateTime<Utc>>("clock") - now,
        connections: row.get::<_, Option<i32>>("connections").unwrap_or(0),
        max_connections: row.get("max_connections"),
        frozen_age: row.get("frozen_age"),
        is_archiving_failing: row.get::<_, Option<bool>>("is_archiving_failing").unwrap_or(false),
        sees_transactions: row.get("sees_transactions"),
        oldest_transaction_s: [seconds("oldest_transaction_s"), seconds("oldest_prepared_s")]
            .into_iter()
            .flatten()
            .reduce(f64::max),
    }
}

fn slot(row: &Row) -> Slot {
    Slot {
        name: row.get("name"),
        is_logical: row.get("is_logical"),
        is_active: row.get("is_active"),
        kept_bytes: row.get("kept_bytes"),
    }
}

fn table(row: &Row) -> Table {
    Table {
        name: row.get("name"),
        live_rows: row.get("live_rows"),
        dead_rows: row.get("dead_rows"),
        vacuumed_s_ago: row.get("vacuumed_s_ago"),
        bytes: row.get("bytes"),
        row_width: row.get("row_width"),
        is_excluded: row.get("is_excluded"),
    }
}
