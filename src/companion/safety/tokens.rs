//! The words of a message, in a form in which disguises and common spellings make no difference.

use std::collections::HashMap;

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// Characters of a message that are looked at, once compatibility forms are decomposed.
const MAX_CHARS: usize = 8_192;

/// Single letters in a row that are one word, typed with spaces or dots in between.
const MIN_SPELLED: usize = 4;

/// Letters of other alphabets that look like Latin ones.
const LOOKALIKES: [(char, char); 27] = [
    ('\u{131}', 'i'),
    ('\u{430}', 'a'),
    ('\u{432}', 'b'),
    ('\u{435}', 'e'),
    ('\u{43a}', 'k'),
    ('\u{43c}', 'm'),
    ('\u{43d}', 'h'),
    ('\u{43e}', 'o'),
    ('\u{440}', 'p'),
    ('\u{441}', 'c'),
    ('\u{442}', 't'),
    ('\u{443}', 'u'),
    ('\u{445}', 'x'),
    ('\u{455}', 's'),
    ('\u{456}', 'i'),
    ('\u{458}', 'j'),
    ('\u{501}', 'd'),
    ('\u{51b}', 'q'),
    ('\u{51d}', 'w'),
    ('\u{3b1}', 'a'),
    ('\u{3b9}', 'i'),
    ('\u{3ba}', 'k'),
    ('\u{3bd}', 'v'),
    ('\u{3bf}', 'o'),
    ('\u{3c1}', 'p'),
    ('\u{3c4}', 't'),
    ('\u{3c5}', 'u'),
];

/// Digits and signs that are typed for letters.
const LEET: [(char, char); 10] = [
    ('0', 'o'),
    ('1', 'i'),
    ('3', 'e'),
    ('4', 'a'),
    ('5', 's'),
    ('7', 't'),
    ('8', 'b'),
    ('@', 'a'),
    ('$', 's'),
    ('!', 'i'),
];

/// One word of a message.
#[derive(Debug, Clone)]
pub(super) struct Token {
    /// What it may mean: as it is written first, and in the same place the same kind of disguise undone. Never empty.
    pub(super) forms: Vec<String>,
    /// The number of its clause: commas, the ends of sentences and words such as "but" divide clauses.
    pub(super) clause: usize,
}

/// How people write words, and which words mean nothing here.
#[derive(Debug, Default)]
pub(super) struct Spellings {
    /// The usual words for another spelling, abbreviation or synonym of them.
    pub(super) usual: HashMap<String, Vec<String>>,
    /// Words that are left out.
    pub(super) fillers: Vec<String>,
    /// Words, and pairs of them, that begin a clause.
    pub(super) conjunctions: Vec<String>,
}

impl Spellings {
    /// The words of a text. The time grows with its length.
    pub(super) fn tokens(&self, text: &str) -> Vec<Token> {
        let mut tokens = Vec::new();
        for Written { word, clause } in join_spelled(&written(text)) {
            if self.fillers.contains(&word) {
                continue;
            }
            let mut forms = forms(&word);
            if let Some(usual) = self.usual.get(&forms[0]) {
                tokens.extend(usual.iter().map(|word| Token { forms: vec![word.clone()], clause }));
                continue;
            }
            for form in &mut forms {
                if let Some([usual]) = self.usual.get(form.as_str()).map(Vec::as_slice) {
                    form.clone_from(usual);
                }
            }
            tokens.push(Token { forms, clause });
        }
        let (mut more, mut before) = (0, String::new());
        for token in &mut tokens {
            let word = &token.forms[0];
            let starts_clause = self.conjunctions.contains(word) || self.conjunctions.contains(&(before + " " + word));
            before = word.clone();
            more += usize::from(starts_clause);
            token.clause += more;
        }
        tokens
    }

    /// The words of a phrase, separated by one space.
    pub(super) fn phrase(&self, text: &str) -> String {
        let tokens = self.tokens(text);
        tokens.into_iter().filter_map(|token| token.forms.into_iter().next()).collect::<Vec<_>>().join(" ")
    }
}

/// A word as it is written.
struct Written {
    word: String,
    clause: usize,
}

