//! What the server serves: the one trait that an application implements.

use std::panic::{AssertUnwindSafe, catch_unwind};

use rouille::{Request, Response};

use super::refusal::Refusal;
use super::responder::Responder;
use super::response_head::{ClientCapabilities, DateClock};
use super::response_writer::ResponseWriter;

/// What the server serves. Its methods are called on many threads at once.
pub trait Application: Send + Sync + 'static {
    /// Answers a request whose body is complete, through the responder: before it returns, or later from any thread.
    fn answer(&self, request: Request, responder: Responder);

    /// Judges a request whose client sent `Expect: 100-continue`, by its head alone. `Some` refuses the body.
    fn refuse_head(&self, request: &Request) -> Option<Response>;

    /// The response for a refusal by the server itself. The one for [`Refusal::Busy`] is made at most once a second and
    /// sent many times.
    fn refuse(&self, refusal: Refusal) -> Response;
}

/// The bytes of a refusal, after which the connection is closed; a bare 500 if the application fails even at that.
pub(super) fn refusal_writer(
    application: &dyn Application,
    refusal: Refusal,
    head_only: bool,
    clock: &mut DateClock,
) -> ResponseWriter {
    let client = ClientCapabilities { is_1_1: true, head_only, keep_alive: false };
    let refused =
        catch_unwind(AssertUnwindSafe(|| ResponseWriter::new(application.refuse(refusal), client, clock).ok()));
    refused.ok().flatten().unwrap_or_else(|| {
        ResponseWriter::raw(*b"HTTP/1.1 500 Internal Server Error\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
    })
}
