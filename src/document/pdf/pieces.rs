//! The pieces of a paragraph. What no font can draw has its code instead, such as `[U+1F622]`: a letter that is missing
//! would change what a person wrote without a trace.

use std::collections::BTreeSet;

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

/// How a code begins.
pub(super) const CODE: &str = "[U+";

/// Pieces with codes in place of control characters, which fonts may have as empty letters or which turn letters around, and with
/// spaces for tabs.
pub(super) fn without_controls(pieces: &[Piece]) -> Vec<Piece> {
    // Overrides of the direction show words in another order than they were written in.
    let is_control = |c: char| c.is_control() || matches!(c, '\u{feff}' | '\u{202d}' | '\u{202e}');
    let replaced = pieces.iter().map(|(words, look)| {
        let words = words.replace('\t', "    ");
        (with_codes(&words, |_, c| is_control(c)), *look)
    });
    replaced.collect()
}

/// Pieces with codes in place of the characters at these places.
pub(super) fn replace(pieces: &[Piece], places: &BTreeSet<usize>) -> Vec<Piece> {
    let mut start = 0;
    let replaced = pieces.iter().map(|(words, look)| {
        let replaced = with_codes(words, |at, _| places.contains(&(start + at)));
        start += words.len();
        (replaced, *look)
    });
    replaced.collect()
}

/// The text with a code in place of each chosen character. The same character many times in a row has one code with their
/// number.
fn with_codes(text: &str, is_chosen: impl Fn(usize, char) -> bool) -> String {
    let mut coded = String::with_capacity(text.len());
    let mut characters = text.char_indices().peekable();
    while let Some((at, c)) = characters.next() {
        if !is_chosen(at, c) {
            coded.push(c);
            continue;
        }
        let mut count = 1;
        while characters.next_if(|(at, next)| *next == c && is_chosen(*at, c)).is_some() {
            count += 1;
        }
        let code = u32::from(c);
        match count {
            1 => coded.push_str(&format!("{CODE}{code:04X}]")),
            _ => coded.push_str(&format!("{CODE}{code:04X} ×{count}]")),
        }
    }
    coded
}
