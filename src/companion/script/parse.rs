//! Reads the file of a script, and says what is wrong with it to whoever wrote it.

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, Deserializer};

use super::words::Words;
use super::{Phrase, Script};

/// Chosen without words of its own: for a message that has none, and for every other.
const SILENCE: &str = "silence";
const FALLBACK: &str = "fallback";

/// A reply is a few sentences, also in a script that somebody wrote in a hurry.
const MOST_REPLY_CHARS: usize = 2_000;

/// Every run of so many words of a message is looked up.
const MOST_PHRASE_WORDS: usize = 10;

/// Why a script cannot be used. Its text says it to whoever wrote the script.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct ScriptError {
    /// The line, counted from one.
    pub line: usize,
    /// What is wrong there.
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
    words: Lists,
    replies: Lists,
}

/// Texts by the code of their language.
type Lists = BTreeMap<Spanned<String>, Vec<Spanned<String>>>;

/// The byte of the text at which something is wrong, and what.
struct Mistake(usize, String);

pub(super) fn script(text: &str) -> Result<Script, ScriptError> {
    let at = |place: usize, what: String| {
        let before = text.bytes().take(place);
        ScriptError { line: 1 + before.filter(|byte| *byte == b'\n').count(), what }
    };
    let wrong = |error: &toml::de::Error| at(start(error), error.message().trim().replace('\n', "; "));
    // A quotation mark that is missing makes several mistakes; only the first says where it is.
    let (table, errors) = DeTable::parse_recoverable(text);
    if let Some(first) = errors.iter().min_by_key(|error| start(error)) {
        return Err(wrong(first));
    }
    let file = File::deserialize(Deserializer::from(table)).map_err(|error| wrong(&error))?;
    build(&file).map_err(|Mistake(place, what)| at(place, what))
}

fn build(file: &File) -> Result<Script, Mistake> {
    let codes = codes(file)?;
    for lists in file.topic.iter().flat_map(|topic| [&topic.words, &topic.replies]) {
        known_languages(lists, &codes)?;
    }
    let (phrases, longest_phrase) = phrases(file, &codes)?;
    let mut replies = Vec::new();
    for topic in &file.topic {
        replies.push(codes.iter().map(|code| replies_of(topic, code)).collect::<Result<_, _>>()?);
    }
    let (silence, fallback) = (without_words(file, SILENCE)?, without_words(file, FALLBACK)?);
    Ok(Script { markers: markers(file)?, phrases, longest_phrase, replies, silence, fallback })
}

fn codes(file: &File) -> Result<Vec<&str>, Mistake> {
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
            let words = Words::of(marker.as_ref());
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

/// What selects the topics, and how many words the longest has.
fn phrases(file: &File, codes: &[&str]) -> Result<(HashMap<String, Phrase>, usize), Mistake> {
    let (mut phrases, mut longest) = (HashMap::new(), 0);
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
            let words = of(&entry.words, code);
            if words.is_empty() && ![SILENCE, FALLBACK].contains(&name) {
                return mistake(&entry.name, format!("the topic {name:?} has no words in {code:?}"));
            }
            for written in words {
                let phrase = Words::of(written.as_ref());
                if !(1..=MOST_PHRASE_WORDS).contains(&phrase.count()) {
                    let what = format!("{:?} should have 1 to {MOST_PHRASE_WORDS} words", written.as_ref());
                    return mistake(written, what);
                }
                longest = longest.max(phrase.count());
                let first = *phrases.entry(phrase.text().to_owned()).or_insert(Phrase { topic, language });
                if first.topic != topic {
                    let what = format!("{:?} selects the topic {:?} already", written.as_ref(), names[first.topic]);
                    return mistake(written, what);
                }
            }
        }
    }
    Ok((phrases, longest))
}

fn replies_of(topic: &Topic, code: &str) -> Result<Vec<String>, Mistake> {
    let replies = of(&topic.replies, code);
    if replies.is_empty() {
        return mistake(&topic.name, format!("the topic {:?} has no replies in {code:?}", topic.name.as_ref()));
    }
    for reply in replies {
        if reply.as_ref().trim().is_empty() {
            return mistake(reply, "a reply is empty");
        }
        if reply.as_ref().chars().count() > MOST_REPLY_CHARS {
            return mistake(reply, format!("a reply has more than {MOST_REPLY_CHARS} characters"));
        }
    }
    Ok(replies.iter().map(|reply| reply.as_ref().clone()).collect())
}

fn known_languages(lists: &Lists, codes: &[&str]) -> Result<(), Mistake> {
    match lists.keys().find(|code| !codes.contains(&code.as_ref().as_str())) {
        Some(code) => mistake(code, format!("there is no language {:?}", code.as_ref())),
        None => Ok(()),
    }
}

/// The topic of that name, which has to be there and to have no words.
fn without_words(file: &File, name: &str) -> Result<usize, Mistake> {
    let Some(place) = file.topic.iter().position(|topic| topic.name.as_ref() == name) else {
        return Err(Mistake(0, format!("there is no topic {name:?}")));
    };
    match file.topic[place].words.values().flatten().next() {
        Some(word) => mistake(word, format!("the topic {name:?} is chosen without words, so it has none")),
        None => Ok(place),
    }
}

fn of<'a>(lists: &'a Lists, code: &str) -> &'a [Spanned<String>] {
    lists.iter().find(|(key, _)| key.as_ref() == code).map_or(&[], |(_, texts)| texts)
}

fn mistake<T>(place: &Spanned<String>, what: impl Into<String>) -> Result<T, Mistake> {
    Err(Mistake(place.span().start, what.into()))
}

fn start(error: &toml::de::Error) -> usize {
    error.span().unwrap_or_default().start
}
