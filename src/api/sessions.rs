//! `/api/v1/sessions`: anonymous sessions, created, read and erased.

use serde::Serialize;
use utoipa::ToSchema;

use super::catalogue::{Code, FieldCode};
use super::problem::Problem;
use super::respond;
use super::responder::{Answer, Context};
use super::{body, prefer};
use crate::http::Request;
use crate::message;
use crate::sealing::SealingKey;
use crate::session_id::SessionId;
use crate::store::Erased;

/// An anonymous session.
#[derive(Serialize, ToSchema)]
pub(super) struct Session {
    /// The session's only credential: the client that holds it owns the session. A random `UUIDv4`.
    #[schema(value_type = String, format = Uuid, example = "550e8400-e29b-41d4-a716-446655440000")]
    session_id: SessionId,
    /// When it was created, in UTC.
    #[schema(format = DateTime, example = "2026-02-21T10:30:45.123456Z")]
    created_at: String,
}

/// Creates a session
///
/// The body may be empty or any JSON object; nothing in it is used. Two calls make two sessions. After a 503 or
/// a 504 there may be one whose id no client knows. While many sessions are created, the solution of a challenge is required in
/// `Proof-Of-Work`, and 429 has a challenge.
#[utoipa::path(post, path = "/api/v1/sessions", tag = "Sessions",
    params(
        ("Proof-Of-Work" = Option<String>, Header, description = "The text of a challenge, a colon, and the counter that solves it"),
    ),
    request_body(content = inline(serde_json::Map<String, serde_json::Value>), content_type = "application/json", example = json!({})),
    responses(
    (status = 201, description = "Created, and durable", body = Session),
    (status = 422, description = "The body is not a JSON object"),
    (status = 503, description = "The database is not available or refuses statements (code `database_refuses`), or the storage is full (code `storage_full`)"),
    (status = 429, description = "Proof of work is required: the code is `proof_of_work`, and `proof_of_work` has a challenge"),
))]
pub(super) fn create<'a>(context: &'a Context, request: &Request, _: &str) -> Result<Answer<'a>, Problem> {
    body::json_object(request)?;
    if context.store.watermark.is_full() {
        return Err(Problem::new(Code::StorageFull));
    }
    let peer = context.admission.client_peer(request);
    context.admission.creation(peer, request.header("Proof-Of-Work"))?;
    let (session_id, created_at) = (SessionId::random(), message::now());
    let key = SealingKey::derive(&session_id);
    let sealed = message::seal_creation_time(&key, created_at);
    Answer::defer(move |responder| {
        context.store.sessions.create(
            key.lookup(),
            sealed,
            responder.on(move |created| {
                created?;
                log::info!("Session created");
                Ok(respond::json(201, &Session { session_id, created_at: respond::timestamp(created_at) }))
            }),
        );
    })
}

/// Returns when a session was created
#[utoipa::path(get, path = "/api/v1/sessions/{session_id}", tag = "Sessions",
    params(("session_id" = uuid::Uuid, Path, description = "The session's id")),
    responses(
    (status = 200, description = "It exists", body = Session),
))]
pub(super) fn read<'a>(context: &'a Context, _: &Request, session_id: &str) -> Result<Answer<'a>, Problem> {
    let session_id = parse_id(session_id)?;
    let key = SealingKey::derive(&session_id);
    Answer::defer(move |responder| {
        context.store.sessions.find(
            key.lookup(),
            responder.on(move |found: Result<Option<Vec<u8>>, _>| {
                let sealed = found?.ok_or_else(|| Problem::new(Code::SessionNotFound))?;
                let created_at = respond::timestamp(message::open_creation_time(&key, &sealed)?);
                Ok(respond::json(200, &Session { session_id, created_at }))
            }),
        );
    })
}

/// How many rows an erasure removed.
#[derive(Serialize, ToSchema)]
pub(super) struct Erasure {
    deleted: DeletedRows,
}

/// Rows by table.
#[derive(Serialize, ToSchema)]
struct DeletedRows {
    #[schema(example = 1)]
    sessions: i64,
    #[schema(example = 2)]
    messages: i64,
}

/// Erases a session and all that belongs to it
///
/// After a 200 or a 204, all rows are deleted, and a running turn is cancelled and stores nothing. Of two at once, exactly one
/// gets it. With `Prefer: return=representation` (RFC 7240) the answer is 200 with the number of deleted rows.
#[utoipa::path(delete, path = "/api/v1/sessions/{session_id}", tag = "Sessions",
    params(
        ("session_id" = uuid::Uuid, Path, description = "The session's id"),
        ("Prefer" = Option<String>, Header, description = "`return=representation` asks for the number of deleted rows"),
    ),
    responses(
    (status = 200, description = "Erased, and what was erased, where the client prefers to be told", body = Erasure,
     headers(("Preference-Applied" = String, description = "`return=representation`"))),
    (status = 204, description = "Erased"),
    (status = 503, description = "The database is not available: the session may still be there, try again"),
    (status = 504, description = "The database took too long: the session may still be there, try again"),
))]
pub(super) fn delete<'a>(context: &'a Context, request: &Request, session_id: &str) -> Result<Answer<'a>, Problem> {
    let session = parse_id(session_id)?.lookup();
    let is_counted = prefer::representation(request);
    Answer::defer(move |responder| {
        context.turns.erase(
            session,
            responder.on(move |erased: Result<Option<Erased>, _>| {
                let Erased { messages } = erased?.ok_or_else(|| Problem::new(Code::SessionNotFound))?;
                if !is_counted {
                    return Ok(respond::no_content());
                }
                let erasure = Erasure { deleted: DeletedRows { sessions: 1, messages } };
                Ok(respond::json(200, &erasure).with_additional_header("Preference-Applied", "return=representation"))
            }),
        );
    })
}

pub(super) fn parse_id(session_id: &str) -> Result<SessionId, Problem> {
    session_id.parse().map_err(|_| Problem::invalid(FieldCode::SessionIdInvalid))
}
