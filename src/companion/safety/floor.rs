//! The phrases of danger and self-harm, the words around them that lower a level, and the assessment of a message.

use std::collections::{HashMap, HashSet};

use super::tokens::{Spellings, Token};

/// Letters of several words that are written as one: fewer are found in other words by chance.
const MIN_GLUED_CHARS: usize = 7;

/// Words of a message in which a vague word, such as "help", is a call for it.
const FEW_WORDS: usize = 3;

/// Words between a negation and what it denies.
const MAX_BETWEEN: usize = 2;

/// How urgent a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// It speaks of danger or self-harm.
    Concern,
    /// A life may be in danger now.
    Crisis,
}

/// What a message speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Risk {
    /// Dying, or hurting oneself.
    SelfHarm,
    /// Violence, threat, coercion.
    Danger,
    /// Both.
    Both,
}

/// What was found in a message. It is about the words alone, and kept nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Safety {
    /// The level of the most urgent phrase.
    pub level: Level,
    /// What all phrases are about.
    pub risk: Risk,
}

impl Level {
    /// The value in answers and metrics.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Level::Concern => "concern",
            Level::Crisis => "crisis",
        }
    }

    fn lower(self) -> Option<Level> {
        (self == Level::Crisis).then_some(Level::Concern)
    }
}

/// Words around a phrase that lower its level, and how people write words. All are optional.
#[derive(Debug, Default, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::companion) struct Context {
    /// "not", "never".
    negations: Vec<String>,
    /// Words after a negation with which it does not deny what follows, such as "stop" in "does not stop".
    not_denied: Vec<String>,
    /// Other people, who may be the ones that a phrase of self-harm is about.
    others: Vec<String>,
    /// The person who writes.
    selves: Vec<String>,
    /// Phrases for what is over.
    past: Vec<String>,
    /// Songs, films, books, news.
    works: Vec<String>,
    /// Words that begin a clause: what stands before them changes nothing behind them.
    conjunctions: Vec<String>,
    /// Words that may stand within a phrase and mean nothing.
    fillers: Vec<String>,
    /// By the usual word or words: other spellings, abbreviations, synonyms.
    spellings: HashMap<String, Vec<String>>,
}

/// The lists of one topic of the script, of all languages.
pub(in crate::companion) struct Lists<'a> {
    pub(in crate::companion) risk: Risk,
    /// What is a concern.
    pub(in crate::companion) words: Vec<&'a str>,
    /// What is a crisis.
    pub(in crate::companion) crisis: Vec<&'a str>,
    /// Those of the words that count only in a message of few words.
    pub(in crate::companion) vague: Vec<&'a str>,
    /// Phrases with such words that mean something else.
    pub(in crate::companion) harmless: Vec<&'a str>,
}

#[derive(Debug, Clone, Copy)]
struct Phrase {
    risk: Risk,
    level: Level,
    /// Words of a message in which it counts.
    max_message_words: usize,
}

/// Assesses messages. Without phrases it finds nothing.
#[derive(Debug, Default)]
pub(in crate::companion) struct Floor {
    spellings: Spellings,
    phrases: HashMap<String, Phrase>,
    /// The same phrases of several words, without the spaces between them.
    glued: Vec<(String, Phrase)>,
    harmless: HashSet<String>,
    /// Words of the longest phrase of any kind.
    max_words: usize,
    negations: HashSet<String>,
    not_denied: HashSet<String>,
    others: HashSet<String>,
    selves: HashSet<String>,
    past: HashSet<String>,
    works: HashSet<String>,
}

/// A phrase in a message: the tokens from `start` to before `end`.
#[derive(Debug, Clone, Copy)]
struct Found {
    start: usize,
    end: usize,
    phrase: Phrase,
}

