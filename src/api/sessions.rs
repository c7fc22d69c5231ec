//! `/api/v1/sessions`: anonymous sessions, created, read, changed and erased.

use std::sync::Arc;

use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::catalogue::{Code, FieldCode};
use super::problem::{Problem, both};
use super::respond;
use super::responder::{Answer, Context, Responder};
use super::{body, prefer};
use crate::config::RetentionSettings;
use crate::http::{Request, Response};
use crate::message;
use crate::retention::{Life, MIN_IDLE_TIMEOUT_SECONDS};
use crate::sealing::SealingKey;
use crate::session_id::{RecoveryCode, SessionId};
use crate::store::{self, Caller, Erased, NewSession, Store, StoredSession};

/// An anonymous session.
#[derive(Serialize, ToSchema)]
pub(super) struct Session {
    /// The session's only credential: the client that holds it owns the session. A random `UUIDv4`.
    #[schema(value_type = String, format = Uuid, example = "550e8400-e29b-41d4-a716-446655440000")]
    session_id: SessionId,
    /// The id as a code that a person can write down; accepted wherever an id is. As secret as the id.
    #[schema(value_type = String, example = "AM78-8072-KCEM-KHCH-36AN-2000-6EX0")]
    recovery_code: RecoveryCode,
    /// When it was created, in UTC.
    #[schema(format = DateTime, example = "2026-02-21T10:30:45.123456Z")]
    created_at: String,
    /// When it ends, in UTC, unless it is used again. From then on it does not exist.
    #[schema(format = DateTime, example = "2026-02-28T10:30:45.123456Z")]
    expires_at: String,
    /// Seconds without use after which it ends, also before its maximum age.
    #[schema(minimum = 60, example = 604_800)]
    idle_timeout_seconds: i32,
}

impl Session {
    pub(super) fn new(session_id: SessionId, life: &Life) -> Session {
        let [created_at, expires_at] = [life.created_at, life.expires_at].map(respond::timestamp);
        let recovery_code = session_id.recovery_code();
        Session { session_id, recovery_code, created_at, expires_at, idle_timeout_seconds: life.idle_timeout_seconds }
    }
}

/// A new session.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body, which is read as a JSON object")]
pub(super) struct NewSessionRequest {
    /// Seconds without use after which the session ends; at most, and without it, the timeout of the service.
    #[schema(minimum = 60, example = 86_400)]
    idle_timeout_seconds: Option<i32>,
}

/// When a session ends.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body, which is read as a JSON object")]
pub(super) struct IdleTimeoutRequest {
    /// Seconds without use after which the session ends: at most the timeout of the service, which null stands for.
    #[schema(minimum = 60, example = 86_400, required = true)]
    idle_timeout_seconds: Option<i32>,
}

/// Creates a session
///
/// The body may be empty or any JSON object, of which `idle_timeout_seconds` alone is used. Two calls make two sessions. After
/// a 503 or a 504 there may be one whose id no client knows. While many sessions are created, the solution of a challenge is
/// required in `Proof-Of-Work`, and 429 has a challenge.
#[utoipa::path(post, path = "/api/v1/sessions", operation_id = "create_session", tag = "Sessions",
    params(
        ("Proof-Of-Work" = Option<String>, Header, description = "The text of a challenge, a colon, and the counter that solves it"),
    ),
    request_body(content = NewSessionRequest, content_type = "application/json"),
    responses(
    (status = 201, description = "Created, and durable", body = Session),
    (status = 422, description = "The body is not a JSON object, or the timeout is not valid"),
    (status = 503, description = "The database is not available or refuses statements (code `database_refuses`), or the storage is full (code `storage_full`)"),
    (status = 429, description = "Proof of work is required: the code is `proof_of_work`, and `proof_of_work` has a challenge"),
))]
pub(super) fn create<'a>(context: &'a Context, request: &Request, _: &str) -> Result<Answer<'a>, Problem> {
    let idle_timeout_seconds = idle_timeout(context.retention, &body::json_object(request)?)?.flatten();
    start(context, request, idle_timeout_seconds, |session_id, life| {
        respond::json(201, &Session::new(session_id, life))
    })
}

