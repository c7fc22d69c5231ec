//! `/api/v1/panic` and `/api/v1/exit`: erasing a session in the worst moment, with what a page can send without JavaScript.
//!
//! The response does not tell whether there was a session: its status and its fields are the same, and so is its time, unless the
//! deletion takes longer than [`ANSWER_AFTER`].

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use utoipa::ToSchema;

use super::bearer;
use super::body::Form;
use super::catalogue::Code;
use super::problem::{ErrorBody, Problem};
use super::respond;
use super::responder::{Answer, Context, Responder};
use crate::http::{Request, Response};
use crate::sealing::Lookup;
use crate::session_id::SessionId;
use crate::store::{self, Caller, Erased};
use crate::sync::Timer;

pub(super) const PANIC_PATH: &str = "/api/v1/panic";
pub(super) const EXIT_PATH: &str = "/api/v1/exit";

/// From the request to the response. Deleting waits for the disk, some milliseconds, which an unknown id would not.
const ANSWER_AFTER: Duration = Duration::from_millis(50);

/// Until then there is a response, whatever the database does: a person waits for it, to leave.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

const EXAMPLE_OF_A_PAGE: &str = concat!(
    "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>…</title><link rel=\"icon\" href=\"data:,\">",
    "<p><a href=\"https://www.google.com/\">https://www.google.com/</a>",
);

/// What a browser keeps of this origin (W3C Clear Site Data). Not `"cookies"`: the service sets none, and that clears those of the whole
/// registrable domain, so that the person would be logged out of other sites.
const CLEAR_SITE_DATA: &str = "\"cache\", \"storage\"";

/// Erases a session, whoever asks
///
/// The body is a form, URL-encoded, multipart or plain text, a JSON object with the member `session_id`, or the session's id alone, whatever
/// its `Content-Type`: so `navigator.sendBeacon` and a plain HTML form reach it. Only one media type is described here. Without an id there
/// the first UUID in the body counts, and without any the one in `Authorization: Bearer`. The answer is the same, and comes after the same
/// time, for an id that exists, an unknown and a malformed one, unless deleting takes longer than 50 ms. A running turn is cancelled.
#[utoipa::path(post, path = "/api/v1/panic", tag = "Leaving",
    request_body(content = PanicForm, content_type = "application/x-www-form-urlencoded", description = "At most 1,024 bytes, whatever the media type"),
    responses(
    (status = 204, description = "There is no such session, or there is none any more"),
    (status = 503, description = "The database is not available, or refuses statements: the session may still be there, try again"),
    (status = 504, description = "The database took too long: the session may still be there, try again"),
))]
pub(super) fn panic<'a>(context: &'a Context, request: &Request, _: &str) -> Result<Answer<'a>, Problem> {
    let session = session(request, &Form::read(request)?);
    let make = |erased: ErasureResult| erased.map(|_| respond::no_content()).map_err(Problem::from);
    Answer::defer(move |responder| erase(context, session, responder, make))
}

/// Erases a session and leads to another page
///
/// The target of a form that works without JavaScript. It takes the same bodies as `/api/v1/panic`, and clears what the browser
/// keeps of this origin. `url` is one of the operator's `EXIT_URLS`, by default the first. The page of an error leads there too, or to
/// the first where the form was not read.
#[utoipa::path(post, path = "/api/v1/exit", tag = "Leaving",
    request_body(content = ExitForm, content_type = "application/x-www-form-urlencoded", description = "At most 1,024 bytes, whatever the media type"),
    responses(
    (status = 303, description = "There is no such session, or there is none any more; leads to the other page", headers(
        ("Location" = String, description = "One of `EXIT_URLS`"),
        ("Clear-Site-Data" = String, description = "Cache and storage, also with 422, 503 and 504"),
    )),
    (status = 403, description = "A page of a foreign origin sent the form; nothing was erased; the page leads to the first of `EXIT_URLS`",
     content_type = "text/html", body = String, example = json!(EXAMPLE_OF_A_PAGE)),
    (status = 413, description = "The form has more than 1,024 bytes; nothing was erased; the page leads to the first of `EXIT_URLS`",
     content_type = "text/html", body = String, example = json!(EXAMPLE_OF_A_PAGE)),
    (status = 415, description = "The form is compressed; nothing was erased; the page leads to the first of `EXIT_URLS`",
     content_type = "text/html", body = String, example = json!(EXAMPLE_OF_A_PAGE)),
    (status = 422, description = "Erased, but `url` is none of `EXIT_URLS`; the page leads to the first of these",
     content_type = "text/html", body = String, example = json!(EXAMPLE_OF_A_PAGE)),
    (status = 500, description = "A bug: the session may still be there; the page leads to the other page",
     content_type = "text/html", body = String, example = json!(EXAMPLE_OF_A_PAGE)),
    (status = 503, description = "The database is not available, or refuses statements: the session may still be there; the page leads to the other page",
     content_type = "text/html", body = String, example = json!(EXAMPLE_OF_A_PAGE)),
    (status = 504, description = "The database took too long: the session may still be there; the page leads to the other page",
     content_type = "text/html", body = String, example = json!(EXAMPLE_OF_A_PAGE)),
))]
pub(super) fn exit<'a>(context: &'a Context, request: &Request, _: &str) -> Result<Answer<'a>, Problem> {
    let form = Form::read(request)?;
    let default = default_url(context);
    let wanted = form.field("url").filter(|url| !url.is_empty());
    let known = wanted.as_ref().map_or(Some(default), |wanted| context.exit_urls.iter().find(|url| *url == wanted));
    // Nothing is refused before the session is erased: the person who presses the button is in danger, and the fault is the page's.
    let (url, is_known) = (known.unwrap_or(default).clone(), known.is_some());
    leave(context, session(request, &form), url.clone(), move || {
        if !is_known {
            return Err(Problem::new(Code::InvalidRequest));
        }
        Ok(Response { status_code: 303, ..respond::no_content() }.with_additional_header("Location", url))
    })
}

