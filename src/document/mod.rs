//! A document for a person to hand in, and its renderings. It knows nothing of reports, sessions or HTTP.

mod html;
mod markdown;
mod pdf;
mod structure;
mod text;
mod words;

pub use html::html;
pub use markdown::{markdown, markdown_quotation};
pub use pdf::pdf;
pub use structure::{Block, Document, Section, Value};
pub use text::text;
