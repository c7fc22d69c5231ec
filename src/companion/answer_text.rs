//! The text of an answer, made of the pieces that a model's server sends.

use super::end_token::EndToken;
use super::number_filter::NumberFilter;
use super::thoughts::Thoughts;

/// Characters of an answer; the rest is cut off.
pub const MAX_ANSWER_CHARS: usize = 16_384;

/// Passes the words of an answer on: without thoughts, an end token and control characters, and cut off after [`MAX_ANSWER_CHARS`].
pub(super) struct AnswerText<'a> {
    on_delta: &'a mut dyn FnMut(&str),
    surrogates: Surrogates,
    thoughts: Thoughts,
    end_token: EndToken,
    chars_left: usize,
    /// The words before the filter, which a server may repeat.
    said: String,
    filter: Option<NumberFilter<'a>>,
    /// Of the words behind the filter.
    passed_chars: usize,
    has_begun: bool,
    is_cut_off: bool,
    is_probe: bool,
}

impl<'a> AnswerText<'a> {
    pub(super) fn new(on_delta: &'a mut dyn FnMut(&str)) -> AnswerText<'a> {
        AnswerText {
            on_delta,
            surrogates: Surrogates::default(),
            thoughts: Thoughts::default(),
            end_token: EndToken::default(),
            chars_left: MAX_ANSWER_CHARS,
            said: String::new(),
            filter: None,
            passed_chars: 0,
            has_begun: false,
            is_cut_off: false,
            is_probe: false,
        }
    }

    /// For a probe: the first piece ends the answer.
    pub(super) fn for_probe(on_delta: &'a mut dyn FnMut(&str)) -> AnswerText<'a> {
        AnswerText { is_probe: true, ..AnswerText::new(on_delta) }
    }

    /// The same; numbers and links that no help line has are taken out of its words.
    pub(super) fn filtered(self, filter: NumberFilter<'a>) -> AnswerText<'a> {
        AnswerText { filter: Some(filter), ..self }
    }

    /// Whether there are any words: there is an answer, and a retry would repeat it.
    pub(super) fn has_words(&self) -> bool {
        !self.said.is_empty()
    }

    /// The words so far, as the server said them.
    pub(super) fn said(&self) -> &str {
        &self.said
    }

    /// Whether the first piece has arrived, be it thoughts, which are not passed on.
    pub(super) fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// Whether words are missing at the end, because there were too many.
    pub(super) fn is_cut_off(&self) -> bool {
        self.is_cut_off
    }

    /// Whether a further piece would be ignored.
    pub(super) fn is_full(&self) -> bool {
        self.chars_left == 0 || self.is_probe && self.has_begun
    }

    /// The model thinks, which is not a part of the answer.
    pub(super) fn think(&mut self) {
        self.has_begun = true;
    }

    /// Adds a piece, in WTF-8.
    pub(super) fn push(&mut self, piece: &[u8]) {
        self.has_begun |= !piece.is_empty();
        let mut piece = self.surrogates.decode(piece);
        // First, so that none hides a tag.
        piece.retain(is_allowed);
        let words = self.thoughts.strip(&piece);
        let words = self.end_token.strip(&words);
        self.pass_on(&words);
    }

    /// Passes on what was held back for a piece that did not come.
    pub(super) fn finish(&mut self) {
        let rest = self.surrogates.finish();
        let mut words = self.thoughts.strip(rest);
        words += &self.thoughts.finish();
        let mut words = self.end_token.strip(&words);
        words += &self.end_token.finish();
        self.pass_on(&words);
        if let Some(rest) = self.filter.as_mut().map(NumberFilter::finish) {
            self.send(&rest);
        }
    }

    fn pass_on(&mut self, words: &str) {
        let mut chars = words.chars();
        let text: String = chars.by_ref().take(self.chars_left).collect();
        self.is_cut_off |= chars.next().is_some();
        // White space alone is no answer, and none begins with it, however its pieces are cut.
        let text = if self.has_words() { text.as_str() } else { text.trim_start() };
        if !text.is_empty() {
            self.said.push_str(text);
            self.chars_left -= text.chars().count();
            match &mut self.filter {
                Some(filter) => {
                    let text = filter.push(text);
                    self.send(&text);
                }
                None => self.send(text),
            }
        }
    }

    /// Sends words of the answer; help lines that take the place of numbers make it no longer than it may be.
    fn send(&mut self, text: &str) {
        let end = text.char_indices().nth(MAX_ANSWER_CHARS - self.passed_chars).map(|(at, _)| at);
        self.is_cut_off |= end.is_some();
        let text = &text[..end.unwrap_or(text.len())];
        if !text.is_empty() {
            self.passed_chars += text.chars().count();
            (self.on_delta)(text);
        }
    }
}

/// Whether a character may be in an answer. Control characters (C0 but for tab and line feed, DEL and C1) could steer a
/// terminal or end a string early. Bidirectional embeddings and overrides make a text look like another one; the marks and
/// isolates that Arabic, Hebrew and Persian need stay. U+FEFF is an invisible byte order mark. A CR LF becomes a line feed.
pub(super) fn is_allowed(char: char) -> bool {
    match char {
        '\n' | '\t' => true,
        '\u{202a}'..='\u{202e}' | '\u{feff}' => false,
        _ => !char.is_control(),
    }
}

/// Joins the halves of a surrogate pair that come in two pieces. A half that stays alone becomes U+FFFD.
#[derive(Default)]
struct Surrogates {
    /// The first half of a pair, if the last piece ended with one.
    pending: Option<u16>,
}

impl Surrogates {
    /// Decodes a piece in WTF-8.
    fn decode(&mut self, piece: &[u8]) -> String {
        let mut units: Vec<u16> = self.pending.take().into_iter().collect();
        let mut rest = piece;
        // In UTF-8 no byte above 0x9f follows 0xed: these are the halves of pairs.
        while let Some(at) = rest.windows(3).position(|bytes| bytes[0] == 0xed && bytes[1] > 0x9f) {
            units.extend(String::from_utf8_lossy(&rest[..at]).encode_utf16());
            units.push(0xd000 | u16::from(rest[at + 1] & 0x3f) << 6 | u16::from(rest[at + 2] & 0x3f));
            rest = &rest[at + 3..];
        }
        let text = String::from_utf8_lossy(rest);
        if units.is_empty() {
            return text.into_owned();
        }
        units.extend(text.encode_utf16());
        self.pending = units.pop_if(|last| matches!(last, 0xd800..=0xdbff));
        String::from_utf16_lossy(&units)
    }

    fn finish(&mut self) -> &'static str {
        if self.pending.take().is_some() { "\u{fffd}" } else { "" }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]
mod tests {
    use super::*;

    fn received(pieces: &[&[u8]]) -> Vec<String> {
        let mut received = Vec::new();
        let mut on_delta = |text: &str| received.push(text.to_owned());
        let mut answer = AnswerText::new(&mut on_delta);
        pieces.iter().for_each(|piece| answer.push(piece));
        answer.finish();
        received
    }

    #[test]
    fn control_characters_are_taken_out_also_across_pieces() {
        let all = |ranges: &[(u32, u32)]| -> String {
            ranges.iter().flat_map(|(first, last)| *first..=*last).map(|code| char::from_u32(code).unwrap()).collect()
        };
        let c0 = all(&[(0, 8), (0xb, 0x1f)]);
        let removed = c0 + &all(&[(0x7f, 0x9f), (0x202a, 0x202e)]);
        let marks = all(&[(0x61b, 0x61c), (0x200d, 0x200f), (0x2028, 0x2029), (0x2065, 0x206a)]);
        let kept = format!("\t\n \u{a0}\u{ad}é{marks}\u{1f9ed}");
        let pieces = [format!("a{removed}\u{feff}b\r"), removed.clone(), format!("\n{kept}\u{1b}[2J")];
        let pieces: Vec<&[u8]> = pieces.iter().map(String::as_bytes).collect();
        assert_eq!(received(&pieces), ["ab".to_owned(), format!("\n{kept}[2J")]);
        let mut nothing = |text: &str| panic!("{text:?} was passed on");
        let mut answer = AnswerText::new(&mut nothing);
        answer.push(removed.as_bytes());
        answer.push(b" \n");
        answer.finish();
        assert!(answer.has_begun() && !answer.has_words());
    }

    #[test]
    fn halves_of_a_surrogate_pair_are_joined_across_pieces_or_become_the_replacement_character() {
        let (high, low): (&[u8], &[u8]) = (b"\xed\xa0\xbd", b"\xed\xb9\x82");
        let both = [high, low].concat();
        for (case, pieces, expected) in [
            ("in two pieces", vec![b"a", high, low, b"b"], "a\u{1f642}b"),
            ("in one piece", vec![&both], "\u{1f642}"),
            ("an empty piece between", vec![high, b"", low], "\u{1f642}"),
            ("the first alone", vec![high, b"a"], "\u{fffd}a"),
            ("the second alone", vec![b"a", low], "a\u{fffd}"),
            ("the first at the end", vec![b"a", high], "a\u{fffd}"),
            ("the wrong order", vec![low, high], "\u{fffd}\u{fffd}"),
            ("the first twice", vec![high, high, low], "\u{fffd}\u{1f642}"),
        ] {
            assert_eq!(received(&pieces).concat(), expected, "{case}");
        }
    }
}
