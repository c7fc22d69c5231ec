//! The JSON of a conversation, and the problem of a failed turn.

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::api::problem::Problem;
use crate::api::respond;
use crate::companion::Unavailable;
use crate::message::{self, Role};
use crate::session_id::SessionId;
use crate::turns::Failure;

/// A message of a conversation.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct Message {
    /// The message's id.
    #[schema(example = "8c9b1d0e-3a55-8f51-b1a4-0f5a2b3c4d5e")]
    pub(super) id: Uuid,
    /// The session it belongs to.
    #[schema(value_type = String, format = Uuid, example = "550e8400-e29b-41d4-a716-446655440000")]
    pub(super) session_id: SessionId,
    /// `user` for the person, `model` for the companion.
    #[schema(example = "model", pattern = "^(user|model)$")]
    pub(super) role: &'static str,
    /// The text.
    #[schema(example = "Thank you for telling me. I am listening.")]
    content: String,
    /// When it was written, in UTC.
    #[schema(format = DateTime, example = "2026-02-21T10:30:45.123456Z")]
    created_at: String,
    /// `true` where an answer was ended early, so that its end is missing; absent otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = true)]
    cut: Option<bool>,
}

/// What the companion answered.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct AnswerMessage {
    #[serde(flatten)]
    message: Message,
    /// `companion` for a model, `script` for a reply that a person wrote beforehand.
    #[schema(example = "script", pattern = "^(companion|script)$")]
    source: &'static str,
}

/// A conversation, or a page of it.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its description is used")]
pub(in crate::api) struct History {
    /// The session.
    #[schema(value_type = String, format = Uuid, example = "550e8400-e29b-41d4-a716-446655440000")]
    session_id: SessionId,
    /// The messages, the oldest first.
    messages: Vec<Message>,
    /// Whether there are messages before these; only where a page was asked for.
    has_more: Option<bool>,
}

/// The user's message.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its description is used")]
pub(in crate::api) struct MessageRequest {
    /// 1 to 4,096 characters, not only white space, without NUL. It is stored exactly as it is.
    #[schema(min_length = 1, max_length = 4096, example = "I am afraid to go home.")]
    message: String,
}

impl Message {
    pub(super) fn new(session_id: SessionId, message: message::Message) -> Message {
        let role = if message.role == Role::User { "user" } else { "model" };
        let created_at = respond::timestamp(message.created_at);
        let cut = message.is_cut.then_some(true);
        Message { id: message.id, session_id, role, content: message.text, created_at, cut }
    }
}

impl AnswerMessage {
    pub(super) fn new(session_id: SessionId, message: message::Message) -> AnswerMessage {
        let source = if message.role == Role::Script { "script" } else { "companion" };
        AnswerMessage { message: Message::new(session_id, message), source }
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Problem {
        let unavailable = "There is no answer at the moment. Your message is kept; please try again shortly.";
        let (status, detail) = match failure {
            Failure::NoSession => return Problem::no_such_session(),
            Failure::KeyReused => {
                let message = "was used in this session with another message; take a new one";
                return Problem::invalid("Idempotency-Key", message);
            }
            Failure::AlreadyRunning => {
                let detail = "Another message of this session is being answered. Please wait for that answer.";
                return Problem::new(409, detail).after(1);
            }
            Failure::SessionFull => {
                let detail = "This session has reached the size that a session may have, so your message was not stored. \
                    Please start a new session. What is here stays readable, and can be erased.";
                return Problem::new(409, detail).code("session_full");
            }
            Failure::StorageFull => return Problem::storage_full(),
            Failure::TooManyOfPeer => {
                let detail = "Too many messages from your network are being answered. Please try again shortly.";
                return Problem::new(429, detail).code("rate_limited").after(1);
            }
            Failure::Unavailable(Unavailable::CircuitOpen(left) | Unavailable::RetryAfter { delay: left, .. }) => {
                let seconds = u32::try_from(left.as_millis().div_ceil(1000)).unwrap_or(u32::MAX);
                return Problem::new(503, unavailable).after(seconds);
            }
            Failure::Store(error) => return error.into(),
            Failure::Unreadable => return Problem::internal("what is stored does not open with this session's key"),
            Failure::Stopped => (409, "The answer was stopped before anything was said."),
            Failure::Unavailable(_) => (503, unavailable),
            Failure::TimedOut => (503, "The answer took too long. Please try again shortly."),
            Failure::Overloaded => (503, "Too many people are being answered at the moment. Please try again shortly."),
        };
        Problem::new(status, detail)
    }
}
