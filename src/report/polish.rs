//! Lets a model smooth the language of a document. Of its answer only the joints between sentences are taken: the sentences
//! themselves are always those of the file, so that no word of a model that could be a fact gets into a document.

use super::templates::Templates;
use super::text::Connective;
use crate::document::{Block, Document};

/// What a model is asked. It has no word of the person: only texts of the file.
pub struct PolishPrompt {
    /// What to do.
    pub instruction: String,
    /// The headings and sentences to smooth, each in a line.
    pub text: String,
}

impl Templates {
    /// What a model is asked to smooth a document.
    #[must_use]
    pub fn polish_prompt(&self, document: &Document) -> PolishPrompt {
        let mut lines = Vec::new();
        for section in &document.sections {
            lines.push(section.heading.clone());
            lines.extend(section.blocks.iter().filter_map(sentences).map(str::to_owned));
        }
        let connectives: Vec<_> = self.connectives(document).iter().map(|phrase| phrase.as_str()).collect();
        let instruction = self.polish.instruction.get(document.language).as_str();
        PolishPrompt { instruction: format!("{instruction} {}", connectives.join(", ")), text: lines.join("\n") }
    }

    /// The document with its sentences joined as in a model's answer. `None` where the answer changed more than the joints, or nothing:
    /// then the document stays as it is. The work is bounded by the length of the document.
    #[must_use]
    pub fn polished(&self, document: &Document, answer: &str) -> Option<Document> {
        if answer.len() > 2 * self.polish_prompt(document).text.len() {
            return None;
        }
        let mut lines = answer.lines().map(str::trim).filter(|line| !line.is_empty());
        let mut polished = document.clone();
        for section in &mut polished.sections {
            if lines.next()? != section.heading {
                return None;
            }
            for block in &mut section.blocks {
                if let Some(text) = sentences(block) {
                    *block = Block::Paragraph(joined(text, lines.next()?, self.connectives(document))?);
                }
            }
        }
        (lines.next().is_none() && polished != *document).then_some(polished)
    }

    fn connectives(&self, document: &Document) -> &[Connective] {
        self.polish.connectives.get(document.language)
    }
}

/// The sentences of a block that may be polished: a paragraph of the file's words. Fields and quotations have the person's.
fn sentences(block: &Block) -> Option<&str> {
    if let Block::Paragraph(sentences) = block { Some(sentences) } else { None }
}

/// The sentences, joined as in the answer; `None` unless the answer has the same words and signs in each. Between two it may have a full
/// stop, or a comma and a connective; a connective may begin a sentence, too.
fn joined(sentences: &str, answer: &str, connectives: &[Connective]) -> Option<String> {
    let tokens = tokens(answer);
    let mut rest = tokens.as_slice();
    let mut text = String::new();
    for (position, sentence) in sentences.split(". ").enumerate() {
        let stop = if position == 0 { None } else { take_sign(&mut rest, ".").or_else(|| take_sign(&mut rest, ",")) };
        text += stop.unwrap_or_default();
        if position > 0 {
            text.push(' ');
        }
        let begins = position == 0 || stop == Some(".");
        if begins && take_sentence(&mut rest, sentence).is_some() {
            text += sentence;
            continue;
        }
        let connective = take_connective(&mut rest, connectives)?;
        text +=
            &if begins { with_first(connective, |first| first.to_ascii_uppercase()) } else { connective.to_owned() };
        text += take_sign(&mut rest, ",").unwrap_or_default();
        text.push(' ');
        let is_lower = take_sentence(&mut rest, sentence)?.starts_with(|first: char| first.is_ascii_lowercase());
        text += &if is_lower { with_first(sentence, |first| first.to_ascii_lowercase()) } else { sentence.to_owned() };
    }
    rest.is_empty().then_some(text)
}

/// Takes that sign from the tokens, if it is next.
fn take_sign<'a>(rest: &mut &[&'a str], sign: &str) -> Option<&'a str> {
    let (first, after) = rest.split_first().filter(|(first, _)| **first == sign)?;
    *rest = after;
    Some(first)
}

/// Takes a sentence from the tokens, if it is next, and returns its first word as the answer has it.
fn take_sentence<'a>(rest: &mut &[&'a str], sentence: &str) -> Option<&'a str> {
    let sentence = tokens(sentence);
    let (taken, after) = rest.split_at_checked(sentence.len())?;
    let (first, others) = taken.split_first()?;
    if !is_same_but_for_case_of_first(first, sentence[0]) || others != &sentence[1..] {
        return None;
    }
    *rest = after;
    Some(first)
}

/// Takes the longest connective that is next.
fn take_connective<'a>(rest: &mut &[&str], connectives: &'a [Connective]) -> Option<&'a str> {
    let mut next = *rest;
    let mut found = None;
    for connective in connectives {
        let mut after = *rest;
        if take_sentence(&mut after, connective).is_some() && after.len() < next.len() {
            (next, found) = (after, Some(connective.as_str()));
        }
    }
    *rest = next;
    found
}

fn is_same_but_for_case_of_first(word: &str, other: &str) -> bool {
    word == other
        || with_first(word, |first| first.to_ascii_lowercase()) == with_first(other, |first| first.to_ascii_lowercase())
}

/// The text with its first character changed.
fn with_first(text: &str, change: impl Fn(char) -> char) -> String {
    let mut characters = text.chars();
    let first = characters.next().map(change);
    first.into_iter().chain(characters).collect()
}

/// The words of a text, and every character between them but a space as a token of its own: a sign or an invisible character is compared
/// like a word.
fn tokens(text: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let word = rest.find(|character: char| !character.is_alphanumeric()).unwrap_or(rest.len());
        let (token, after) = rest.split_at(word.max(first.len_utf8()));
        if token != " " {
            tokens.push(token);
        }
        rest = after;
    }
    tokens
}
