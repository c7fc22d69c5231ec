//! The page that people open in a browser: its texts, its files, and how it is rendered. `api::web` serves it.
//!
//! - `view`: the page as HTML.
//! - `site`: what it is made of.
//! - `assets`: the style, the script, the logo and the widget, each with its entity tag.
//! - `colours`: the colours of the style.
//! - `texts`: the texts of the page in its languages, by key; `durations`: the durations in them.
//! - `folder`: which of these files the operator has replaced.

mod assets;
mod colours;
mod durations;
mod folder;
mod site;
mod texts;
mod view;

pub use assets::{Asset, Assets};
pub use site::Site;
pub use texts::{Texts, duration_in_words};
pub use view::{HelpLine, MessageView, PageView, Talk, View};
