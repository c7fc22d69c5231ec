//! Parses and validates a script. Mistakes are reported to its author with the line.

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;
use toml::Spanned;

use super::super::safety::{ContextWords, Risk, RiskClassifier, TopicPhrases};
use super::selection::{Phrase, Script};
use super::words::Words;
use crate::data_file::{self, Mistake, ParseError, ensure};
use crate::resources::Registry;

/// The topic of messages without words.
const SILENCE: &str = "silence";

/// The topic of messages that select no other.
const FALLBACK: &str = "fallback";

/// The topics whose words tell that a person may be in danger.
const SELF_HARM: &str = "self_harm";
const DANGER: &str = "danger";

/// Characters of a reply, which should be a few sentences.
const MAX_REPLY_CHARS: usize = 2_000;

/// Words of a phrase: every sequence of up to this many words of a message is looked up.
const MAX_PHRASE_WORDS: usize = 10;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    language: Vec<Language>,
    topic: Vec<Topic>,
    #[serde(default)]
    safety: ContextWords,
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
    /// Words that also make a message a crisis.
    #[serde(default)]
    crisis: TextsByLanguage,
    /// Those of the words that are too common to be a concern in a clause of more than a few words.
    #[serde(default)]
    vague: Vec<Spanned<String>>,
    /// Phrases with such words that mean something else.
    #[serde(default)]
    harmless: Vec<Spanned<String>>,
    replies: TextsByLanguage,
}

impl Topic {
    /// The words and phrases that select the topic.
    fn all_words(&self) -> impl Iterator<Item = (&Spanned<String>, &Vec<Spanned<String>>)> {
        self.words.iter().chain(&self.crisis)
    }
}

/// Texts by language code.
type TextsByLanguage = BTreeMap<Spanned<String>, Vec<Spanned<String>>>;

impl Script {
    /// Parses a script in the format of `script.toml`, or returns its first mistake.
    pub(in crate::companion) fn parse(text: &str, resources: &Registry) -> Result<Script, ParseError> {
        let mut file: File = data_file::from_toml(text)?;
        expand(&mut file, resources).and_then(|()| validate(&file)).map_err(|mistake| mistake.in_text(text))
    }
}

/// Replaces the references to help lines in words and replies.
fn expand(file: &mut File, resources: &Registry) -> Result<(), Mistake> {
    let texts = file.topic.iter_mut().flat_map(|topic| {
        let words = topic.words.values_mut().chain(topic.crisis.values_mut());
        words.chain(topic.replies.values_mut()).chain([&mut topic.vague, &mut topic.harmless])
    });
    for text in texts.flatten() {
        let start = text.span().start;
        let expanded = resources.expand(text.as_ref());
        *text.as_mut() = expanded.map_err(|Mistake(at, what)| Mistake(start + at, what))?;
    }
    Ok(())
}

fn validate(file: &File) -> Result<Script, Mistake> {
    let codes = language_codes(file)?;
    for code in file.topic.iter().flat_map(|topic| topic.all_words().map(|(code, _)| code).chain(topic.replies.keys()))
    {
        let name = code.as_ref().as_str();
        ensure(codes.contains(&name), code, format_args!("there is no language {name:?}"))?;
    }
    let phrases = phrases(file, &codes)?;
    let replies_by_language = |topic| codes.iter().map(|code| replies(topic, code)).collect();
    Ok(Script {
        classifier: classifier(file)?,
        self_harm: file.topic.iter().position(|topic| topic.name.as_ref() == SELF_HARM),
        danger: file.topic.iter().position(|topic| topic.name.as_ref() == DANGER),
        replies: file.topic.iter().map(replies_by_language).collect::<Result<_, _>>()?,
        silence: special_topic(file, SILENCE)?,
        fallback: special_topic(file, FALLBACK)?,
        markers: markers(file)?,
        max_phrase_words: phrases.keys().map(|phrase| phrase.split(' ').count()).max().unwrap_or(0),
        phrases,
    })
}

fn language_codes(file: &File) -> Result<Vec<&str>, Mistake> {
    let mut codes = Vec::new();
    for Language { code, markers } in &file.language {
        let name = code.as_ref().as_str();
        ensure(!name.trim().is_empty(), code, "a language needs a code, such as \"id\"")?;
        ensure(!codes.contains(&name), code, format_args!("there is a language {name:?} already"))?;
        let no_markers = format_args!("the language {name:?} needs markers, the words that tell it from others");
        ensure(!markers.is_empty(), code, no_markers)?;
        codes.push(name);
    }
    if codes.is_empty() { Err(Mistake(0, "there is no language".to_owned())) } else { Ok(codes) }
}

