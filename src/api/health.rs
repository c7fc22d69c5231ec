//! `/` and `/health/…`: which version runs, whether the database answers, whether the process may be sent requests.

use std::sync::LazyLock;
use std::sync::atomic::Ordering;

use serde::Serialize;
use utoipa::ToSchema;

use super::catalogue::Code;
use super::problem::{Problem, RETRY_AFTER_S};
use super::respond;
use super::responder::{Answer, Context};
use crate::http::{Request, Response};
use crate::message;
use crate::store::{Error, Fault, PoolState, Readiness};

/// That the service runs.
#[derive(Serialize, ToSchema)]
pub(super) struct Service {
    #[schema(example = "SafeSpace backend is running")]
    message: &'static str,
    /// The version of the service.
    #[schema(example = "0.1.0")]
    version: &'static str,
}

/// The version of the service.
pub(super) fn service() -> Response {
    static BODY: LazyLock<Vec<u8>> = LazyLock::new(|| {
        respond::to_json(&Service { message: "SafeSpace backend is running", version: env!("CARGO_PKG_VERSION") })
    });
    respond::with_body(200, "application/json", BODY.as_slice())
}

/// Whether the database answers.
#[derive(Serialize, ToSchema)]
pub(super) struct DatabaseHealth {
    status: DatabaseStatus,
    database: DatabaseConnection,
    /// Why, where it is unhealthy.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "The database cannot be reached.")]
    error: Option<&'static str>,
    #[schema(format = DateTime, example = "2026-02-21T10:30:45.123456Z")]
    timestamp: String,
    connection_pool: ConnectionPool,
}

/// Whether the database answers.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum DatabaseStatus {
    Healthy,
    Unhealthy,
}

/// Whether there is a connection to the database.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum DatabaseConnection {
    Connected,
    Disconnected,
}

/// The pool of connections to the database.
#[derive(Serialize, ToSchema)]
struct ConnectionPool {
    /// Open connections.
    #[schema(example = 20)]
    total: u32,
    /// Open connections that are idle; the probe's own is not counted as busy.
    #[schema(example = 18)]
    available: u32,
    /// Connections there may be at most.
    #[schema(example = 20)]
    max: u32,
}

/// Probes the database
#[utoipa::path(get, path = "/health/db", tag = "Health", responses(
    (status = 200, description = "The database answers", body = DatabaseHealth),
    (status = 503, description = "It does not, or it refuses statements", body = DatabaseHealth,
     example = json!({
        "status": "unhealthy", "database": "disconnected", "error": "The database cannot be reached.",
        "timestamp": "2026-02-21T10:30:45.123456Z", "connection_pool": {"total": 0, "available": 0, "max": 20}
    })),
))]
pub(super) fn database<'a>(context: &'a Context, _: &Request, _: &str) -> Result<Answer<'a>, Problem> {
    let store = context.store.clone();
    Answer::defer(|responder| {
        context.store.health.probe(responder.on(move |probe| {
            // The probe's own connection is back in the pool by now, so it counts as idle.
            let PoolState { total, idle: available, max, .. } = store.pool_state();
            let (timestamp, connection_pool) =
                (respond::timestamp(message::now()), ConnectionPool { total, available, max });
            let (database, error) = match probe {
                Ok(statements) => {
                    if let Some(statements) = statements {
                        log::debug!(statements:%; "Database answers");
                    }
                    (DatabaseConnection::Connected, store.health.fault().map(Fault::sentence))
                }
                Err(Error::Faulty(fault)) => (DatabaseConnection::Disconnected, Some(fault.sentence())),
                Err(_) => (DatabaseConnection::Disconnected, Some("The database cannot be reached.")),
            };
            let status = if error.is_none() { DatabaseStatus::Healthy } else { DatabaseStatus::Unhealthy };
            let health = DatabaseHealth { status, database, error, timestamp, connection_pool };
            if error.is_none() {
                return Ok(respond::json(200, &health));
            }
            Ok(respond::json(503, &health).with_additional_header("Retry-After", RETRY_AFTER_S.to_string()))
        }));
    })
}

/// The state of the process.
#[derive(Serialize, ToSchema)]
pub(super) struct ProcessHealth {
    status: ProcessStatus,
}

/// `live`: the process serves. `ready`: it can be sent requests.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum ProcessStatus {
    Live,
    Ready,
}

/// Liveness: the process serves
///
/// It never asks the database: a supervisor that restarts the process on this answer would only make an outage longer.
#[utoipa::path(get, path = "/health/live", tag = "Health", responses(
    (status = 200, description = "It serves", body = ProcessHealth),
))]
pub(super) fn live(_: &Context, _: &Request, _: &str) -> Result<Answer<'static>, Problem> {
    Ok(respond::json(200, &ProcessHealth { status: ProcessStatus::Live }).into())
}

/// Readiness: the service can be sent requests
///
/// Not while the database is away, only reads, or refuses to store anything, while commits hang for more than 2 s, while its schema is
/// another version's, or while the service is stopping. The answer comes within 2 s.
#[utoipa::path(get, path = "/health/ready", tag = "Health", responses(
    (status = 200, description = "It can serve requests", body = ProcessHealth, example = json!({"status": "ready"})),
    (status = 503, description = "Not now"),
))]
pub(super) fn ready<'a>(context: &'a Context, _: &Request, _: &str) -> Result<Answer<'a>, Problem> {
    if context.stopping.load(Ordering::Relaxed) {
        return Err(Problem::new(Code::Stopping));
    }
    Answer::defer(|responder| {
        context.store.readiness(responder.on(|readiness| match readiness {
            Ok(Readiness::Ready) => Ok(respond::json(200, &ProcessHealth { status: ProcessStatus::Ready })),
            Ok(Readiness::OtherSchema) => Err(Problem::new(Code::SchemaMismatch)),
            Ok(Readiness::Blocked(_)) | Err(Error::Faulty(_)) => Err(Problem::new(Code::DatabaseRefuses)),
            Err(_) => Err(Problem::new(Code::DatabaseUnavailable)),
        }));
    })
}
