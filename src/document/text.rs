//! A document as plain text.

use super::structure::{Block, Document};
use super::words::{plain, sources};

/// The document as plain text: each heading on a line of its own, a person's own words verbatim between quotation marks.
#[must_use]
pub fn text(document: &Document) -> String {
    let mut parts = vec![document.title.clone()];
    if !document.notice.is_empty() {
        parts.push(document.notice.clone());
    }
    for section in &document.sections {
        parts.push(section.heading.clone());
        parts.extend(
            section
                .groups()
                .map(|blocks| blocks.iter().map(|block| block_text(document, block)).collect::<Vec<_>>().join("\n")),
        );
    }
    if !document.sources.is_empty() {
        parts.push(sources(document.language).to_owned());
        parts.push(bullets(document.sources.iter().cloned()));
    }
    parts.join("\n\n") + "\n"
}

fn block_text(document: &Document, block: &Block) -> String {
    match block {
        Block::Paragraph(spans) => plain(document, spans),
        Block::Field { label, value } => format!("{label}: {}", plain(document, value)),
        Block::List(items) => bullets(items.iter().map(|item| plain(document, item))),
        Block::Quotation(words) => format!("“{words}”"),
    }
}

fn bullets(items: impl Iterator<Item = String>) -> String {
    items.map(|item| format!("- {item}")).collect::<Vec<_>>().join("\n")
}
