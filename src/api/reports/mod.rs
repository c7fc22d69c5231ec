//! `/api/v1/sessions/{session_id}/report`, `…/reports`: reports that a person prepares, and their documents.

pub(in crate::api) mod job;
mod rendering;
mod request;
mod wire;
pub(in crate::api) mod workers;

use super::body;
use super::catalogue::Code;
use super::problem::{Problem, both};
use super::respond;
use super::responder::{Answer, Context};
use super::sessions::parse_id;
use crate::http::{Request, Response};
use crate::memory;
use crate::report::Report;
use crate::sealing::SealingKey;
use crate::session_id::SessionId;
use crate::sync::{CancellationToken, ThreadPool};
use job::{PolishRequest, ReportJob};
use rendering::Format;
use wire::{ReportBody, ReportChanges, ReportRequest, ReportSummaries, ReportSummary};
use workers::{ReportWorkers, Share};

/// Bytes of the body of a report: 16,384 characters of which each is escaped as a surrogate pair have 196,608.
pub(super) const MAX_BODY_BYTES: usize = 256 * 1024;

/// Makes a report from five answers
///
/// Its document is made from texts that people wrote, and from what is given: a fact that is missing is a visible placeholder. A
/// session can have 20 reports. Making one counts as use of the session.
#[utoipa::path(post, path = "/api/v1/sessions/{session_id}/report", operation_id = "create_report", tag = "Reports",
    params(
        ("session_id" = uuid::Uuid, Path, description = "The session's id"),
        ("polish" = Option<bool>, Query, description = "Whether the companion's model may smooth the language. What it words differently in any fact is not used, and without a model the document is as without this"),
    ),
    request_body(content = ReportRequest, content_type = "application/json", description = "At most 262,144 bytes"),
    responses(
    (status = 201, description = "Made, and durable", body = ReportBody),
    (status = 422, description = "The id is none, the body is not a JSON object, or answers are missing or not valid"),
))]
pub(super) fn create<'a>(context: &'a Context, request: &Request, session_id: &str) -> Result<Answer<'a>, Problem> {
    let read = || request::new_report(request);
    let session_id = parse_id(session_id).map_err(|problem| problem.and(read().err()))?;
    let key = admit(context, request, &session_id)?;
    let (facts, is_polished) = read()?;
    word(context, request, session_id, key, is_polished, |job| {
        let report = job.create(facts)?;
        Ok(respond::json(201, &job.body(&report)))
    })
}

/// Returns the newest report of a session
///
/// `Accept` chooses JSON, or the document as PDF, text, Markdown or HTML.
#[utoipa::path(get, path = "/api/v1/sessions/{session_id}/report", operation_id = "read_newest_report", tag = "Reports",
    params(("session_id" = uuid::Uuid, Path, description = "The session's id")),
    responses(
    (status = 200, description = "The report", content(
        (ReportBody = "application/json"), (Vec<u8> = "application/pdf"), (String = "text/plain"), (String = "text/markdown"),
        (String = "text/html"),
    ), headers(("Content-Disposition" = String, description = "`attachment` with a neutral name, unless it is JSON"))),
))]
pub(super) fn newest<'a>(context: &'a Context, request: &Request, session_id: &str) -> Result<Answer<'a>, Problem> {
    render(context, request, parse_id(session_id)?, ReportJob::newest)
}

/// Returns a report
///
/// `Accept` chooses JSON, or the document as PDF, text, Markdown or HTML.
#[utoipa::path(get, path = "/api/v1/sessions/{session_id}/reports/{report_id}", operation_id = "read_report", tag = "Reports",
    params(
        ("session_id" = uuid::Uuid, Path, description = "The session's id"),
        ("report_id" = uuid::Uuid, Path, description = "The report's id"),
    ),
    responses(
    (status = 200, description = "The report", content(
        (ReportBody = "application/json"), (Vec<u8> = "application/pdf"), (String = "text/plain"), (String = "text/markdown"),
        (String = "text/html"),
    ), headers(("Content-Disposition" = String, description = "`attachment` with a neutral name, unless it is JSON"))),
))]
pub(super) fn read<'a>(
    context: &'a Context,
    request: &Request,
    [session_id, report_id]: [&str; 2],
) -> Result<Answer<'a>, Problem> {
    let (session_id, report_id) = both(parse_id(session_id), request::report_id(report_id))?;
    render(context, request, session_id, move |job| job.find(report_id))
}

