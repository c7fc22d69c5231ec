//! The rendering as plain text.

use safespace::document::{Block, text};
use safespace::language::Language;

use super::samples::report;

const REPORT: &str = "\
Laporan Kejadian

Dokumen ini bukan nasihat hukum.

I. Identifikasi Kebutuhan

Pelapor ingin mendokumentasikan kejadian ini.

II. Identifikasi Pelaku

Hubungan dengan pelapor: dosen
Nama: ________

III. Kronologi Kejadian

Tempat: kampus
Waktu: [ISI: tanggal dan waktu kejadian]

Kejadian ini berupa sentuhan fisik.

“  Dia datang.\r
\t\n\nSaya *diam*.\u{a0}😢 ”

IV. Bukti Terlampir

Pesan tersedia.

---

Tempat dan tanggal: ________
Tanda tangan: ________

Sumber

- UU 12/2022
- Permendikbudristek 55/2024
";

#[test]
fn a_report_as_text_has_its_headings_on_lines_of_their_own_and_the_words_of_the_person_verbatim() {
    assert_eq!(text(&report("  Dia datang.\r\n\t\n\nSaya *diam*.\u{a0}😢 ")), REPORT);
}

#[test]
fn lines_to_write_by_hand_are_three_lines() {
    let mut document = report("x");
    document.sections[0].blocks.push(Block::Lines);
    let text = text(&document);
    assert!(text.contains("kejadian ini.\n\n________\n________\n________\n\nII."), "{text}");
}

#[test]
fn placeholders_and_the_heading_of_the_sources_are_in_the_language_of_the_document() {
    let mut document = report("x");
    document.language = Language::English;
    let text = text(&document);
    assert!(text.contains("Waktu: [FILL IN: tanggal dan waktu kejadian]\n"), "{text}");
    assert!(text.contains("\n\nSources\n\n- UU 12/2022\n"), "{text}");
}

#[test]
fn a_document_without_notice_closing_and_sources_has_no_empty_parts() {
    let mut document = report("x");
    document.notice.clear();
    document.closing.clear();
    document.sources.clear();
    let text = text(&document);
    assert!(text.starts_with("Laporan Kejadian\n\nI. Identifikasi Kebutuhan\n"), "{text}");
    assert!(text.ends_with("\n\nPesan tersedia.\n"), "{text}");
}
