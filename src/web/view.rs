//! The page as HTML. Every value is escaped by the template.

use askama::Template;
use uuid::Uuid;

use super::site::Site;
use super::texts::Texts;
use crate::language::Language;
use crate::session_id::{RecoveryCode, SessionId};

/// The page in one of its states.
#[derive(Template)]
#[template(path = "page.html", config = "src/web/askama.toml")]
pub struct PageView<'a> {
    /// What the page is made of.
    pub site: &'a Site,
    /// Its language, one of the site's.
    pub language: Language,
    /// The texts in it.
    pub texts: &'a Texts,
    /// What it shows.
    pub view: View,
    /// The help lines.
    pub help: Vec<HelpLine<'a>>,
    /// What it says of its state.
    pub notice: Option<String>,
    /// What the service promises, sentence by sentence; none where the view does not show it.
    pub promise: Vec<String>,
    /// The conversation; an empty one where there is none.
    pub talk: Talk<'a>,
}

/// What the page shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// What the service is, and how to begin.
    Start,
    /// A conversation.
    Talk,
    /// That a conversation was erased, or that a request was refused. Without the script and the help lines, which the first view has,
    /// the response is so small that the server sends it however little memory is left.
    Ended,
}

/// A conversation, or a part of it.
#[derive(Default)]
pub struct Talk<'a> {
    /// The session's id; `None` where the script will know it.
    pub session_id: Option<SessionId>,
    /// Its recovery code.
    pub code: Option<RecoveryCode>,
    /// The messages, the oldest first.
    pub messages: Vec<MessageView>,
    /// The message before which there are more.
    pub earlier: Option<Uuid>,
    /// Help lines for what was said last.
    pub safety: Vec<HelpLine<'a>>,
    /// What is in the field for the next message.
    pub draft: String,
    /// The idempotency key of the next message.
    pub key: String,
}

/// A message.
pub struct MessageView {
    /// Its id.
    pub id: Uuid,
    /// Whether the person wrote it, not the program.
    pub by_user: bool,
    /// Its text.
    pub text: String,
    /// Whether its end is missing.
    pub cut: bool,
}

/// A help line as the page shows it.
pub struct HelpLine<'a> {
    /// Its name in the registry and in the API.
    pub id: &'a str,
    /// Who answers.
    pub name: &'a str,
    /// The number or address, with the kind where it is not a telephone.
    pub label: String,
    /// What a press on it opens; `None` where nothing can.
    pub href: Option<String>,
    /// When it answers; empty if not known.
    pub hours: &'a str,
    /// Whether a person verified it lately.
    pub verified: bool,
}
