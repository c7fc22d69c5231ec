//! The promise in words, for people. The page and `GET /api/v1/privacy` show the same sentences, which no file of an operator replaces.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Serialize;
use utoipa::ToSchema;

use super::promise::{HashedAddresses, HostClass, LoggedRequests, Promise};
use crate::data_file;
use crate::language::Language;
use crate::web::duration_in_words;

/// The sentences by their codes and languages, with values in braces.
static TEXTS: LazyLock<BTreeMap<String, BTreeMap<Language, String>>> =
    LazyLock::new(|| data_file::from_toml(include_str!("sentences.toml")).expect("the tests read the sentences"));

/// One sentence or two of what the service promises.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = PrivacySentence)]
pub struct Sentence {
    /// What it says, as a code.
    #[schema(example = "sealed")]
    pub code: &'static str,
    /// It, in the language of the answer.
    #[schema(
        example = "What you write is stored locked (encrypted). The key is made from the code of your conversation, and is not stored."
    )]
    pub text: String,
}

/// What a promise says to a person in this language, the most important first.
#[must_use]
pub fn sentences(promise: &Promise, language: Language) -> Vec<Sentence> {
    let mut said = Vec::new();
    let mut say = |code: &'static str, values: &[(&str, &str)]| {
        let text = values
            .iter()
            .fold(TEXTS[code][&language].clone(), |text, (name, value)| text.replace(&format!("{{{name}}}"), value));
        said.push(Sentence { code, text });
    };
    let Promise { companion, retention, help_lines, .. } = promise;
    let host = companion.host.as_deref().unwrap_or_default();
    let answers = match companion.host_class {
        HostClass::None => "answers_script",
        HostClass::ThisMachine => "answers_model_here",
        HostClass::PrivateNetwork => "answers_model_private",
        HostClass::Public => "answers_model_public",
    };
    say(answers, &[("host", host)]);
    if let Some(is_asked) = companion.asks_not_to_store {
        say(if is_asked { "model_asked" } else { "model_not_asked" }, &[]);
    }
    if companion.encrypted == Some(false) && companion.host_class != HostClass::ThisMachine {
        say("model_unencrypted", &[]);
    }
    say("sealed", &[]);
    say("readable_now", &[]);
    say("erased", &[]);
    if companion.host.is_some() {
        say("erased_not_there", &[("host", host)]);
    }
    let words = |seconds| duration_in_words(seconds, language);
    say("ends", &[("idle", &words(retention.idle_timeout_seconds)), ("maximum", &words(retention.max_age_seconds))]);
    if let Some(seconds) = retention.max_seconds_until_deleted {
        say("swept", &[("delay", &words(seconds))]);
    }
    if retention.late {
        say("late", &[]);
    }
    say("stored_open", &[]);
    let logged = match promise.log.requests {
        LoggedRequests::None => "log_nothing",
        LoggedRequests::Failed => "log_failures",
        LoggedRequests::Most | LoggedRequests::All => "log_requests",
    };
    say(logged, &[]);
    if promise.metrics.reachable_from != HostClass::None {
        say("counted", &[]);
    }
    let is_hashed = promise.addresses.hashed != HashedAddresses::None;
    say(if is_hashed { "addresses_hashed" } else { "addresses_unused" }, &[]);
    say("network", &[]);
    let [count, unverified] = [help_lines.count, help_lines.unverified].map(|count| count.to_string());
    let days = help_lines.max_age_days.to_string();
    let verified = if help_lines.unverified > 0 { "help_lines_unverified" } else { "help_lines_verified" };
    say(verified, &[("count", &count), ("unverified", &unverified), ("days", &days)]);
    if let Some(page) = &promise.page {
        if page.replaced.iter().any(|file| ["texts.toml", "style.css"].contains(file)) {
            say("page_changed", &[]);
        }
        if !page.frames.is_empty() {
            say("page_framed", &[]);
        }
    }
    said
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The values in braces.
    fn values(text: &str) -> BTreeSet<&str> {
        text.split('{').skip(1).filter_map(|rest| Some(rest.split_once('}')?.0)).collect()
    }

    #[test]
    fn every_sentence_is_there_in_both_languages_with_the_same_values() {
        for (code, texts) in &*TEXTS {
            let [english, indonesian] = Language::ALL.map(|language| &texts[&language]);
            assert!(english.ends_with('.') && indonesian.ends_with('.'), "{code}");
            assert_eq!(values(english), values(indonesian), "{code}");
        }
    }

    #[test]
    fn the_sentences_are_those_that_are_said() {
        let source = include_str!("sentences.rs").split("#[cfg(test)]").next().expect("a source");
        let is_code = |text: &&str| text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        let mut said: BTreeSet<&str> = source.split('"').skip(1).step_by(2).filter(is_code).collect();
        for name in TEXTS.values().flat_map(|texts| values(&texts[&Language::English])) {
            said.remove(name);
        }
        assert_eq!(said, TEXTS.keys().map(String::as_str).collect());
    }
}
