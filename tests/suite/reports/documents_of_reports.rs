//! What a document says: the texts of the five answers, the other facts verbatim, and placeholders.

use safespace::language::Language;

use super::fixture::{facts, templates, texts};

#[test]
fn a_document_in_indonesian_has_the_four_headings_of_the_first_version() {
    let document = templates().generate(&facts(Language::Indonesian));

    let headings: Vec<_> = document.sections.iter().map(|section| section.heading.as_str()).collect();
    let of_the_first_version =
        ["I. Identifikasi Kebutuhan", "II. Identifikasi Pelaku", "III. Kronologi Kejadian", "IV. Bukti Terlampir"];
    assert_eq!(headings, of_the_first_version, "{:#?}", texts(&document));
}
