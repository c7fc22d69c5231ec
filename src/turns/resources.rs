//! What all turns share.

use std::sync::Arc;
use std::time::Duration;

use super::event::Failure;
use super::fair_semaphore::FairSemaphore;
use crate::companion::Companion;
use crate::config::{RetentionSettings, SessionLimits};
use crate::metrics::Metrics;
use crate::retention::Life;
use crate::sealing::{Lookup, SealingKey};
use crate::store::{Callback, Recent, Store};
use crate::sync::ThreadPool;

/// Bytes of a character in UTF-8 at most.
pub(super) const MAX_CHAR_BYTES: usize = 4;

/// What all turns share.
pub(super) struct Resources {
    pub(super) store: Arc<Store>,
    pub(super) companion: Companion,
    pub(super) metrics: Arc<Metrics>,
    /// From a request to its terminal event.
    pub(super) timeout: Duration,
    pub(super) session_limits: SessionLimits,
    pub(super) retention: RetentionSettings,
    /// One for each call to the companion.
    pub(super) permits: FairSemaphore,
    pub(super) threads: ThreadPool,
}

impl Resources {
    /// What was read of a session, if it exists and has not ended.
    pub(super) fn living(&self, key: &SealingKey, recent: Option<Recent>) -> Result<Recent, Failure> {
        let recent = recent.ok_or(Failure::NoSession)?;
        let life = Life::open(self.retention, key, &recent.session)?;
        life.map(|_| recent).ok_or(Failure::NoSession)
    }

    /// Starts to read a session and the newest messages of a session, as many as the companion can use.
    pub(super) fn read_recent(&self, session: Lookup, callback: Callback<Option<Recent>>) {
        let max_bytes = self.companion.context_chars().saturating_mul(MAX_CHAR_BYTES);
        let max_messages = self.companion.context_messages().unwrap_or(usize::MAX);
        self.store.messages.recent(session, max_messages, max_bytes, callback);
    }
}
