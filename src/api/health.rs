//! `/health/…`: whether the database answers, whether the process lives, whether it may be sent requests.

use serde::Serialize;
use utoipa::ToSchema;

use super::context::Context;
use super::problem::{Problem, RETRY_AFTER_S};
use super::respond;
use super::responder::Answer;
use super::timestamp::Timestamp;
use crate::http::Request;
use crate::store::PoolState;

/// Whether the database answers.
#[derive(Serialize, ToSchema)]
pub(super) struct DatabaseHealth {
    /// `healthy` or `unhealthy`.
    #[schema(example = "healthy")]
    status: &'static str,
    /// `connected` or `disconnected`.
    #[schema(example = "connected")]
    database: &'static str,
    /// Why, where it is unhealthy.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "The database cannot be reached.")]
    error: Option<&'static str>,
    #[schema(value_type = String, format = DateTime, example = "2026-02-21T10:30:45.123456Z")]
    timestamp: Timestamp,
    connection_pool: ConnectionPool,
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
    (status = 503, description = "It does not", body = DatabaseHealth,
     example = json!({
        "status": "unhealthy", "database": "disconnected", "error": "The database cannot be reached.",
        "timestamp": "2026-02-21T10:30:45.123456Z", "connection_pool": {"total": 0, "available": 0, "max": 20}
    })),
))]
pub(super) fn database<'a>(context: &'a Context, _: &Request, _: &str) -> Result<Answer<'a>, Problem> {
    let store = context.store.clone();
    Answer::later(|responder| {
        context.store.health.probe(responder.on(move |probe| {
            // The probe's own connection is back in the pool by now, so it counts as idle.
            let PoolState { total, idle, max, .. } = store.pool_state();
            let connection_pool = ConnectionPool { total, available: idle, max };
            let (timestamp, error) = (Timestamp::now(), probe.is_err().then_some("The database cannot be reached."));
            let (status, database) =
                if error.is_none() { ("healthy", "connected") } else { ("unhealthy", "disconnected") };
            let health = DatabaseHealth { status, database, error, timestamp, connection_pool };
            Ok(match error {
                None => respond::json(200, &health),
                Some(_) => respond::json(503, &health).with_additional_header("Retry-After", RETRY_AFTER_S.to_string()),
            })
        }));
    })
}

/// The state of the process.
#[derive(Serialize, ToSchema)]
pub(super) struct ProcessHealth {
    /// `live` or `ready`.
    #[schema(example = "live")]
    status: &'static str,
}

/// Says that the process serves
///
/// It never asks the database: a supervisor that restarts the process on this answer would only make an outage longer.
#[utoipa::path(get, path = "/health/live", tag = "Health", responses(
    (status = 200, description = "It serves", body = ProcessHealth),
))]
pub(super) fn live(_: &Context, _: &Request, _: &str) -> Result<Answer<'static>, Problem> {
    Ok(respond::json(200, &ProcessHealth { status: "live" }).into())
}

/// Says whether to send requests here
///
/// Not while the database is away, while its schema is another version's, or while the service is stopping.
#[utoipa::path(get, path = "/health/ready", tag = "Health", responses(
    (status = 200, description = "It can serve requests", body = ProcessHealth, example = json!({"status": "ready"})),
    (status = 503, description = "Not now"),
))]
pub(super) fn ready<'a>(context: &'a Context, _: &Request, _: &str) -> Result<Answer<'a>, Problem> {
    if context.is_stopping() {
        return Err(Problem::unavailable("The service is stopping."));
    }
    Answer::later(|responder| {
        context.store.health.schema_is_current(responder.on(|is_current| match is_current {
            Ok(true) => Ok(respond::json(200, &ProcessHealth { status: "ready" })),
            Ok(false) => Err(Problem::unavailable("The database has the schema of another version.")),
            Err(_) => Err(Problem::unavailable("The database does not answer as it should.")),
        }));
    })
}
