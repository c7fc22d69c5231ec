//! How a handler answers: with a response, or with work that ends in one. Every response is counted, logged and given its
//! common fields here.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::access_log::AccessLog;
use super::problem::Problem;
use super::respond::with_common_fields;
use crate::http::{self, Response, StreamSender};
use crate::metrics::Metrics;
use crate::store::{self, Callback};

/// What a handler returns, so that `?` answers with a [`Problem`].
pub(super) enum Answer<'a> {
    /// The response.
    Now(Response),
    /// What begins the work and is given the responder to end it with. It must not wait for the work.
    Later(Box<dyn FnOnce(Responder) + 'a>),
}

impl<'a> Answer<'a> {
    pub(super) fn later(start: impl FnOnce(Responder) + 'a) -> Result<Answer<'a>, Problem> {
        Ok(Answer::Later(Box::new(start)))
    }
}

impl From<Response> for Answer<'_> {
    fn from(response: Response) -> Self {
        Answer::Now(response)
    }
}

/// Answers one request once, from any thread. Dropped unused, the client gets a 500.
pub(super) struct Responder {
    responder: http::Responder,
    access_log: AccessLog,
    metrics: Arc<Metrics>,
}

impl Responder {
    pub(super) fn new(responder: http::Responder, access_log: AccessLog, metrics: Arc<Metrics>) -> Responder {
        Responder { responder, access_log, metrics }
    }

    /// Answers with what a handler, or a part of one, makes.
    pub(super) fn respond(self, make: impl FnOnce() -> Result<Response, Problem>) {
        let Responder { responder, access_log, metrics } = self;
        responder.respond(complete(access_log, &metrics, make));
    }

    /// The same, but a worker makes the response: for threads that answer many requests, or must not block.
    pub(super) fn respond_with(self, make: impl FnOnce() -> Result<Response, Problem> + Send + 'static) {
        let Responder { responder, access_log, metrics } = self;
        responder.respond_with(move || complete(access_log, &metrics, make));
    }

    /// A callback for a statement, which answers with what `make` makes of its result, on a worker.
    pub(super) fn on<T: Send + 'static>(
        self,
        make: impl FnOnce(Result<T, store::Error>) -> Result<Response, Problem> + Send + 'static,
    ) -> Callback<T> {
        Box::new(move |result| self.respond_with(move || make(result)))
    }

    /// Begins a response whose body is sent piece by piece. It is counted and logged here.
    pub(super) fn stream(self, head: Response) -> StreamSender {
        let Responder { responder, access_log, metrics } = self;
        responder.stream(complete(access_log, &metrics, || Ok(head)))
    }
}

/// Makes a response, counts and logs the request, and adds the common fields.
pub(super) fn complete(
    access_log: AccessLog,
    metrics: &Metrics,
    make: impl FnOnce() -> Result<Response, Problem>,
) -> Response {
    // A panic leaves nothing half done behind: the connection to PostgreSQL that a handler had is not used again.
    let result = catch_unwind(AssertUnwindSafe(make)).unwrap_or_else(|_| Err(Problem::panicked()));
    let (response, cause) = match result {
        Ok(response) => (response, None),
        Err(problem) => (problem.response(), problem.cause),
    };
    let request_id = access_log.finish(metrics, response.status_code, cause.as_deref());
    with_common_fields(response).with_additional_header("X-Request-Id", request_id)
}
