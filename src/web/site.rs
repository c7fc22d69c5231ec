//! What the page is made of, as the operator has set it.

use std::collections::BTreeMap;

use super::assets::Assets;
use super::folder::Folder;
use super::texts::{Texts, Values};
use crate::config::{RetentionSettings, WebSettings};
use crate::data_file::FileError;
use crate::language::Language;

/// What the page is made of.
#[derive(Debug)]
pub struct Site {
    /// The name, also the title of the tab.
    pub name: String,
    /// The languages: at least one, the default first.
    pub languages: Vec<Language>,
    /// Where a person leaves to.
    pub exit_url: String,
    /// The origins of the sites that may show the page in a frame.
    pub embed_origins: Vec<String>,
    /// The files that the page loads.
    pub assets: Assets,
    /// The names of the files that the operator has put in the place of embedded ones, or that have parts of them.
    pub replaced: Vec<&'static str>,
    texts: BTreeMap<Language, Texts>,
}

impl Site {
    /// The page as it is set; `None` where there is none. `model_host` is that of the model that answers, if one does.
    ///
    /// # Errors
    /// A file of `WEB_FOLDER` cannot be used.
    pub fn load(
        settings: &WebSettings,
        retention: RetentionSettings,
        model_host: Option<&str>,
    ) -> Result<Option<Site>, FileError> {
        if !settings.page {
            return Ok(None);
        }
        let folder = Folder::open(settings.folder.as_deref())?;
        let values = Values {
            model_host,
            idle_seconds: retention.idle_timeout_seconds,
            max_age_seconds: retention.max_age_seconds,
        };
        Ok(Some(Site {
            name: settings.name.clone(),
            languages: settings.languages.clone(),
            exit_url: settings.exit_url.clone(),
            embed_origins: settings.embed_origins.clone(),
            assets: Assets::load(&folder)?,
            replaced: folder.names()?,
            texts: Texts::load(&folder, &settings.languages, &values)?,
        }))
    }

    /// The texts in one of its languages.
    ///
    /// # Panics
    /// If the page does not have it.
    #[must_use]
    pub fn texts(&self, language: Language) -> &Texts {
        &self.texts[&language]
    }
}
