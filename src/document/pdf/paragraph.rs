//! Lays out a paragraph: chooses fonts, breaks lines, orders letters from right to left.

use parley::LayoutContext;
use parley::layout::{Alignment, AlignmentOptions, Layout};
use parley::style::{LineHeight, OverflowWrap, StyleProperty};

use super::fonts::{Fonts, families};
use super::undrawable;

/// How a piece of a paragraph looks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Look {
    /// As most of the text.
    #[default]
    Regular,
    /// In bold letters.
    Bold,
    /// In bold letters in a box.
    Placeholder,
}

/// A piece of a paragraph.
pub(super) type Piece = (String, Look);

/// A paragraph whose lines are broken.
pub(super) struct Paragraph {
    /// Its text, as drawn.
    pub(super) text: String,
    /// Its lines.
    pub(super) layout: Layout<Look>,
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
        let mut pieces = undrawable::without_controls(pieces);
        loop {
            let mut paragraph = self.lay_out(&pieces, size);
            let undrawable = undrawable::find(&paragraph);
            if undrawable.is_empty() {
                paragraph.layout.break_all_lines(Some(width));
                paragraph.layout.align(Alignment::Start, AlignmentOptions::default());
                return paragraph;
            }
            // This ends: each round replaces letters, and a code has none that could be replaced.
            pieces = undrawable::replace(&pieces, &undrawable);
        }
    }

    fn lay_out(&mut self, pieces: &[Piece], size: f32) -> Paragraph {
        let text: String = pieces.iter().map(|(words, _)| words.as_str()).collect();
        let mut builder = self.layouts.ranged_builder(&mut self.fonts.context, &text, 1.0, false);
        builder.push_default(StyleProperty::FontFamily(families(false)));
        builder.push_default(StyleProperty::FontSize(size));
        builder.push_default(StyleProperty::LineHeight(LineHeight::MetricsRelative(1.1)));
        builder.push_default(StyleProperty::OverflowWrap(OverflowWrap::Anywhere));
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
        Paragraph { text, layout }
    }
}
