//! Says once that the database went away and once that it is back, however many requests notice.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Whether the database could be reached when it was last tried.
#[derive(Debug, Default)]
pub(super) struct Availability {
    gone_since: Mutex<Option<Instant>>,
    crowded_told: Mutex<Option<Instant>>,
    closed: AtomicBool,
}

/// How often it is said that PostgreSQL gives no more connections.
const CROWDED_PACE: Duration = Duration::from_secs(60);

impl Availability {
    /// From now on nothing is said: a service that stops may stop its database too.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }

    /// A connection could not be opened.
    pub(super) fn failed(&self, reason: &dyn fmt::Display) {
        if self.closed.load(Ordering::Relaxed) {
            return;
        }
        let mut gone_since = self.gone_since.lock().unwrap_or_else(PoisonError::into_inner);
        if gone_since.is_none() {
            *gone_since = Some(Instant::now());
            log::warn!(reason:% = reason; "Database went away");
        }
    }

    /// PostgreSQL is there, and gives no more connections than there are.
    pub(super) fn crowded(&self, reason: &dyn fmt::Display) {
        let mut told = self.crowded_told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.is_none_or(|told| told.elapsed() > CROWDED_PACE) {
            *told = Some(Instant::now());
            log::warn!(reason:% = reason; "PostgreSQL gives no more connections; lower DB_POOL_MIN_SIZE and DB_POOL_MAX_SIZE");
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
