//! Says once that the database went away and once that it is back, however many requests notice.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Whether the database could be reached when it was last tried.
///
/// Attempts overlap, and one that was begun before the last turn of events says nothing new: around a stop or a start
/// some succeed and some fail, and each would be told as another outage.
#[derive(Debug, Default)]
pub(super) struct Availability {
    last_turn: Mutex<Turn>,
    crowded_told: Mutex<Option<Instant>>,
    closed: AtomicBool,
}

#[derive(Debug, Default)]
struct Turn {
    gone: bool,
    at: Option<Instant>,
}

impl Turn {
    /// Turns to `gone`, unless it stands there or `begun` is older than the last turn; says how long the other state
    /// lasted.
    fn turn(&mut self, gone: bool, begun: Instant) -> Option<Duration> {
        let is_news = self.gone != gone && self.at.is_none_or(|at| at <= begun);
        let before = is_news.then(|| self.at.map_or(Duration::ZERO, |at| at.elapsed()));
        if is_news {
            *self = Turn { gone, at: Some(Instant::now()) };
        }
        before
    }
}

/// How often it is said that PostgreSQL gives no more connections.
const CROWDED_PACE: Duration = Duration::from_secs(60);

impl Availability {
    /// From now on nothing is said: a service that stops may stop its database too.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }

    /// An attempt to connect that was begun at `begun` failed.
    pub(super) fn failed(&self, begun: Instant, reason: &dyn fmt::Display) {
        if !self.closed.load(Ordering::Relaxed) && self.turn(true, begun).is_some() {
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

    /// An attempt to connect that was begun at `begun` succeeded.
    pub(super) fn succeeded(&self, begun: Instant) {
        if let Some(gone_for) = self.turn(false, begun) {
            log::info!(after_s = gone_for.as_secs(); "Database is back");
        }
    }

    fn turn(&self, gone: bool, begun: Instant) -> Option<Duration> {
        self.last_turn.lock().unwrap_or_else(PoisonError::into_inner).turn(gone, begun)
    }
}
