//! What the server answers without calling the application.

use std::sync::Arc;
use std::time::Duration;

/// Why the server refuses a request. The text is a sentence for the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// 400: the input is not valid HTTP/1.1, or the end of the request is ambiguous.
    #[error("The request is not valid HTTP: {0}.")]
    Malformed(&'static str),
    /// 408: the head took too long.
    #[error("The head of the request was not complete within {} s.", .0.as_secs_f32())]
    HeadTooSlow(Duration),
    /// 408: the body took too long.
    #[error("The body of the request was not complete within {} s.", .0.as_secs_f32())]
    BodyTooSlow(Duration),
    /// 413: the body is too large.
    #[error("The body may have {0} bytes at most.")]
    BodyTooLarge(usize),
    /// 414: the request line is too long.
    #[error("The request line may have {0} bytes at most.")]
    RequestLineTooLong(usize),
    /// 417: an expectation other than `100-continue`.
    #[error("The only expectation that can be met is 100-continue.")]
    ExpectationUnknown,
    /// 431: the head is too large.
    #[error("The head of the request may have {0} bytes at most.")]
    HeadTooLarge(usize),
    /// 431: the head has too many fields.
    #[error("The head of the request may have {0} fields at most.")]
    TooManyFields(usize),
    /// 500: the application panicked, or its response cannot be sent.
    #[error("Something went wrong on our side. Please try again.")]
    ApplicationFailed,
    /// 501: a transfer coding other than `chunked`.
    #[error("The only transfer coding that is understood is chunked.")]
    TransferCodingUnknown,
    /// 503: the run queue or the table of connections is full.
    #[error("Too many requests at the moment. Please try again shortly.")]
    Busy,
    /// 504: the application took too long.
    #[error("The answer took too long. It is not certain that nothing was done.")]
    AnswerTooSlow,
    /// 505: a version other than HTTP/1.0 and HTTP/1.1.
    #[error("The versions of HTTP that are understood are 1.0 and 1.1.")]
    VersionUnknown,
}

impl Refusal {
    /// A short, stable name, for metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.name_and_status().0
    }

    /// The status of the answer.
    #[must_use]
    pub fn status(self) -> u16 {
        self.name_and_status().1
    }

    fn name_and_status(self) -> (&'static str, u16) {
        match self {
            Refusal::Malformed(_) => ("malformed", 400),
            Refusal::HeadTooSlow(_) => ("head_too_slow", 408),
            Refusal::BodyTooSlow(_) => ("body_too_slow", 408),
            Refusal::BodyTooLarge(_) => ("body_too_large", 413),
            Refusal::RequestLineTooLong(_) => ("request_line_too_long", 414),
            Refusal::ExpectationUnknown => ("expectation_unknown", 417),
            Refusal::HeadTooLarge(_) => ("head_too_large", 431),
            Refusal::TooManyFields(_) => ("too_many_fields", 431),
            Refusal::ApplicationFailed => ("application_failed", 500),
            Refusal::TransferCodingUnknown => ("transfer_coding_unknown", 501),
            Refusal::Busy => ("busy", 503),
            Refusal::AnswerTooSlow => ("answer_too_slow", 504),
            Refusal::VersionUnknown => ("version_unknown", 505),
        }
    }
}

/// The fields of a refused request that its refusal can depend on, as far as they were received.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct RefusedFields {
    /// `Origin`; `None` also where it is there several times, which no browser sends.
    pub origin: Option<Arc<str>>,
    /// `Accept`.
    pub accept: Option<Arc<str>>,
    /// `Accept-Language`.
    pub accept_language: Option<Arc<str>>,
}
