//! The help lines that texts and answers may name: the only place for numbers. It knows nothing of sessions or HTTP.

mod parse;
mod registry;

pub use registry::{Kind, Registry, Resource, Selection};
