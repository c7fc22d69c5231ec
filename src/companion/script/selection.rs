//! Selects the reply to a conversation.

use super::super::interface::{Call, ChatMessage, Companion, Unavailable};
use super::parse::{self, ScriptError};
use super::rules::Rules;
use super::words::Words;
use crate::message::Role;

/// Answers with prewritten replies. It needs no network, and the same conversation always gets the same reply.
pub(in crate::companion) struct Script(Rules);

impl Script {
    /// The script that is part of the program.
    ///
    /// # Panics
    /// When that script is invalid, which the tests exclude.
    pub(in crate::companion) fn embedded() -> Script {
        Script::parse(include_str!("../script.toml")).expect("the embedded script is valid")
    }

    /// Parses a script in the format of `script.toml`.
    ///
    /// # Errors
    /// The first mistake, for the author of the script.
    pub(in crate::companion) fn parse(text: &str) -> Result<Script, ScriptError> {
        parse::rules(text).map(Script)
    }

    fn reply(&self, conversation: &[ChatMessage]) -> &str {
        let Script(rules) = self;
        let mut messages = user_messages(conversation);
        let words = Words::new(messages.next().unwrap_or_default());
        let phrase = rules.phrase(&words);
        let topic = match phrase {
            Some(phrase) => phrase.topic,
            None if words.is_empty() => rules.silence,
            None => rules.fallback,
        };
        let language = rules
            .language(&words)
            // A short message often has no marker, and people seldom change their language.
            .or_else(|| messages.find_map(|text| rules.language(&Words::new(text))))
            // The context may be too short for the user's earlier messages and still have the replies to them.
            .or_else(|| replies(conversation).find_map(|text| rules.language_of_reply(text)))
            .or_else(|| phrase.map(|phrase| phrase.language))
            .unwrap_or_default();
        least_recently_used(&rules.replies[topic][language], conversation)
    }
}

impl Companion for Script {
    fn role(&self) -> Role {
        Role::Script
    }

    fn context_chars(&self) -> usize {
        2_000
    }

    fn answer(
        &self,
        conversation: &[ChatMessage],
        call: &Call,
        on_delta: &mut dyn FnMut(&str),
    ) -> Result<(), Unavailable> {
        for sentence in sentences(self.reply(conversation)) {
            if call.cancellation.is_cancelled() {
                return Err(Unavailable::Cancelled);
            }
            on_delta(sentence);
        }
        Ok(())
    }
}

/// The texts of the user, the newest first.
fn user_messages(conversation: &[ChatMessage]) -> impl Iterator<Item = &str> {
    conversation.iter().rev().filter(|message| message.role == Role::User).map(|message| message.text.as_str())
}

/// The texts of the script, or of the model before it, the newest first.
fn replies(conversation: &[ChatMessage]) -> impl Iterator<Item = &str> {
    conversation.iter().rev().filter(|message| message.role != Role::User).map(|message| message.text.as_str())
}

/// The first reply that the conversation does not have yet, or else the least recently used one. So no reply follows itself
/// where there are two, and the author of the script decides what comes first.
fn least_recently_used<'a>(candidates: &'a [String], conversation: &[ChatMessage]) -> &'a str {
    let age = |candidate: &String| replies(conversation).position(|text| text == candidate);
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
