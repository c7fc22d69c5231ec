//! Properties of paragraphs: nothing that a person wrote is lost, and every letter is drawn.
#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

use proptest::prelude::*;

use super::flow::{Flow, flow};
use super::pages::pages;
use super::paragraph::{Paragraph, Typesetter};
use super::pieces::Look;
use crate::document::{Block, Document, Section, Value};
use crate::language::Language;

const WIDTH: f32 = 200.0;

fn paragraph(text: &str) -> Paragraph {
    Typesetter::new().paragraph(&[(text.to_owned(), Look::Regular)], 10.0, WIDTH)
}

/// The text with the characters that its codes stand for.
fn decoded(text: &str) -> String {
    let mut decoded = String::new();
    let mut rest = text;
    while let Some((before, coded)) = rest.split_once("[U+") {
        let (code, behind) = coded.split_once(']').unwrap();
        let (code, count) = code.split_once(" ×").unwrap_or((code, "1"));
        let character = char::from_u32(u32::from_str_radix(code, 16).unwrap()).unwrap();
        decoded.push_str(before);
        decoded.extend(std::iter::repeat_n(character, count.parse().unwrap()));
        rest = behind;
    }
    decoded + rest
}

/// The text of the letters that are drawn, in the order of the text, and whether each of them has a font and fits.
fn drawn(paragraph: &Paragraph) -> (String, bool) {
    let mut clusters = Vec::new();
    let mut fits = true;
    for line in paragraph.layout.lines() {
        let mut width = 0.0;
        for run in line.runs() {
            for cluster in run.visual_clusters() {
                fits &= cluster.glyphs().all(|glyph| glyph.id != 0);
                clusters.push(cluster.text_range());
                // Spaces may be beyond the margin.
                width += if cluster.is_space_or_nbsp() { 0.0 } else { cluster.advance() };
            }
        }
        fits &= width < WIDTH + 0.1;
    }
    clusters.sort_by_key(|range| range.start);
    (clusters.into_iter().map(|range| &paragraph.text[range]).collect(), fits)
}

fn check(text: &str) {
    let paragraph = paragraph(text);
    assert_eq!(decoded(&paragraph.text), text.replace('\t', "    "));
    assert_eq!(drawn(&paragraph), (paragraph.text.clone(), true));
}

#[test]
fn what_no_font_can_draw_has_its_code() {
    for (text, drawn) in [
        ("Saya takut 😢.", "Saya takut [U+1F622]."),
        ("😢😢😢 你", "[U+1F622 ×3] [U+4F60]"),
        ("a\u{0}b\u{1b}c\u{7f}\u{feff}", "a[U+0000]b[U+001B]c[U+007F][U+FEFF]"),
        ("a\u{202e}b\u{202d}c\u{202c}", "a[U+202E]b[U+202D]c\u{202c}"),
        ("a\tb", "a    b"),
        ("a\u{93f}", "a[U+093F]"),
        ("नमस्ते", "[U+0928][U+092E][U+0938][U+094D][U+0924][U+0947]"),
        ("\u{e000}\u{fffe}", "[U+E000][U+FFFE]"),
        ("é e\u{301} ﬁ ÿ ‘’ “” … – € ₹ Ω Ж ọ̀", "é e\u{301} ﬁ ÿ ‘’ “” … – € ₹ Ω Ж ọ̀"),
        ("مرحبا שלום ꦗꦮ ᬩᬮᬶ ᮞᮥᮔ᮪ᮓ ᯅᯖᯂ᯲ ᨒᨚᨈᨑ ꤰꤱ สวัสดี வணக்கம்", "مرحبا שלום ꦗꦮ ᬩᬮᬶ ᮞᮥᮔ᮪ᮓ ᯅᯖᯂ᯲ ᨒᨚᨈᨑ ꤰꤱ สวัสดี வணக்கம்"),
        ("→ ① ☹ ■ ● ★ ☐ ☑ ♥ ⚠ ✓ ✗ ❤\u{fe0f}", "→ ① ☹ ■ ● ★ ☐ ☑ ♥ ⚠ ✓ ✗ ❤\u{fe0f}"),
        ("🏽a", "[U+1F3FD]a"),
    ] {
        assert_eq!(paragraph(text).text, drawn);
        check(text);
    }
}

