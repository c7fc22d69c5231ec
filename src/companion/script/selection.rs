//! Selects the reply to a conversation by the words of its messages.

use std::collections::HashMap;

use super::super::interface::{Call, ChatMessage, Finish, Unavailable};
use super::super::safety::{Risk, RiskClassifier, Safety};
use super::words::Words;
use crate::message::Role;

/// What a phrase selects: its first topic, and in that the first language.
#[derive(Clone, Copy)]
pub(super) struct Phrase {
    pub(super) topic: usize,
    pub(super) language: usize,
}

/// Answers with prewritten replies. It needs no network, and the same conversation always gets the same reply. Languages and
/// topics are indices in the script's order; an earlier topic takes precedence.
pub(in crate::companion) struct Script {
    /// Tells which messages speak of danger.
    pub(in crate::companion) classifier: RiskClassifier,
    /// The topics of self-harm and of danger, where the script has them.
    pub(super) self_harm: Option<usize>,
    pub(super) danger: Option<usize>,
    /// Common words, each of one language.
    pub(super) markers: HashMap<String, usize>,
    /// The phrases that select a topic.
    pub(super) phrases: HashMap<String, Phrase>,
    /// The number of words of the longest phrase.
    pub(super) max_phrase_words: usize,
    /// By topic, then by language; no list is empty.
    pub(super) replies: Vec<Vec<Vec<String>>>,
    /// The topic of messages without words.
    pub(super) silence: usize,
    /// The topic of messages without a known phrase.
    pub(super) fallback: usize,
}

impl Script {
    /// The number of characters of a conversation that it can use.
    pub(in crate::companion) const CONTEXT_CHARS: usize = 2_000;

    /// The number of messages of a conversation that it can use: as many as have all replies of the topic with the most.
    pub(in crate::companion) fn context_messages(&self) -> usize {
        2 * self.replies.iter().flatten().map(Vec::len).max().unwrap_or_default()
    }

    /// The reply to a conversation. What was found of danger in its last message decides before its words do.
    pub(in crate::companion) fn reply(&self, conversation: &[ChatMessage], safety: Option<Safety>) -> &str {
        let urgent = safety.and_then(|safety| match safety.risk {
            Risk::Danger => self.danger,
            Risk::SelfHarm | Risk::Both => self.self_harm,
        });
        let mut messages = texts(conversation, true);
        let words = Words::new(messages.next().unwrap_or_default());
        let phrases = || words.runs(self.max_phrase_words).filter_map(|run| self.phrases.get(run).copied());
        let is_urgent = |topic| [self.danger, self.self_harm].contains(&Some(topic));
        // Where nothing urgent was found, an urgent word means something else: reply and help lines must agree.
        let other = phrases().filter(|phrase| !is_urgent(phrase.topic)).min_by_key(|phrase| phrase.topic);
        let topic = urgent.unwrap_or(match other {
            Some(phrase) => phrase.topic,
            None if words.count() == 0 => self.silence,
            None => self.fallback,
        });
        let language = (self.language(&words))
            // A short message often has no marker, and people seldom change their language.
            .or_else(|| messages.find_map(|text| self.language(&Words::new(text))))
            // The context may be too short for the user's earlier messages and still have the replies to them.
            .or_else(|| texts(conversation, false).find_map(|text| self.language_of_reply(text)))
            // People mix languages.
            .or_else(|| phrases().min_by_key(|phrase| phrase.topic).map(|phrase| phrase.language))
            .unwrap_or_default();
        least_recently_used(&self.replies[topic][language], conversation)
    }

    /// The language with the most markers; none if there are none or two languages have the same number.
    fn language(&self, words: &Words) -> Option<usize> {
        let mut counts = vec![0_usize; self.replies[self.fallback].len()];
        let all: Vec<&str> = words.runs(1).collect();
        let is_letter = |at: usize| all.get(at).is_some_and(|word| word.chars().nth(1).is_none());
        for (at, word) in all.iter().enumerate() {
            // Letters that are typed one by one are no words: "d i r i" has no English "i".
            let is_spelled = is_letter(at) && (is_letter(at + 1) || at > 0 && is_letter(at - 1));
            if let Some(language) = self.markers.get(*word).filter(|_| !is_spelled) {
                counts[*language] += 1;
            }
        }
        let max = counts.iter().copied().max().filter(|max| *max > 0)?;
        let mut languages = (0..counts.len()).filter(|language| counts[*language] == max);
        languages.next().filter(|_| languages.next().is_none())
    }

    /// The language of one of the script's own replies.
    fn language_of_reply(&self, text: &str) -> Option<usize> {
        let mut lists = self.replies.iter().flat_map(|topic| topic.iter().enumerate());
        lists.find(|(_, replies)| replies.iter().any(|reply| reply == text)).map(|(language, _)| language)
    }

    /// Replies to the last message of a conversation, one sentence after the other.
    ///
    /// # Errors
    /// [`Unavailable::Cancelled`].
    pub(in crate::companion) fn answer(
        &self,
        messages: &[ChatMessage],
        safety: Option<Safety>,
        call: &Call,
        on_delta: &mut dyn FnMut(&str),
    ) -> Result<Finish, Unavailable> {
        for sentence in sentences(self.reply(messages, safety)) {
            if call.cancellation.is_cancelled() {
                return Err(Unavailable::Cancelled);
            }
            on_delta(sentence);
        }
        Ok(Finish::Complete)
    }
}

/// The texts of the user, or else those of the script and of the model before it, the newest first.
fn texts(conversation: &[ChatMessage], of_user: bool) -> impl Iterator<Item = &str> {
    let chosen = move |message: &&ChatMessage| (message.role == Role::User) == of_user;
    conversation.iter().rev().filter(chosen).map(|message| message.text.as_str())
}

/// The first reply that the conversation does not have yet, or else the least recently used one. So no reply follows itself
/// where there are two, and the author of the script decides what comes first.
fn least_recently_used<'a>(candidates: &'a [String], conversation: &[ChatMessage]) -> &'a str {
    let age = |candidate: &String| texts(conversation, false).position(|text| text == candidate);
    let rank = |candidate: &&String| age(candidate).map_or(0, |age| usize::MAX - age);
    candidates.iter().min_by_key(rank).map_or("", String::as_str)
}

/// Splits a reply after the white space that ends a sentence. A dot inside an address ends none.
fn sentences(reply: &str) -> impl Iterator<Item = &str> {
    let mut is_after_end = false;
    reply.split_inclusive(move |character: char| {
        let is_boundary = is_after_end && character.is_whitespace();
        is_after_end = matches!(character, '.' | '?' | '!');
        is_boundary
    })
}
