//! `/api/v1/sessions/{session_id}/chat`: a message and its answer, the history, and stopping an answer.

mod delivery;
mod event_stream;
mod history;
pub(super) mod message_pieces;
pub(super) mod request;
pub(super) mod wire;

use std::time::Instant;

use super::body;
use super::catalogue::Code;
use super::problem::{Problem, both};
use super::respond;
use super::responder::{Answer, Context};
use super::sessions::parse_id;
use crate::admission::{BURST, Denied, PER_MINUTE, Quota};
use crate::config::RetentionSettings;
use crate::http::Request;
use crate::retention::Life;
use crate::sealing::SealingKey;
use crate::store::{self, Page, PageRequest};
use crate::sync::CancellationToken;
use crate::turns::Question;
use delivery::Delivery;
use history::HistoryStream;
pub(super) use wire::ChatEvents;
use wire::{AnswerMessage, HelpSource, History, MessageRequest};

/// Messages on a page, where the client does not say.
const DEFAULT_PAGE_LENGTH: i32 = 50;

const EXAMPLE_OF_A_STREAM: &str = concat!(
    ": SafeSpace\n\n",
    "id: 1\nevent: message.start\ndata: {\"id\":\"8c9b1d0e-3a55-8f51-b1a4-0f5a2b3c4d5e\",",
    "\"session_id\":\"550e8400-e29b-41d4-a716-446655440000\",\"role\":\"model\",\"ai\":true}\n\n",
    "id: 2\nevent: message.delta\ndata: {\"text\":\"Thank you for telling me. \"}\n\n",
    "id: 3\nevent: message.end\ndata: {\"id\":\"8c9b1d0e-3a55-8f51-b1a4-0f5a2b3c4d5e\",",
    "\"session_id\":\"550e8400-e29b-41d4-a716-446655440000\",\"role\":\"model\",",
    "\"content\":\"Thank you for telling me. \",\"created_at\":\"2026-02-21T10:30:45.123456Z\",\"source\":\"script\",\"ai\":true}\n\n",
);

/// Sends a message and waits for the answer
///
/// With `Accept: text/event-stream` the answer comes as server-sent events while it is made: `message.start`, `safety` with help
/// lines where the message speaks of danger or self-harm, `message.delta` (`{"text"}`) for each piece, perhaps `message.reset` (`{}`)
/// where the pieces so far are not the answer and those that follow are, and `message.end` with the whole message, or `error` with a
/// problem document, whose `code` says what went wrong; `ChatEvents` describes the data of each.
/// `id` counts up from 1, and there is a comment at the beginning and after 15 s of silence. An error before the companion is asked
/// is an ordinary response. A client that disconnects does not stop the answer. A message sent again with the same
/// `Idempotency-Key` is answered once. A session can have 5 messages at once, and 20 in a minute; `RateLimit` says how many are left.
#[utoipa::path(post, path = "/api/v1/sessions/{session_id}/chat", operation_id = "send_message", tag = "Chat",
    params(
        ("session_id" = Uuid, Path, description = "The session's id"),
        ("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 200, description = "What the client calls this message, 1 to 200 printable characters, so that it can send it again"),
    ),
    request_body(content = MessageRequest, content_type = "application/json"),
    responses(
    (status = 200, description = "The answer", content(
        (AnswerMessage = "application/json"),
        (String = "text/event-stream", example = json!(EXAMPLE_OF_A_STREAM)),
    )),
    (status = 404, description = "There is no such session, or it was deleted meanwhile"),
    (status = 409, description = "Another message of this session is being answered, the answer was stopped before anything was said, or the session is full; `code` tells"),
    (status = 422, description = "The message, the id or the key is not valid, or the key came with another message before"),
    (status = 429, description = "Too many messages of this session, or too many messages of the client's network are being answered"),
    (status = 503, description = "The companion or the database is not available: the message may be stored, so send it again with the same key; or the database refuses statements, or the storage is full"),
))]
pub(super) fn send<'a>(context: &'a Context, request: &Request, session_id: &str) -> Result<Answer<'a>, Problem> {
    let session_id = parse_id(session_id).map_err(|problem| problem.and(request::read(request).err()))?;
    let (key, streamed) = (SealingKey::derive(&session_id), request::accepts_events(request));
    let client = context.admission.client(request, &key.lookup());
    let (quota, question) = admit(context, request, key, body::length(request), || request::read(request));
    Answer::defer(move |responder| {
        let responder = responder.of_client(client).with_fields(rate_limit_fields(quota));
        let question = match question {
            Ok(question) => question,
            Err(problem) => return responder.respond(Err(problem)),
        };
        responder.on_disconnect(question.disconnect.clone());
        let help = HelpSource { registry: context.resources.registry.clone(), listing: context.resources.listing() };
        let mut delivery = Delivery::new(responder, streamed, session_id, help, context.timers.clone());
        context.turns.start(question, Box::new(move |event| delivery.deliver(event)));
    })
}

