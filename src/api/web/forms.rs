//! The forms of the page, which work without JavaScript. They call the functions of the API, and answer with the page and the status of
//! the API's problem.

use sha2::{Digest, Sha256};
use utoipa::{IntoParams, IntoResponses, ToSchema};

use super::conversation::{Conversation, Reader};
use super::page::Page;
use crate::api::body::Form;
use crate::api::catalogue::Code;
use crate::api::chat;
use crate::api::chat::request::{MAX_CHARS, idempotency_key, message, message_id};
use crate::api::leaving;
use crate::api::problem::{ErrorBody, Problem, both};
use crate::api::respond;
use crate::api::responder::{Answer, Context, Responder};
use crate::api::sessions;
use crate::http::Request;
use crate::sealing::SealingKey;
use crate::session_id::SessionId;
use crate::store::Erased;
use crate::turns::{Event, EventHandler};
use crate::web::{Talk, View};

pub(in crate::api) const END_PATH: &str = "/page/end";
pub(in crate::api) const LEAVE_PATH: &str = "/page/leave";

/// Bytes of a form with a message: its characters of four bytes, three bytes for each of these in the encoding, and 2,048 bytes for
/// the other fields and the line ends of browsers.
pub(in crate::api) const MAX_MESSAGE_FORM_BYTES: usize = 3 * 4 * MAX_CHARS + 2048;

const EXAMPLE: &str = "<!doctype html><html lang=\"en\">…</html>";

/// The language of the page.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "only described")]
struct Language {
    /// `id` or `en`; by default that of the browser.
    language: Option<String>,
}

/// The session of a form.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only described")]
pub(in crate::api) struct SessionForm {
    /// The session's id, or its recovery code.
    #[schema(value_type = String, example = "550e8400-e29b-41d4-a716-446655440000")]
    session_id: SessionId,
}

/// A session, and where its page ends.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only described")]
pub(in crate::api) struct ReadForm {
    /// The session's id, or its recovery code.
    #[schema(value_type = String, example = "550e8400-e29b-41d4-a716-446655440000")]
    session_id: SessionId,
    /// The id of a message: the messages before it are shown. By default the newest ones are.
    #[schema(required = false, example = "8c9b1d0e-3a55-8f51-b1a4-0f5a2b3c4d5e")]
    before: String,
}

/// A message.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only described")]
pub(in crate::api) struct MessageForm {
    /// The session's id, or its recovery code.
    #[schema(value_type = String, example = "550e8400-e29b-41d4-a716-446655440000")]
    session_id: SessionId,
    /// Random: the same message sent again with it is answered once.
    #[schema(min_length = 1, max_length = 200, example = "7d3c9f0e-4b1a-4c57-9e59-6a8f2f1f0c11")]
    key: String,
    /// 1 to 4,096 characters, not only white space, without NUL.
    #[schema(min_length = 1, max_length = 4096, example = "I am afraid to go home.")]
    message: String,
}

/// A form that is refused by its head, other than that to leave.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "only described")]
enum RefusedForm {
    /// A page of another origin sent the form, also an allowed one; nothing was done
    #[response(status = 403, content_type = "text/html", example = json!(EXAMPLE))]
    ForeignOrigin(String),
    /// The form is too long
    #[response(status = 413, content_type = "text/html", example = json!(EXAMPLE))]
    TooLong(String),
    /// The form is compressed or not URL-encoded
    #[response(status = 415, content_type = "text/html", example = json!(EXAMPLE))]
    NotUrlEncoded(String),
}

/// Creates a session, and shows its empty conversation
///
/// A form cannot solve a proof of work: where one is required, it says so.
#[utoipa::path(post, path = "/page/begin", tag = "Page",
    params(Language),
    responses(
    (status = 200, description = "The conversation", content_type = "text/html", body = String, example = json!(EXAMPLE)),
    RefusedForm,
    (status = 429, description = "Proof of work is required", content_type = "text/html", body = String, example = json!(EXAMPLE)),
    (status = 500, description = "A bug", content_type = "text/html", body = String, example = json!(EXAMPLE)),
    (status = 503, description = "The database is not available", content_type = "text/html", body = String, example = json!(EXAMPLE)),
    (status = 504, description = "The database took too long", content_type = "text/html", body = String, example = json!(EXAMPLE)),
))]
pub(in crate::api) fn begin<'a>(context: &'a Context, request: &Request, _: &str) -> Result<Answer<'a>, Problem> {
    let page = page(context, request)?;
    let reader = Reader::of(context, request);
    sessions::start(context, request, None, move |session_id, _| Conversation::new(reader, page, session_id).empty())
}

