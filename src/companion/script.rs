//! Replies that people wrote, chosen by what was said.

mod parse;
mod words;

use std::collections::HashMap;

pub use self::parse::ScriptError;
use self::words::Words;
use super::{Call, Companion, Said, Source, Speaker, Unavailable};

/// Answers with replies that people wrote, by the words of the last message. It needs no network, and gives the same
/// reply to the same conversation.
pub struct Script {
    /// Common words, each with the one language it is from.
    markers: HashMap<String, Language>,
    /// What selects a topic.
    phrases: HashMap<String, Phrase>,
    /// Words that the longest phrase has.
    longest_phrase: usize,
    /// By topic, then by language; none of the lists is empty.
    replies: Vec<Vec<Vec<String>>>,
    silence: Topic,
    fallback: Topic,
}

/// A place in the file's order of languages.
type Language = usize;

/// A place in the file's order of topics.
type Topic = usize;

/// A phrase of several languages or topics has the first of each.
#[derive(Clone, Copy)]
struct Phrase {
    topic: Topic,
    language: Language,
}

impl Script {
    /// The script that is part of the program.
    ///
    /// # Panics
    /// Where that script is wrong, which a test rules out.
    #[must_use]
    pub fn embedded() -> Script {
        Script::parse(include_str!("script.toml")).expect("the embedded script should be right")
    }

    /// Reads a script. `script.toml` beside this file says what it looks like.
    ///
    /// # Errors
    /// What is wrong and in which line, for whoever wrote it.
    pub fn parse(text: &str) -> Result<Script, ScriptError> {
        parse::script(text)
    }

    fn reply(&self, conversation: &[Said]) -> &str {
        let last = said_by(Speaker::Person, conversation).next().unwrap_or_default();
        let words = Words::of(last);
        let phrase = self.phrase(&words);
        let topic = match phrase {
            Some(phrase) => phrase.topic,
            None if words.is_empty() => self.silence,
            None => self.fallback,
        };
        let language = self
            .language(&words)
            // A short message often tells nothing, and people seldom change their language.
            .or_else(|| said_by(Speaker::Person, conversation).skip(1).find_map(|text| self.language(&Words::of(text))))
            // What the person wrote first may be out of sight by now, what they were answered is not.
            .or_else(|| said_by(Speaker::Companion, conversation).find_map(|text| self.language_of_reply(text)))
            .or_else(|| phrase.map(|phrase| phrase.language))
            .unwrap_or_default();
        freshest(&self.replies[topic][language], conversation)
    }

    fn language_of_reply(&self, text: &str) -> Option<Language> {
        let languages = self.replies.iter().flat_map(|topic| topic.iter().enumerate());
        let mut found = languages.filter(|(_, replies)| replies.iter().any(|reply| reply == text));
        found.next().map(|(language, _)| language)
    }

    /// The phrase with the first topic, in whatever language: people mix languages, and danger is not to be missed.
    fn phrase(&self, words: &Words) -> Option<Phrase> {
        words.runs(self.longest_phrase).filter_map(|run| self.phrases.get(run).copied()).min_by_key(|found| found.topic)
    }

    /// The language with the most markers, unless another has as many.
    fn language(&self, words: &Words) -> Option<Language> {
        let languages = self.replies[self.fallback].len();
        let mut counts = vec![0_usize; languages];
        for word in words.runs(1) {
            if let Some(language) = self.markers.get(word) {
                counts[*language] += 1;
            }
        }
        let most = counts.iter().copied().max().filter(|most| *most > 0)?;
        let mut leaders = (0..languages).filter(|language| counts[*language] == most);
        leaders.next().filter(|_| leaders.next().is_none())
    }
}

impl Companion for Script {
    fn source(&self) -> Source {
        Source::Script
    }

    fn context_chars(&self) -> usize {
        2_000
    }

    fn answer(&self, conversation: &[Said], call: &Call, say: &mut dyn FnMut(&str)) -> Result<(), Unavailable> {
        for sentence in sentences(self.reply(conversation)) {
            if call.cut.is_cut() {
                return Err(Unavailable::Cut);
            }
            say(sentence);
        }
        Ok(())
    }
}

/// What one of the two said, newest first.
fn said_by(speaker: Speaker, conversation: &[Said]) -> impl Iterator<Item = &str> {
    conversation.iter().rev().filter(move |said| said.speaker == speaker).map(|said| said.text.as_str())
}

/// The first reply that was not used yet, or else the one that was used longest ago: nobody is to hear the same words
/// twice in a row, and the author decides what comes first.
fn freshest<'a>(replies: &'a [String], conversation: &[Said]) -> &'a str {
    let age = |reply: &String| said_by(Speaker::Companion, conversation).position(|text| text == reply);
    let rank = |reply: &&String| age(reply).map_or(0, |age| usize::MAX - age);
    replies.iter().min_by_key(rank).map_or("", String::as_str)
}

/// Cuts a reply after the white space that follows a sentence. The dots of an address end none.
fn sentences(reply: &str) -> impl Iterator<Item = &str> {
    let mut has_ended = false;
    reply.split_inclusive(move |character: char| {
        let is_cut_here = has_ended && character.is_whitespace();
        has_ended = matches!(character, '.' | '?' | '!');
        is_cut_here
    })
}
