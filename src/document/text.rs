//! A document as plain text.

use super::structure::{Block, Document, Value};
use super::words::{BLANK, BLANKS, RULE, placeholder, sources};

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
    if !document.closing.is_empty() {
        let lines: Vec<String> = document.closing.iter().map(|label| format!("{label}: {BLANK}")).collect();
        parts.extend([RULE.to_owned(), lines.join("\n")]);
    }
    if !document.sources.is_empty() {
        parts.push(sources(document.language).to_owned());
        let items: Vec<String> = document.sources.iter().map(|source| format!("- {source}")).collect();
        parts.push(items.join("\n"));
    }
    parts.join("\n\n") + "\n"
}

fn block_text(document: &Document, block: &Block) -> String {
    match block {
        Block::Paragraph(words) => words.clone(),
        Block::Field { label, value } => match value {
            Value::Text(words) => format!("{label}: {words}"),
            Value::Placeholder(what) => format!("{label}: [{}]", placeholder(document, what)),
            Value::Blank => format!("{label}: {BLANK}"),
        },
        Block::Quotation(words) => format!("“{words}”"),
        Block::Lines => [BLANK; BLANKS].join("\n"),
    }
}
