//! What the application replies to a request, on its way to the worker that writes it.

use rouille::Response;

use super::stream::StreamReceiver;

/// The reply to one request.
pub(super) enum Reply {
    /// A response.
    Ready(Response),
    /// What makes the response; a worker calls it.
    Deferred(Box<dyn FnOnce() -> Response + Send>),
    /// The head of a response, and where the pieces of its body arrive.
    Stream(Response, StreamReceiver),
    /// The responder was dropped unused.
    Dropped,
}
