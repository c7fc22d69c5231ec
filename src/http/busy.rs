//! The refusal of requests when the run queue or the table is full. It is made once a second and sent many times, so that
//! a flood costs little.

use std::time::{Duration, Instant};

use super::application::{Application, refusal_writer};
use super::refusal::Refusal;
use super::response_head::DateClock;

/// How old the response may be: it contains the time.
const MAX_AGE: Duration = Duration::from_secs(1);

/// The least time between two log lines about refusals.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// The response, and the count for the log.
pub(super) struct BusyRefusal {
    response: Vec<u8>,
    made_at: Instant,
    refused: u64,
    next_log: Option<Instant>,
}

impl BusyRefusal {
    pub(super) fn new(application: &dyn Application, clock: &mut DateClock, now: Instant) -> BusyRefusal {
        BusyRefusal { response: make(application, clock), made_at: now, refused: 0, next_log: None }
    }

    /// Counts a refusal and returns the bytes of its response.
    pub(super) fn response(&mut self, application: &dyn Application, clock: &mut DateClock, now: Instant) -> &[u8] {
        self.refused += 1;
        if now.saturating_duration_since(self.made_at) >= MAX_AGE {
            self.response = make(application, clock);
            self.made_at = now;
        }
        &self.response
    }

    /// When [`BusyRefusal::log`] has something to do again.
    pub(super) fn next_log(&self) -> Option<Instant> {
        self.next_log
    }

    /// Logs how many requests were refused, at most once in [`LOG_INTERVAL`].
    pub(super) fn log(&mut self, now: Instant) {
        if self.refused > 0 && self.next_log.is_none_or(|next| next <= now) {
            log::warn!(refused = self.refused; "More requests than there is room for");
            self.refused = 0;
            self.next_log = Some(now + LOG_INTERVAL);
        } else if self.next_log.is_some_and(|next| next <= now) {
            self.next_log = None;
        }
    }
}

fn make(application: &dyn Application, clock: &mut DateClock) -> Vec<u8> {
    refusal_writer(application, Refusal::Busy, false, clock).unwritten().to_vec()
}
