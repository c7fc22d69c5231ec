//! Every error a client sees: RFC 9457 problem details, in words that say what to do and never what was sent.

use std::borrow::Cow;

use serde::{Serialize, Serializer};
use utoipa::ToSchema;

use super::proof_of_work::ProofOfWork;
use super::respond;
use crate::admission::{BURST, Denied, PER_MINUTE, ProofRequired};
use crate::http::{self, Response};
use crate::sealing::OpenError;
use crate::store;

/// An error as the client sees it (RFC 9457).
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "type": "about:blank",
    "title": "Not Found",
    "status": 404,
    "detail": "There is no session with this id. It may have been deleted."
}))]
pub(super) struct Problem {
    /// Always `about:blank`: the status says which kind of problem it is.
    #[serde(rename = "type", serialize_with = "about_blank")]
    #[schema(value_type = String)]
    kind: (),
    /// The name of the status.
    title: &'static str,
    /// The HTTP status, once more.
    status: u16,
    /// What was wrong and what to do, for a person to read.
    detail: Cow<'static, str>,
    /// A stable name for programs, where the status alone does not tell the cause.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "session_full")]
    code: Option<&'static str>,
    /// With 422: which part of the request was wrong.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldError>,
    /// With the code `proof_of_work`: what to solve.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<ProofOfWork>)]
    proof_of_work: Option<Box<ProofOfWork>>,
    /// `Allow` with 405; `Retry-After`, in seconds, with 503, with 429 above a rate, and with 409 while something else runs.
    #[serde(skip)]
    header: Option<Box<(&'static str, String)>>,
    /// What the log says of an internal error.
    #[serde(skip)]
    pub(super) cause: Option<Box<str>>,
}

/// One part of a request that was wrong.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct FieldError {
    /// The parameter or the field of the body; `body` for the body as a whole.
    #[schema(example = "session_id")]
    field: &'static str,
    /// What it should be.
    #[schema(example = "must be a UUID such as 550e8400-e29b-41d4-a716-446655440000")]
    message: &'static str,
}

/// Seconds to wait after a 503: a database that is back is found within one.
pub(super) const RETRY_AFTER_S: u32 = 1;

/// The same where the storage is full: an operator must act.
const STORAGE_RETRY_AFTER_S: u32 = 60;

/// The same where the database refuses statements: an operator must act, and the service notices within some seconds.
const REFUSED_RETRY_AFTER_S: u32 = 10;

impl Problem {
    pub(super) fn new(status: u16, detail: impl Into<Cow<'static, str>>) -> Problem {
        let (title, detail) = (http::reason(status), detail.into());
        let problem = Problem {
            kind: (),
            title,
            status,
            detail,
            code: None,
            errors: Vec::new(),
            proof_of_work: None,
            header: None,
            cause: None,
        };
        if status == 503 { problem.after(RETRY_AFTER_S) } else { problem }
    }

    /// The watermark of the storage is passed.
    pub(super) fn storage_full() -> Problem {
        let text = "The storage is full, so new sessions and messages cannot be kept at the moment. \
                    Reading and deleting go on. Please try again later.";
        Problem::new(503, text).after(STORAGE_RETRY_AFTER_S).code("storage_full")
    }

    pub(super) fn no_such_path() -> Problem {
        Problem::new(404, "There is nothing at this path. The routes are described at /docs.")
    }

    pub(super) fn no_such_session() -> Problem {
        Problem::new(404, "There is no session with this id. It may have been deleted.")
    }

    pub(super) fn method_not_allowed(allow: String) -> Problem {
        let problem = Problem::new(405, format!("This path allows {allow}."));
        Problem { header: Some(Box::new(("Allow", allow))), ..problem }
    }

    pub(super) fn invalid(field: &'static str, message: &'static str) -> Problem {
        let problem = Problem::new(422, format!("The request is not valid: {field} {message}."));
        Problem { errors: vec![FieldError { field, message }], ..problem }
    }

    /// The same, to be tried again after so many seconds.
    pub(super) fn after(self, seconds: u32) -> Problem {
        Problem { header: Some(Box::new(("Retry-After", seconds.to_string()))), ..self }
    }

    /// The same, with a stable name for programs (an extension member, RFC 9457, section 3.2).
    pub(super) fn code(self, code: &'static str) -> Problem {
        Problem { code: Some(code), ..self }
    }

    /// A handler, or the work that it began, panicked or was dropped.
    pub(super) fn panicked() -> Problem {
        Problem::internal("a handler panicked")
    }

    /// A bug. `cause` goes to the log, so it must hold nothing of the request.
    pub(super) fn internal(cause: impl Into<Box<str>>) -> Problem {
        let problem = Problem::new(500, "Something went wrong on our side. Please try again.");
        Problem { cause: Some(cause.into()), ..problem }
    }

    pub(super) fn response(&self) -> Response {
        let response = respond::with_body(self.status, "application/problem+json", respond::to_json(self));
        match self.header.as_deref() {
            Some((name, value)) => response.with_additional_header(*name, value.clone()),
            None => response,
        }
    }
}

fn about_blank<S: Serializer>(_: &(), serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str("about:blank")
}

impl From<OpenError> for Problem {
    fn from(error: OpenError) -> Problem {
        Problem::internal(error.to_string())
    }
}

impl From<Denied> for Problem {
    fn from(denied: Denied) -> Problem {
        let seconds = denied.retry_after_s;
        let detail = format!(
            "Too many messages in this session: it can have {BURST} in a row, and {PER_MINUTE} in a minute. \
             Please send it again in {seconds} s."
        );
        Problem::new(429, detail).code("rate_limited").after(u32::try_from(seconds).unwrap_or(u32::MAX))
    }
}

impl From<ProofRequired> for Problem {
    fn from(required: ProofRequired) -> Problem {
        let todo = "Please solve the challenge in proof_of_work and send the request again with the solution in the field \
                    Proof-Of-Work, as described in /docs.";
        let detail = match required.invalid {
            Some(invalid) => format!("The proof of work {invalid}. {todo}"),
            None => format!("A new session takes proof of work at the moment. {todo}"),
        };
        let proof_of_work = Some(Box::new(required.challenge.into()));
        Problem { proof_of_work, ..Problem::new(429, detail).code("proof_of_work") }
    }
}

impl From<store::Error> for Problem {
    fn from(error: store::Error) -> Problem {
        match error {
            store::Error::Unavailable | store::Error::Conflict => {
                Problem::new(503, "The database cannot be reached at the moment. Please try again shortly.")
            }
            store::Error::Faulty(_) => {
                let text = "The database cannot store or read anything for you at the moment. Please try again later.";
                Problem::new(503, text).after(REFUSED_RETRY_AFTER_S).code("database_refuses")
            }
            store::Error::Timeout => {
                Problem::new(504, "The database took too long. It is not certain that nothing was done.")
            }
            store::Error::Refused(_) | store::Error::Protocol => Problem::internal(error.to_string()),
        }
    }
}
