//! Parses and validates a script. Mistakes are reported to its author with the line.

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, Deserializer};

use super::rules::{Phrase, Rules};
use super::words::Words;

/// The topic of messages without words.
const SILENCE: &str = "silence";

/// The topic of messages that select no other.
const FALLBACK: &str = "fallback";

/// Characters of a reply, which should be a few sentences.
const MAX_REPLY_CHARS: usize = 2_000;

/// Words of a phrase: every sequence of up to this many words of a message is looked up.
const MAX_PHRASE_WORDS: usize = 10;

/// The first mistake in a script.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct ScriptError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong, for the author of the script.
    pub what: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    language: Vec<Language>,
    topic: Vec<Topic>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Language {
    code: Spanned<String>,
    markers: Vec<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Topic {
    name: Spanned<String>,
    #[serde(default)]
    words: TextsByLanguage,
    replies: TextsByLanguage,
}

/// Texts by language code.
type TextsByLanguage = BTreeMap<Spanned<String>, Vec<Spanned<String>>>;

/// The byte offset of a mistake, and what is wrong.
struct Mistake(usize, String);

pub(super) fn rules(text: &str) -> Result<Rules, ScriptError> {
    let at = |offset: usize, what: String| {
        let before = text.bytes().take(offset);
        ScriptError { line: 1 + before.filter(|byte| *byte == b'\n').count(), what }
    };
    let syntax_error = |error: &toml::de::Error| at(start(error), error.message().trim().replace('\n', "; "));
    // A missing quotation mark causes several errors; only the first has its position.
    let (table, errors) = DeTable::parse_recoverable(text);
    if let Some(first) = errors.iter().min_by_key(|error| start(error)) {
        return Err(syntax_error(first));
    }
    let file = File::deserialize(Deserializer::from(table)).map_err(|error| syntax_error(&error))?;
    validate(&file).map_err(|Mistake(offset, what)| at(offset, what))
}

fn validate(file: &File) -> Result<Rules, Mistake> {
    let codes = language_codes(file)?;
    for texts in file.topic.iter().flat_map(|topic| [&topic.words, &topic.replies]) {
        check_languages(texts, &codes)?;
    }
    let (phrases, max_phrase_words) = phrases(file, &codes)?;
    let replies_by_language = |topic| codes.iter().map(|code| replies(topic, code)).collect();
    let replies = file.topic.iter().map(replies_by_language).collect::<Result<_, _>>()?;
    let (silence, fallback) = (special_topic(file, SILENCE)?, special_topic(file, FALLBACK)?);
    Ok(Rules { markers: markers(file)?, phrases, max_phrase_words, replies, silence, fallback })
}

fn language_codes(file: &File) -> Result<Vec<&str>, Mistake> {
    let mut codes = Vec::new();
    for Language { code, markers } in &file.language {
        let name = code.as_ref().as_str();
        if name.trim().is_empty() {
            return mistake(code, "a language needs a code, such as \"id\"");
        }
        if codes.contains(&name) {
            return mistake(code, format!("there is a language {name:?} already"));
        }
        if markers.is_empty() {
            return mistake(code, format!("the language {name:?} needs markers, the words that tell it from others"));
        }
        codes.push(name);
    }
    if codes.is_empty() { Err(Mistake(0, "there is no language".to_owned())) } else { Ok(codes) }
}

fn markers(file: &File) -> Result<HashMap<String, usize>, Mistake> {
    let mut markers = HashMap::new();
    for (language, entry) in file.language.iter().enumerate() {
        for marker in &entry.markers {
            let words = Words::new(marker.as_ref());
            if words.count() != 1 {
                return mistake(marker, format!("the marker {:?} should be one word", marker.as_ref()));
            }
            let other = markers.insert(words.text().to_owned(), language);
            if other.is_some_and(|other| other != language) {
                let what = format!("the marker {:?} is in another language, too, so it tells nothing", marker.as_ref());
                return mistake(marker, what);
            }
        }
    }
    Ok(markers)
}

/// The phrases that select a topic, and the number of words of the longest.
fn phrases(file: &File, codes: &[&str]) -> Result<(HashMap<String, Phrase>, usize), Mistake> {
    let (mut phrases, mut max_words) = (HashMap::new(), 0);
    let mut names: Vec<&str> = Vec::new();
    for (topic, entry) in file.topic.iter().enumerate() {
        let name = entry.name.as_ref().as_str();
        if name.trim().is_empty() {
            return mistake(&entry.name, "a topic needs a name");
        }
        if names.contains(&name) {
            return mistake(&entry.name, format!("there is a topic {name:?} already"));
        }
        names.push(name);
        for (language, code) in codes.iter().enumerate() {
            let words = texts_in(&entry.words, code);
            if words.is_empty() && ![SILENCE, FALLBACK].contains(&name) {
                return mistake(&entry.name, format!("the topic {name:?} has no words in {code:?}"));
            }
            for written in words {
                let phrase = Words::new(written.as_ref());
                if !(1..=MAX_PHRASE_WORDS).contains(&phrase.count()) {
                    let what = format!("{:?} should have 1 to {MAX_PHRASE_WORDS} words", written.as_ref());
                    return mistake(written, what);
                }
                max_words = max_words.max(phrase.count());
                let first = *phrases.entry(phrase.text().to_owned()).or_insert(Phrase { topic, language });
                if first.topic != topic {
                    let what = format!("{:?} selects the topic {:?} already", written.as_ref(), names[first.topic]);
                    return mistake(written, what);
                }
            }
        }
    }
    Ok((phrases, max_words))
}

fn replies(topic: &Topic, code: &str) -> Result<Vec<String>, Mistake> {
    let replies = texts_in(&topic.replies, code);
    if replies.is_empty() {
        return mistake(&topic.name, format!("the topic {:?} has no replies in {code:?}", topic.name.as_ref()));
    }
    for reply in replies {
        if reply.as_ref().trim().is_empty() {
            return mistake(reply, "a reply is empty");
        }
        if reply.as_ref().chars().count() > MAX_REPLY_CHARS {
            return mistake(reply, format!("a reply has more than {MAX_REPLY_CHARS} characters"));
        }
    }
    Ok(replies.iter().map(|reply| reply.as_ref().clone()).collect())
}

fn check_languages(texts: &TextsByLanguage, codes: &[&str]) -> Result<(), Mistake> {
    match texts.keys().find(|code| !codes.contains(&code.as_ref().as_str())) {
        Some(code) => mistake(code, format!("there is no language {:?}", code.as_ref())),
        None => Ok(()),
    }
}

/// The required topic of that name, which must have no words.
fn special_topic(file: &File, name: &str) -> Result<usize, Mistake> {
    let Some(topic) = file.topic.iter().position(|topic| topic.name.as_ref() == name) else {
        return Err(Mistake(0, format!("there is no topic {name:?}")));
    };
    match file.topic[topic].words.values().flatten().next() {
        Some(word) => mistake(word, format!("the topic {name:?} is chosen without words, so it has none")),
        None => Ok(topic),
    }
}

fn texts_in<'a>(texts: &'a TextsByLanguage, code: &str) -> &'a [Spanned<String>] {
    texts.iter().find(|(language, _)| language.as_ref() == code).map_or(&[], |(_, texts)| texts)
}

fn mistake<T>(text: &Spanned<String>, what: impl Into<String>) -> Result<T, Mistake> {
    Err(Mistake(text.span().start, what.into()))
}

fn start(error: &toml::de::Error) -> usize {
    error.span().unwrap_or_default().start
}
