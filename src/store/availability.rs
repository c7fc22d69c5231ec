//! Says once that the database went away and once that it is back, however many requests notice.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Whether the database could be reached when it was last tried.
#[derive(Debug, Default)]
pub(super) struct Availability {
    gone_since: Mutex<Option<Instant>>,
}

impl Availability {
    /// A connection could not be opened.
    pub(super) fn failed(&self, reason: &dyn fmt::Display) {
        let mut gone_since = self.gone_since.lock().unwrap_or_else(PoisonError::into_inner);
        if gone_since.is_none() {
            *gone_since = Some(Instant::now());
            log::warn!(reason:% = reason; "Database went away");
        }
    }

    /// A connection was opened.
    pub(super) fn succeeded(&self) {
        let mut gone_since = self.gone_since.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(since) = gone_since.take() {
            log::info!(after_s = since.elapsed().as_secs(); "Database is back");
        }
    }
}