/// Lists the reports of a session
///
/// The newest first, without their documents.
#[utoipa::path(get, path = "/api/v1/sessions/{session_id}/reports", operation_id = "list_reports", tag = "Reports",
    params(("session_id" = uuid::Uuid, Path, description = "The session's id")),
    responses(
    (status = 200, description = "The reports; there may be none", body = ReportSummaries),
))]
pub(super) fn list<'a>(context: &'a Context, request: &Request, session_id: &str) -> Result<Answer<'a>, Problem> {
    let session_id = parse_id(session_id)?;
    look(context, request, session_id, |job| {
        // One after the other, so that no more than one is in memory.
        let places = job.places()?.into_iter();
        let summary = |place| Ok(job.read(place)?.map(|report| ReportSummary::new(&report)));
        let reports = places.filter_map(|place| summary(place).transpose()).collect::<Result<_, Problem>>()?;
        Ok(respond::json(200, &ReportSummaries { session_id: job.session_id.clone(), reports }))
    })
}

/// Changes a report
///
/// The facts that the body names take the place of those that were given before, null takes one back, and the document is made anew.
/// It counts as use of the session.
#[utoipa::path(patch, path = "/api/v1/sessions/{session_id}/reports/{report_id}", operation_id = "change_report", tag = "Reports",
    params(
        ("session_id" = uuid::Uuid, Path, description = "The session's id"),
        ("report_id" = uuid::Uuid, Path, description = "The report's id"),
        ("polish" = Option<bool>, Query, description = "Whether the companion's model may smooth the language, as where a report is made"),
    ),
    request_body(content = ReportChanges, content_type = "application/json", description = "At most 262,144 bytes"),
    responses(
    (status = 200, description = "Changed, and durable", body = ReportBody),
    (status = 422, description = "An id is none, the body is not a JSON object, or answers are not valid"),
))]
pub(super) fn change<'a>(
    context: &'a Context,
    request: &Request,
    [session_id, report_id]: [&str; 2],
) -> Result<Answer<'a>, Problem> {
    let read = || request::changes(request);
    let ids = both(parse_id(session_id), request::report_id(report_id));
    let (session_id, report_id) = ids.map_err(|problem| problem.and(read().err()))?;
    let key = admit(context, request, &session_id)?;
    let (changes, is_polished) = read()?;
    word(context, request, session_id, key, is_polished, move |job| {
        let report = job.change(report_id, &changes)?;
        Ok(respond::json(200, &job.body(&report)))
    })
}

/// Deletes a report
///
/// It does not count as use of the session.
#[utoipa::path(delete, path = "/api/v1/sessions/{session_id}/reports/{report_id}", operation_id = "delete_report", tag = "Reports",
    params(
        ("session_id" = uuid::Uuid, Path, description = "The session's id"),
        ("report_id" = uuid::Uuid, Path, description = "The report's id"),
    ),
    responses(
    (status = 204, description = "Deleted"),
))]
pub(super) fn delete<'a>(
    context: &'a Context,
    _: &Request,
    [session_id, report_id]: [&str; 2],
) -> Result<Answer<'a>, Problem> {
    let (session_id, report_id) = both(parse_id(session_id), request::report_id(report_id))?;
    let key = SealingKey::derive(&session_id);
    let job = ReportJob::new(context, session_id, key);
    Answer::defer(move |responder| {
        let delete = move |job: &ReportJob| job.delete(report_id).map(|()| respond::no_content());
        job.run(|workers| &workers.deleting_threads, responder, delete);
    })
}