/// Creates a session if one may be created now, and answers with what `make` makes of it.
pub(super) fn start<'a>(
    context: &'a Context,
    request: &Request,
    idle_timeout_seconds: Option<i32>,
    make: impl FnOnce(SessionId, &Life) -> Response + Send + 'static,
) -> Result<Answer<'a>, Problem> {
    if context.store.watermark.is_full() {
        return Err(Problem::new(Code::StorageFull));
    }
    let peer = context.admission.client_peer(request);
    context.admission.creation(peer, request.header("Proof-Of-Work"))?;
    let (session_id, created_at) = (SessionId::random(), message::now());
    let (key, policy) = (SealingKey::derive(&session_id), context.retention);
    let new = NewSession { sealed: message::seal_creation_time(&key, created_at), idle_timeout_seconds };
    Answer::defer(move |responder| {
        context.store.sessions.create(
            key.lookup(),
            new,
            responder.on(move |created| {
                created?;
                log::info!("Session created");
                Ok(make(session_id, &Life::new(policy, created_at, created_at, idle_timeout_seconds)))
            }),
        );
    })
}

/// Returns when a session was created, and when it ends
#[utoipa::path(get, path = "/api/v1/sessions/{session_id}", operation_id = "read_session", tag = "Sessions",
    params(("session_id" = uuid::Uuid, Path, description = "The session's id")),
    responses(
    (status = 200, description = "It exists", body = Session),
))]
pub(super) fn read<'a>(context: &'a Context, _: &Request, session_id: &str) -> Result<Answer<'a>, Problem> {
    let (session_id, policy) = (parse_id(session_id)?, context.retention);
    let key = SealingKey::derive(&session_id);
    Answer::defer(move |responder| {
        let session = key.lookup();
        let found = responder.on(move |found| {
            let life = living(policy, &key, found)?;
            Ok(respond::json(200, &Session::new(session_id, &life)))
        });
        context.store.sessions.find(session, found);
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
    #[schema(example = 1)]
    reports: i64,
}

/// Changes when a session ends
///
/// It is no use of the session: the time still counts from the last use.
#[utoipa::path(patch, path = "/api/v1/sessions/{session_id}", operation_id = "change_session", tag = "Sessions",
    params(("session_id" = uuid::Uuid, Path, description = "The session's id")),
    request_body(content = IdleTimeoutRequest, content_type = "application/json"),
    responses(
    (status = 200, description = "Changed, and durable", body = Session),
    (status = 422, description = "The id is none, the body is not a JSON object, or the timeout is not valid"),
))]
pub(super) fn change<'a>(context: &'a Context, request: &Request, session_id: &str) -> Result<Answer<'a>, Problem> {
    let policy = context.retention;
    let wanted = body::json_object(request).and_then(|body| {
        let given = idle_timeout(policy, &body)?;
        given.ok_or_else(|| invalid_idle_timeout(policy))
    });
    let (session_id, idle_timeout_seconds) = both(parse_id(session_id), wanted)?;
    Answer::defer(move |responder| {
        let key = SealingKey::derive(&session_id);
        let change = Change { store: context.store.clone(), policy, session_id, idle_timeout_seconds };
        context.store.sessions.find(key.lookup(), Box::new(move |found| change.apply(&key, found, responder)));
    })
}

/// A change of a session's own timeout.
struct Change {
    store: Arc<Store>,
    policy: RetentionSettings,
    session_id: SessionId,
    idle_timeout_seconds: Option<i32>,
}

