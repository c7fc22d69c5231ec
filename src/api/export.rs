//! `GET /api/v1/sessions/{session_id}/export`: all that is stored of a session as one file, made piece by piece at the pace at which
//! the client reads.

use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;

use parking_lot::Mutex;
use rouille::input::parse_priority_header;
use serde::Serialize;

use super::chat::message_pieces::{MessageFormat, MessagePieces, log_failure};
use super::chat::wire;
use super::problem::Problem;
use super::reports::job::ReportJob;
use super::reports::workers::ReportWorkers;
use super::respond;
use super::responder::{Answer, Context};
use super::sessions::{Session, parse_id};
use crate::document;
use crate::http::{Piece, PieceResponder, Request, Response};
use crate::message::Role;
use crate::report::Report;
use crate::retention::Life;
use crate::sealing::SealingKey;
use crate::session_id::SessionId;
use crate::store::{ReportList, ReportRef, Store};

/// The form of a file.
struct Format {
    media_type: &'static str,
    /// Neutral: it stays in the list of downloads.
    file: &'static str,
    /// All before the first message.
    opening: fn(SessionId, &Life) -> Vec<u8>,
    messages: MessageFormat,
    /// Between the last message and the first report.
    middle: &'static str,
    report: fn(&ReportJob, &Report) -> Vec<u8>,
    /// Between two reports.
    separator: &'static str,
    closing: &'static str,
}

static JSON: Format = Format {
    media_type: "application/json",
    file: "data.json",
    opening: |session_id, life| {
        let session = to_json(&Session::new(session_id, life));
        [b"{\"session\":", session.as_slice(), b",\"messages\":["].concat()
    },
    messages: MessageFormat {
        write: |session_id, message| to_json(&wire::Message::new(session_id, message)),
        separator: ",",
    },
    middle: "],\"reports\":[",
    report: |job, report| to_json(&job.body(report)),
    separator: ",",
    closing: "]}\n",
};

static MARKDOWN: Format = Format {
    media_type: "text/markdown; charset=utf-8",
    file: "data.md",
    opening: |_, life| {
        let [created_at, expires_at] = [life.created_at, life.expires_at].map(respond::timestamp);
        format!("# Session\n\n- created_at: {created_at}\n- expires_at: {expires_at}\n\n# Messages\n").into_bytes()
    },
    messages: MessageFormat {
        write: |_, message| {
            let role = if message.role == Role::User { "user" } else { "model" };
            let (time, words) = (respond::timestamp(message.created_at), document::markdown_quotation(&message.text));
            format!("\n**{role}**, {time}\n\n{words}\n").into_bytes()
        },
        separator: "",
    },
    middle: "\n# Reports\n\n",
    report: |_, report| document::markdown(&report.document).into_bytes(),
    separator: "\n",
    closing: "",
};

/// JSON without ids: a person who finds the file must not be able to open the session.
fn to_json(value: &impl Serialize) -> Vec<u8> {
    let mut value = serde_json::to_value(value).unwrap_or_default();
    if let Some(object) = value.as_object_mut() {
        // The ids of messages and reports are in the database, and would tell which rows of it the file is from.
        object.remove("session_id");
        object.remove("id");
    }
    respond::to_json(&value)
}

/// Returns all that is stored of a session as one file
///
/// JSON, or Markdown where `Accept` names it: the session, its messages, the oldest first, and its reports, the newest first. It has
/// no ids, so that a person who finds the file cannot open the session. It is made while the client reads; if the session is
/// erased meanwhile, the connection ends without the end of the body.
#[utoipa::path(get, path = "/api/v1/sessions/{session_id}/export", operation_id = "export_session", tag = "Sessions",
    params(("session_id" = uuid::Uuid, Path, description = "The session's id")),
    responses(
    (status = 200, description = "The file", content(
        (Object = "application/json", example = json!({"session": {"created_at": "2026-02-21T10:30:45.123456Z",
            "expires_at": "2026-02-28T10:30:45.123456Z", "idle_timeout_seconds": 604_800}, "messages": [], "reports": []})),
        (String = "text/markdown"),
    ), headers(("Content-Disposition" = String, description = "`attachment` with a neutral name"))),
))]
pub(super) fn export<'a>(context: &'a Context, request: &Request, session_id: &str) -> Result<Answer<'a>, Problem> {
    let session_id = parse_id(session_id)?;
    let key = SealingKey::derive(&session_id);
    let share = context.reports.begin_read(context.admission.shares(request, &key.lookup()))?;
    let client = context.admission.client(request, &key.lookup());
    let job = ReportJob::new(context, session_id.clone(), SealingKey::derive(&session_id));
    let (format, store, reports) = (format(request), context.store.clone(), context.reports.clone());
    Answer::defer(move |responder| {
        job.run_with(
            |workers| &workers.exporting_threads,
            responder.of_client(client),
            move |job, responder| {
                let _share = share;
                match job.session() {
                    Err(problem) => responder.respond(Err(problem)),
                    Ok((life, list)) => {
                        let export = Arc::new(Export::new(format, job, (store, reports), key, session_id, &life, list));
                        responder.stream_from(export.head(), move |piece| export.clone().send_piece(piece));
                    }
                }
            },
        );
    })
}