/// Counts a request that makes or changes a report.
fn admit(context: &Context, request: &Request, session_id: &SessionId) -> Result<SealingKey, Problem> {
    let key = SealingKey::derive(session_id);
    context.admission.report(&key.lookup(), body::length(request))?;
    if context.store.watermark.is_full() {
        return Err(Problem::new(Code::StorageFull));
    }
    Ok(key)
}

/// Answers with a report that is worded, where `is_polished` with the help of the companion's model if that can be asked now.
fn word<'a>(
    context: &'a Context,
    request: &Request,
    session_id: SessionId,
    key: SealingKey,
    is_polished: bool,
    make: impl FnOnce(&ReportJob) -> Result<Response, Problem> + Send + 'static,
) -> Result<Answer<'a>, Problem> {
    let share = context.reports.begin_write(context.admission.client_peer(request))?;
    let permit = is_polished.then(|| context.reports.begin_polish()).flatten();
    let polish = permit.map(|_permit| PolishRequest {
        turns: context.turns.clone(),
        peer: context.admission.client_peer(request),
        disconnect: CancellationToken::default(),
        _permit,
    });
    let threads: fn(&ReportWorkers) -> &ThreadPool =
        if polish.is_some() { |workers| &workers.polishing_threads } else { |workers| &workers.writing_threads };
    let job = ReportJob::new(context, session_id, key).with_polish(polish);
    answer_on(threads, context, request, job, share, make)
}

/// Answers with what is read of the reports.
fn look<'a>(
    context: &'a Context,
    request: &Request,
    session_id: SessionId,
    make: impl FnOnce(&ReportJob) -> Result<Response, Problem> + Send + 'static,
) -> Result<Answer<'a>, Problem> {
    let key = SealingKey::derive(&session_id);
    let job = ReportJob::new(context, session_id, key);
    let share = context.reports.begin_read(context.admission.shares(request, &job.lookup()))?;
    answer_on(|workers| &workers.reading_threads, context, request, job, share, make)
}

/// Answers with a report in the format that the client accepts.
fn render<'a>(
    context: &'a Context,
    request: &Request,
    session_id: SessionId,
    find: impl FnOnce(&ReportJob) -> Result<Report, Problem> + Send + 'static,
) -> Result<Answer<'a>, Problem> {
    let format = request::format(request);
    // The response to HEAD has no body, so none is made.
    let is_head = request.method() == "HEAD";
    let make = move |job: &ReportJob| {
        let report = find(job)?;
        Ok(if is_head { format.head() } else { format.render(&report, || job.body(&report)) })
    };
    if format != Format::Pdf {
        return look(context, request, session_id, make);
    }
    let key = SealingKey::derive(&session_id);
    let job = ReportJob::new(context, session_id, key);
    let share = context.reports.begin_pdf(context.admission.shares(request, &job.lookup()))?;
    let make = move |job: &ReportJob| {
        let response = make(job);
        memory::overwrite_deep_stack();
        let response = response?;
        // What was deleted while its file was made is not handed out.
        job.session().map(|_| response)
    };
    answer_on(|workers| &workers.pdf_threads, context, request, job, share, make)
}

/// Answers with what is made on one of these threads, while the share is held. Its memory counts for the client.
fn answer_on<'a>(
    threads: fn(&ReportWorkers) -> &ThreadPool,
    context: &'a Context,
    request: &Request,
    job: ReportJob,
    share: Share,
    make: impl FnOnce(&ReportJob) -> Result<Response, Problem> + Send + 'static,
) -> Result<Answer<'a>, Problem> {
    let client = context.admission.client(request, &job.lookup());
    Answer::defer(move |responder| {
        if let Some(disconnect) = job.disconnect() {
            responder.on_disconnect(disconnect);
        }
        job.run(threads, responder.of_client(client), move |job| {
            let _share = share;
            make(job)
        });
    })
}
