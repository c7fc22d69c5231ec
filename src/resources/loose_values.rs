//! Numbers and addresses that stand in a text itself, where a reference to a help line should be.

use super::registry::{Kind, REFERENCE, Registry};

/// A number or an address in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LooseValue {
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
    pub fn loose_values(&self, text: &str) -> Vec<LooseValue> {
        let lines = text.lines().enumerate().flat_map(|(index, line)| {
            let line = without_references(line);
            let found: Vec<String> = numbers(&line).chain(addresses(&line)).map(ToOwned::to_owned).collect();
            found.into_iter().map(move |text| (index + 1, text))
        });
        lines.map(|(line, text)| LooseValue { line, id: self.with_value(&text), text }).collect()
    }

    /// The name of the help line with this value.
    fn with_value(&self, text: &str) -> Option<String> {
        let digits = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>();
        let is_it = |kind: Kind, value: &str| match kind {
            Kind::Phone | Kind::Whatsapp => {
                let number = digits(value.split(" ext ").next().unwrap_or_default());
                // Nobody writes a short code in parts.
                if number.len() > MAX_SHORT_CODE { number == digits(text) } else { number == text }
            }
            Kind::Chat | Kind::Email | Kind::Web => bare(value) == bare(text),
        };
        self.resources.iter().find(|resource| is_it(resource.kind, &resource.value)).map(|resource| resource.id.clone())
    }
}

/// The line with spaces in place of its references.
fn without_references(line: &str) -> String {
    let mut pieces = line.split(REFERENCE);
    let first = pieces.next().unwrap_or_default().to_owned();
    pieces.fold(first, |line, piece| line + " \0 " + piece.split_once('}').map_or("", |(_, after)| after))
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
        Some(if is_part { "" } else { &line[start..end] })
    });
    runs.filter(|number| number.bytes().filter(u8::is_ascii_digit).count() >= 3 && !is_year(number))
}

fn is_year(number: &str) -> bool {
    number.len() == 4 && number.parse().is_ok_and(|year: u16| (1900..2100).contains(&year))
}

/// Words with the form of a URL, a domain of a website or an e-mail address.
fn addresses(line: &str) -> impl Iterator<Item = &str> {
    let is_around = |char: char| !char.is_alphanumeric() && char != '/';
    let words = line.split(|char: char| char.is_whitespace() || "<>()[]\"'`,;".contains(char));
    words.map(move |word| word.trim_matches(is_around)).filter(|word| {
        let has_host = word.split_once('@').is_some_and(|(_, host)| host.contains('.'));
        has_host || word.contains("://") || word.starts_with("www.")
    })
}

/// An address without what makes no difference.
fn bare(address: &str) -> String {
    let lower = address.to_ascii_lowercase();
    let after = lower.split_once("://").map_or(lower.as_str(), |(_, after)| after);
    after.trim_start_matches("www.").trim_end_matches('/').to_owned()
}
