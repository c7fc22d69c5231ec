//! The texts of the page in its languages, by key: the embedded ones, and those that the operator has put in their place.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use toml::Spanned;

use super::durations;
use super::folder::Folder;
use crate::data_file::{self, FileError, Mistake, ensure, ensure_known};
use crate::language::Language;

/// The embedded texts.
const EMBEDDED: &str = include_str!("texts.toml");

/// The section with what a person reads in the place of errors of the API.
const PROBLEMS: &str = "problems";

/// The sections whose texts the script shows.
const OF_SCRIPT: [&str; 2] = ["state", PROBLEMS];

/// Characters of a text of the operator.
const MAX_TEXT_CHARS: usize = 400;

/// Sections, keys and languages.
type File<K, T> = BTreeMap<K, BTreeMap<K, BTreeMap<K, T>>>;

/// The embedded texts, in which some are replaced.
type Embedded = File<String, String>;

/// The file of the operator, with the places of mistakes.
type Replacements = File<Spanned<String>, Spanned<String>>;

/// What texts say of the running service.
pub(super) struct Values<'a> {
    /// The host of the model that answers; `None` where the script does.
    pub(super) model_host: Option<&'a str>,
    /// Seconds from a session's last use to its end.
    pub(super) idle_seconds: i32,
    /// Seconds from a session's creation to its end at the latest.
    pub(super) max_age_seconds: i32,
}

/// The texts in one language.
#[derive(Debug)]
pub struct Texts {
    by_key: BTreeMap<String, String>,
    of_script: Vec<String>,
    /// The codes of problems that have a text.
    problems: BTreeSet<String>,
    answers_key: &'static str,
}

impl Texts {
    pub(super) fn load(
        folder: &Folder<'_>,
        languages: &[Language],
        values: &Values<'_>,
    ) -> Result<BTreeMap<Language, Texts>, FileError> {
        let texts = folder.replace("texts.toml", embedded(), replace)?;
        Ok(languages.iter().map(|language| (*language, Texts::new(&texts, *language, values))).collect())
    }

    fn new(file: &Embedded, language: Language, values: &Values<'_>) -> Texts {
        let (mut by_key, mut of_script) = (BTreeMap::new(), Vec::new());
        for (section, texts) in file {
            for (key, text) in texts {
                by_key.insert(key.clone(), text[language.tag()].clone());
                if OF_SCRIPT.contains(&section.as_str()) {
                    of_script.push(key.clone());
                }
            }
        }
        let host = values.model_host.unwrap_or_default();
        let idle = durations::in_words(values.idle_seconds, &by_key);
        let maximum = durations::in_words(values.max_age_seconds, &by_key);
        for text in by_key.values_mut() {
            *text = text.replace("{host}", host).replace("{idle}", &idle).replace("{maximum}", &maximum);
        }
        let answers_key = if values.model_host.is_some() { "answers_model" } else { "answers_script" };
        let problems = file.get(PROBLEMS).into_iter().flat_map(BTreeMap::keys).cloned().collect();
        Texts { by_key, of_script, problems, answers_key }
    }

    /// The text of a key.
    ///
    /// # Panics
    /// If there is none: every key that the program uses is in the embedded file, as a test makes sure.
    #[must_use]
    pub fn get(&self, key: &str) -> &str {
        self.by_key.get(key).unwrap_or_else(|| panic!("texts.toml has no {key}"))
    }

    /// What a person reads in the place of an error of the API with this code; the text of `otherwise` where the code has none.
    #[must_use]
    pub fn problem(&self, code: &str, otherwise: &str) -> &str {
        self.get(if self.problems.contains(code) { code } else { otherwise })
    }

    /// The key of the sentence that says who answers.
    #[must_use]
    pub fn answers_key(&self) -> &'static str {
        self.answers_key
    }

    /// The texts that the script shows, with their keys.
    pub fn of_script(&self) -> impl Iterator<Item = (&str, &str)> {
        self.of_script.iter().map(|key| (key.as_str(), self.get(key)))
    }
}

fn embedded() -> Embedded {
    data_file::from_toml(EMBEDDED).expect("the tests read the embedded texts")
}

/// The duration in the largest unit of which it is a whole number of seconds, in the embedded words: no file of the operator changes
/// them.
#[must_use]
pub fn duration_in_words(seconds: i32, language: Language) -> String {
    static WORDS: LazyLock<[(Language, BTreeMap<String, String>); 2]> = LazyLock::new(|| {
        let embedded = embedded();
        Language::ALL.map(|language| {
            let of_language =
                |(key, text): (&String, &BTreeMap<String, String>)| (key.clone(), text[language.tag()].clone());
            (language, embedded["durations"].iter().map(of_language).collect())
        })
    });
    let words = WORDS.iter().find(|(own, _)| *own == language);
    durations::in_words(seconds, words.map(|(_, words)| words).expect("every language has words"))
}

/// Puts the operator's texts in the places of the embedded ones.
fn replace(texts: &mut Embedded, file: Replacements) -> Result<(), Mistake> {
    for (section, replacements) in file {
        ensure_known("there is no section", &section, texts)?;
        let of_section = texts.get_mut(section.as_ref()).expect("a known section");
        for (key, languages) in replacements {
            ensure_known(format_args!("[{}] has no text", section.as_ref()), &key, of_section)?;
            let of_key = of_section.get_mut(key.as_ref()).expect("a known key");
            for (language, text) in languages {
                ensure_known(format_args!("{} has no language", key.as_ref()), &language, of_key)?;
                let old = of_key.get_mut(language.as_ref()).expect("a known language");
                ensure_text(&text, old)?;
                *old = text.into_inner();
            }
        }
    }
    Ok(())
}

/// A text must be one line, and have no values in braces but those of the embedded one.
fn ensure_text(text: &Spanned<String>, embedded: &str) -> Result<(), Mistake> {
    let written = text.as_ref();
    ensure(
        !written.trim().is_empty(),
        text,
        "a text is empty; write one, or delete this line to have the embedded one",
    )?;
    let is_short = written.chars().count() <= MAX_TEXT_CHARS;
    ensure(is_short, text, format_args!("a text has more than {MAX_TEXT_CHARS} characters"))?;
    ensure(!written.contains(char::is_control), text, "a text is one line, without tabs and control characters")?;
    let allowed: Vec<&str> = in_braces(embedded).collect();
    let foreign = in_braces(written).find(|value| !allowed.contains(value));
    let Some(foreign) = foreign else { return Ok(()) };
    let remedy = match allowed.as_slice() {
        [] => "no value".to_owned(),
        values => values.join(" and "),
    };
    ensure(false, text, format_args!("{foreign} stands for nothing here; this text can have {remedy}"))
}

/// The parts of a text that begin with a brace and go to the next closing one, or to the end.
fn in_braces(text: &str) -> impl Iterator<Item = &str> {
    text.match_indices('{').map(|(start, _)| {
        let rest = &text[start..];
        rest.find('}').map_or(rest, |end| &rest[..=end])
    })
}
