//! Reads single variables and collects every problem, so that the operator sees all of them at once.

use std::collections::HashMap;
use std::fmt::{self, Display};
use std::fs;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use super::variables::{VARIABLES, variable_named};

/// Everything wrong with the configuration, one line per problem. Never holds the value of a secret.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub struct Problems(pub Vec<String>);

impl Display for Problems {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0.join("\n"))
    }
}

/// The variables, and what was found wrong or doubtful so far.
pub(super) struct Reader {
    variables: HashMap<String, String>,
    pub(super) problems: Vec<String>,
    /// What the operator should know although the service can start.
    pub(super) warnings: Vec<String>,
}

impl Reader {
    pub(super) fn new(variables: HashMap<String, String>, problems: Vec<String>) -> Reader {
        let mut reader = Reader { variables, problems, warnings: Vec::new() };
        VARIABLES.iter().filter(|variable| variable.secret).for_each(|secret| reader.read_file(secret.name));
        reader
    }

    /// Sets a secret from the file that `NAME_FILE` names, without trailing line ends. Each file is read once, since it may
    /// be a pipe.
    fn read_file(&mut self, name: &str) {
        let file_name = format!("{name}_FILE");
        let Some(path) = self.foreign(&file_name) else { return };
        if self.foreign(name).is_some() {
            return self.problem(&file_name, format_args!("{name} is set too; keep one of them"));
        }
        match fs::read_to_string(&path).as_deref().map(|text| text.trim_end_matches(['\r', '\n'])) {
            Ok("") => self.problem(&file_name, format_args!("{path} is empty")),
            Ok(secret) => _ = self.variables.insert(name.to_owned(), secret.to_owned()),
            Err(error) => self.problem(&file_name, format_args!("cannot read {path}: {error}")),
        }
    }

    /// Adds a problem with a variable.
    pub(super) fn problem(&mut self, name: &str, problem: impl Display) {
        self.problems.push(format!("{name}: {problem}"));
    }

    /// A variable that is not in [`VARIABLES`], such as `HOME`. Empty counts as not set.
    pub(super) fn foreign(&self, name: &str) -> Option<String> {
        self.variables.get(name).filter(|value| !value.is_empty()).cloned()
    }

    /// The value that the operator set. Empty counts as not set, since container files often cannot omit a variable.
    pub(super) fn set(&self, name: &str) -> Option<String> {
        self.foreign(variable_named(name).name)
    }

    /// Whether the operator set the variable, or its file even if that cannot be read.
    pub(super) fn is_given(&self, name: &str) -> bool {
        self.foreign(name).is_some() || (variable_named(name).secret && self.foreign(&format!("{name}_FILE")).is_some())
    }

    /// The value that the operator set, or the default.
    pub(super) fn text(&self, name: &str) -> String {
        self.set(name).unwrap_or_else(|| variable_named(name).default.to_owned())
    }

    /// A whole number within `allowed`; the default if it is not set, or after a problem.
    pub(super) fn number<T: FromStr + PartialOrd + Display>(&mut self, name: &str, allowed: RangeInclusive<T>) -> T {
        let number = self.optional_number(name, allowed);
        number.unwrap_or_else(|| variable_named(name).default.parse().ok().expect("every default is a valid value"))
    }

    /// A whole number within `allowed`; `None` if it is not set, or after a problem.
    pub(super) fn optional_number<T: FromStr + PartialOrd + Display>(
        &mut self,
        name: &str,
        allowed: RangeInclusive<T>,
    ) -> Option<T> {
        let text = self.set(name)?;
        let number = text.trim().parse().ok().filter(|number| allowed.contains(number));
        if number.is_none() {
            let (min, max) = (allowed.start(), allowed.end());
            self.problem(name, format_args!("\"{text}\" is not a whole number from {min} to {max}"));
        }
        number
    }

    /// A whole number of seconds from 1 to `max`; the default after a problem.
    pub(super) fn seconds(&mut self, name: &str, max: u64) -> Duration {
        Duration::from_secs(self.number(name, 1..=max))
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