/// The words as they are written: lower case, compatibility forms decomposed, without accents, marks, apostrophes and what cannot
/// be seen.
fn written(text: &str) -> Vec<Written> {
    let plain: Vec<char> = text
        .nfkd()
        // One character can stand for eighteen.
        .take(MAX_CHARS)
        .filter(|char| !is_combining_mark(*char) && !is_invisible(*char) && !is_apostrophe(*char))
        .flat_map(char::to_lowercase)
        .map(|char| replace(&LOOKALIKES, char).unwrap_or_else(|| letter_of_sign(char)))
        .collect();
    let (mut words, mut word, mut clause) = (Vec::new(), String::new(), 0);
    for (at, char) in plain.iter().enumerate() {
        let is_letter = |at: Option<usize>| at.and_then(|at| plain.get(at)).is_some_and(|char| char.is_alphanumeric());
        // "k!ll", "bun*h" and "m@ti" are words; "stop!" and "*stop*" have signs around one.
        let is_inside = "!*@$".contains(*char) && is_letter(at.checked_sub(1)) && is_letter(Some(at + 1));
        if char.is_alphanumeric() || is_inside {
            word.push(*char);
            continue;
        }
        if !word.is_empty() {
            words.push(Written { word: std::mem::take(&mut word), clause });
        }
        clause += usize::from(".,!?;:()\n\"\u{201c}\u{201d}\u{2026}".contains(*char));
    }
    if !word.is_empty() {
        words.push(Written { word, clause });
    }
    words
}

/// Joins letters that are typed one by one: "b u n u h", "b.u.n.u.h".
fn join_spelled(words: &[Written]) -> Vec<Written> {
    let mut joined: Vec<Written> = Vec::with_capacity(words.len());
    let is_single = |written: &Written| written.word.chars().nth(1).is_none();
    for run in words.chunk_by(|left, right| is_single(left) && is_single(right)) {
        if run.len() >= MIN_SPELLED {
            joined.push(Written { word: run.iter().map(|it| it.word.as_str()).collect(), clause: run[0].clause });
        } else {
            joined.extend(run.iter().map(|it| Written { word: it.word.clone(), clause: it.clause }));
        }
    }
    joined
}

/// What a word may mean: as it is written, then with each kind of disguise undone, in the same place for all words.
fn forms(word: &str) -> Vec<String> {
    let letters: Vec<char> = word.chars().collect();
    let shortened = |longest: usize| -> String {
        letters.chunk_by(PartialEq::eq).flat_map(|same| if same.len() > 2 { &same[..longest] } else { same }).collect()
    };
    let leet = |one: char| -> String {
        if !letters.iter().any(|char| char.is_alphabetic()) {
            return word.to_owned();
        }
        letters.iter().map(|char| if *char == '1' { one } else { replace(&LEET, *char).unwrap_or(*char) }).collect()
    };
    // "toloooong" is "tolong".
    let plain = shortened(1);
    // "akuu" is "aku", and "luka2" is "luka luka".
    let mut end = plain.trim_end_matches('2').to_owned();
    if let Some(last) = end.pop()
        && !end.ends_with(last)
    {
        end.push(last);
    }
    // "killll" is "kill".
    let mut forms = vec![plain, end, shortened(2), leet('i'), leet('l')];
    if let Some((before, after)) = word.split_once('*') {
        forms.extend("aiueo".chars().map(|vowel| format!("{before}{vowel}{after}")));
    }
    if forms.iter().all(|form| *form == forms[0]) {
        forms.truncate(1);
    }
    forms
}

fn replace(table: &[(char, char)], char: char) -> Option<char> {
    table.iter().find(|(from, _)| *from == char).map(|(_, to)| *to)
}

/// The letter in a black circle, a black square or half a flag: these have no compatibility form.
fn letter_of_sign(char: char) -> char {
    let at = match char {
        '\u{1f150}'..='\u{1f169}' => u32::from(char) - 0x1_f150,
        '\u{1f170}'..='\u{1f189}' => u32::from(char) - 0x1_f170,
        '\u{1f1e6}'..='\u{1f1ff}' => u32::from(char) - 0x1_f1e6,
        _ => return char,
    };
    char::from_u32(u32::from('a') + at).unwrap_or(char)
}

fn is_apostrophe(char: char) -> bool {
    matches!(char, '\'' | '`' | '\u{b4}' | '\u{2018}' | '\u{2019}' | '\u{2bc}')
}

/// Characters that cannot be seen: they are typed to divide a word unseen, or come from a keyboard.
pub(in crate::companion) fn is_invisible(char: char) -> bool {
    matches!(
        char,
        '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{e0000}'..='\u{e01ef}'
    )
}
