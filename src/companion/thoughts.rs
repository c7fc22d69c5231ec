//! Takes out what a reasoning model thinks where its server leaves that in the content: tagged parts at the beginning.

/// How models mark the beginning and the end of their thoughts. Case does not matter.
const TAGS: [(&str, &str); 18] = [
    ("<think>", "</think>"),
    // With attributes.
    ("<think ", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("<thoughts>", "</thoughts>"),
    ("<reasoning>", "</reasoning>"),
    ("<analysis>", "</analysis>"),
    ("<details type=\"reasoning\"", "</details>"),
    ("[THINK]", "[/THINK]"),
    ("<seed:think>", "</seed:think>"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<|channel>thought", "<channel|>"),
    ("<unused94>thought", "<unused95>"),
    ("\u{25c1}think\u{25b7}", "\u{25c1}/think\u{25b7}"),
    // The channels of gpt-oss: the answer is in the one with the name "final".
    ("<|channel|>analysis", FINAL_CHANNEL),
    ("<|channel|>commentary", FINAL_CHANNEL),
    ("<|start|>assistant<|channel|>analysis", FINAL_CHANNEL),
];

const FINAL_CHANNEL: &str = "<|channel|>final<|message|>";

/// Markup that stands before an answer and is no part of it.
const PREFIXES: [&str; 11] = [
    FINAL_CHANNEL,
    "<|start|>assistant<|channel|>final<|message|>",
    "<|im_start|>assistant",
    "<|START_RESPONSE|>",
    "<|begin_of_solution|>",
    "<|begin_of_box|>",
    "<answer>",
    "<s>",
    "<bos>",
    // The template of the model has written the first tag.
    "</think>",
    "</thinking>",
];

/// Takes the thoughts out of an answer that comes in pieces. A tag that does not begin the answer is a part of it. Thoughts
/// without an end are all that there is: no answer.
pub(super) enum Thoughts {
    /// The answer so far, without white space: nothing, or the beginning of a tag.
    Start(String),
    /// Within the thoughts; the end of what was read, which may be the beginning of the end tag.
    Thinking { end: &'static str, tail: String },
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
            Thoughts::Start(held) => {
                held.push_str(piece);
                let begun = held.trim_start_matches(is_blank).to_owned();
                if let Some((start, end)) = TAGS.into_iter().find(|(start, _)| begins_with(&begun, start)) {
                    *self = Thoughts::Thinking { end, tail: String::new() };
                    return self.strip(&begun[start.len()..]);
                }
                if let Some(prefix) = PREFIXES.into_iter().find(|prefix| begins_with(&begun, prefix)) {
                    *self = Thoughts::default();
                    return self.strip(&begun[prefix.len()..]);
                }
                if TAGS.iter().map(|(start, _)| *start).chain(PREFIXES).any(|start| begins_with(start, &begun)) {
                    *held = begun;
                    return String::new();
                }
                *self = Thoughts::Words;
                begun
            }
            Thoughts::Thinking { end, tail } => {
                tail.push_str(piece);
                if let Some(at) = find(tail, end) {
                    let rest = tail[at + end.len()..].to_owned();
                    *self = Thoughts::default();
                    return self.strip(&rest);
                }
                let read = tail.len().saturating_sub(end.len());
                tail.drain(..tail.floor_char_boundary(read));
                String::new()
            }
        }
    }

    /// Returns what was held back, at the end of the answer. Another one may follow.
    pub(super) fn finish(&mut self) -> String {
        match std::mem::take(self) {
            Thoughts::Start(held) => held,
            _ => String::new(),
        }
    }
}

/// White space, and characters that cannot be seen.
fn is_blank(char: char) -> bool {
    char.is_whitespace() || matches!(char, '\u{200b}' | '\u{2060}')
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
            (" \n Hello. ", "Hello. "),
            ("", ""),
            (" \n", ""),
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
            ("<think>a</think>\n<think>b</think>\nHello.", "Hello."),
            ("<think>a</think><think>b</think>", ""),
            ("<think lang=\"en\">a</think>Hello.", "Hello."),
            ("\u{200b}<think>a</think>\u{200b}Hello.", "Hello."),
            ("<analysis>a</analysis>Hello.", "Hello."),
            ("<|START_THINKING|>a<|END_THINKING|><|START_RESPONSE|>Hello.", "Hello."),
            ("<unused94>thought\na<unused95>Hello.", "Hello."),
            ("<|channel>thought\na<channel|>Hello.", "Hello."),
            ("<details type=\"reasoning\" done=\"true\">a</details>\nHello.", "Hello."),
            ("</think>\n\nHello.", "Hello."),
            ("<s> Hello.", "Hello."),
            ("<answer>Hello.", "Hello."),
            ("<|channel|>final<|message|>Hello.", "Hello."),
            ("<|channel|>commentary<|message|>a<|end|><|start|>assistant<|channel|>final<|message|>Hello.", "Hello."),
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
        for _ in 0..1000 {
            assert!(thoughts.strip(&" \n".repeat(1000)).is_empty());
        }
        let Thoughts::Start(held) = &thoughts else { panic!("no start") };
        assert!(held.is_empty());
        thoughts.strip("<think>");
        for _ in 0..1000 {
            thoughts.strip(&"a thought ".repeat(1000));
        }
        let Thoughts::Thinking { tail, .. } = thoughts else { panic!("no thoughts") };
        assert!(tail.len() < 20, "{tail}");
    }

    #[test]
    fn the_thoughts_of_a_second_answer_are_taken_out_too() {
        let mut thoughts = Thoughts::default();
        thoughts.strip("<think>a");
        thoughts.finish();
        assert_eq!(thoughts.strip("<think>b</think>Hello."), "Hello.");
    }
}
