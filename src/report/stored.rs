//! A report as it is stored: sealed JSON, which is the plaintext of a row.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::facts::Facts;
use crate::document::Document;
use crate::sealing::{AssociatedData, OpenError, SealingKey};

/// Plaintexts are padded to this many bytes or to the next power of two above, so that the length of a sealed report reveals little
/// of the length of what a person wrote. Most reports without own words have less.
const MIN_PADDED_BYTES: usize = 8 * 1024;

/// What the JSON of every report begins with.
const BEGINNING: &[u8] = b"{\"created_at\":\"";

/// What worded a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ReportSource, example = "template")]
pub enum Source {
    /// The template alone.
    Template,
    /// A model that changed the wording of the template, and nothing else.
    Model,
}

/// A report of a session. It has no `Debug` and no `Display`, so that it cannot be printed by accident.
#[derive(Clone, Serialize, Deserialize)]
pub struct Report {
    /// A random `UUIDv4`.
    #[serde(skip)]
    pub id: Uuid,
    /// Position among the reports of the session, from 1; deleted ones leave gaps.
    #[serde(skip)]
    pub position: i32,
    /// Time of creation, to the microsecond.
    pub created_at: DateTime<Utc>,
    /// Time of the last change, to the microsecond; that of creation, where there was none.
    pub updated_at: DateTime<Utc>,
    /// What the person gave.
    pub facts: Facts,
    /// What the report says. It is stored, so that other templates do not change it.
    pub document: Document,
    /// What worded it.
    pub source: Source,
}

impl Report {
    /// Whether these bytes are the beginning of the plaintext of a report. Random bytes, as another key gives them, are none.
    #[must_use]
    pub fn is_beginning(plaintext: &[u8]) -> bool {
        plaintext.starts_with(BEGINNING)
    }

    /// Seals all but the id and the position, which are columns of the row and bound as associated data.
    ///
    /// # Panics
    /// Never: a report is JSON.
    #[must_use]
    pub fn seal(&self, key: &SealingKey) -> Vec<u8> {
        let mut plaintext = Zeroizing::new(serde_json::to_vec(self).expect("a report is JSON"));
        let padded = plaintext.len().next_power_of_two().max(MIN_PADDED_BYTES);
        // White space behind JSON means nothing.
        plaintext.resize(padded, b' ');
        key.seal(AssociatedData::Report { id: self.id, position: self.position }, &plaintext)
    }

    /// Opens the sealed bytes of the row with this id and position.
    ///
    /// # Errors
    /// [`OpenError`] when the bytes were not sealed for this row under this key.
    pub fn open(key: &SealingKey, id: Uuid, position: i32, sealed: &[u8]) -> Result<Report, OpenError> {
        let plaintext = key.open(AssociatedData::Report { id, position }, sealed)?;
        let report = serde_json::from_slice(&plaintext).map_err(|_| OpenError)?;
        Ok(Report { id, position, ..report })
    }
}
