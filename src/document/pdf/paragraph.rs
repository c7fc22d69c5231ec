//! Lays out a paragraph: chooses fonts, breaks lines, orders letters from right to left.

use std::collections::BTreeSet;

use parley::LayoutContext;
use parley::layout::{Alignment, AlignmentOptions, Layout};
use parley::style::{LineHeight, OverflowWrap, StyleProperty, TextWrapMode};

use super::fonts::{Fonts, families};
use super::pieces::{CODE, Look, Piece, replace, without_controls};

/// Characters that are drawn as one letter: more are marks that would cover the lines above.
const MAX_CHARACTERS_OF_A_LETTER: usize = 6;

/// A paragraph whose lines are broken.
pub(super) struct Paragraph {
    /// Its text, as drawn.
    pub(super) text: String,
    /// Its lines.
    pub(super) layout: Layout<Look>,
    /// Whether characters have been replaced by codes.
    pub(super) has_codes: bool,
}

impl Paragraph {
    /// The places (in bytes) of the characters that no font has, or that are too many for one letter.
    fn undrawable(&self) -> BTreeSet<usize> {
        let mut found = BTreeSet::new();
        for run in self.layout.lines().flat_map(|line| line.runs()) {
            for cluster in run.clusters() {
                let range = cluster.text_range();
                let characters = self.text[range.clone()].char_indices().map(|(at, c)| (range.start + at, c));
                // Letter 0 of a font is what it draws for letters that it does not have.
                if cluster.glyphs().any(|glyph| glyph.id == 0) {
                    found.extend(characters.filter(|(_, c)| !c.is_ascii()).map(|(at, _)| at));
                } else {
                    found.extend(characters.skip(MAX_CHARACTERS_OF_A_LETTER).map(|(at, _)| at));
                }
            }
        }
        found
    }
}

/// Lays out paragraphs.
pub(super) struct Typesetter {
    /// The fonts.
    pub(super) fonts: Fonts,
    layouts: LayoutContext<Look>,
}

impl Typesetter {
    pub(super) fn new() -> Self {
        Self { fonts: Fonts::new(), layouts: LayoutContext::new() }
    }

    /// Lays out one paragraph, with letters of `size` and lines up to `width`, both in points. Pieces have no line breaks.
    /// What no font can draw is replaced by its code.
    pub(super) fn paragraph(&mut self, pieces: &[Piece], size: f32, width: f32) -> Paragraph {
        let codes = |pieces: &[Piece]| pieces.iter().map(|(words, _)| words.matches(CODE).count()).sum::<usize>();
        let written = codes(pieces);
        let mut pieces = without_controls(pieces);
        loop {
            let mut paragraph = self.lay_out(&pieces, size);
            let undrawable = paragraph.undrawable();
            if undrawable.is_empty() {
                paragraph.layout.break_all_lines(Some(width));
                paragraph.layout.align(Alignment::Start, AlignmentOptions::default());
                paragraph.has_codes = codes(&pieces) > written;
                return paragraph;
            }
            // This ends: each round replaces letters, and a code has none that could be replaced.
            pieces = replace(&pieces, &undrawable);
        }
    }

    fn lay_out(&mut self, pieces: &[Piece], size: f32) -> Paragraph {
        let text: String = pieces.iter().map(|(words, _)| words.as_str()).collect();
        let mut builder = self.layouts.ranged_builder(&mut self.fonts.context, &text, 1.0, false);
        builder.push_default(StyleProperty::FontFamily(families(false)));
        builder.push_default(StyleProperty::FontSize(size));
        builder.push_default(StyleProperty::LineHeight(LineHeight::MetricsRelative(1.0)));
        builder.push_default(StyleProperty::OverflowWrap(OverflowWrap::Anywhere));
        for (at, scheme) in text.match_indices("://") {
            // Behind a letter, so that signs without an end are broken into lines.
            if text[..at].ends_with(|before: char| before.is_ascii_alphabetic()) {
                builder.push(StyleProperty::TextWrapMode(TextWrapMode::NoWrap), at..at + scheme.len());
            }
        }
        let mut start = 0;
        for (words, look) in pieces {
            let range = start..start + words.len();
            start = range.end;
            if *look != Look::Regular && !range.is_empty() {
                builder.push(StyleProperty::FontFamily(families(true)), range.clone());
                builder.push(StyleProperty::Brush(*look), range);
            }
        }
        let mut layout = builder.build(&text);
        // Runs belong to lines, so that there are none before the lines are broken.
        layout.break_all_lines(None);
        Paragraph { text, layout, has_codes: false }
    }
}
