//! What handlers work with.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::metrics::Metrics;
use crate::store::Store;
use crate::sync::Timers;
use crate::turns::Turns;

/// What handlers work with.
pub struct Context {
    /// PostgreSQL.
    pub store: Arc<Store>,
    /// The turns of all sessions.
    pub turns: Arc<Turns>,
    /// Counters and histograms.
    pub metrics: Arc<Metrics>,
    /// Keeps silent streams alive.
    pub timers: Arc<Timers>,
    /// Set once the service begins to stop.
    pub stopping: AtomicBool,
}

impl Context {
    /// Whether the service has begun to stop.
    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }
}
