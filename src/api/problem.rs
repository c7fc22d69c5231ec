//! Errors as the client sees them: problem documents (RFC 9457).

use serde::Serialize;
use utoipa::ToSchema;

use super::catalogue::{Code, FieldCode};
use super::proof_of_work::ProofOfWork;
use super::respond;
use crate::admission::{BURST, Denied, PER_MINUTE, ProofRequired};
use crate::http::{Refusal, Response};
use crate::language::Language;
use crate::sealing::OpenError;
use crate::store;

/// Where every code is explained.
pub(super) const ERRORS_PATH: &str = "/docs/errors";

/// Seconds to wait after a 503: a database that is back is found within one.
pub(super) const RETRY_AFTER_S: u32 = 1;

/// The same where the storage is full: an operator must act.
const STORAGE_RETRY_AFTER_S: u32 = 60;

/// The same where the database refuses statements: an operator must act, and the service notices within some seconds.
const REFUSED_RETRY_AFTER_S: u32 = 10;

/// An error, before its language is known.
#[derive(Debug)]
pub(super) struct Problem {
    code: Code,
    /// Values for the names in braces of the detail.
    values: Vec<(&'static str, String)>,
    errors: Vec<InvalidField>,
    retry_after: Option<u32>,
    proof_of_work: Option<Box<ProofOfWork>>,
    /// `Allow` with 405, `Accept-Encoding` with 415, `WWW-Authenticate` with 401.
    header: Option<Box<(&'static str, String)>>,
    /// What the log says of an internal error.
    pub(super) cause: Option<Box<str>>,
}

/// A part of a request that is wrong.
#[derive(Debug, Clone, Copy)]
struct InvalidField {
    code: FieldCode,
    /// Position in the body, in bytes from 1.
    position: Option<usize>,
    /// The maximum that the message names in braces.
    max: Option<i32>,
}

/// An error (RFC 9457).
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub(super) struct ProblemDocument<'a> {
    /// Where this kind of error is explained: `/docs/errors#` and the code.
    #[serde(rename = "type")]
    #[schema(example = "/docs/errors#session_not_found")]
    kind: String,
    /// The kind of error, for a person to read.
    #[schema(example = "No such session")]
    title: &'static str,
    /// The HTTP status, once more.
    #[schema(example = 404)]
    status: u16,
    /// What was wrong and what to do, for a person to read.
    #[schema(example = "There is no session with this id. It may have been deleted, or it has ended.")]
    detail: String,
    /// The kind of error, for programs.
    code: Code,
    /// With 422: every part of the request that was wrong.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    errors: Vec<FieldError>,
    /// Seconds to wait before the next try, as in `Retry-After`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 1)]
    retry_after: Option<u32>,
    /// With the code `proof_of_work`: what to solve.
    #[serde(skip_serializing_if = "Option::is_none")]
    proof_of_work: Option<&'a ProofOfWork>,
}

/// One part of a request that was wrong.
#[derive(Serialize, ToSchema)]
pub(super) struct FieldError {
    /// The parameter or the field of the body; `body` for the body as a whole.
    #[schema(example = "session_id")]
    field: &'static str,
    /// What is wrong with it, for programs.
    code: FieldCode,
    /// What it should be, for a person to read.
    #[schema(example = "must be a UUID such as 550e8400-e29b-41d4-a716-446655440000, or a recovery code")]
    message: String,
    /// Where the body is wrong: the number of the byte, counted from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 17)]
    position: Option<usize>,
}

/// What a client gets in the place of what it asked for.
#[derive(Default)]
pub(super) enum ErrorBody {
    /// A problem document.
    #[default]
    Document,
    /// A page without a word that leads to this URL at once.
    Leading(String),
    /// A page that says it to a person. Its status is that of the problem.
    Page(Box<dyn FnOnce(&Problem) -> Response + Send>),
}

impl Problem {
    pub(super) fn new(code: Code) -> Problem {
        let retry_after = match code {
            Code::StorageFull => Some(STORAGE_RETRY_AFTER_S),
            Code::DatabaseRefuses => Some(REFUSED_RETRY_AFTER_S),
            _ => (code.entry().status == 503).then_some(RETRY_AFTER_S),
        };
        let (values, errors) = (Vec::new(), Vec::new());
        Problem { code, values, errors, retry_after, proof_of_work: None, header: None, cause: None }
    }

