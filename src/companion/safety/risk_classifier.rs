//! The phrases of danger and self-harm, the words around them that lower a level, and the assessment of a message.

use std::collections::{HashMap, HashSet};

use super::tokens::{Spellings, Token};

/// Letters of several words that are written as one: fewer are found in other words by chance.
const MIN_GLUED_CHARS: usize = 7;

/// Words of a clause in which a vague word, such as "help", is a call for it.
const FEW_WORDS: usize = 3;

/// Words between a phrase and a negation or a song that lowers it.
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
}

/// Words around a phrase that lower its level, and how people write words. All are optional.
#[derive(Debug, Default, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::companion) struct ContextWords {
    /// "not", "never".
    negations: Vec<String>,
    /// Words behind a negation with which it does not deny what follows, such as "stop" in "does not stop".
    not_denied: Vec<String>,
    /// Other people, who may be the ones that a phrase of self-harm is about.
    others: Vec<String>,
    /// The person who writes.
    selves: Vec<String>,
    /// Phrases for what is over.
    past: Vec<String>,
    /// Words before such a phrase with which it is not over: "since last year".
    since: Vec<String>,
    /// Songs, films, books, news.
    media: Vec<String>,
    /// Words that begin a clause: what stands before them changes nothing behind them.
    conjunctions: Vec<String>,
    /// Words that may stand within a phrase and mean nothing.
    fillers: Vec<String>,
    /// By the usual word or words: other spellings, abbreviations, synonyms.
    spellings: HashMap<String, Vec<String>>,
}

/// The phrases of one topic of the script, in all languages.
pub(in crate::companion) struct TopicPhrases<'a> {
    pub(in crate::companion) risk: Risk,
    /// What is a concern.
    pub(in crate::companion) words: Vec<&'a str>,
    /// What is a crisis.
    pub(in crate::companion) crisis: Vec<&'a str>,
    /// Those of the words that count only in a clause of few words.
    pub(in crate::companion) vague: Vec<&'a str>,
    /// Phrases with such words that mean something else.
    pub(in crate::companion) harmless: Vec<&'a str>,
}

/// Where a phrase counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    Anywhere,
    /// In a clause of up to [`FEW_WORDS`] words.
    ShortClause,
    /// As the only word of a message: a short code, which counts something elsewhere.
    WholeMessage,
}

#[derive(Debug, Clone, Copy)]
struct Phrase {
    risk: Risk,
    level: Level,
    scope: Scope,
}

/// Assesses messages. Without phrases it finds nothing.
#[derive(Debug, Default)]
pub(in crate::companion) struct RiskClassifier {
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
    since: HashSet<String>,
    media: HashSet<String>,
}

/// A phrase in a message: the tokens from `start` to before `end`.
#[derive(Debug, Clone, Copy)]
struct Match {
    start: usize,
    end: usize,
    phrase: Phrase,
}

/// What a clause says of the phrases in it.
#[derive(Debug, Default, Clone, Copy)]
struct Clause {
    words: usize,
    is_over: bool,
}

/// What is found in a message in one pass, so that the level of each match takes constant time.
struct Scan {
    tokens: Vec<Token>,
    /// By the number of the clause.
    clauses: Vec<Clause>,
    /// By token: whether the nearest person before it in its clause is another one than the one who writes.
    is_behind_another: Vec<bool>,
    /// By token: the end of the harmless phrase over it that ends last; 0 without one.
    harmless_ends: Vec<usize>,
    matches: Vec<Match>,
}

