//! The numbers and links of the registry of help lines.

use std::collections::HashSet;

use super::links::{self, Link};
use super::run::Group;
use super::tokens::{self, tokens};
use super::words;
use crate::resources::{Kind, Registry};

/// Groups of digits that one number is written in.
const MAX_GROUPS: usize = 8;

/// Digits in the name of a page of a known site: less than those of a short code.
const MAX_PAGE_DIGITS: usize = 2;

/// The numbers and links that may stand in an answer.
#[derive(Debug)]
pub(in crate::companion) struct Known {
    /// Digits, with an x before an extension.
    numbers: HashSet<String>,
    links: Vec<Link>,
}

impl Known {
    pub(in crate::companion) fn new(registry: &Registry) -> Known {
        let (mut numbers, mut links) = (HashSet::new(), Vec::new());
        for resource in &registry.resources {
            match resource.kind {
                Kind::Phone | Kind::Whatsapp => {
                    let (number, extension) = resource.value.split_once(" ext ").unwrap_or((&resource.value, ""));
                    let digits = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>();
                    let mut number = national(&digits(number));
                    if !extension.is_empty() {
                        number.push('x');
                        number.push_str(&digits(extension));
                    }
                    numbers.insert(number);
                }
                Kind::Chat | Kind::Email | Kind::Web => {
                    links.extend(links::first(&resource.value).map(|(_, link)| link));
                }
            }
        }
        Known { numbers, links }
    }

    /// Whether groups of digits are known numbers, divided from each other, perhaps with "24 hours" behind one.
    pub(super) fn has_all(&self, groups: &[Group]) -> bool {
        let mut parts = groups.chunk_by(|_, group| !group.is_divided);
        parts.all(|part| {
            self.has(part)
                || matches!(part, [own @ .., last] if last.digits == "24" && !last.is_extension && self.has(own))
        })
    }

    /// Whether a word is a name of a known site, such as that before the last dot.
    pub(super) fn has_name(&self, word: &str) -> bool {
        let word = word.to_lowercase();
        self.links.iter().any(|link| link.host.split('.').any(|label| label == word))
    }

    fn has(&self, groups: &[Group]) -> bool {
        if groups.len() > MAX_GROUPS {
            return false;
        }
        let mut number = String::new();
        for group in groups {
            if group.digits.is_empty() {
                return false;
            }
            if group.is_extension {
                number.push('x');
            }
            number.push_str(&group.digits);
        }
        self.numbers.contains(&national(&number))
    }

    /// Whether a link leads to a page of a known one, or is its address. In the name of the page a number could hide.
    pub(super) fn has_link(&self, link: &Link) -> bool {
        self.links.iter().filter(|known| known.user == link.user && known.host == link.host).any(|known| {
            let page = link.path.strip_prefix(&known.path);
            page.is_some_and(|page| page.is_empty() || page.starts_with('/') && is_plain(page) && has_few_digits(page))
        })
    }
}

/// Whether a page leads nowhere else.
fn is_plain(page: &str) -> bool {
    page.chars().all(|char| char.is_alphanumeric() || matches!(char, '/' | '-' | '_'))
}

/// Whether a text has at most [`MAX_PAGE_DIGITS`], written as digits or as words.
fn has_few_digits(text: &str) -> bool {
    let digits = tokens(text).map(|token| match token.kind {
        tokens::Kind::Digits(digits) => digits.len(),
        tokens::Kind::Word(word) => words::digits_of(&word).map_or(0, |digits| digits.len().max(1)),
        tokens::Kind::Gap => 0,
    });
    digits.sum::<usize>() <= MAX_PAGE_DIGITS
}

/// A number of Indonesia without its country code.
fn national(digits: &str) -> String {
    let rest = digits.strip_prefix("0062").or_else(|| digits.strip_prefix("62").filter(|rest| rest.len() > 6));
    rest.map_or_else(|| digits.to_owned(), |rest| format!("0{}", rest.trim_start_matches('0')))
}
