//! The texts of the page in its languages, by key.

use std::collections::BTreeMap;

use crate::config::WebSettings;
use crate::data_file::{self, FileError};
use crate::language::Language;

/// The embedded texts.
const EMBEDDED: &str = include_str!("texts.toml");

/// The sections whose texts the script shows.
const OF_SCRIPT: [&str; 2] = ["state", "problems"];

/// Sections, keys and languages.
type File = BTreeMap<String, BTreeMap<String, BTreeMap<Language, String>>>;

/// What texts say of the running service.
#[derive(Debug, Clone, Copy)]
pub struct Values<'a> {
    /// The host of the model that answers; `None` where the script does.
    pub model_host: Option<&'a str>,
    /// Seconds from a session's last use to its end.
    pub idle_seconds: i32,
}

/// The texts in one language.
#[derive(Debug)]
pub struct Texts {
    by_key: BTreeMap<String, String>,
    of_script: Vec<String>,
    answers_key: &'static str,
}

impl Texts {
    pub(super) fn load(settings: &WebSettings, values: &Values<'_>) -> Result<Vec<(Language, Texts)>, FileError> {
        let file: File = data_file::load("WEB_FOLDER", None, EMBEDDED, data_file::from_toml)?;
        Ok(settings.languages.iter().map(|language| (*language, Texts::new(&file, *language, values))).collect())
    }

    fn new(file: &File, language: Language, values: &Values<'_>) -> Texts {
        let (mut by_key, mut of_script) = (BTreeMap::new(), Vec::new());
        for (section, texts) in file {
            for (key, text) in texts {
                let text = text.get(&language).map_or("", String::as_str);
                let text = text.replace("{host}", values.model_host.unwrap_or_default());
                let text = text.replace("{idle}", &format!("{} d", values.idle_seconds / 86_400));
                by_key.insert(key.clone(), text);
                if OF_SCRIPT.contains(&section.as_str()) {
                    of_script.push(key.clone());
                }
            }
        }
        let answers_key = if values.model_host.is_some() { "answers_model" } else { "answers_script" };
        Texts { by_key, of_script, answers_key }
    }

    /// The text of a key.
    ///
    /// # Panics
    /// There is none: every key that the program uses is in the embedded file.
    #[must_use]
    pub fn get(&self, key: &str) -> &str {
        self.by_key.get(key).unwrap_or_else(|| panic!("texts.toml has no {key}"))
    }

    /// What a person reads in the place of an error of the API with this code.
    #[must_use]
    pub fn problem(&self, code: &str) -> &str {
        self.by_key.get(code).unwrap_or(&self.by_key["other"])
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