impl RiskClassifier {
    pub(in crate::companion) fn new(context: &ContextWords, topics: &[TopicPhrases<'_>]) -> RiskClassifier {
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
        let mut classifier = RiskClassifier {
            negations: strings(&context.negations),
            not_denied: strings(&context.not_denied),
            others: strings(&context.others),
            selves: strings(&context.selves),
            past: strings(&context.past),
            since: strings(&context.since),
            media: strings(&context.media),
            ..RiskClassifier::default()
        };
        for topic in topics {
            let vague = set(&topic.vague);
            let of_level = [(&topic.words, Level::Concern), (&topic.crisis, Level::Crisis)];
            for (text, level) in of_level.into_iter().flat_map(|(texts, level)| texts.iter().map(move |it| (it, level)))
            {
                let words = spellings.phrase(text);
                let scope = match level {
                    _ if words.bytes().all(|byte| byte.is_ascii_digit()) => Scope::WholeMessage,
                    Level::Concern if vague.contains(&words) => Scope::ShortClause,
                    _ => Scope::Anywhere,
                };
                let phrase = Phrase { risk: topic.risk, level, scope };
                if words.contains(' ') && words.chars().count() > MIN_GLUED_CHARS {
                    classifier.glued.push((words.replace(' ', ""), phrase));
                }
                classifier.phrases.insert(words, phrase);
            }
            classifier.harmless.extend(set(&topic.harmless));
        }
        let RiskClassifier { phrases, harmless, past, .. } = &classifier;
        let all = phrases.keys().chain(harmless).chain(past);
        classifier.max_words = all.map(|phrase| phrase.split(' ').count()).max().unwrap_or(0);
        classifier.spellings = spellings;
        classifier
    }

    /// Whether there is anything that it could find.
    pub(in crate::companion) fn is_empty(&self) -> bool {
        self.phrases.is_empty()
    }

    /// What a message speaks of. The time is linear in its length: a message has at most 4,096 characters.
    pub(in crate::companion) fn assess(&self, message: &str) -> Option<Safety> {
        let scan = self.scan(message);
        let levels = scan.matches.iter().filter_map(|found| Some((self.level(found, &scan)?, found.phrase.risk)));
        levels.fold(None, |all: Option<Safety>, (level, risk)| {
            let Some(before) = all else { return Some(Safety { level, risk }) };
            let risk = if before.risk == risk { risk } else { Risk::Both };
            Some(Safety { level: before.level.max(level), risk })
        })
    }

    fn scan(&self, message: &str) -> Scan {
        let tokens = self.spellings.tokens(message);
        let mut clauses = vec![Clause::default(); tokens.last().map_or(0, |token| token.clause + 1)];
        for token in &tokens {
            clauses[token.clause].words += 1;
        }
        let (mut matches, mut harmless_ends) = (Vec::new(), vec![0; tokens.len()]);
        for_each_run(&tokens, self.max_words, |start, end, run| {
            if let Some(phrase) = self.phrases.get(run) {
                matches.push(Match { start, end, phrase: *phrase });
            }
            if self.harmless.contains(run) {
                for last in &mut harmless_ends[start..end] {
                    *last = end.max(*last);
                }
            }
            let clause = tokens[start].clause;
            if clause == tokens[end - 1].clause && self.past.contains(run) {
                let before = start.checked_sub(1).map(|at| &tokens[at].forms[0]);
                clauses[clause].is_over |= before.is_none_or(|word| !self.since.contains(word));
            }
        });
        for (at, token) in tokens.iter().enumerate().filter(|(_, token)| may_be_glued(&token.forms[0])) {
            let glued = self.glued.iter().filter(|(glued, _)| token.forms.iter().any(|form| form.contains(glued)));
            matches.extend(glued.map(|(_, phrase)| Match { start: at, end: at + 1, phrase: *phrase }));
        }
        let is_behind_another = self.is_behind_another(&tokens);
        Scan { tokens, clauses, is_behind_another, harmless_ends, matches }
    }

    /// For each token, whether the nearest person before it in its clause is another one than the one who writes.
    fn is_behind_another(&self, tokens: &[Token]) -> Vec<bool> {
        let (mut clause, mut is_other) = (0, false);
        let of_token = tokens.iter().map(|token| {
            is_other &= token.clause == clause;
            clause = token.clause;
            let before = is_other;
            let word = &token.forms[0];
            is_other = self.others.contains(word) || is_other && !self.selves.contains(word);
            before
        });
        of_token.collect()
    }

    /// The level of a phrase where it stands. A denial and what is over lower a crisis to a concern, and so do another person and a
    /// song or a film, if it is one of self-harm. A concern stays: it was said.
    fn level(&self, found: &Match, scan: &Scan) -> Option<Level> {
        let &Match { start, end, phrase: Phrase { risk, level, scope } } = found;
        let clause = &scan.clauses[scan.tokens[start].clause];
        let counts = match scope {
            Scope::Anywhere => true,
            Scope::ShortClause => clause.words <= FEW_WORDS,
            Scope::WholeMessage => scan.tokens.len() == 1,
        };
        // "bawa pisau" is not within "pisau dapur".
        let is_harmless = scan.harmless_ends[start] >= end;
        if !counts || is_harmless {
            return None;
        }
        let is_behind = |words, unless| is_shortly_behind(start, &scan.tokens, words, unless);
        let is_denied = is_behind(&self.negations, &self.not_denied);
        let is_remote = scan.is_behind_another[start] || is_behind(&self.media, &self.selves);
        let is_lowered = is_denied || clause.is_over || risk == Risk::SelfHarm && is_remote;
        Some(if is_lowered { Level::Concern } else { level })
    }
}

/// Whether one of the words stands shortly before this token in its clause, with none of `unless` in between.
fn is_shortly_behind(start: usize, tokens: &[Token], words: &HashSet<String>, unless: &HashSet<String>) -> bool {
    let before = tokens[..start].iter().rev().take(MAX_BETWEEN + 1);
    let mut before = before.take_while(|token| token.clause == tokens[start].clause).map(|token| &token.forms[0]);
    let nearest = before.find(|word| words.contains(*word) || unless.contains(*word));
    nearest.is_some_and(|word| words.contains(word))
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