/// Sends a message, waits for the answer, and shows the newest messages
///
/// With an error the message is in the field again, with the same key, so that sending it again does not double it.
#[utoipa::path(post, path = "/page/say", tag = "Page",
    params(Language),
    request_body(content = MessageForm, content_type = "application/x-www-form-urlencoded"),
    responses(
    (status = 200, description = "The conversation", content_type = "text/html", body = String, example = json!(EXAMPLE)),
    RefusedForm,
    (status = 404, description = "There is no such session", content_type = "text/html", body = String, example = json!(EXAMPLE)),
    (status = 409, description = "Another message is being answered, the answer was stopped, or the session is full", content_type = "text/html", body = String, example = json!(EXAMPLE)),
    (status = 422, description = "The id or the message is not valid", content_type = "text/html", body = String, example = json!(EXAMPLE)),
    (status = 429, description = "Too many messages of this session or of the client's network", content_type = "text/html", body = String, example = json!(EXAMPLE)),
    (status = 500, description = "A bug", content_type = "text/html", body = String, example = json!(EXAMPLE)),
    (status = 503, description = "The companion or the database is not available", content_type = "text/html", body = String, example = json!(EXAMPLE)),
    (status = 504, description = "The answer took too long", content_type = "text/html", body = String, example = json!(EXAMPLE)),
))]
pub(in crate::api) fn say<'a>(context: &'a Context, request: &Request, _: &str) -> Result<Answer<'a>, Problem> {
    let (page, form) = (page(context, request)?, Form::read(request)?);
    let session_id = session_id(&form)?;
    // Browsers end the lines of a field with CR LF.
    let draft = form.field("message").unwrap_or_default().replace("\r\n", "\n");
    let (form_key, sealing_key) = (form.field("key").unwrap_or_default(), SealingKey::derive(&session_id));
    let client = context.admission.client(request, &sealing_key.lookup());
    let read = || both(idempotency_key(&form_key).map(|key| Some(key_of(&key, &draft))), message(draft.clone()));
    let reader = Reader::of(context, request);
    let (_, question) = chat::admit(context, request, sealing_key, draft.len(), read);
    Answer::defer(move |responder| {
        let responder = responder.of_client(client);
        let conversation = Conversation::new(reader, page, session_id);
        let question = match question {
            Ok(question) => question,
            Err(problem) => return conversation.with_draft(draft, form_key).show(None, Some(problem), responder),
        };
        responder.on_disconnect(question.disconnect.clone());
        context.turns.start(question, on_event(conversation, draft, form_key, responder));
    })
}

/// Shows the conversation when the turn has ended: with a fresh key, or after a failure with what was to be said.
fn on_event(conversation: Conversation, draft: String, form_key: String, responder: Responder) -> EventHandler {
    let (mut waiting, mut found) = (Some((conversation, draft, form_key, responder)), None);
    Box::new(move |event| match event {
        Event::Started(_, safety) => found = safety,
        Event::Delta(_) | Event::Reset => {}
        Event::Finished(_, safety) => {
            if let Some((conversation, .., responder)) = waiting.take() {
                conversation.with_safety(safety).show(None, None, responder);
            }
        }
        Event::Failed(failure) => {
            if let Some((conversation, draft, form_key, responder)) = waiting.take() {
                let conversation = conversation.with_draft(draft, form_key).with_safety(found);
                conversation.show(None, Some(failure.into()), responder);
            }
        }
    })
}

/// The `Idempotency-Key` of a message: the same for the same text from the same page, so that sending it again does not double it,
/// and another one for another text, which a person may write after an error.
fn key_of(form_key: &str, text: &str) -> String {
    let hash = Sha256::new().chain_update(form_key).chain_update([0]).chain_update(text).finalize();
    hash.iter().fold(String::new(), |key, byte| format!("{key}{byte:02x}"))
}

/// Shows the newest messages of a session, or those before one
///
/// The answer to a recovery code that a person types.
#[utoipa::path(post, path = "/page/read", tag = "Page",
    params(Language),
    request_body(content = ReadForm, content_type = "application/x-www-form-urlencoded"),
    responses(
    (status = 200, description = "The conversation", content_type = "text/html", body = String, example = json!(EXAMPLE)),
    RefusedForm,
    (status = 404, description = "There is no such session", content_type = "text/html", body = String, example = json!(EXAMPLE)),
    (status = 422, description = "The id or the recovery code is not valid", content_type = "text/html", body = String, example = json!(EXAMPLE)),
    (status = 500, description = "A bug", content_type = "text/html", body = String, example = json!(EXAMPLE)),
    (status = 503, description = "The database is not available", content_type = "text/html", body = String, example = json!(EXAMPLE)),
    (status = 504, description = "The database took too long", content_type = "text/html", body = String, example = json!(EXAMPLE)),
))]
pub(in crate::api) fn read<'a>(context: &'a Context, request: &Request, _: &str) -> Result<Answer<'a>, Problem> {
    let (page, form) = (page(context, request)?, Form::read(request)?);
    let before = form.field("before").map(|before| message_id(&before)).transpose();
    let (session_id, before) = both(session_id(&form), before)?;
    let client = context.admission.client(request, &session_id.lookup());
    let reader = Reader::of(context, request);
    Answer::defer(move |responder| {
        let conversation = Conversation::new(reader, page, session_id);
        conversation.show(before, None, responder.of_client(client));
    })
}