/// Markdown where the client names it and prefers nothing to it, else JSON.
fn format(request: &Request) -> &'static Format {
    let accepted = || parse_priority_header(request.header("Accept").unwrap_or_default());
    let weight =
        |wanted: &str| accepted().find(|(range, _)| range.eq_ignore_ascii_case(wanted)).map(|(_, weight)| weight);
    let markdown = weight("text/markdown").unwrap_or(0.0);
    if markdown > 0.0 && markdown >= weight("application/json").unwrap_or(0.0) { &MARKDOWN } else { &JSON }
}

/// A file that is being sent. Between two pieces it keeps neither messages nor reports.
struct Export {
    format: &'static Format,
    job: ReportJob,
    reports: Arc<ReportWorkers>,
    messages: Arc<MessagePieces>,
    state: Mutex<State>,
}

struct State {
    /// What comes before the next message or report.
    prefix: Vec<u8>,
    is_behind_messages: bool,
    /// The reports that are not sent yet.
    places: VecDeque<ReportRef>,
}

impl Export {
    fn new(
        format: &'static Format,
        job: ReportJob,
        (store, reports): (Arc<Store>, Arc<ReportWorkers>),
        key: SealingKey,
        session_id: SessionId,
        life: &Life,
        list: ReportList,
    ) -> Export {
        // The positions of messages have no gaps.
        let last = list.session.newest.map_or(0, |newest| newest.position);
        let messages = MessagePieces::new(store, key, session_id.clone(), (1, last), format.messages);
        let is_behind_messages = messages.is_done();
        let middle = if is_behind_messages { format.middle } else { "" };
        let prefix = [(format.opening)(session_id, life).as_slice(), middle.as_bytes()].concat();
        let state = State { prefix, is_behind_messages, places: list.places.into() };
        Export { format, job, reports, messages: Arc::new(messages), state: Mutex::new(state) }
    }

    fn head(&self) -> Response {
        let disposition = format!("attachment; filename=\"{}\"", self.format.file);
        let head = respond::with_body(200, self.format.media_type, [].as_slice());
        respond::with_vary(head, "Accept").with_additional_header("Content-Disposition", disposition)
    }

    fn send_piece(self: Arc<Export>, piece: PieceResponder) {
        if !self.messages.is_done() {
            let export = self.clone();
            return self.messages.send(piece, move |messages| export.frame(messages));
        }
        let Some(place) = self.state.lock().places.pop_front() else {
            // There is nothing at all.
            return piece.send_with(move || Some(self.frame(Vec::new())));
        };
        let reports = self.reports.clone();
        // Rejected, the job is dropped, and with it the piece: the file breaks off.
        let _ = reports.exporting_threads.execute(move || match self.job.read(place) {
            Ok(Some(report)) => piece.send_with(move || Some(self.frame((self.format.report)(&self.job, &report)))),
            // It was deleted meanwhile, perhaps with its session.
            Ok(None) => {}
            Err(problem) => log_failure(problem),
        });
    }

    /// A piece with these messages or this report.
    fn frame(&self, content: Vec<u8>) -> Piece {
        let state = &mut *self.state.lock();
        let mut bytes = mem::take(&mut state.prefix);
        bytes.extend(content);
        if state.is_behind_messages {
            state.prefix = self.format.separator.into();
        } else if self.messages.is_done() {
            state.is_behind_messages = true;
            bytes.extend_from_slice(self.format.middle.as_bytes());
        }
        let is_last = state.is_behind_messages && state.places.is_empty();
        if is_last {
            bytes.extend_from_slice(self.format.closing.as_bytes());
        }
        Piece { bytes, is_last }
    }
}
