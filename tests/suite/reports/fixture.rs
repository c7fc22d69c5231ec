//! Facts for the tests of reports, and the words of a document.

use safespace::document::{Block, Document, Span};
use safespace::language::Language;
use safespace::report::{Description, Evidence, Facts, Location, Perpetrator, Templates, UserGoal};
use safespace::resources::Registry;

/// The embedded texts with the embedded help lines.
pub(super) fn templates() -> Templates {
    Templates::load(None, &Registry::load(None).unwrap()).unwrap()
}

/// Five answers, and nothing else.
pub(super) fn facts(language: Language) -> Facts {
    Facts {
        location: Location::Kampus,
        perpetrator: Perpetrator::Lecturer,
        description: Description::InappropriateComments,
        evidence: Evidence::Messages,
        user_goal: UserGoal::DocumentSafely,
        occurred_at: None,
        frequency: None,
        narrative: None,
        needs: Vec::new(),
        language,
    }
}

/// Every text of a document, in its order. Placeholders are in brackets.
pub(super) fn texts(document: &Document) -> Vec<String> {
    let spans = |spans: &[Span]| {
        let text = |span: &Span| match span {
            Span::Text(text) => text.clone(),
            Span::Placeholder(text) => format!("[{text}]"),
        };
        spans.iter().map(text).collect::<String>()
    };
    let mut texts = vec![document.title.clone(), document.notice.clone()];
    for section in &document.sections {
        texts.push(section.heading.clone());
        for block in &section.blocks {
            match block {
                Block::Paragraph(words) => texts.push(spans(words)),
                Block::Field { label, value } => texts.push(format!("{label}: {}", spans(value))),
                Block::List(items) => texts.extend(items.iter().map(|item| spans(item))),
                Block::Quotation(words) => texts.push(words.clone()),
            }
        }
    }
    texts.extend(document.sources.iter().cloned());
    texts
}