impl Change {
    /// Changes a session that was found, unless it has ended: a longer timeout does not bring it back.
    fn apply(self, key: &SealingKey, found: Result<Option<StoredSession>, store::Error>, responder: Responder) {
        let Change { store, policy, session_id, idle_timeout_seconds } = self;
        let Life { created_at, last_used_at, .. } = match living(policy, key, found) {
            Ok(life) => life,
            Err(problem) => return responder.respond_with(move || Err(problem)),
        };
        let changed = responder.on(move |exists| {
            if !exists? {
                return Err(Problem::new(Code::SessionNotFound));
            }
            let life = Life::new(policy, created_at, last_used_at, idle_timeout_seconds);
            Ok(respond::json(200, &Session::new(session_id, &life)))
        });
        store.sessions.set_idle_timeout(key.lookup(), idle_timeout_seconds, changed);
    }
}

/// The life of a session that was found and has not ended.
pub(super) fn living(
    policy: RetentionSettings,
    key: &SealingKey,
    found: Result<Option<StoredSession>, store::Error>,
) -> Result<Life, Problem> {
    let session = found?.ok_or_else(|| Problem::new(Code::SessionNotFound))?;
    Life::open(policy, key, &session)?.ok_or_else(|| Problem::new(Code::SessionNotFound))
}

/// The timeout in a body: `None` where it says nothing, and `Some(None)` for the operator's.
fn idle_timeout(policy: RetentionSettings, body: &Map<String, Value>) -> Result<Option<Option<i32>>, Problem> {
    let seconds = match body.get("idle_timeout_seconds") {
        None => return Ok(None),
        Some(Value::Null) => return Ok(Some(None)),
        Some(value) => value.as_i64().and_then(|seconds| i32::try_from(seconds).ok()),
    };
    let allowed = MIN_IDLE_TIMEOUT_SECONDS..=policy.idle_timeout_seconds;
    let seconds = seconds.filter(|seconds| allowed.contains(seconds));
    seconds.map(|seconds| Some(Some(seconds))).ok_or_else(|| invalid_idle_timeout(policy))
}

fn invalid_idle_timeout(policy: RetentionSettings) -> Problem {
    Problem::invalid_number(FieldCode::IdleTimeoutInvalid, policy.idle_timeout_seconds)
}

/// Erases a session and all that belongs to it
///
/// After a 200 or a 204, all rows are deleted, and a running turn is cancelled and stores nothing. Of two at once, exactly one
/// gets it. With `Prefer: return=representation` (RFC 7240) the answer is 200 with the number of deleted rows.
#[utoipa::path(delete, path = "/api/v1/sessions/{session_id}", operation_id = "delete_session", tag = "Sessions",
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
    let key = SealingKey::derive(&parse_id(session_id)?);
    let (policy, is_counted) = (context.retention, prefer::representation(request));
    Answer::defer(move |responder| {
        context.turns.erase(
            key.lookup(),
            Caller::MayBlock,
            responder.on(move |erased| {
                let Erased { messages, reports, .. } = existing(policy, &key, erased)?;
                if !is_counted {
                    return Ok(respond::no_content());
                }
                let erasure = Erasure { deleted: DeletedRows { sessions: 1, messages, reports } };
                Ok(respond::json(200, &erasure).with_additional_header("Preference-Applied", "return=representation"))
            }),
        );
    })
}

/// What an erasure removed. A session that had ended is deleted, but did not exist any more. One that does not open did.
pub(super) fn existing(
    policy: RetentionSettings,
    key: &SealingKey,
    erased: Result<Option<Erased>, store::Error>,
) -> Result<Erased, Problem> {
    let erased = erased?.filter(|erased| !matches!(Life::open(policy, key, &erased.session), Ok(None)));
    erased.ok_or_else(|| Problem::new(Code::SessionNotFound))
}

pub(super) fn parse_id(session_id: &str) -> Result<SessionId, Problem> {
    session_id.parse().map_err(|_| Problem::invalid(FieldCode::SessionIdInvalid))
}
