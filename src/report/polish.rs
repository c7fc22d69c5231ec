//! Lets a model smooth the language of a document, and checks that it did nothing else.

use super::templates::Templates;
use crate::document::Document;

/// What a model is asked. It has no word of the person: only texts of the file.
pub struct PolishPrompt {
    /// What to do.
    pub instruction: String,
    /// The headings and sentences to smooth.
    pub text: String,
}

impl Templates {
    /// What a model is asked to smooth a document.
    #[must_use]
    pub fn polish_prompt(&self, document: &Document) -> PolishPrompt {
        let _ = document;
        PolishPrompt { instruction: String::new(), text: String::new() }
    }

    /// The document with the sentences of a model's answer; `None` where the answer changed more than it may.
    #[must_use]
    pub fn polished(&self, document: &Document, answer: &str) -> Option<Document> {
        let _ = (document, answer);
        None
    }
}
