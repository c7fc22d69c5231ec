//! The few words that every rendering adds to a document, in its language.

use crate::language::Language;

use super::structure::Document;

/// The title that is neutral: it does not say what the document is about.
pub(super) fn neutral_title(language: Language) -> &'static str {
    match language {
        Language::English => "Document",
        Language::Indonesian => "Dokumen",
    }
}

/// The heading above the sources.
pub(super) fn sources(language: Language) -> &'static str {
    match language {
        Language::English => "Sources",
        Language::Indonesian => "Sumber",
    }
}

/// What the codes are that stand for characters which a PDF cannot have.
pub(super) fn codes(language: Language) -> &'static str {
    match language {
        Language::English => "Characters that cannot be printed are written as codes, such as [U+1F622].",
        Language::Indonesian => "Tanda yang tidak dapat dicetak ditulis sebagai kode, seperti [U+1F622].",
    }
}

/// A placeholder without its brackets, such as `ISI: tanggal dan waktu kejadian`.
pub(super) fn placeholder(document: &Document, what: &str) -> String {
    match document.language {
        Language::English => format!("FILL IN: {what}"),
        Language::Indonesian => format!("ISI: {what}"),
    }
}

/// A line to fill in by hand, where lines cannot be drawn.
pub(super) const BLANK: &str = "________";

/// How many [`BLANK`] there are for sentences that are written by hand.
pub(super) const BLANKS: usize = 3;

/// How many lines are drawn for sentences that are written by hand.
pub(super) const DRAWN_LINES: usize = 6;

/// Ends the sections, where no line can be drawn.
pub(super) const RULE: &str = "---";

/// The lines of a text. A line ends with `\n`, `\r\n` or `\r`.
pub(super) fn lines(text: &str) -> Vec<String> {
    text.replace("\r\n", "\n").split(['\n', '\r']).map(str::to_owned).collect()
}
