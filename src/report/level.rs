//! How much power the person who did it has, and the level of risk: by tables of the file of texts.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A level. It comes from a table that knows only the relation of two persons, so it tells nothing about how dangerous one is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub enum Level {
    /// High.
    #[serde(rename = "tinggi")]
    High,
    /// Medium.
    #[serde(rename = "sedang")]
    Medium,
    /// Low.
    #[serde(rename = "rendah")]
    Low,
}