/// Erases a session, clears what the browser keeps of this origin, and answers with what `make` makes. An error leads to `url` too.
pub(super) fn leave<'a>(
    context: &'a Context,
    session: Lookup,
    url: String,
    make: impl FnOnce() -> Result<Response, Problem> + Send + 'static,
) -> Result<Answer<'a>, Problem> {
    let fields = vec![("Clear-Site-Data", CLEAR_SITE_DATA.to_owned())];
    Answer::defer(move |responder| {
        let responder = responder.with_fields(fields).with_errors(ErrorBody::Leading(url));
        erase(context, session, responder, move |erased| erased.map_err(Problem::from).and_then(|_| make()));
    })
}

/// Where a person leaves to, unless the page asked for another one.
pub(super) fn default_url(context: &Context) -> &String {
    &context.exit_urls[0]
}

/// The fields of a form that panics.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only described")]
pub(super) struct PanicForm {
    /// The session's id.
    #[schema(value_type = String, format = Uuid, example = "550e8400-e29b-41d4-a716-446655440000")]
    session_id: SessionId,
}

/// The fields of a form that leaves.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only described")]
pub(super) struct ExitForm {
    /// The session's id.
    #[schema(value_type = String, format = Uuid, example = "550e8400-e29b-41d4-a716-446655440000")]
    session_id: SessionId,
    /// One of `EXIT_URLS`, exactly as it is there.
    #[schema(required = false, example = "https://www.google.com/")]
    url: String,
}

/// The session that the form names, or where it names none, `Authorization`. In the place of a malformed id is a random one, so
/// that the same statement is executed for it, and fails for the same reasons.
pub(super) fn session(request: &Request, form: &Form) -> Lookup {
    let credential = || bearer::session_id(request).ok()?.parse().ok();
    form.session_id().or_else(credential).unwrap_or_else(SessionId::random).lookup()
}

/// Erases a session, and answers with what `make` makes of that between [`ANSWER_AFTER`] and [`ANSWER_WITHIN`].
pub(super) fn erase(
    context: &Context,
    session: Lookup,
    responder: Responder,
    make: impl FnOnce(ErasureResult) -> Result<Response, Problem> + Send + 'static,
) {
    let received_at = Instant::now();
    let pending = Arc::new(Pending(Mutex::new(None)));
    let late = pending.clone();
    let timer = context.timers.schedule(received_at + ANSWER_WITHIN, move || late.complete(Err(store::Error::Timeout)));
    *pending.0.lock() = Some((responder, Box::new(make), timer));
    let timers = context.timers.clone();
    let erased = move |erased: ErasureResult| {
        timers.run_at(received_at + ANSWER_AFTER, move || pending.complete(erased));
    };
    context.turns.erase(session, Caller::MustNotBlock, Box::new(erased));
}

/// What became of an erasure; `None` where there was no session.
pub(super) type ErasureResult = Result<Option<Erased>, store::Error>;

/// Makes the response of an erasure.
type Make = Box<dyn FnOnce(ErasureResult) -> Result<Response, Problem> + Send>;

/// A request that is answered once, by the deletion or by the timer.
struct Pending(Mutex<Option<(Responder, Make, Timer)>>);

impl Pending {
    fn complete(&self, result: ErasureResult) {
        let pending = self.0.lock().take();
        if let Some((responder, make, _timer)) = pending {
            responder.respond_with(move || make(result));
        }
    }
}
