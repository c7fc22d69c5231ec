//! Reads single variables and collects every problem, so that the operator sees all of them at once.

use std::collections::HashMap;
use std::fmt::{self, Display};
use std::fs::File;
use std::io::{self, Read};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use super::variables::{VARIABLES, is_known, variable_named};

/// Everything wrong with the configuration, one line per problem. Never holds the value of a secret.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub struct Problems(pub Vec<String>);

impl Display for Problems {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0.join("\n"))
    }
}

/// The variables, and what was found wrong or doubtful so far.
#[derive(Default)]
pub(super) struct Reader {
    /// Without empty values, and without white space around them.
    variables: HashMap<String, String>,
    /// Variables whose value, or whose file, cannot be used, which is a problem already.
    unusable: Vec<String>,
    pub(super) problems: Vec<String>,
    /// What the operator should know although the service can start.
    pub(super) warnings: Vec<String>,
    /// The files from which secrets were read.
    pub(super) secret_files: Vec<PathBuf>,
    /// Warnings about variables that are not used because of their names. They may explain a problem, so they are reported
    /// with the problems too.
    pub(super) name_warnings: Vec<String>,
}

/// Maximum size of a file with a secret.
const MAX_SECRET_BYTES: u64 = 64 * 1024;

/// A value without what editors, Windows and copying from a page leave around it: white space, control characters, and
/// characters of no width such as the byte order mark.
fn trim(value: &str) -> &str {
    let is_invisible = |character| matches!(character, '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}');
    value.trim_matches(|character: char| character.is_whitespace() || character.is_control() || is_invisible(character))
}

/// Whether a value has quotes around it: straight ones, or those that word processors and web pages put in their place.
pub(super) fn is_quoted(value: &str) -> bool {
    let is_in = |quotes: &str| value.starts_with(|it| quotes.contains(it)) && value.ends_with(|it| quotes.contains(it));
    value.chars().count() > 1 && ["\"", "'", "`", "“”„‟«»", "‘’‚‛‹›"].into_iter().any(is_in)
}

impl Reader {
    /// Sets a variable, unless it is set. Empty counts as not set, since container files often cannot omit a variable.
    pub(super) fn add(&mut self, name: &str, value: &str) {
        let value = trim(value);
        if value.is_empty() || self.variables.contains_key(name) {
            return;
        }
        self.variables.insert(name.to_owned(), value.to_owned());
        if is_known(name) {
            self.check(name, value);
        }
    }

    /// Finds what no value of a variable has.
    fn check(&mut self, name: &str, value: &str) {
        if value.contains(char::is_control) {
            return self.unusable(name, "it has a line break or another control character inside");
        }
        let is_quoted = is_quoted(value);
        let is_secret = VARIABLES.iter().any(|variable| variable.name == name && variable.secret);
        if is_quoted && is_secret {
            self.warnings.push(format!("{name} has quotes around it, and they are a part of its value"));
        } else if is_quoted {
            self.unusable(name, "it has quotes around it, which are a part of the value here; remove them");
        }
    }

    /// Adds the problem that a variable, or the file that it names, is set and cannot be used.
    pub(super) fn unusable(&mut self, name: &str, problem: impl Display) {
        self.variables.remove(name);
        self.unusable.push(name.strip_suffix("_FILE").unwrap_or(name).to_owned());
        self.problem(name, problem);
    }

    /// Sets each secret from the file that its `NAME_FILE` names. A file is read once, since it may be a pipe.
    pub(super) fn read_secret_files(&mut self) {
        for secret in VARIABLES.iter().filter(|variable| variable.secret) {
            let file_name = format!("{}_FILE", secret.name);
            let Some(text) = self.foreign(&file_name) else { continue };
            if self.is_given(secret.name) {
                self.problem(&file_name, format_args!("{} is set too; keep one of them", secret.name));
                continue;
            }
            let path = self.expand_home(&file_name, &text);
            match read_secret(&path).as_deref().map(trim) {
                Ok("") => self.unusable(&file_name, format_args!("{} is empty", path.display())),
                Ok(value) => {
                    self.add(secret.name, value);
                    self.secret_files.push(path);
                }
                Err(error) => self.unusable(&file_name, format_args!("cannot read {}: {error}", path.display())),
            }
        }
    }

    /// The names of all variables that are set.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.variables.keys().map(String::as_str)
    }

    /// Adds a problem with a variable.
    pub(super) fn problem(&mut self, name: &str, problem: impl Display) {
        self.problems.push(format!("{name}: {problem}"));
    }

    /// A variable that is not in [`VARIABLES`], such as `HOME`.
    pub(super) fn foreign(&self, name: &str) -> Option<String> {
        self.variables.get(name).cloned()
    }

    /// The value that the operator set.
    pub(super) fn set(&self, name: &str) -> Option<String> {
        self.foreign(variable_named(name).name)
    }

    /// Whether the operator set the variable or its file, even if that cannot be used.
    pub(super) fn is_given(&self, name: &str) -> bool {
        self.set(name).is_some() || self.unusable.iter().any(|unusable| unusable == name)
    }

    /// Adds a warning for each of these variables that is set, since it has no effect.
    pub(super) fn warn_unused(&mut self, names: &[&str], why: &str) {
        for name in names {
            if self.is_given(name) {
                self.warnings.push(format!("{name} is set and not used: {why}"));
            }
        }
    }

    /// The path that the operator set.
    pub(super) fn path(&mut self, name: &str) -> Option<PathBuf> {
        let text = self.set(name)?;
        Some(self.expand_home(name, &text))
    }

    /// A path in which `~/` is the home folder, as a shell would have expanded it.
    pub(super) fn expand_home(&mut self, name: &str, text: &str) -> PathBuf {
        let home = self.foreign("HOME");
        match (text.strip_prefix('~'), home) {
            (Some(""), Some(home)) => return PathBuf::from(home),
            (Some(rest), Some(home)) if rest.starts_with('/') => return PathBuf::from(home + rest),
            (Some(rest), None) if rest.is_empty() || rest.starts_with('/') => {
                self.problem(name, "it begins with ~, and HOME is not set; write the whole path");
            }
            (Some(_), _) => self.problem(name, "it begins with ~ and a name; write the whole path, or ./~ for a file"),
            (None, _) if text.starts_with('$') => {
                self.problem(name, "it begins with $, and SafeSpace does not expand variables; write the whole path");
            }
            (None, _) => {}
        }
        PathBuf::from(text)
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
        let number = text.parse().ok().filter(|number| allowed.contains(number));
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

fn read_secret(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(MAX_SECRET_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_SECRET_BYTES {
        return Err(io::Error::other(format!("it has more than {MAX_SECRET_BYTES} bytes")));
    }
    Ok(text)
}

/// The choice that a word names.
pub(super) fn pick<T: Copy>(word: &str, choices: &[(&str, T)]) -> Option<T> {
    choices.iter().find(|(name, _)| name.eq_ignore_ascii_case(word)).map(|(_, choice)| *choice)
}

/// All words, separated by commas.
pub(super) fn words<T>(choices: &[(&str, T)]) -> String {
    choices.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}