    pub(super) fn method_not_allowed(allow: String) -> Problem {
        Problem::new(Code::MethodNotAllowed).value("allow", allow.clone()).header("Allow", allow)
    }

    /// A part of the request is wrong.
    pub(super) fn invalid(code: FieldCode) -> Problem {
        Problem::invalid_field(InvalidField { code, position: None, max: None })
    }

    /// The body is wrong from this byte on, counted from 1.
    pub(super) fn invalid_at(code: FieldCode, position: usize) -> Problem {
        Problem::invalid_field(InvalidField { code, position: Some(position), max: None })
    }

    /// A number is above the maximum that the operator set, or is no number.
    pub(super) fn invalid_number(code: FieldCode, max: i32) -> Problem {
        Problem::invalid_field(InvalidField { code, position: None, max: Some(max) })
    }

    fn invalid_field(field: InvalidField) -> Problem {
        Problem { errors: vec![field], ..Problem::new(Code::InvalidRequest) }
    }

    /// The same, and what else is wrong with the request.
    pub(super) fn and(mut self, other: Option<Problem>) -> Problem {
        let other = other.filter(|other| (self.code, other.code) == (Code::InvalidRequest, Code::InvalidRequest));
        self.errors.extend(other.into_iter().flat_map(|other| other.errors));
        self
    }

    /// The kind of error.
    pub(super) fn code(&self) -> Code {
        self.code
    }

    /// Whether this part of the request is wrong.
    pub(super) fn is_about(&self, code: FieldCode) -> bool {
        self.errors.iter().any(|error| error.code == code)
    }

    /// The same, to be tried again after so many seconds.
    pub(super) fn after(self, seconds: u32) -> Problem {
        Problem { retry_after: Some(seconds), ..self }
    }

    /// The same with a field in the head of its response.
    pub(super) fn header(self, name: &'static str, value: String) -> Problem {
        Problem { header: Some(Box::new((name, value))), ..self }
    }

    /// The same with a value for a name in braces of the detail.
    fn value(mut self, name: &'static str, value: String) -> Problem {
        self.values.push((name, value));
        self
    }

    /// A handler, or the work that it began, panicked or was dropped.
    pub(super) fn panicked() -> Problem {
        Problem::internal("a handler panicked")
    }

    /// A bug. `cause` goes to the log, so it must hold nothing of the request.
    pub(super) fn internal(cause: impl Into<Box<str>>) -> Problem {
        Problem { cause: Some(cause.into()), ..Problem::new(Code::InternalError) }
    }

    /// The document in a language.
    pub(super) fn document(&self, language: Language) -> ProblemDocument<'_> {
        let entry = self.code.entry();
        let errors: Vec<FieldError> = self.errors.iter().map(|error| error.describe(language)).collect();
        let sentences: Vec<String> = errors.iter().map(|error| format!("{} {}", error.field, error.message)).collect();
        let mut detail = entry.detail.get(language).replace("{errors}", &sentences.join("; "));
        for (name, value) in &self.values {
            detail = detail.replace(&format!("{{{name}}}"), value);
        }
        ProblemDocument {
            kind: format!("{ERRORS_PATH}#{}", self.code.name()),
            title: entry.title.get(language),
            status: entry.status,
            detail,
            code: self.code,
            errors,
            retry_after: self.retry_after,
            proof_of_work: self.proof_of_work.as_deref(),
        }
    }

    /// The response, in a language where it is a document.
    pub(super) fn response(&self, language: Language, body: ErrorBody) -> Response {
        let status = self.code.entry().status;
        let mut response = match body {
            ErrorBody::Leading(url) => respond::page_leading_to(status, &url),
            ErrorBody::Page(make) => Response { status_code: status, ..make(self) },
            ErrorBody::Document => {
                let document = respond::to_json(&self.document(language));
                respond::with_body(status, "application/problem+json", document)
                    .with_additional_header("Content-Language", language.tag())
                    .with_additional_header("Vary", "Accept-Language")
            }
        };
        if let Some(seconds) = self.retry_after {
            response = response.with_additional_header("Retry-After", seconds.to_string());
        }
        match self.header.as_deref() {
            Some((name, value)) => response.with_additional_header(*name, value.clone()),
            None => response,
        }
    }
}