/// What is left of a session's rate.
type Rate = Result<Option<Quota>, Denied>;

/// Counts a message of a session, whose request has a body of this many bytes, and reads it with `read`: its `Idempotency-Key` and
/// its text.
pub(super) fn admit(
    context: &Context,
    request: &Request,
    key: SealingKey,
    body_bytes: usize,
    read: impl FnOnce() -> Result<(Option<String>, String), Problem>,
) -> (Rate, Result<Question, Problem>) {
    let received_at = Instant::now();
    let quota = context.admission.message(&key.lookup(), body_bytes);
    let question = quota.map_err(Problem::from).and_then(|_| read()).map(|(idempotency_key, text)| {
        let (peer, disconnect) = (context.admission.client_peer(request), CancellationToken::default());
        Question { key, text, idempotency_key, peer, disconnect, received_at }
    });
    (quota, question)
}

/// The fields of draft-ietf-httpapi-ratelimit-headers-10, without a partition key, which would name the session. The window of
/// the policy is a minute; what is left of it is at most the burst.
fn rate_limit_fields(quota: Rate) -> Vec<(&'static str, String)> {
    let (remaining, reset_s) = match quota {
        Ok(None) => return Vec::new(),
        Ok(Some(quota)) => (quota.remaining, quota.reset_s),
        Err(denied) => (0, denied.retry_after_s),
    };
    vec![
        ("RateLimit-Policy", format!("\"messages\";q={PER_MINUTE};w=60;safespace-burst={BURST}")),
        ("RateLimit", format!("\"messages\";r={remaining};t={reset_s}")),
    ]
}

/// Stops the answer in progress, and stores the text so far
///
/// It answers when that is done, also where nothing was being said.
#[utoipa::path(post, path = "/api/v1/sessions/{session_id}/chat/stop", operation_id = "stop_answer", tag = "Chat",
    params(("session_id" = Uuid, Path, description = "The session's id")),
    responses(
    (status = 204, description = "Nothing is being said any more"),
))]
pub(super) fn stop<'a>(context: &'a Context, _: &Request, session_id: &str) -> Result<Answer<'a>, Problem> {
    let key = SealingKey::derive(&parse_id(session_id)?);
    Answer::defer(move |responder| {
        context.turns.stop(
            key,
            responder.on(
                |exists| if exists? { Ok(respond::no_content()) } else { Err(Problem::new(Code::SessionNotFound)) },
            ),
        );
    })
}

/// Returns the conversation of a session
///
/// The whole conversation, the oldest message first, or with `limit` or `before` one page, going backwards.
#[utoipa::path(get, path = "/api/v1/sessions/{session_id}/chat", operation_id = "read_history", tag = "Chat",
    params(
        ("session_id" = Uuid, Path, description = "The session's id"),
        ("limit" = Option<i32>, Query, minimum = 1, maximum = 200, description = "Messages on the page, 50 where only `before` is given"),
        ("before" = Option<Uuid>, Query, description = "The id of a message: the page ends before it"),
    ),
    responses(
    (status = 200, description = "The conversation", body = History),
    (status = 422, description = "The id, `limit` or `before` is not valid"),
))]
pub(super) fn history<'a>(context: &'a Context, request: &Request, session_id: &str) -> Result<Answer<'a>, Problem> {
    let page = both(request::page_length(request), request::page_end(request));
    let (session_id, (limit, before)) = both(parse_id(session_id), page)?;
    let is_page = before.is_some() || limit.is_some();
    let limit = if is_page { limit.unwrap_or(DEFAULT_PAGE_LENGTH) } else { i32::MAX };
    let is_head = request.method() == "HEAD";
    // Its response has no messages, so none are read.
    let limit = if is_head { 0 } else { limit };
    let key = SealingKey::derive(&session_id);
    let client = context.admission.client(request, &key.lookup());
    Answer::defer(move |responder| {
        let (store, session, responder) = (context.store.clone(), key.lookup(), responder.of_client(client));
        let policy = context.retention;
        let send = move |page: Result<Option<Page>, store::Error>| match living(policy, &key, page) {
            Err(problem) => responder.respond(Err(problem)),
            Ok(page) if !page.before_exists => responder.respond(Err(request::not_a_message())),
            Ok(page) => {
                let has_more = is_page.then_some(page.first > 1);
                HistoryStream::new(store, key, session_id, &page, has_more).send(page.rows, responder, is_head);
            }
        };
        context.store.messages.page(session, PageRequest { before, limit }, Box::new(send));
    })
}

/// The page, if its session exists and has not ended.
pub(super) fn living(
    policy: RetentionSettings,
    key: &SealingKey,
    page: Result<Option<Page>, store::Error>,
) -> Result<Page, Problem> {
    let page = page?.ok_or_else(|| Problem::new(Code::SessionNotFound))?;
    let life = Life::open(policy, key, &page.session)?;
    life.map(|_| page).ok_or_else(|| Problem::new(Code::SessionNotFound))
}
