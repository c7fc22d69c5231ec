//! The rendering as PDF, as far as its bytes tell; `tests/pdf.sh` reads the files with other programs.

use proptest::prelude::*;
use safespace::document::{Document, pdf};
use safespace::language::Language;

use super::samples::{any_words, report, report_full_of};

fn contains(file: &[u8], text: &str) -> bool {
    file.windows(text.len()).any(|window| window == text.as_bytes())
}

/// The number of pages.
fn pages(file: &[u8]) -> usize {
    let marker = b"/Type/Page/";
    file.windows(marker.len()).filter(|window| window == marker).count()
}

#[test]
fn a_pdf_is_accessible_and_says_nothing_about_who_made_it_and_when() {
    let file = pdf(&report("Dia datang."));
    assert!(file.starts_with(b"%PDF-1.7"));
    for expected in ["(Dokumen)", "<pdfuaid:part>1<", "/MarkInfo", "/Lang(id)", "/StructTreeRoot"] {
        assert!(contains(&file, expected), "{expected}");
    }
    for forbidden in [
        "/Author",
        "/Creator",
        "/Producer",
        "/CreationDate",
        "/ModDate",
        "CreateDate",
        "ModifyDate",
        "dc:creator",
        "xmp:",
        "pdf:Producer",
        "xmptk",
        "krilla",
        "safespace",
        "SafeSpace",
    ] {
        assert!(!contains(&file, forbidden), "{forbidden}");
    }
}

#[test]
fn the_same_document_gives_the_same_bytes_and_another_one_others() {
    assert!(pdf(&report("Dia datang. مرحبا")) == pdf(&report("Dia datang. مرحبا")));
    assert!(pdf(&report("Dia datang. مرحبا")) != pdf(&report("Dia datang. مرحب")));
}

#[test]
fn a_pdf_in_english_says_so() {
    let mut document = report("x");
    document.language = Language::English;
    let file = pdf(&document);
    assert!(contains(&file, "/Lang(en)") && contains(&file, "(Document)"));
}

#[test]
fn an_empty_document_is_a_page() {
    let empty = Document {
        language: Language::English,
        title: String::new(),
        notice: String::new(),
        sections: Vec::new(),
        closing: Vec::new(),
        sources: Vec::new(),
    };
    assert_eq!(pages(&pdf(&empty)), 1);
}

#[test]
fn the_longest_narratives_have_a_bounded_number_of_pages() {
    for (narrative, most) in [
        ("\n", 1),
        ("Dia memanggil saya. ", 8),
        ("a", 8),
        ("\u{301}", 1),
        ("\u{200d}", 1),
        ("a\n\n\n", 230),
        ("😢", 1),
        ("😢a", 45),
    ] {
        let narrative: String = narrative.chars().cycle().take(16_384).collect();
        let pages = pages(&pdf(&report(&narrative)));
        assert!(pages <= most, "{:?} gives {pages} pages", &narrative.chars().take(5).collect::<String>());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_words_of_a_person_give_a_pdf(written in any_words()) {
        prop_assert!(pdf(&report_full_of(&written)).starts_with(b"%PDF"));
    }
}