impl InvalidField {
    fn describe(self, language: Language) -> FieldError {
        let InvalidField { code, position, max } = self;
        let entry = code.entry();
        let mut message = entry.message.get(language).to_owned();
        if let Some(position) = position {
            message = message.replace("{position}", &position.to_string());
        }
        if let Some(max) = max {
            message = message.replace("{max}", &max.to_string());
        }
        FieldError { field: &entry.field, code, message, position }
    }
}

/// Both values, or all that is wrong with the two.
pub(super) fn both<A, B>(a: Result<A, Problem>, b: Result<B, Problem>) -> Result<(A, B), Problem> {
    match (a, b) {
        (Ok(a), Ok(b)) => Ok((a, b)),
        (Err(problem), b) => Err(problem.and(b.err())),
        (_, Err(problem)) => Err(problem),
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Problem {
        let limit = |code, limit: String| Problem::new(code).value("limit", limit);
        match refusal {
            Refusal::Malformed(reason) => Problem::new(Code::Malformed).value("reason", reason.to_owned()),
            Refusal::HeadTooSlow(time) => limit(Code::HeadTooSlow, time.as_secs_f32().to_string()),
            Refusal::BodyTooSlow(time) => limit(Code::BodyTooSlow, time.as_secs_f32().to_string()),
            Refusal::BodyTooLarge(bytes) => limit(Code::BodyTooLarge, bytes.to_string()),
            Refusal::RequestLineTooLong(bytes) => limit(Code::RequestLineTooLong, bytes.to_string()),
            Refusal::ExpectationUnknown => Problem::new(Code::ExpectationUnknown),
            Refusal::HeadTooLarge(bytes) => limit(Code::HeadTooLarge, bytes.to_string()),
            Refusal::TooManyFields(count) => limit(Code::TooManyFields, count.to_string()),
            Refusal::ApplicationFailed => Problem::new(Code::InternalError),
            Refusal::TransferCodingUnknown => Problem::new(Code::TransferCodingUnknown),
            Refusal::Busy => Problem::new(Code::Busy),
            Refusal::AnswerTooSlow => Problem::new(Code::RequestTimeout),
            Refusal::VersionUnknown => Problem::new(Code::VersionUnknown),
        }
    }
}

impl From<OpenError> for Problem {
    fn from(error: OpenError) -> Problem {
        Problem::internal(error.to_string())
    }
}

impl From<Denied> for Problem {
    fn from(denied: Denied) -> Problem {
        let seconds = denied.retry_after_s;
        Problem::new(Code::RateLimited)
            .value("burst", BURST.to_string())
            .value("per_minute", PER_MINUTE.to_string())
            .value("seconds", seconds.to_string())
            .after(u32::try_from(seconds).unwrap_or(u32::MAX))
    }
}

impl From<ProofRequired> for Problem {
    fn from(required: ProofRequired) -> Problem {
        let reason = required.invalid.map_or_else(String::new, |invalid| format!(" (the proof of work {invalid})"));
        let proof_of_work = Some(Box::new(required.challenge.into()));
        Problem { proof_of_work, ..Problem::new(Code::ProofOfWork).value("reason", reason) }
    }
}

impl From<store::Error> for Problem {
    fn from(error: store::Error) -> Problem {
        match error {
            store::Error::Unavailable | store::Error::Conflict => Problem::new(Code::DatabaseUnavailable),
            store::Error::NoSession => Problem::new(Code::SessionNotFound),
            store::Error::Faulty(_) => Problem::new(Code::DatabaseRefuses),
            store::Error::Timeout => Problem::new(Code::DatabaseTimeout),
            store::Error::Refused(_) | store::Error::Protocol => Problem::internal(error.to_string()),
        }
    }
}