fn markers(file: &File) -> Result<HashMap<String, usize>, Mistake> {
    let mut markers = HashMap::new();
    for (language, entry) in file.language.iter().enumerate() {
        for marker in &entry.markers {
            let (written, words) = (marker.as_ref(), Words::new(marker.as_ref()));
            ensure(words.count() == 1, marker, format_args!("the marker {written:?} should be one word"))?;
            let is_unique = markers.insert(words.text, language).is_none_or(|other| other == language);
            let ambiguous = format_args!("the marker {written:?} is in another language, too, so it tells nothing");
            ensure(is_unique, marker, ambiguous)?;
        }
    }
    Ok(markers)
}

/// The phrases that select a topic.
fn phrases(file: &File, codes: &[&str]) -> Result<HashMap<String, Phrase>, Mistake> {
    let mut phrases = HashMap::new();
    let mut names: Vec<&str> = Vec::new();
    for (topic, entry) in file.topic.iter().enumerate() {
        let name = entry.name.as_ref().as_str();
        ensure(!name.trim().is_empty(), &entry.name, "a topic needs a name")?;
        ensure(!names.contains(&name), &entry.name, format_args!("there is a topic {name:?} already"))?;
        names.push(name);
        for (language, code) in codes.iter().enumerate() {
            let texts = texts_in(&entry.words, code).iter().chain(texts_in(&entry.crisis, code));
            let has_words = !texts_in(&entry.words, code).is_empty() || [SILENCE, FALLBACK].contains(&name);
            ensure(has_words, &entry.name, format_args!("the topic {name:?} has no words in {code:?}"))?;
            for text in texts {
                let (written, words) = (text.as_ref(), Words::new(text.as_ref()));
                let has_valid_length = (1..=MAX_PHRASE_WORDS).contains(&words.count());
                ensure(has_valid_length, text, format_args!("{written:?} should have 1 to {MAX_PHRASE_WORDS} words"))?;
                let first = phrases.entry(words.text).or_insert(Phrase { topic, language }).topic;
                ensure(first == topic, text, format_args!("{written:?} selects the topic {:?} already", names[first]))?;
            }
        }
    }
    Ok(phrases)
}

fn replies(topic: &Topic, code: &str) -> Result<Vec<String>, Mistake> {
    let (name, replies) = (topic.name.as_ref(), texts_in(&topic.replies, code));
    ensure(!replies.is_empty(), &topic.name, format_args!("the topic {name:?} has no replies in {code:?}"))?;
    for reply in replies {
        ensure(!reply.as_ref().trim().is_empty(), reply, "a reply is empty")?;
        let fits = reply.as_ref().chars().count() <= MAX_REPLY_CHARS;
        ensure(fits, reply, format_args!("a reply has more than {MAX_REPLY_CHARS} characters"))?;
    }
    Ok(replies.iter().map(|reply| reply.as_ref().clone()).collect())
}

/// The required topic of that name, which must have no words.
fn special_topic(file: &File, name: &str) -> Result<usize, Mistake> {
    let Some(topic) = file.topic.iter().position(|topic| topic.name.as_ref() == name) else {
        return Err(Mistake(0, format!("there is no topic {name:?}")));
    };
    if let Some(word) = file.topic[topic].all_words().flat_map(|(_, texts)| texts).next() {
        let what = format!("the topic {name:?} is chosen without words, so it has none");
        return Err(Mistake(word.span().start, what));
    }
    Ok(topic)
}

/// What tells messages that speak of danger or self-harm: the words of the topics with these names.
fn classifier(file: &File) -> Result<RiskClassifier, Mistake> {
    let mut all = Vec::new();
    for topic in &file.topic {
        let risk = match topic.name.as_ref().as_str() {
            SELF_HARM => Risk::SelfHarm,
            DANGER => Risk::Danger,
            name => {
                let has_none = topic.crisis.is_empty() && topic.vague.is_empty() && topic.harmless.is_empty();
                let what = format_args!(
                    "the topic {name:?} has crisis, vague or harmless, which only {SELF_HARM:?} and {DANGER:?} have"
                );
                ensure(has_none, &topic.name, what)?;
                continue;
            }
        };
        let written = |texts: &Spanned<String>| Words::new(texts.as_ref()).text;
        let words: Vec<&Spanned<String>> = topic.words.values().flatten().collect();
        for text in &topic.vague {
            let is_known = words.iter().any(|word| written(word) == written(text));
            ensure(is_known, text, format_args!("{:?} is not in the words of the topic", text.as_ref()))?;
        }
        let words = words.into_iter().map(as_str).collect();
        let vague = topic.vague.iter().map(as_str).collect();
        let crisis = topic.crisis.values().flatten().map(as_str).collect();
        let harmless = topic.harmless.iter().map(as_str).collect();
        all.push(TopicPhrases { risk, words, crisis, vague, harmless });
    }
    Ok(RiskClassifier::new(&file.safety, &all))
}

fn as_str(text: &Spanned<String>) -> &str {
    text.as_ref()
}

fn texts_in<'a>(texts: &'a TextsByLanguage, code: &str) -> &'a [Spanned<String>] {
    texts.get(code).map_or(&[], Vec::as_slice)
}
