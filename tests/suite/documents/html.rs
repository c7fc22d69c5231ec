//! The rendering as HTML.

use proptest::prelude::*;
use safespace::document::{Block, html};
use safespace::language::Language;

use super::samples::{any_words, report, report_full_of};

/// What is between the tags of the block quote, with its characters unescaped.
fn quotation(page: &str) -> String {
    let quotation = page.split("<blockquote dir=\"auto\">").nth(1).unwrap().split("</blockquote>").next().unwrap();
    let escapes = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&amp;", "&")];
    escapes.iter().fold(quotation.to_owned(), |text, (escape, character)| text.replace(escape, character))
}

#[test]
fn a_report_as_html_is_one_page_that_loads_nothing_and_has_a_neutral_title() {
    let page = html(&report("Dia datang.\nSaya <i>diam</i>."));
    for expected in [
        "<!DOCTYPE html>\n<html lang=\"id\">\n<head>\n<meta charset=\"utf-8\">\n",
        "<title>Dokumen</title>",
        "<h1 dir=\"auto\">Laporan Kejadian</h1>",
        "<h2 dir=\"auto\">I. Identifikasi Kebutuhan</h2>",
        "<p class=\"notice\" role=\"note\" dir=\"auto\">Dokumen ini bukan nasihat hukum.</p>",
        "<dl>\n<dt>Hubungan dengan pelapor:</dt>\n<dd dir=\"auto\">dosen</dd>\n<dt>Nama:</dt>\n",
        "<dd dir=\"auto\"><mark>[ISI: tanggal dan waktu kejadian]</mark></dd>",
        "<ul>\n<li dir=\"auto\">UU 12/2022</li>\n<li dir=\"auto\">Permendikbudristek 55/2024</li>\n</ul>",
        "<blockquote dir=\"auto\">Dia datang.\nSaya &lt;i&gt;diam&lt;/i&gt;.</blockquote>",
        "</section>\n<dl class=\"closing\">\n<dt>Tempat dan tanggal:</dt>\n<dd dir=\"auto\"><span class=\"blank\"></span></dd>\n",
        "<h2>Sumber</h2>\n<ul>\n<li dir=\"auto\">UU 12/2022</li>",
    ] {
        assert!(page.contains(expected), "{expected}\n{page}");
    }
    for forbidden in ["<script", "src=", "href=", "url(", "@import", "http", "<img", "<link"] {
        assert!(!page.contains(forbidden), "{forbidden}\n{page}");
    }
}

#[test]
fn lines_to_write_by_hand_are_six_empty_lines() {
    let mut document = report("x");
    document.sections[0].blocks.push(Block::Lines);
    let lines = "<span class=\"blank\"></span>".repeat(6);
    assert!(html(&document).contains(&format!("<p class=\"lines\">{lines}</p>\n")));
}

#[test]
fn a_report_in_english_says_so_in_the_page() {
    let mut document = report("x");
    document.language = Language::English;
    let page = html(&document);
    for expected in ["<html lang=\"en\">", "<title>Document</title>", "<mark>[FILL IN: ", "<h2>Sources</h2>"] {
        assert!(page.contains(expected), "{expected}\n{page}");
    }
}

proptest! {
    #[test]
    fn any_words_of_a_person_are_text_and_are_complete(written in any_words()) {
        let count = |words: &str| html(&report_full_of(words)).matches('<').count();
        prop_assert_eq!(count(&written), count("x"));
        // HTML has no control characters, and an override of the direction would show other words.
        let is_replaced = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t') || "\u{202d}\u{202e}".contains(c);
        let allowed = |c: char| if is_replaced(c) { '\u{fffd}' } else { c };
        prop_assert_eq!(quotation(&html(&report(&written))), written.chars().map(allowed).collect::<String>());
    }
}
