//! The words of a message, in a form that ignores differences of spelling.

/// Characters that are typed for an apostrophe.
const APOSTROPHES: [char; 6] = ['\u{2018}', '\u{2019}', '\u{02BC}', '\u{FF07}', '`', '\u{B4}'];

/// Words in lower case, without punctuation and repeated letters, and with straight apostrophes.
pub(super) struct Words {
    /// The words, separated by one space.
    pub(super) text: String,
    /// The byte range of each word.
    bounds: Vec<(usize, usize)>,
}

impl Words {
    pub(super) fn new(message: &str) -> Words {
        let plain: String = message.chars().flat_map(char::to_lowercase).collect();
        let plain = plain.replace(APOSTROPHES, "'");
        let mut words = Words { text: String::with_capacity(plain.len()), bounds: Vec::new() };
        let pieces = plain.split(|character: char| !character.is_alphanumeric() && character != '\'');
        for word in pieces.map(|piece| piece.trim_matches('\'')).filter(|word| !word.is_empty()) {
            if !words.text.is_empty() {
                words.text.push(' ');
            }
            let start = words.text.len();
            let letters: Vec<char> = word.chars().collect();
            for same in letters.chunk_by(PartialEq::eq) {
                // No word has the same letter three times in a row: "toloooong" means "tolong".
                let is_drawn_out = same.len() > 2 && same[0].is_alphabetic();
                words.text.extend(if is_drawn_out { &same[..1] } else { same });
            }
            words.bounds.push((start, words.text.len()));
        }
        words
    }

    pub(super) fn count(&self) -> usize {
        self.bounds.len()
    }

    /// Every sequence of one to `max_words` adjacent words.
    pub(super) fn runs(&self, max_words: usize) -> impl Iterator<Item = &str> {
        self.bounds.iter().enumerate().flat_map(move |(first, (start, _))| {
            self.bounds[first..].iter().take(max_words).map(|(_, end)| &self.text[*start..*end])
        })
    }
}
