//! Answers that come later than the return of [`Application::answer`](super::Application::answer), so that a request
//! that only waits has no thread to itself.

use std::sync::Arc;

use rouille::Response;

use super::Shared;
use super::table::Due;

/// What makes a response that was put off; `None` where the application gave up.
pub(super) type Answer = Option<Box<dyn FnOnce() -> Response + Send>>;

/// The chance to answer a request later.
pub struct Later<'a> {
    shared: &'a Arc<Shared>,
    due: Due,
}

impl<'a> Later<'a> {
    pub(super) fn new(shared: &'a Arc<Shared>, due: Due) -> Later<'a> {
        Later { shared, due }
    }

    /// Takes it: [`Application::answer`](super::Application::answer) then returns `None`.
    #[must_use]
    pub fn reply(self) -> Reply {
        Reply { shared: self.shared.clone(), due: self.due, sent: false }
    }
}

/// Answers one request, from any thread. Dropped without an answer, the client gets a 500. Where the application answered
/// at once all the same, that answer counts, and this one is dropped.
pub struct Reply {
    shared: Arc<Shared>,
    due: Due,
    sent: bool,
}

impl Reply {
    /// Has a worker make the response and send it. `Limits::request_timeout` is how long after the request this may
    /// be called, and then how long making it may take; past it the client has its 504, and this is dropped.
    pub fn send(mut self, make: impl FnOnce() -> Response + Send + 'static) {
        self.sent = true;
        self.shared.answer(self.due, Some(Box::new(make)));
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if !self.sent {
            self.shared.answer(self.due, None);
        }
    }
}
