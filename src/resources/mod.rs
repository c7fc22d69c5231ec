//! The help lines that texts and answers may name: the only place for numbers. It knows nothing of sessions or HTTP.
//!
//! - `registry`: the help lines, which of them are wanted, and references to them in texts.
//! - `parse`: the file; `value`: the form of a number or an address by its kind.
//! - `loose_values`: numbers in a text that should be references.

mod loose_values;
mod parse;
mod registry;
mod value;

pub use loose_values::LooseValue;
pub use registry::{Kind, Registry, Resource, Selection};