/// Erases a session, and shows what was erased
///
/// Where that is not certain, the page says so, and has the form to try again.
#[utoipa::path(post, path = "/page/end", tag = "Page",
    params(Language),
    request_body(content = SessionForm, content_type = "application/x-www-form-urlencoded"),
    responses(
    (status = 200, description = "Erased", content_type = "text/html", body = String, example = json!(EXAMPLE)),
    RefusedForm,
    (status = 404, description = "There is no such session, or there is none any more", content_type = "text/html", body = String, example = json!(EXAMPLE)),
    (status = 422, description = "The id is not valid", content_type = "text/html", body = String, example = json!(EXAMPLE)),
    (status = 500, description = "A bug: the session may still be there", content_type = "text/html", body = String, example = json!(EXAMPLE)),
    (status = 503, description = "The database is not available: the session may still be there", content_type = "text/html", body = String, example = json!(EXAMPLE)),
    (status = 504, description = "The database took too long: the session may still be there", content_type = "text/html", body = String, example = json!(EXAMPLE)),
))]
pub(in crate::api) fn end<'a>(context: &'a Context, request: &Request, _: &str) -> Result<Answer<'a>, Problem> {
    let (page, form) = (page(context, request)?, Form::read(request)?);
    let session_id = session_id(&form)?;
    let (key, policy, shown) = (SealingKey::derive(&session_id), context.retention, page.clone());
    let lookup = key.lookup();
    let make = move |erased| {
        let Erased { messages, .. } = sessions::existing(policy, &key, erased)?;
        let words = shown.texts().get("erased").replace("{messages}", &messages.to_string());
        Ok(shown.response(View::Ended, Some(words), Talk::default()))
    };
    let failed = move |problem: &Problem| {
        let is_gone = problem.code() == Code::SessionNotFound;
        let words = page.texts().get(if is_gone { "erased_before" } else { "erase_unsure" }).to_owned();
        let session_id = (!is_gone).then_some(session_id);
        page.response(View::Ended, Some(words), Talk { session_id, ..Talk::default() })
    };
    Answer::defer(move |responder| {
        let responder = responder.with_errors(ErrorBody::Page(Box::new(failed)));
        leaving::erase(context, lookup, responder, make);
    })
}

/// Erases a session, and leads to `WEB_EXIT_URL`
///
/// As `/api/v1/exit`, with a page in the place of a redirection, which browsers apply the page's `form-action` to. Errors lead there too.
#[utoipa::path(post, path = "/page/leave", tag = "Page",
    params(Language),
    request_body(content = SessionForm, content_type = "application/x-www-form-urlencoded"),
    responses(
    (status = 200, description = "There is no such session, or there is none any more; leads to the other page", content_type = "text/html", body = String, example = json!(EXAMPLE)),
    (status = 403, description = "A page of another origin sent the form; nothing was erased; leads to the other page", content_type = "text/html", body = String, example = json!(EXAMPLE)),
    (status = 413, description = "The form is too long; nothing was erased; leads to the other page", content_type = "text/html", body = String, example = json!(EXAMPLE)),
    (status = 415, description = "The form is compressed or not URL-encoded; nothing was erased; leads to the other page", content_type = "text/html", body = String, example = json!(EXAMPLE)),
    (status = 500, description = "A bug: the session may still be there; leads to the other page", content_type = "text/html", body = String, example = json!(EXAMPLE)),
    (status = 503, description = "The database is not available: the session may still be there; leads to the other page", content_type = "text/html", body = String, example = json!(EXAMPLE)),
    (status = 504, description = "The database took too long: the session may still be there; leads to the other page", content_type = "text/html", body = String, example = json!(EXAMPLE)),
))]
pub(in crate::api) fn leave<'a>(context: &'a Context, request: &Request, _: &str) -> Result<Answer<'a>, Problem> {
    let url = page(context, request)?.site.exit_url.clone();
    let session = leaving::session(request, &Form::read(request)?);
    leaving::leave(context, session, url.clone(), move || Ok(respond::page_leading_to(200, &url)))
}

fn page(context: &Context, request: &Request) -> Result<Page, Problem> {
    Page::of(context, request).ok_or_else(|| Problem::new(Code::PathNotFound))
}

/// The session of a form, by its id or by its code as a person types it.
fn session_id(form: &Form) -> Result<SessionId, Problem> {
    sessions::parse_id(form.field("session_id").unwrap_or_default().trim())
}