#[test]
fn more_marks_than_a_letter_can_have_are_counted() {
    let text = format!("a{}", "\u{301}".repeat(16_383));
    assert_eq!(paragraph(&text).text, format!("a{}[U+0301 ×16378]", "\u{301}".repeat(5)));
    check(&text);
}

#[test]
fn the_longest_word_is_broken_into_lines() {
    check(&"a".repeat(16_384));
    check(&"ا".repeat(16_384));
    check(&"[".repeat(16_384));
}

/// A document with a narrative, a field to fill in by hand and lines at the end.
fn document(narrative: &str) -> Document {
    let section = |heading: &str, blocks: Vec<Block>| Section { heading: heading.to_owned(), blocks };
    let by_hand = Block::Field { label: "Attachments".to_owned(), value: Value::Blank };
    Document {
        language: Language::English,
        title: "Report".to_owned(),
        notice: String::new(),
        sections: vec![
            section("III.", vec![Block::Quotation(narrative.to_owned())]),
            section("IV.", vec![Block::Paragraph("There is a witness.".to_owned()), by_hand]),
        ],
        closing: ["Name", "Place and date", "Signature"].map(str::to_owned).to_vec(),
        sources: Vec::new(),
    }
}

/// The page of a row.
fn page_of(flow: &Flow, row: usize) -> usize {
    pages(&flow.rows).iter().position(|rows| rows.contains(&row)).unwrap()
}

#[test]
fn a_document_says_once_what_codes_are_and_only_if_it_has_one() {
    for (narrative, count) in [
        ("Saya takut.", 0),
        ("Saya menulis [U+1F622].", 0),
        ("😢 takut 😢\n\n你", 1),
        ("a\u{7}b", 1),
        ("a\n\n\n\n\nb", 1),
    ] {
        let flow = flow(&document(narrative), &mut Typesetter::new());
        let said = "Characters that cannot be printed are written as codes, such as [U+1F622].";
        assert_eq!(flow.paragraphs.iter().filter(|paragraph| paragraph.text == said).count(), count, "{narrative:?}");
    }
}

#[test]
fn a_signature_is_on_the_page_of_the_section_above_it() {
    // The narrative ends at every height of a page.
    for lines in 0..80 {
        let flow = flow(&document(&"He came.\n".repeat(lines)), &mut Typesetter::new());
        let evidence = flow.headings.last().unwrap().row;
        assert_eq!(page_of(&flow, evidence), page_of(&flow, flow.rows.len() - 1), "{lines} lines");
    }
}

#[test]
fn an_address_is_not_broken_behind_its_scheme() {
    for words in 0..30 {
        let paragraph = paragraph(&format!("{}https://contoh.id/laporan/baru", "di ".repeat(words)));
        for line in paragraph.layout.lines() {
            let line = &paragraph.text[line.text_range()];
            assert!(!line.ends_with(':') && !line.ends_with('/') || line.contains("contoh"), "{line}");
        }
    }
    check(&"://".repeat(500));
    check(&"a://".repeat(500));
}

proptest! {
    #[test]
    fn any_text_is_drawn_completely(text in prop_oneof![any::<String>(), "[a-c \u{300}-\u{310}\u{93f}\u{627}\u{64e}\u{651}\u{200c}-\u{200f}\u{202a}-\u{202e}\u{2066}-\u{2069}\u{e01}\u{e31}\u{a995}-\u{a9c0}😢🏽\u{fe0f}]{0,40}"]) {
        check(&text.replace(['\n', '\r'], " "));
    }
}
