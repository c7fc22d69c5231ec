//! When a session ends: after a time without use, which is a message, or a report made or changed, or at its maximum age. From then on it does not exist for its client,
//! whether or not its rows are swept. Nothing that derives from the policy is stored, so that a changed one holds for existing
//! sessions.

use chrono::{DateTime, TimeDelta, Utc};

use crate::config::RetentionSettings;
use crate::message::{self, Message};
use crate::sealing::{OpenError, SealingKey};
use crate::store::StoredSession;

/// The shortest idle timeout of a session, in seconds.
pub const MIN_IDLE_TIMEOUT_SECONDS: i32 = 60;

/// The life of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Life {
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// Its last message, or the last creation or change of a report; its creation, where it has neither.
    pub last_used_at: DateTime<Utc>,
    /// The idle timeout in force, in seconds: the session's own, and at most the operator's.
    pub idle_timeout_seconds: i32,
    /// When it ends, unless it is used again.
    pub expires_at: DateTime<Utc>,
}

impl Life {
    /// The life of a session under the operator's policy. `own_idle_timeout`: the one that the session chose, in seconds.
    #[must_use]
    pub fn new(
        policy: RetentionSettings,
        created_at: DateTime<Utc>,
        last_used_at: DateTime<Utc>,
        own_idle_timeout: Option<i32>,
    ) -> Life {
        let most = policy.idle_timeout_seconds;
        let idle_timeout_seconds = own_idle_timeout.map_or(most, |own| own.min(most));
        let after = |time: DateTime<Utc>, seconds: i32| time + TimeDelta::seconds(seconds.into());
        let expires_at = after(last_used_at, idle_timeout_seconds).min(after(created_at, policy.max_age_seconds));
        Life { created_at, last_used_at, idle_timeout_seconds, expires_at }
    }

    /// The life of a stored session; `None` for one that has ended.
    ///
    /// # Errors
    /// [`OpenError`] where its row or its newest message does not open with this key.
    pub fn open(
        policy: RetentionSettings,
        key: &SealingKey,
        session: &StoredSession,
    ) -> Result<Option<Life>, OpenError> {
        let created_at = message::open_creation_time(key, &session.sealed)?;
        let newest = session.newest.as_ref().map(|row| Message::open(key, row.id, row.position, &row.sealed));
        let last_report = session.last_report.as_ref().map(|sealed| message::open_last_report(key, sealed));
        let uses = [newest.transpose()?.map(|newest| newest.created_at), last_report.transpose()?];
        let last_used_at = uses.into_iter().flatten().max().unwrap_or(created_at);
        let life = Life::new(policy, created_at, last_used_at, session.idle_timeout_seconds);
        Ok((message::now() < life.expires_at).then_some(life))
    }
}
