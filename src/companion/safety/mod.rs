//! Finds what speaks of danger or of self-harm in a message, by the words of the script.
//!
//! - `help_lines`: the help lines for what was found.
//! - `risk_classifier`: the phrases, the words around them that lower a level, and the assessment of a message.
//! - `tokens`: the words of a message, in a form in which disguises and common spellings make no difference.

mod help_lines;
mod risk_classifier;
mod tokens;

pub use help_lines::help_lines;
pub(super) use risk_classifier::{ContextWords, RiskClassifier, TopicPhrases};
pub use risk_classifier::{Level, Risk, Safety};
pub(super) use tokens::is_invisible;
