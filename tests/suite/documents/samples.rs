//! Documents to render, and words that a person may write.

use proptest::prelude::*;
use safespace::document::{Block, Document, Section, Value};
use safespace::language::Language;

fn words(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn field(label: &str, value: Value) -> Block {
    Block::Field { label: label.to_owned(), value }
}

fn paragraph(text: &str) -> Block {
    Block::Paragraph(text.to_owned())
}

fn section(heading: &str, blocks: Vec<Block>) -> Section {
    Section { heading: heading.to_owned(), blocks }
}

/// A report with this narrative.
pub(super) fn report(narrative: &str) -> Document {
    Document {
        language: Language::Indonesian,
        title: "Laporan Kejadian".to_owned(),
        notice: "Dokumen ini bukan nasihat hukum.".to_owned(),
        sections: vec![
            section("I. Identifikasi Kebutuhan", vec![paragraph("Pelapor ingin mendokumentasikan kejadian ini.")]),
            section(
                "II. Identifikasi Pelaku",
                vec![field("Hubungan dengan pelapor", words("dosen")), field("Nama", Value::Blank)],
            ),
            section(
                "III. Kronologi Kejadian",
                vec![
                    field("Tempat", words("kampus")),
                    field("Waktu", Value::Placeholder("tanggal dan waktu kejadian".to_owned())),
                    paragraph("Kejadian ini berupa sentuhan fisik."),
                    Block::Quotation(narrative.to_owned()),
                ],
            ),
            section("IV. Bukti Terlampir", vec![paragraph("Pesan tersedia.")]),
        ],
        closing: vec!["Tempat dan tanggal".to_owned(), "Tanda tangan".to_owned()],
        sources: vec!["UU 12/2022".to_owned(), "Permendikbudristek 55/2024".to_owned()],
    }
}

/// A report in which a person's words are in every place that can have them.
pub(super) fn report_full_of(words_of_the_person: &str) -> Document {
    let mut document = report(words_of_the_person);
    for section in &mut document.sections {
        section.blocks.push(field("Frekuensi", words(words_of_the_person)));
        section.blocks.push(paragraph(words_of_the_person));
    }
    document
}

/// Words with what has a meaning in Markdown and HTML, with letters of many scripts, and any others.
pub(super) fn any_words() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "Dia datang",
        " ",
        "  ",
        "    ",
        "\t",
        "\n",
        "\n\n",
        "\r\n",
        "\r",
        "\u{a0}",
        "# ",
        "## ",
        "#",
        "- ",
        "+ ",
        "* ",
        "*",
        "**",
        "_",
        "__",
        "~~",
        "~~~\n",
        "```\n",
        "`",
        "> ",
        "<b>",
        "</p>",
        "<script>alert(1)</script>",
        "\n<!-- ",
        "\n<div\n",
        "\n<?",
        "<!--",
        "-->",
        "<http://a.id>",
        "&amp;",
        "&lt",
        "&#35;",
        "[a](http://a.id)",
        "![",
        "](",
        "[a]: http://a.id",
        "[^1]",
        "[ ] ",
        "[x] ",
        "http://a.id/b_c",
        "https://a.id",
        "www.a.id",
        "WWW.a.id",
        "mailto:a@b.id",
        "a@b.id",
        "1. ",
        "12) ",
        "1",
        ".",
        ")",
        "---",
        "***",
        "===",
        "| a |",
        "|---|",
        "\\",
        "\\\n",
        "$a$",
        "^a^",
        "{#a}",
        ": ",
        ":::",
        "“",
        "\"",
        "'",
        "؟ مرحبا",
        "שלום",
        "ꦗꦮ",
        "สวัสดี",
        "நன்றி",
        "你好",
        "😢",
        "👩‍👧",
        "e\u{301}\u{302}",
        "\u{200d}",
        "\u{202e}",
        "\u{2067}",
        "\u{feff}",
        "\u{0}",
        "\u{7}",
        "\u{1b}[31m",
        "\u{85}",
        "\u{2028}",
        "\u{e000}",
        "\u{fffe}",
        "\u{ad}",
        "\u{200b}",
    ]);
    let pieces = prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat());
    prop_oneof![3 => pieces, 1 => any::<String>()]
}
