//! `/api/v1/sessions`: anonymous sessions, created, looked at and erased.

use rouille::Request;
use serde::Serialize;
use utoipa::ToSchema;

use super::later::Later;
use super::problem::Problem;
use super::timestamp::Timestamp;
use super::{Context, body, respond};
use crate::conversation;
use crate::sealing::Seal;
use crate::session_id::SessionId;
use crate::store::{self, sessions};

/// An anonymous session.
#[derive(Serialize, ToSchema)]
pub(super) struct Session {
    /// The session's only credential: whoever holds it owns the session. A random `UUIDv4`.
    #[schema(value_type = String, format = Uuid, example = "550e8400-e29b-41d4-a716-446655440000")]
    session_id: SessionId,
    /// When it was created, in UTC.
    #[schema(value_type = String, format = DateTime, example = "2026-02-21T10:30:45.123456Z")]
    created_at: Timestamp,
}

/// Creates a session
///
/// The body may be empty or any JSON object; nothing in it is used. Two calls make two sessions. A 503 or
/// a 504 may have made one whose id nobody knows.
#[utoipa::path(post, path = "/api/v1/sessions", tag = "Sessions",
    request_body(content = inline(serde_json::Map<String, serde_json::Value>), content_type = "application/json", example = json!({})),
    responses(
    (status = 201, description = "Created, and durable", body = Session),
    (status = 413, description = "The body is too large"),
    (status = 415, description = "The body is not application/json"),
    (status = 422, description = "The body is not a JSON object"),
    (status = 503, description = "The database is not available"),
    (status = 504, description = "The database took too long"),
))]
pub(super) fn create(context: &Context, request: &Request, _: &str, later: Later<'_>) -> Result<(), Problem> {
    body::json_object(request)?;
    let (session_id, created_at) = (SessionId::random(), Timestamp::now());
    let reply = later.reply(move |result: Result<(), store::Error>| {
        result?;
        log::info!("Session created");
        Ok(respond::json(201, &Session { session_id, created_at }))
    });
    let created = context.metrics.sessions_created.clone();
    // Also when there is nobody left to be told.
    let done = move |result: Result<(), store::Error>| {
        created.inc_by(u64::from(result.is_ok()));
        reply(result);
    };
    let seal = Seal::of(&session_id);
    let sealed = conversation::seal_creation(&seal, created_at.0);
    sessions::create(&context.database, seal.lookup(), sealed, Box::new(done));
    Ok(())
}

/// Says when a session was created
#[utoipa::path(get, path = "/api/v1/sessions/{session_id}", tag = "Sessions",
    params(("session_id" = uuid::Uuid, Path, description = "The session's id")),
    responses(
    (status = 200, description = "It exists", body = Session),
    (status = 404, description = "There is no such session"),
    (status = 422, description = "The id is not a UUID"),
    (status = 503, description = "The database is not available"),
    (status = 504, description = "The database took too long"),
))]
pub(super) fn read(context: &Context, _: &Request, session_id: &str, later: Later<'_>) -> Result<(), Problem> {
    let session_id = parse_id(session_id)?;
    let seal = Seal::of(&session_id);
    let session = seal.lookup();
    let reply = later.reply(move |found: Result<Option<Vec<u8>>, store::Error>| {
        let sealed = found?.ok_or_else(Problem::no_such_session)?;
        let created_at = Timestamp(conversation::open_creation(&seal, &sealed)?);
        Ok(respond::json(200, &Session { session_id, created_at }))
    });
    sessions::find(&context.database, session, reply);
    Ok(())
}

/// Erases a session and all that belongs to it
///
/// The panic button: when this answers 204, everything is gone from every table, and a turn that runs has ended. Of two at
/// once, exactly one gets 204.
#[utoipa::path(delete, path = "/api/v1/sessions/{session_id}", tag = "Sessions",
    params(("session_id" = uuid::Uuid, Path, description = "The session's id")),
    responses(
    (status = 204, description = "Erased"),
    (status = 404, description = "There is no such session"),
    (status = 422, description = "The id is not a UUID"),
    (status = 503, description = "The database is not available: the session may still be there, try again"),
    (status = 504, description = "The database took too long: the session may still be there, try again"),
))]
pub(super) fn delete(context: &Context, _: &Request, session_id: &str, later: Later<'_>) -> Result<(), Problem> {
    let session = parse_id(session_id)?.lookup();
    let reply = later.reply(move |was_there: Result<bool, store::Error>| {
        if !was_there? {
            return Err(Problem::no_such_session());
        }
        log::info!("Session deleted");
        Ok(respond::no_content())
    });
    let (deleted, turns) = (context.metrics.sessions_deleted.clone(), context.turns.clone());
    let done = move |was_there: Result<bool, store::Error>| {
        if was_there.is_ok() {
            turns.forget(session);
        }
        deleted.inc_by(u64::from(was_there == Ok(true)));
        reply(was_there);
    };
    sessions::delete(&context.database, session, Box::new(done));
    Ok(())
}

pub(super) fn parse_id(session_id: &str) -> Result<SessionId, Problem> {
    session_id
        .parse()
        .map_err(|_| Problem::invalid("session_id", "must be a UUID such as 550e8400-e29b-41d4-a716-446655440000"))
}
