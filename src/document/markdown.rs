//! A document as Markdown (CommonMark, also with GitHub's extensions).

use super::structure::{Block, Document, Span};
use super::words::{lines, placeholder, sources};

/// The document as Markdown. Texts are escaped, so that nothing that a person wrote becomes markup, a link or HTML; their
/// line breaks and the spaces before a line are kept.
#[must_use]
pub fn markdown(document: &Document) -> String {
    let mut parts = vec![format!("# {}", one_line(&document.title))];
    if !document.notice.is_empty() {
        parts.push(format!("**{}**", one_line(document.notice.trim())));
    }
    for section in &document.sections {
        parts.push(format!("## {}", one_line(&section.heading)));
        parts.extend(
            section.groups().map(|blocks| {
                blocks.iter().map(|block| block_markdown(document, block)).collect::<Vec<_>>().join("\n")
            }),
        );
    }
    if !document.sources.is_empty() {
        parts.push(format!("## {}", sources(document.language)));
        parts.push(list('*', document.sources.iter().map(|source| escaped(source, "  "))));
    }
    parts.join("\n\n") + "\n"
}

fn block_markdown(document: &Document, block: &Block) -> String {
    match block {
        Block::Paragraph(spans) => escaped_spans(document, spans, ""),
        // Another bullet than that of lists, so that a list behind a field is a list of its own.
        Block::Field { label, value } => {
            format!("- **{}:** {}", one_line(label), escaped_spans(document, value, "  "))
        }
        Block::List(items) => list('*', items.iter().map(|item| escaped_spans(document, item, "  "))),
        Block::Quotation(words) => markdown_quotation(words),
    }
}

/// A person's own words as a quotation of Markdown, of which nothing is markup.
#[must_use]
pub fn markdown_quotation(words: &str) -> String {
    format!("> {}", escaped(words, "> "))
}

fn list(bullet: char, items: impl Iterator<Item = String>) -> String {
    items.map(|item| format!("{bullet} {item}")).collect::<Vec<_>>().join("\n")
}

fn escaped_spans(document: &Document, spans: &[Span], indent: &str) -> String {
    let mut text = String::new();
    for span in spans {
        match span {
            Span::Text(words) => text.push_str(&escaped_from(words, indent, text.is_empty())),
            // The asterisks are inside the brackets: beside a letter they would be asterisks.
            Span::Placeholder(what) => {
                text.push_str(&format!("\\[**{}**\\]", one_line(&placeholder(document, what))));
            }
        }
    }
    text
}

fn one_line(text: &str) -> String {
    escaped(&lines(text).join(" "), "")
}

/// Text of which nothing is markup. A line break is a hard break, behind which `indent` continues the block.
fn escaped(text: &str, indent: &str) -> String {
    escaped_from(text, indent, true)
}

/// Text of which nothing is markup, at the start of a line or within one.
fn escaped_from(text: &str, indent: &str, starts_line: bool) -> String {
    let lines = lines(text).into_iter().enumerate();
    let escaped = lines.map(|(number, line)| escaped_line(&line, starts_line || number > 0));
    escaped.collect::<Vec<_>>().join(&format!("\\\n{indent}"))
}

fn escaped_line(line: &str, starts_line: bool) -> String {
    let mut escaped = String::new();
    let mut content = line;
    if starts_line {
        content = line.trim_start_matches([' ', '\t']);
        // Spaces at the start are dropped or make a block of code, and a blank line would end the block.
        escaped = "&nbsp;".repeat(line.len() - content.len());
        if line.is_empty() {
            return "&nbsp;".to_owned();
        }
    }
    let digits = content.len() - content.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    for (at, c) in content.char_indices() {
        let markup = match c {
            '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '#' | '|' | '~' | '&' | '$' | '^' | '{' | '}' | '@' => {
                true
            }
            // A list, a heading that is underlined, a rule.
            '-' | '+' | '=' => starts_line && at == 0,
            // A numbered list.
            '.' | ')' if at == digits => starts_line,
            // A definition, and addresses that become links without brackets.
            ':' => at == 0 || content[at..].starts_with("://"),
            '.' => content.as_bytes()[..at].last_chunk().is_some_and(|end: &[u8; 3]| end.eq_ignore_ascii_case(b"www")),
            _ => false,
        };
        if markup {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}
