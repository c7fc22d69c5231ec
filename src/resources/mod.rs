//! The help lines that texts and answers may name: the only place for numbers. It knows nothing of sessions or HTTP.
//!
//! - `registry`: the help lines, which of them are wanted, and references to them in texts.
//! - `parse`: the file; `value`: the form of a number or an address by its kind.
//! - `hard_coded`: numbers in a text that should be references.

mod hard_coded;
mod parse;
mod registry;
mod value;

pub use hard_coded::HardCodedValue;
pub use registry::{Kind, Registry, Resource, Selection, without_references};
