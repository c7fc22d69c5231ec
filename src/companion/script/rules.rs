//! A parsed script, and what it finds in the words of a message.

use std::collections::HashMap;

use super::words::Words;

/// An index in the script's order of languages.
pub(super) type Language = usize;

/// An index in the script's order of topics: an earlier topic takes precedence.
pub(super) type Topic = usize;

/// What a phrase selects: its first topic, and in that the first language.
#[derive(Clone, Copy)]
pub(super) struct Phrase {
    pub(super) topic: Topic,
    pub(super) language: Language,
}

/// A parsed script.
pub(super) struct Rules {
    /// Common words, each of one language.
    pub(super) markers: HashMap<String, Language>,
    /// The phrases that select a topic.
    pub(super) phrases: HashMap<String, Phrase>,
    /// The number of words of the longest phrase.
    pub(super) max_phrase_words: usize,
    /// By topic, then by language; no list is empty.
    pub(super) replies: Vec<Vec<Vec<String>>>,
    /// The topic of messages without words.
    pub(super) silence: Topic,
    /// The topic of messages without a known phrase.
    pub(super) fallback: Topic,
}

impl Rules {
    /// The phrase with the first topic, in any language: people mix languages, and signs of danger must not be missed.
    pub(super) fn phrase(&self, words: &Words) -> Option<Phrase> {
        let runs = words.runs(self.max_phrase_words);
        runs.filter_map(|run| self.phrases.get(run).copied()).min_by_key(|phrase| phrase.topic)
    }

    /// The language with the most markers; none if there are none or two languages have the same number.
    pub(super) fn language(&self, words: &Words) -> Option<Language> {
        let mut counts = vec![0_usize; self.replies[self.fallback].len()];
        for language in words.runs(1).filter_map(|word| self.markers.get(word)) {
            counts[*language] += 1;
        }
        let max = counts.iter().copied().max().filter(|max| *max > 0)?;
        let mut languages = (0..counts.len()).filter(|language| counts[*language] == max);
        languages.next().filter(|_| languages.next().is_none())
    }

    /// The language of one of the script's own replies.
    pub(super) fn language_of_reply(&self, text: &str) -> Option<Language> {
        let mut lists = self.replies.iter().flat_map(|topic| topic.iter().enumerate());
        lists.find(|(_, replies)| replies.iter().any(|reply| reply == text)).map(|(language, _)| language)
    }
}
