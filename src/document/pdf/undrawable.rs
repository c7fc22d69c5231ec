//! Finds what no font can draw, and writes its code instead, such as `[U+1F622]`: a letter that is missing would change
//! what a person wrote without a trace.

use std::collections::BTreeSet;

use super::paragraph::{Paragraph, Piece};

/// Characters that are drawn as one letter: more are marks that would cover the lines above.
const MAX_CHARACTERS_OF_A_LETTER: usize = 10;

/// Pieces with codes in place of control characters, which fonts may have as empty letters, and with spaces for tabs.
pub(super) fn without_controls(pieces: &[Piece]) -> Vec<Piece> {
    let is_control = |c: char| c.is_control() || c == '\u{feff}';
    let replaced = pieces.iter().map(|(words, look)| {
        let words = words.replace('\t', "    ");
        (with_codes(&words, |_, c| is_control(c)), *look)
    });
    replaced.collect()
}

/// The places (in bytes) of the characters that no font has, or that are too many for one letter.
pub(super) fn find(paragraph: &Paragraph) -> BTreeSet<usize> {
    let mut found = BTreeSet::new();
    for run in paragraph.layout.lines().flat_map(|line| line.runs()) {
        for cluster in run.clusters() {
            let range = cluster.text_range();
            let characters = paragraph.text[range.clone()].char_indices().map(|(at, c)| (range.start + at, c));
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
            1 => coded.push_str(&format!("[U+{code:04X}]")),
            _ => coded.push_str(&format!("[U+{code:04X} ×{count}]")),
        }
    }
    coded
}
