//! A point in time as JSON.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Serialize, Serializer};

use crate::message;

/// A time in UTC with microseconds; on the wire `2026-02-21T10:30:45.123456Z` (RFC 3339),
/// always with six decimals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Timestamp(pub(super) DateTime<Utc>);

impl Timestamp {
    pub(super) fn now() -> Timestamp {
        Timestamp(message::now())
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.to_rfc3339_opts(SecondsFormat::Micros, true))
    }
}
