//! Takes out the token with which a model ends its text, where a server leaves it in the answer.

/// Tokens of the chat templates of open models.
const TOKENS: [&str; 16] = [
    "</s>",
    "<|end|>",
    "<|im_end|>",
    "<|return|>",
    "<|eot_id|>",
    "<|endoftext|>",
    "<|im_end|><|endoftext|>",
    "<|eot|>",
    "<|END_OF_TURN_TOKEN|>",
    "<|END_RESPONSE|>",
    "<|end_of_solution|>",
    "<|end_of_box|>",
    "<end_of_turn>",
    "<eos>",
    "</answer>",
    "<\u{ff5c}end\u{2581}of\u{2581}sentence\u{ff5c}>",
];

/// Takes out a token at the very end of an answer that comes in pieces. Anywhere else it is a part of the answer.
#[derive(Default)]
pub(super) struct EndToken {
    /// The end of the answer so far: a token, the beginning of one, or nothing.
    held: String,
}

impl EndToken {
    /// Returns what of the next piece, and of what was held back before it, is the answer in any case.
    pub(super) fn strip(&mut self, piece: &str) -> String {
        self.held.push_str(piece);
        let may_be_token = |at: &usize| TOKENS.iter().any(|token| token.starts_with(self.held[*at..].trim_end()));
        let at = self.held.match_indices('<').map(|(at, _)| at).find(may_be_token).unwrap_or(self.held.len());
        let rest = self.held.split_off(at);
        std::mem::replace(&mut self.held, rest)
    }

    /// Returns what was held back, at the end of the answer, unless it is a token.
    pub(super) fn finish(&mut self) -> String {
        let held = std::mem::take(&mut self.held);
        if TOKENS.contains(&held.trim_end()) { String::new() } else { held }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_at_the_end_is_taken_out_wherever_the_pieces_are_cut() {
        for (answer, expected) in [
            ("Hello.", "Hello."),
            ("Hello.<|im_end|>", "Hello."),
            ("Hello.</s>\n", "Hello."),
            ("Hello. <<|im_end|><|endoftext|>", "Hello. <"),
            ("Hello.</answer>", "Hello."),
            ("Hello.<\u{ff5c}end\u{2581}of\u{2581}sentence\u{ff5c}>", "Hello."),
            ("Hello.<|im_end", "Hello.<|im_end"),
            ("Hello <3", "Hello <3"),
            ("Hello. < ", "Hello. < "),
            ("a </s> b <", "a </s> b <"),
            ("<end_of_turn>", ""),
            ("", ""),
        ] {
            for (at, _) in answer.char_indices().chain([(answer.len(), ' ')]) {
                let mut token = EndToken::default();
                let (first, second) = answer.split_at(at);
                let words = token.strip(first) + &token.strip(second) + &token.finish();
                assert_eq!(words, expected, "{first}|{second}");
            }
        }
    }
}
