//! `GET /api/v1/privacy`: what the service promises, computed from the parts that are in use.

use serde::Serialize;
use utoipa::ToSchema;

use super::language;
use super::problem::Problem;
use super::respond::{self, with_vary};
use super::responder::{Answer, Context, LOG_TARGET};
use crate::http::Request;
use crate::privacy::{LoggedRequests, Promise, Sentence, sentences};

/// What the service promises.
#[derive(Serialize, ToSchema)]
pub(super) struct Privacy {
    #[serde(flatten)]
    promise: Promise,
    /// The same in sentences for people, in the language of `Content-Language`, the most important first.
    summary: Vec<Sentence>,
}

/// Says what happens with the words of a person
///
/// It is computed for each request from the parts that are in use, and not from texts of the operator: when a setting changes, so does
/// the answer. No session is needed, and the database is not asked. docs/privacy.md says how to check each sentence.
#[utoipa::path(get, path = "/api/v1/privacy", operation_id = "privacy", tag = "Service", responses(
    (status = 200, description = "What the service promises", body = Privacy, headers(
        ("Content-Language" = String, description = "The language of `summary`: `en`, or `id` where `Accept-Language` prefers it"),
    )),
))]
pub(super) fn read<'a>(context: &'a Context, request: &Request, _: &str) -> Result<Answer<'a>, Problem> {
    let language = language::of(request).unwrap_or_default();
    let promise = context.disclosure.promise(logged_requests());
    let summary = sentences(&promise, language);
    let response = respond::json(200, &Privacy { promise, summary });
    Ok(with_vary(response.with_additional_header("Content-Language", language.tag()), "Accept-Language").into())
}

/// Which requests have a line in the log, as its filter is.
pub(super) fn logged_requests() -> LoggedRequests {
    use log::Level::{Debug, Error, Info};
    let levels = [(Debug, LoggedRequests::All), (Info, LoggedRequests::Most), (Error, LoggedRequests::Failed)];
    let logged = levels.into_iter().find(|(level, _)| log::log_enabled!(target: LOG_TARGET, *level));
    logged.map_or(LoggedRequests::None, |(_, logged)| logged)
}
