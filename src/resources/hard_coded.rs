//! Numbers and addresses that stand in a text itself, where a reference to a help line should be.

use super::registry::{Kind, Registry, without_references};

/// A number or an address in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HardCodedValue {
    /// The line, from 1.
    pub line: usize,
    /// As it is written.
    pub text: String,
    /// The help line with this value, if there is one.
    pub id: Option<String>,
}

/// Digits of a short code, such as that of the police, at most.
const MAX_SHORT_CODE: usize = 4;

impl Registry {
    /// What looks like a telephone number or an address of help in a text, but for references. A number of three or more digits
    /// does, unless it is a year: so some are none.
    #[must_use]
    pub fn hard_coded_values(&self, text: &str) -> Vec<HardCodedValue> {
        let mut found = Vec::new();
        let known: Vec<(&str, Plain)> =
            self.resources.iter().map(|it| (&*it.id, Plain::of(it.kind, &it.value))).collect();
        let id_of = |is_it: &dyn Fn(&Plain) -> bool| {
            known.iter().find(|(_, plain)| is_it(plain)).map(|(id, _)| (*id).to_owned())
        };
        for (index, line) in text.lines().enumerate() {
            let line = without_references(line, " \0 ");
            let mut add = |text: &str, id| found.push(HardCodedValue { line: index + 1, text: text.to_owned(), id });
            for number in numbers(&line) {
                add(number, id_of(&|plain| plain.is_number(number)));
            }
            for word in words(&line).filter(|word| word.contains('.')) {
                let lower = word.to_ascii_lowercase();
                let id = id_of(&|plain| plain.is_address(&lower));
                if id.is_some() || has_form_of_address(word) {
                    add(word, id);
                }
            }
        }
        found
    }
}

/// A value without what makes no difference.
enum Plain {
    /// The digits, without an extension.
    Number(String),
    Host(String),
    Email(String),
}

impl Plain {
    fn of(kind: Kind, value: &str) -> Plain {
        match kind {
            Kind::Phone | Kind::Whatsapp => Plain::Number(digits(value.split(" ext ").next().unwrap_or_default())),
            Kind::Email => Plain::Email(value.to_ascii_lowercase()),
            Kind::Chat | Kind::Web => Plain::Host(host(&value.to_ascii_lowercase()).to_owned()),
        }
    }

    fn is_number(&self, text: &str) -> bool {
        match self {
            // Nobody writes a short code in parts.
            Plain::Number(own) if own.len() <= MAX_SHORT_CODE => own == text,
            // A country's code may stand in the place of the first 0.
            Plain::Number(own) => digits(text).ends_with(own.trim_start_matches('0')),
            _ => false,
        }
    }

    fn is_address(&self, lower: &str) -> bool {
        match self {
            Plain::Host(own) => own == host(lower),
            Plain::Email(own) => lower.ends_with(own),
            Plain::Number(_) => false,
        }
    }
}

fn digits(text: &str) -> String {
    text.chars().filter(char::is_ascii_digit).collect()
}

/// Digits with at most two other characters of a number between them, which are no part of a word or of a larger number.
fn numbers(line: &str) -> impl Iterator<Item = &str> {
    let mut rest = 0;
    let runs = std::iter::from_fn(move || {
        let start = rest + line[rest..].find(|char: char| char.is_ascii_digit())?;
        let (mut end, mut others) = (start, 0);
        for (at, char) in line[start..].char_indices() {
            match char {
                '0'..='9' => (end, others) = (start + at + 1, 0),
                ' ' | '-' | '.' | '(' | ')' | '/' if others < 2 => others += 1,
                _ => break,
            }
        }
        rest = end;
        let (before, after) = (line[..start].chars().next_back(), line[end..].chars().next());
        let is_part = before.is_some_and(|char| char.is_alphanumeric() || "_,".contains(char))
            || after.is_some_and(char::is_alphanumeric);
        let start = if before == Some('+') { start - 1 } else { start };
        Some(if is_part { "" } else { &line[start..end] })
    });
    runs.filter(|number| number.bytes().filter(u8::is_ascii_digit).count() >= 3 && !is_year(number))
}

fn is_year(number: &str) -> bool {
    number.len() == 4 && number.parse().is_ok_and(|year: u16| (1900..2100).contains(&year))
}

/// The words of a line, without what may stand around an address.
fn words(line: &str) -> impl Iterator<Item = &str> {
    let words = line.split(|char: char| char.is_whitespace() || "<>()[]{}\"'`,;|".contains(char));
    words.map(|word| word.trim_matches(|char: char| !char.is_alphanumeric() && char != '/'))
}

fn has_form_of_address(word: &str) -> bool {
    let is_email = word.split_once('@').is_some_and(|(_, host)| host.contains('.'));
    is_email || word.contains("://") || word.starts_with("www.")
}

/// The host of a URL in lower case, or of what people write for one.
fn host(url: &str) -> &str {
    let after = url.split_once("://").map_or(url, |(_, after)| after);
    after.trim_start_matches("www.").split(['/', '?', '#', ':']).next().unwrap_or_default()
}
