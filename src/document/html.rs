//! A document as one HTML page that loads nothing.

use super::structure::{Block, Document, Value};
use super::words::{DRAWN_LINES, neutral_title, placeholder, sources};

/// The page's style: readable on a screen, and on paper without the browser's colours.
const STYLE: &str = include_str!("page.css");

/// A line to fill in by hand.
const BLANK: &str = "<span class=\"blank\"></span>";

/// The document as an HTML page without scripts and without anything to load. Each block has the direction of its own first
/// letter, so that words from right to left do not turn the sentences around them.
#[must_use]
pub fn html(document: &Document) -> String {
    let mut body = format!("<h1 dir=\"auto\">{}</h1>\n", escaped(&document.title));
    if !document.notice.is_empty() {
        body.push_str(&format!("<p class=\"notice\" role=\"note\" dir=\"auto\">{}</p>\n", escaped(&document.notice)));
    }
    for section in &document.sections {
        body.push_str(&format!("<section>\n<h2 dir=\"auto\">{}</h2>\n", escaped(&section.heading)));
        for blocks in section.groups() {
            let list = matches!(blocks, [Block::Field { .. }, ..]);
            body.push_str(if list { "<dl>\n" } else { "" });
            blocks.iter().for_each(|block| body.push_str(&block_html(document, block)));
            body.push_str(if list { "</dl>\n" } else { "" });
        }
        body.push_str("</section>\n");
    }
    if !document.closing.is_empty() {
        let lines: String = document.closing.iter().map(|label| field(label, BLANK)).collect();
        body.push_str(&format!("<dl class=\"closing\">\n{lines}</dl>\n"));
    }
    if !document.sources.is_empty() {
        let items: String = document.sources.iter().map(|source| item(&escaped(source))).collect();
        body.push_str(&format!("<section>\n<h2>{}</h2>\n<ul>\n{items}</ul>\n</section>\n", sources(document.language)));
    }
    let (language, title) = (document.language.tag(), neutral_title(document.language));
    format!(
        "<!DOCTYPE html>\n<html lang=\"{language}\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{title}</title>\n\
         <style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n{body}</main>\n</body>\n</html>\n"
    )
}

fn block_html(document: &Document, block: &Block) -> String {
    match block {
        Block::Paragraph(words) => format!("<p dir=\"auto\">{}</p>\n", escaped(words)),
        Block::Field { label, value } => {
            let value = match value {
                Value::Text(words) => escaped(words),
                Value::Placeholder(what) => format!("<mark>[{}]</mark>", escaped(&placeholder(document, what))),
                Value::Blank => BLANK.to_owned(),
            };
            field(label, &value)
        }
        Block::Quotation(words) => format!("<blockquote dir=\"auto\">{}</blockquote>\n", escaped(words)),
        Block::Lines => format!("<p class=\"lines\">{}</p>\n", BLANK.repeat(DRAWN_LINES)),
    }
}

fn field(label: &str, value: &str) -> String {
    format!("<dt>{}:</dt>\n<dd dir=\"auto\">{value}</dd>\n", escaped(label))
}

fn item(content: &str) -> String {
    format!("<li dir=\"auto\">{content}</li>\n")
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\n' | '\r' | '\t' => escaped.push(c),
            // HTML does not allow control characters, and overrides of the direction show words in another order.
            c if c.is_control() || matches!(c, '\u{202d}' | '\u{202e}') => escaped.push(char::REPLACEMENT_CHARACTER),
            c => escaped.push(c),
        }
    }
    escaped
}
