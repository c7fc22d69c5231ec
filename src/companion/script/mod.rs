//! Prewritten replies, selected by the words of the last message. `../script.toml` is the embedded script and describes the
//! format.

mod parse;
mod selection;
mod words;

pub(super) use selection::Script;
