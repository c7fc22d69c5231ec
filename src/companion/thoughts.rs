//! Takes out what a reasoning model thinks where its server leaves that in the content: a tagged part at the beginning.

/// How models mark the beginning and the end of their thoughts. Case does not matter.
const TAGS: [(&str, &str); 10] = [
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("<reasoning>", "</reasoning>"),
    ("[THINK]", "[/THINK]"),
    ("<seed:think>", "</seed:think>"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("\u{25c1}think\u{25b7}", "\u{25c1}/think\u{25b7}"),
    // The channels of gpt-oss: the answer is in the one with the name "final".
    ("<|channel|>analysis", "<|channel|>final<|message|>"),
    ("<|start|>assistant<|channel|>analysis", "<|channel|>final<|message|>"),
];

/// Bytes that are held back until it is clear whether they begin with a tag. Only white space can make them so many.
const MAX_HELD_BYTES: usize = 1024;

/// Takes the thoughts out of an answer that comes in pieces. A tag that does not begin the answer is a part of it, and so is a
/// second one. Thoughts without an end are all that there is: no answer.
pub(super) enum Thoughts {
    /// The answer so far: white space, or the beginning of a tag.
    Start(String),
    /// Within the thoughts; the end of what was read, which may be the beginning of the end tag.
    Thinking { end: &'static str, tail: String },
    /// Behind the thoughts, in the white space before the answer.
    Gap,
    /// In the answer.
    Words,
}

impl Default for Thoughts {
    fn default() -> Thoughts {
        Thoughts::Start(String::new())
    }
}

impl Thoughts {
    /// Returns what of the next piece, and of what was held back before it, is the answer.
    pub(super) fn strip(&mut self, piece: &str) -> String {
        match self {
            Thoughts::Words => piece.to_owned(),
            Thoughts::Gap => {
                let words = piece.trim_start();
                if !words.is_empty() {
                    *self = Thoughts::Words;
                }
                words.to_owned()
            }
            Thoughts::Start(held) => {
                held.push_str(piece);
                let begun = held.trim_start();
                if let Some((start, end)) = TAGS.into_iter().find(|(start, _)| begins_with(begun, start)) {
                    let rest = begun[start.len()..].to_owned();
                    *self = Thoughts::Thinking { end, tail: String::new() };
                    return self.strip(&rest);
                }
                if held.len() <= MAX_HELD_BYTES && TAGS.iter().any(|(start, _)| begins_with(start, begun)) {
                    return String::new();
                }
                let words = std::mem::take(held);
                *self = Thoughts::Words;
                words
            }
            Thoughts::Thinking { end, tail } => {
                tail.push_str(piece);
                if let Some(at) = find(tail, end) {
                    let rest = tail[at + end.len()..].to_owned();
                    *self = Thoughts::Gap;
                    return self.strip(&rest);
                }
                let read = tail.len().saturating_sub(end.len());
                tail.drain(..tail.floor_char_boundary(read));
                String::new()
            }
        }
    }

    /// Returns what was held back, at the end of the answer.
    pub(super) fn finish(&mut self) -> String {
        match std::mem::replace(self, Thoughts::Words) {
            Thoughts::Start(held) => held,
            _ => String::new(),
        }
    }
}

fn begins_with(text: &str, start: &str) -> bool {
    text.as_bytes().get(..start.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(start.as_bytes()))
}

fn find(text: &str, tag: &str) -> Option<usize> {
    text.as_bytes().windows(tag.len()).position(|window| window.eq_ignore_ascii_case(tag.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strip<'a>(pieces: impl IntoIterator<Item = &'a str>) -> String {
        let mut thoughts = Thoughts::default();
        let mut words: String = pieces.into_iter().map(|piece| thoughts.strip(piece)).collect();
        words += &thoughts.finish();
        words
    }

    #[test]
    fn thoughts_at_the_beginning_are_taken_out_wherever_the_pieces_are_cut() {
        for (answer, expected) in [
            ("Hello.", "Hello."),
            (" \n Hello. ", " \n Hello. "),
            ("", ""),
            (" \n", " \n"),
            ("<think>\nThey need me.\n</think>\n\nHello.", "Hello."),
            ("\n <think>a</think>Hello.", "Hello."),
            ("<THINK>a</Think> Hello.\n", "Hello.\n"),
            ("<think>\n\n</think>\n\nHello.", "Hello."),
            ("<think></think>", ""),
            ("<thinking>a</think>b</thinking>Hello.", "Hello."),
            ("<thought>a</thought>Hello.", "Hello."),
            ("[THINK]a[/THINK]Hello.", "Hello."),
            ("\u{25c1}think\u{25b7}\u{25c1}\u{25c1}/think\u{25b7}Hello.", "Hello."),
            ("<think>a < b, a </ b, \u{1f9ed}<</think>Hello.", "Hello."),
            ("<think>a</think>Hello. <think>b</think>", "Hello. <think>b</think>"),
            ("<think>a</think><think>b</think>", "<think>b</think>"),
            ("Hello. <think>a</think>", "Hello. <think>a</think>"),
            ("<think>They need me", ""),
            ("<thin", "<thin"),
            ("<thinker> Hello.", "<thinker> Hello."),
            ("< think>", "< think>"),
            ("<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>final<|message|>Hello.", "Hello."),
            ("<|start|>assistant<|channel|>analysis<|message|>a<|channel|>final<|message|>Hello.", "Hello."),
        ] {
            assert_eq!(strip([answer]), expected, "{answer}");
            assert_eq!(strip(answer.split_inclusive(|_| true)), expected, "{answer}, in single characters");
            for (at, _) in answer.char_indices() {
                let (first, second) = answer.split_at(at);
                assert_eq!(strip([first, second]), expected, "{first}|{second}");
            }
        }
    }

    #[test]
    fn white_space_and_thoughts_without_an_end_take_little_memory() {
        let mut thoughts = Thoughts::default();
        assert!(thoughts.strip(&" ".repeat(MAX_HELD_BYTES)).is_empty());
        assert_eq!(thoughts.strip("\n").len(), MAX_HELD_BYTES + 1);
        let mut thoughts = Thoughts::default();
        thoughts.strip("<think>");
        for _ in 0..1000 {
            thoughts.strip(&"a thought ".repeat(1000));
        }
        let Thoughts::Thinking { tail, .. } = thoughts else { panic!("no thoughts") };
        assert!(tail.len() < 20, "{tail}");
    }
}
