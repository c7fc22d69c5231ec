//! What a document consists of.

use serde::{Deserialize, Serialize};

use crate::language::Language;

/// A document. It has no `Debug` and no `Display`, so that it cannot be printed by accident.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    /// The language of its texts.
    pub language: Language,
    /// The title.
    pub title: String,
    /// What a reader must know first, such as that it is no legal advice.
    pub notice: String,
    /// The sections, in their order.
    pub sections: Vec<Section>,
    /// Labels of the lines below the sections that are filled in by hand. The last one is for the signature, which has more room.
    pub closing: Vec<String>,
    /// What legal statements in it rest on: sources with their dates.
    pub sources: Vec<String>,
}

/// A part of a document.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Section {
    /// The heading, such as `I. Identifikasi Kebutuhan`.
    pub heading: String,
    /// What it says.
    pub blocks: Vec<Block>,
}

impl Section {
    /// The blocks one by one, but fields that follow each other together.
    pub(super) fn groups(&self) -> impl Iterator<Item = &[Block]> {
        let is_field = |block: &Block| matches!(block, Block::Field { .. });
        self.blocks.chunk_by(move |one, next| is_field(one) && is_field(next))
    }
}

/// A part of a section.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Block {
    /// Sentences.
    Paragraph(String),
    /// A label and its value: `Tempat: kampus`.
    Field {
        /// The label, without a colon.
        label: String,
        /// The value.
        value: Value,
    },
    /// A person's own words, verbatim, with their line breaks.
    Quotation(String),
    /// Empty lines for sentences that are written by hand.
    Lines,
}

/// The value of a field.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Value {
    /// Words.
    Text(String),
    /// A fact that was not given: what belongs there, such as `tanggal dan waktu kejadian`.
    Placeholder(String),
    /// A line to fill in by hand.
    Blank,
}
