//! Writing a report into the documentation.

use std::fs;
use std::path::Path;

use super::outcome::Outcome;

const BEGIN: &str = "<!-- measured: begin -->";
const END: &str = "<!-- measured: end -->";

/// Replaces the text between the markers of a document by the report. `document` is a path in the repository.
pub(crate) fn write_document(document: &str, report: &str) -> Outcome<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(document);
    let before = fs::read_to_string(&path)?;
    let around = before.split_once(BEGIN).and_then(|(head, rest)| Some((head, rest.split_once(END)?.1)));
    let (head, tail) = match around {
        Some((head, tail)) => (head.to_owned(), tail),
        None => (format!("{}\n\n", before.trim_end()), "\n"),
    };
    fs::write(&path, format!("{head}{BEGIN}\n\n{}\n\n{END}{tail}", report.trim()))?;
    eprintln!("The tables are in {document}.");
    Ok(())
}
