//! Answers that wait for a statement that others share.

use std::sync::Arc;

use rouille::Response;

use super::problem::Problem;
use super::{Entry, finish};
use crate::http;
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
        let (reply, entry, metrics) = (self.later.reply(), self.entry, self.metrics.clone());
        Box::new(move |result| reply.send(move || finish(entry, &metrics, move || answer(result))))
    }
}
