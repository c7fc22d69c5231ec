//! Finds what speaks of danger or of self-harm in a message, by the words of the script.
//!
//! - `floor`: the phrases, the words around them that lower a level, and the assessment of a message.
//! - `help_lines`: the help lines for what was found.
//! - `tokens`: the words of a message, in a form in which disguises and common spellings make no difference.

mod floor;
mod help_lines;
mod tokens;

pub(super) use floor::{Context, Floor, Lists};
pub use floor::{Level, Risk, Safety};
pub use help_lines::help_lines;
pub(super) use tokens::is_invisible;