impl Floor {
    pub(in crate::companion) fn new(context: &Context, topics: &[Lists<'_>]) -> Floor {
        // Without spellings, which are made here.
        let plain = |text: &String| Spellings::default().phrase(text);
        let usual = context.spellings.iter().flat_map(|(usual, others)| {
            let words: Vec<String> = plain(usual).split(' ').map(str::to_owned).collect();
            others.iter().map(move |other| (plain(other), words.clone()))
        });
        let spellings = Spellings {
            usual: usual.collect(),
            fillers: context.fillers.iter().map(plain).collect(),
            conjunctions: context.conjunctions.iter().map(plain).collect(),
        };
        let set = |texts: &[&str]| texts.iter().map(|text| spellings.phrase(text)).collect::<HashSet<_>>();
        let strings = |texts: &[String]| texts.iter().map(|text| spellings.phrase(text)).collect();
        let mut floor = Floor {
            negations: strings(&context.negations),
            not_denied: strings(&context.not_denied),
            others: strings(&context.others),
            selves: strings(&context.selves),
            past: strings(&context.past),
            works: strings(&context.works),
            ..Floor::default()
        };
        for topic in topics {
            let vague: HashSet<String> = set(&topic.vague);
            let of_level = [(&topic.words, Level::Concern), (&topic.crisis, Level::Crisis)];
            for (text, level) in of_level.into_iter().flat_map(|(texts, level)| texts.iter().map(move |it| (it, level)))
            {
                let words = spellings.phrase(text);
                let max_message_words = match level {
                    // A short code, which counts something elsewhere.
                    _ if words.bytes().all(|byte| byte.is_ascii_digit()) => 1,
                    Level::Concern if vague.contains(&words) => FEW_WORDS,
                    _ => usize::MAX,
                };
                let phrase = Phrase { risk: topic.risk, level, max_message_words };
                if words.contains(' ') && words.chars().count() > MIN_GLUED_CHARS {
                    floor.glued.push((words.replace(' ', ""), phrase));
                }
                floor.phrases.insert(words, phrase);
            }
            floor.harmless.extend(topic.harmless.iter().map(|text| spellings.phrase(text)));
        }
        let all = floor.phrases.keys().chain(&floor.harmless).chain(&floor.past).chain(&floor.works);
        floor.max_words = all.map(|phrase| phrase.split(' ').count()).max().unwrap_or(0);
        floor.spellings = spellings;
        floor
    }

    /// Whether there is anything that it could find.
    pub(in crate::companion) fn is_empty(&self) -> bool {
        self.phrases.is_empty()
    }

    /// What a message speaks of. The time grows with its length: a message has at most 4,096 characters.
    pub(in crate::companion) fn assess(&self, message: &str) -> Option<Safety> {
        let tokens = self.spellings.tokens(message);
        let mut found = Vec::new();
        let mut harmless = Vec::new();
        for_each_run(&tokens, self.max_words, |start, end, run| {
            if let Some(phrase) = self.phrases.get(run) {
                found.push(Found { start, end, phrase: *phrase });
            }
            if self.harmless.contains(run) {
                harmless.push((start, end));
            }
        });
        for (at, token) in tokens.iter().enumerate().filter(|(_, token)| may_be_glued(&token.forms[0])) {
            let glued = self.glued.iter().filter(|(glued, _)| token.forms.iter().any(|form| form.contains(glued)));
            found.extend(glued.map(|(_, phrase)| Found { start: at, end: at + 1, phrase: *phrase }));
        }
        found.retain(|found| {
            let is_within = |&(start, end): &(usize, usize)| start < found.end && found.start < end;
            let is_longer = |&(start, end): &(usize, usize)| found.end - found.start > end - start;
            harmless.iter().all(|span| !is_within(span) || is_longer(span))
        });
        let levels = found.iter().filter_map(|found| Some((self.level(found, &tokens)?, found.phrase.risk)));
        levels.fold(None, |all: Option<Safety>, (level, risk)| {
            let Some(before) = all else { return Some(Safety { level, risk }) };
            let risk = if before.risk == risk { risk } else { Risk::Both };
            Some(Safety { level: before.level.max(level), risk })
        })
    }

    /// The level of a phrase where it stands: each of these lowers it by one. A denied word of self-harm stays a concern,
    /// because it was said; so does one that is about another person, or over.
    fn level(&self, found: &Found, tokens: &[Token]) -> Option<Level> {
        let Phrase { risk, level, max_message_words } = found.phrase;
        if tokens.len() > max_message_words {
            return None;
        }
        let clause = tokens[found.start].clause;
        let start = tokens[..found.start].iter().rposition(|token| token.clause != clause).map_or(0, |at| at + 1);
        let end = found.end + tokens[found.end..].iter().take_while(|token| token.clause == clause).count();
        let before = &tokens[start..found.start];
        let is_denied = before.iter().rev().take(MAX_BETWEEN + 1).map(|token| &token.forms[0]).find_map(|word| {
            let denies = self.negations.contains(word);
            (denies || self.not_denied.contains(word)).then_some(denies)
        });
        let is_denied = is_denied == Some(true);
        let nearest = before.iter().rev().map(|token| &token.forms[0]).find_map(|word| {
            let is_other = self.others.contains(word);
            (is_other || self.selves.contains(word)).then_some(is_other)
        });
        let is_of_another = risk == Risk::SelfHarm && nearest == Some(true);
        let (mut is_over, mut is_of_work) = (false, false);
        for_each_run(&tokens[start..end], self.max_words, |_, _, run| {
            is_over |= self.past.contains(run);
            is_of_work |= self.works.contains(run);
        });
        match level.lower() {
            Some(lower) if is_denied || is_of_another || is_over || is_of_work => Some(lower),
            None if risk == Risk::Danger && (is_denied || is_of_work) => None,
            _ => Some(level),
        }
    }
}

/// Whether a word may be a phrase without its spaces: phrases are in Latin letters.
fn may_be_glued(word: &str) -> bool {
    word.len() >= MIN_GLUED_CHARS && word.is_ascii()
}

/// Calls for every sequence of one to `max_words` adjacent words, in each of their forms.
fn for_each_run(tokens: &[Token], max_words: usize, mut call: impl FnMut(usize, usize, &str)) {
    let max_forms = tokens.iter().map(|token| token.forms.len()).max().unwrap_or(0);
    let mut run = String::new();
    for form in 0..max_forms {
        for start in 0..tokens.len() {
            run.clear();
            let mut has_form = false;
            for (end, token) in tokens.iter().enumerate().skip(start).take(max_words) {
                has_form |= form == 0 || token.forms.get(form).is_some_and(|other| *other != token.forms[0]);
                if !run.is_empty() {
                    run.push(' ');
                }
                run += token.forms.get(form).unwrap_or(&token.forms[0]);
                if has_form {
                    call(start, end + 1, &run);
                }
            }
        }
    }
}
