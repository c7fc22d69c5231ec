//! A document as Markdown (CommonMark, also with GitHub's extensions).

use super::structure::{Block, Document, Value};
use super::words::{BLANK, BLANKS, RULE, lines, placeholder, sources};

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
    if !document.closing.is_empty() {
        let blank = escaped(BLANK, "");
        let lines: Vec<String> =
            document.closing.iter().map(|label| format!("- **{}:** {blank}", one_line(label))).collect();
        parts.extend([RULE.to_owned(), lines.join("\n")]);
    }
    if !document.sources.is_empty() {
        parts.push(format!("## {}", sources(document.language)));
        let items: Vec<String> = document.sources.iter().map(|source| format!("- {}", escaped(source, "  "))).collect();
        parts.push(items.join("\n"));
    }
    parts.join("\n\n") + "\n"
}

fn block_markdown(document: &Document, block: &Block) -> String {
    match block {
        Block::Paragraph(words) => escaped(words, ""),
        Block::Field { label, value } => {
            let value = match value {
                Value::Text(words) => escaped(words, "  "),
                // The asterisks are inside the brackets: beside a letter they would be asterisks.
                Value::Placeholder(what) => format!("\\[**{}**\\]", one_line(&placeholder(document, what))),
                Value::Blank => escaped(BLANK, ""),
            };
            format!("- **{}:** {value}", one_line(label))
        }
        Block::Quotation(words) => markdown_quotation(words),
        Block::Lines => escaped(&[BLANK; BLANKS].join("\n"), ""),
    }
}

/// A person's own words as a quotation of Markdown, of which nothing is markup.
#[must_use]
pub fn markdown_quotation(words: &str) -> String {
    format!("> {}", escaped(words, "> "))
}

fn one_line(text: &str) -> String {
    escaped(&lines(text).join(" "), "")
}

/// Text of which nothing is markup. A line break is a hard break, behind which `indent` continues the block.
fn escaped(text: &str, indent: &str) -> String {
    let lines: Vec<String> = lines(text).iter().map(|line| escaped_line(line)).collect();
    lines.join(&format!("\\\n{indent}"))
}

fn escaped_line(line: &str) -> String {
    if line.is_empty() {
        // A blank line would end the block.
        return "&nbsp;".to_owned();
    }
    let content = line.trim_start_matches([' ', '\t']);
    // Spaces at the start are dropped or make a block of code.
    let mut escaped = "&nbsp;".repeat(line.len() - content.len());
    let digits = content.len() - content.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    for (at, c) in content.char_indices() {
        let markup = match c {
            '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '#' | '|' | '~' | '&' | '$' | '^' | '{' | '}' | '@' => {
                true
            }
            // A list, a heading that is underlined, a rule.
            '-' | '+' | '=' => at == 0,
            // A numbered list.
            '.' | ')' if at == digits => true,
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
