//! Reads single variables and collects every problem, so that the operator sees all of them at once.

use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::ops::RangeInclusive;
use std::str::FromStr;

use super::variables::{VARIABLES, variable_named};

/// Everything wrong with the configuration, one line per problem. Never holds the value of a secret.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub struct Problems(pub Vec<String>);

impl fmt::Display for Problems {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0.join("\n"))
    }
}

/// The variables, and the problems found so far.
pub(super) struct Reader<'a> {
    variables: &'a HashMap<String, String>,
    /// Secrets from variables and files. Each file is read once, since it may be a pipe.
    secrets: HashMap<&'static str, String>,
    problems: Vec<String>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(variables: &'a HashMap<String, String>) -> Reader<'a> {
        let mut reader = Reader { variables, secrets: HashMap::new(), problems: Vec::new() };
        for variable in VARIABLES.iter().filter(|variable| variable.secret) {
            if let Some(secret) = reader.read_secret(variable.name) {
                reader.secrets.insert(variable.name, secret);
            }
        }
        reader
    }

    /// Adds a problem with a variable.
    pub(super) fn problem(&mut self, name: &str, problem: impl fmt::Display) {
        self.problems.push(format!("{name}: {problem}"));
    }

    /// `value` if there is no problem.
    pub(super) fn finish<T>(self, value: T) -> Result<T, Problems> {
        if self.problems.is_empty() { Ok(value) } else { Err(Problems(self.problems)) }
    }

    /// A variable that is not in [`VARIABLES`], such as `HOME`. Empty counts as not set.
    pub(super) fn foreign(&self, name: &str) -> Option<String> {
        self.variables.get(name).filter(|value| !value.is_empty()).cloned()
    }

    /// The value that the operator set, without the default. Empty counts as not set, since container files often cannot
    /// omit a variable.
    pub(super) fn set(&self, name: &str) -> Option<String> {
        if variable_named(name).secret { self.secrets.get(name).cloned() } else { self.foreign(name) }
    }

    /// Whether the operator set the variable, or its file even if that cannot be read.
    pub(super) fn is_given(&self, name: &str) -> bool {
        self.foreign(name).is_some() || (variable_named(name).secret && self.foreign(&format!("{name}_FILE")).is_some())
    }

    /// A secret from its variable, or from the file that `NAME_FILE` names, without trailing line ends.
    fn read_secret(&mut self, name: &str) -> Option<String> {
        let value = self.foreign(name);
        let file_name = format!("{name}_FILE");
        let Some(path) = self.foreign(&file_name) else { return value };
        if value.is_some() {
            self.problem(&file_name, format_args!("{name} is set too; keep one of them"));
            return value;
        }
        let text = match fs::read_to_string(&path) {
            Ok(text) => text.trim_end_matches(['\r', '\n']).to_owned(),
            Err(error) => {
                self.problem(&file_name, format_args!("cannot read {path}: {error}"));
                return None;
            }
        };
        if text.is_empty() {
            self.problem(&file_name, format_args!("{path} is empty"));
            return None;
        }
        Some(text)
    }

    /// The value that the operator set, or the default.
    pub(super) fn text(&self, name: &str) -> String {
        self.set(name).unwrap_or_else(|| variable_named(name).default.to_owned())
    }

    /// A whole number within `allowed`; the default after a problem.
    pub(super) fn number<T>(&mut self, name: &str, allowed: RangeInclusive<T>) -> T
    where
        T: FromStr + PartialOrd + fmt::Display,
    {
        let text = self.text(name);
        match text.trim().parse() {
            Ok(number) if allowed.contains(&number) => number,
            _ => {
                self.not_within(name, &text, &allowed);
                variable_named(name).default.parse().ok().expect("every default is a valid value")
            }
        }
    }

    /// A whole number within `allowed`; `None` if it is not set, or after a problem.
    pub(super) fn optional_number<T>(&mut self, name: &str, allowed: RangeInclusive<T>) -> Option<T>
    where
        T: FromStr + PartialOrd + fmt::Display,
    {
        let text = self.set(name)?;
        let number = text.trim().parse().ok().filter(|number| allowed.contains(number));
        if number.is_none() {
            self.not_within(name, &text, &allowed);
        }
        number
    }

    fn not_within<T: fmt::Display>(&mut self, name: &str, text: &str, allowed: &RangeInclusive<T>) {
        let (min, max) = (allowed.start(), allowed.end());
        self.problem(name, format_args!("\"{text}\" is not a whole number from {min} to {max}"));
    }

    /// One of a few words, ignoring case; the default after a problem.
    pub(super) fn choice<T: Copy>(&mut self, name: &str, choices: &[(&str, T)]) -> T {
        let text = self.text(name);
        pick(&text, choices).unwrap_or_else(|| {
            self.problem(name, format_args!("\"{text}\" is not one of {}", words(choices)));
            pick(variable_named(name).default, choices).expect("every default is a valid value")
        })
    }
}

/// The choice that a word names.
pub(super) fn pick<T: Copy>(word: &str, choices: &[(&str, T)]) -> Option<T> {
    choices.iter().find(|(name, _)| name.eq_ignore_ascii_case(word.trim())).map(|(_, choice)| *choice)
}

/// All words, separated by commas.
pub(super) fn words<T>(choices: &[(&str, T)]) -> String {
    choices.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}
