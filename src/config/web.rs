//! The page that people open in a browser (`WEB_*`).

use std::fmt;
use std::path::PathBuf;

use super::exit_urls;
use super::origins;
use super::reader::Reader;
use crate::language::Language;

/// Characters of the name of the page.
const MAX_NAME_CHARS: usize = 60;

/// What the page shows, and which sites may show it.
#[derive(Debug, Clone)]
pub struct WebSettings {
    /// Whether there is a page; without one `GET /` answers with JSON to everybody.
    pub page: bool,
    /// Its name, also the title of its tab.
    pub name: String,
    /// Its languages: at least one, the default first.
    pub languages: Vec<Language>,
    /// Where a person leaves to.
    pub exit_url: String,
    /// The folder of files that take the place of embedded ones; `None` for no such file.
    pub folder: Option<PathBuf>,
    /// The origins of the sites that may show it in a frame.
    pub embed_origins: Vec<String>,
}

impl fmt::Display for WebSettings {
    /// For the operator.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.page {
            return formatter.write_str("off");
        }
        let languages: Vec<&str> = self.languages.iter().map(|language| language.tag()).collect();
        write!(formatter, "{}, in {}, leaves to {}; ", self.name, languages.join(", "), self.exit_url)?;
        match &self.folder {
            Some(folder) => write!(formatter, "files of {}; ", folder.display())?,
            None => formatter.write_str("embedded files; ")?,
        }
        match self.embed_origins.as_slice() {
            [] => formatter.write_str("in no frame"),
            origins => write!(formatter, "in frames of {}", origins.join(", ")),
        }
    }
}

pub(super) fn read(reader: &mut Reader) -> WebSettings {
    let name = reader.text("WEB_NAME");
    if name.chars().count() > MAX_NAME_CHARS {
        reader.problem("WEB_NAME", format_args!("it has more than {MAX_NAME_CHARS} characters"));
    }
    let exit_url = reader.text("WEB_EXIT_URL");
    if let Some(problem) = exit_urls::problem_with(&exit_url) {
        reader.problem("WEB_EXIT_URL", problem);
    }
    let page = reader.choice("WEB_PAGE", &[("on", true), ("off", false)]);
    if !page {
        let names = ["WEB_NAME", "WEB_LANGUAGES", "WEB_EXIT_URL", "WEB_FOLDER", "WEB_EMBED_ORIGINS"];
        reader.warn_unused(&names, "WEB_PAGE is off");
    }
    WebSettings {
        page,
        name,
        languages: read_languages(reader),
        exit_url,
        folder: reader.path("WEB_FOLDER"),
        embed_origins: origins::read_list(reader, "WEB_EMBED_ORIGINS"),
    }
}

/// At least one, each once.
fn read_languages(reader: &mut Reader) -> Vec<Language> {
    let text = reader.text("WEB_LANGUAGES");
    let mut languages = Vec::new();
    for tag in text.split(',').map(str::trim).filter(|tag| !tag.is_empty()) {
        match Language::ALL.into_iter().find(|language| language.tag().eq_ignore_ascii_case(tag)) {
            Some(language) if languages.contains(&language) => {}
            Some(language) => languages.push(language),
            None => reader.problem("WEB_LANGUAGES", format_args!("\"{tag}\" is not one of id, en")),
        }
    }
    if languages.is_empty() {
        reader.problem("WEB_LANGUAGES", "it names no language; write id, en, or both, the default first");
    }
    languages
}
