//! The JSON of a conversation, and the problem of a failed turn.

use std::sync::Arc;

use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::api::catalogue::{Code, FieldCode};
use crate::api::problem::{Problem, ProblemDocument};
use crate::api::resources::listing::{Listing, ResourceDocument};
use crate::api::respond;
use crate::companion::{self, Level, Safety, Unavailable};
use crate::message::{self, Role};
use crate::resources::Registry;
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
    /// Who wrote it.
    pub(super) role: Author,
    /// The text.
    #[schema(example = "Thank you for telling me. I am listening.")]
    pub(super) content: String,
    /// When it was written, in UTC.
    #[schema(format = DateTime, example = "2026-02-21T10:30:45.123456Z")]
    created_at: String,
    /// `true` where an answer was ended early, so that its end is missing; absent otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = true)]
    cut: Option<bool>,
}

/// Who wrote a message: `user` is the person, `model` the companion.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(example = "model")]
pub(in crate::api) enum Author {
    User,
    Model,
}

/// What made an answer: `companion` is a model, `script` a reply that a person wrote beforehand.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(example = "script")]
pub(in crate::api) enum Source {
    Companion,
    Script,
}

/// What the companion answered.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct AnswerMessage {
    #[serde(flatten)]
    pub(super) message: Message,
    /// What made it.
    source: Source,
    /// Always `true`: a program answers, and no person. Tell people so.
    #[schema(example = true)]
    ai: bool,
    /// Help lines, where the words of the question speak of danger or self-harm; absent otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) safety: Option<SafetyNote>,
}

/// Help lines for a question that speaks of danger or self-harm. It is found by its words, and may be wrong in both directions. It
/// is made anew for every response and kept nowhere.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct SafetyNote {
    level: SafetyLevel,
    /// The help lines, the most important one first.
    #[schema(value_type = Vec<ResourceDocument<'static>>)]
    resources: Vec<Box<RawValue>>,
}

/// `crisis`: a life may be in danger now. `concern`: the question speaks of danger or self-harm.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(example = "concern")]
pub(in crate::api) enum SafetyLevel {
    Concern,
    Crisis,
}

/// Where the help lines of a response come from.
pub(super) struct HelpSource {
    pub(super) registry: Arc<Registry>,
    pub(super) listing: Arc<Listing>,
}

impl HelpSource {
    /// The help lines for what was found.
    pub(super) fn note(&self, safety: Option<Safety>) -> Option<SafetyNote> {
        let Safety { level, risk } = safety?;
        let level = match level {
            Level::Concern => SafetyLevel::Concern,
            Level::Crisis => SafetyLevel::Crisis,
        };
        let lines = companion::help_lines(&self.registry, Some(risk));
        let resources = self.listing.documents(&lines).into_iter().map(ToOwned::to_owned).collect();
        Some(SafetyNote { level, resources })
    }
}

/// The data of `message.start`: the answer that follows.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct MessageStart {
    /// The answer's id.
    #[schema(example = "8c9b1d0e-3a55-8f51-b1a4-0f5a2b3c4d5e")]
    pub(super) id: Uuid,
    /// The session it belongs to.
    #[schema(value_type = String, format = Uuid, example = "550e8400-e29b-41d4-a716-446655440000")]
    pub(super) session_id: SessionId,
    pub(super) role: Author,
    /// Always `true`: a program answers, and no person.
    #[schema(example = true)]
    pub(super) ai: bool,
}

/// The data of `message.delta`: the next piece of the answer.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct MessageDelta {
    #[schema(example = "Thank you for telling me. ")]
    pub(super) text: String,
}

/// The data of `message.reset`, which has no members: the pieces so far are not the answer, those that follow are.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct MessageReset {}

/// The data of each server-sent event, by the event's name.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its description is used")]
pub(in crate::api) struct ChatEvents {
    #[schema(rename = "message.start")]
    start: MessageStart,
    safety: SafetyNote,
    #[schema(rename = "message.delta")]
    delta: MessageDelta,
    #[schema(rename = "message.reset")]
    reset: MessageReset,
    #[schema(rename = "message.end")]
    end: AnswerMessage,
    #[schema(value_type = ProblemDocument<'static>)]
    error: (),
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
    pub(in crate::api) fn new(session_id: SessionId, message: message::Message) -> Message {
        let role = if message.role == Role::User { Author::User } else { Author::Model };
        let created_at = respond::timestamp(message.created_at);
        let cut = message.is_cut.then_some(true);
        Message { id: message.id, session_id, role, content: message.text, created_at, cut }
    }
}

impl AnswerMessage {
    pub(super) fn new(session_id: SessionId, message: message::Message, safety: Option<SafetyNote>) -> AnswerMessage {
        let source = if message.role == Role::Script { Source::Script } else { Source::Companion };
        AnswerMessage { message: Message::new(session_id, message), source, ai: true, safety }
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Problem {
        match failure {
            Failure::NoSession => Problem::new(Code::SessionNotFound),
            Failure::KeyReused => Problem::invalid(FieldCode::IdempotencyKeyReused),
            Failure::AlreadyRunning => Problem::new(Code::TurnInProgress).after(1),
            Failure::SessionFull => Problem::new(Code::SessionFull),
            Failure::StorageFull => Problem::new(Code::StorageFull),
            Failure::Stopped => Problem::new(Code::AnswerStopped),
            Failure::TooManyOfPeer => Problem::new(Code::NetworkLimited).after(1),
            Failure::Unavailable(Unavailable::CircuitOpen(left) | Unavailable::RetryAfter { delay: left, .. }) => {
                let seconds = u32::try_from(left.as_millis().div_ceil(1000)).unwrap_or(u32::MAX);
                Problem::new(Code::NoAnswer).after(seconds)
            }
            Failure::Unavailable(_) => Problem::new(Code::NoAnswer),
            Failure::TimedOut => Problem::new(Code::AnswerTimeout),
            Failure::Overloaded => Problem::new(Code::Overloaded),
            Failure::Store(error) => error.into(),
            Failure::Unreadable => Problem::internal("what is stored does not open with this session's key"),
        }
    }
}
