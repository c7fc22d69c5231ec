//! What an application implements, and the refusals that it words.

use std::collections::HashMap;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use rouille::{Request, Response};

use super::refusal::{Refusal, RefusedFields};
use super::responder::Responder;
use super::response_head::{ClientCapabilities, DateClock};
use super::response_writer::ResponseWriter;
use crate::peers::PeerKey;

/// What the server serves. Its methods are called on many threads at once.
pub trait Application: Send + Sync + 'static {
    /// Answers a request whose body is complete, through the responder: before it returns, or later from any thread.
    fn answer(&self, request: Request, responder: Responder);

    /// Checks a request whose client sent `Expect: 100-continue`, by its head alone. `Some` refuses the body.
    fn refuse_head(&self, request: &Request) -> Option<Response>;

    /// Names the peer that an address belongs to, where addresses tell clients apart. One peer has a part of the
    /// connections, of the incomplete requests and of the memory for responses.
    fn peer(&self, _address: IpAddr) -> Option<PeerKey> {
        None
    }

    /// Bytes of the body of a request with this method and target, where that is not
    /// [`Limits::max_body_bytes`](super::Limits::max_body_bytes).
    fn max_body_bytes(&self, _method: &str, _target: &str) -> Option<usize> {
        None
    }

    /// Whether [`Application::answer`] waits for nothing with a request of this method and target, and answers it before it
    /// returns. No other worker is woken for such a request, and it has no deadline, so a wait in it can delay all others.
    fn is_quick(&self, _method: &str, _target: &str) -> bool {
        false
    }

    /// Whether a request that begins with these bytes has room in the run queue even if that is full of others.
    fn is_never_refused(&self, _beginning: &[u8]) -> bool {
        false
    }

    /// The response for a refusal by the server itself. The one for [`Refusal::Busy`] is made at most once a second for the
    /// fields that [`Application::distinguish`] returns, and sent many times.
    fn refuse(&self, refusal: Refusal, fields: &RefusedFields) -> Response;

    /// What of these fields a refusal depends on: one of few values.
    fn distinguish(&self, _fields: &RefusedFields) -> RefusedFields {
        RefusedFields::default()
    }
}

/// The bytes of a refusal, after which the connection is closed; a bare 500 if the application fails even at that.
pub(super) fn refusal_writer(
    application: &dyn Application,
    refusal: Refusal,
    fields: &RefusedFields,
    head_only: bool,
    clock: &mut DateClock,
) -> ResponseWriter {
    let client = ClientCapabilities { is_1_1: true, head_only, keep_alive: false };
    let make = || ResponseWriter::new(application.refuse(refusal, fields), None, client, clock).ok();
    catch_unwind(AssertUnwindSafe(make)).ok().flatten().unwrap_or_else(|| {
        ResponseWriter::raw(*b"HTTP/1.1 500 Internal Server Error\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
    })
}

/// The refusal of requests when the run queue or the table is full. It is made once a second and sent many times, so that
/// a flood costs little.
pub(super) struct BusyRefusal {
    /// The response for the fields that the application distinguishes.
    responses: HashMap<RefusedFields, Vec<u8>>,
    made_at: Instant,
    /// Requests that were refused since the last log line.
    refused: u64,
    next_log: Instant,
}

impl BusyRefusal {
    /// How old the response may be: it contains the time.
    const MAX_AGE: Duration = Duration::from_secs(1);

    /// The least time between two log lines about refusals.
    const LOG_INTERVAL: Duration = Duration::from_secs(10);

    /// Responses that are kept. An application may distinguish more fields than that.
    const MAX_RESPONSES: usize = 128;

    pub(super) fn new(now: Instant) -> BusyRefusal {
        BusyRefusal { responses: HashMap::new(), made_at: now, refused: 0, next_log: now }
    }

    /// Counts a refusal and returns the bytes of its response.
    pub(super) fn response(
        &mut self,
        application: &dyn Application,
        fields: &RefusedFields,
        clock: &mut DateClock,
        now: Instant,
    ) -> &[u8] {
        let is_old = now.saturating_duration_since(self.made_at) >= BusyRefusal::MAX_AGE;
        if is_old || self.responses.len() >= BusyRefusal::MAX_RESPONSES {
            (self.responses, self.made_at) = (HashMap::new(), now);
        }
        self.refused += 1;
        self.responses.entry(application.distinguish(fields)).or_insert_with_key(|fields| {
            refusal_writer(application, Refusal::Busy, fields, false, clock).unwritten().to_vec()
        })
    }

    /// When [`BusyRefusal::log`] has something to do.
    pub(super) fn next_log(&self) -> Option<Instant> {
        (self.refused > 0).then_some(self.next_log)
    }

    /// Logs how many requests were refused, at most once in [`BusyRefusal::LOG_INTERVAL`].
    pub(super) fn log(&mut self, now: Instant) {
        if self.next_log().is_some_and(|next_log| next_log <= now) {
            log::warn!(refused = self.refused; "More requests than there is room for");
            (self.refused, self.next_log) = (0, now + BusyRefusal::LOG_INTERVAL);
        }
    }
}
