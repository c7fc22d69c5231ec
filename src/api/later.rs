//! Answers that come later: when a statement is done that others share, or when a turn is over.

use std::sync::Arc;

use rouille::Response;

use super::problem::Problem;
use super::{Entry, finish};
use crate::http::{self, Reply};
use crate::metrics::Metrics;
use crate::store::{self, Done};

/// How a handler answers later.
pub(super) struct Later<'a> {
    pub(super) later: http::Later<'a>,
    pub(super) entry: Entry,
    pub(super) metrics: &'a Arc<Metrics>,
}

impl Later<'_> {
    /// Answers with what `answer` makes of the statement's result. It is called on a worker, which sends what it returns.
    pub(super) fn reply<T: Send + 'static>(
        self,
        answer: impl FnOnce(Result<T, store::Error>) -> Result<Response, Problem> + Send + 'static,
    ) -> Done<T> {
        let responder = self.responder();
        Box::new(move |result| responder.answer(move || answer(result)))
    }

    /// Answers whenever the handler has what to answer.
    pub(super) fn responder(self) -> Responder {
        Responder { reply: self.later.reply(), entry: self.entry, metrics: self.metrics.clone() }
    }
}

/// Answers one request, from any thread. Dropped without an answer, the client gets a 500.
pub(super) struct Responder {
    reply: Reply,
    entry: Entry,
    metrics: Arc<Metrics>,
}

impl Responder {
    /// Has a worker make the answer and send it.
    pub(super) fn answer(self, answer: impl FnOnce() -> Result<Response, Problem> + Send + 'static) {
        let Responder { reply, entry, metrics } = self;
        reply.send(move || finish(entry, &metrics, answer));
    }
}
