//! The rendering as Markdown, read with a parser of CommonMark that knows GitHub's extensions, too.

use proptest::prelude::*;
use pulldown_cmark::{Event, Options, Parser, Tag};
use safespace::document::{Block, markdown};

use super::samples::{any_words, report, report_full_of};

/// The kinds of blocks and spans, and the text with its line breaks.
fn parse(markdown: &str) -> (Vec<String>, String) {
    let options = Options::all() - Options::ENABLE_SMART_PUNCTUATION;
    let (mut tags, mut text) = (Vec::new(), String::new());
    for event in Parser::new_ext(markdown, options) {
        match event {
            Event::Start(tag) => tags.push(kind(&tag)),
            Event::End(_) => text.push('\n'),
            Event::Text(words) => text.push_str(&words),
            Event::HardBreak => text.push('\n'),
            other => tags.push(format!("{other:?}")),
        }
    }
    (tags, text)
}

fn kind(tag: &Tag<'_>) -> String {
    match tag {
        Tag::Heading { level, .. } => level.to_string(),
        Tag::Paragraph | Tag::Strong | Tag::Item => format!("{tag:?}"),
        Tag::List(None) => "List".to_owned(),
        Tag::BlockQuote(None) => "BlockQuote".to_owned(),
        other => format!("unexpected {other:?}"),
    }
}

/// The words of a text, without what CommonMark does not keep: which spaces there are.
fn words(text: &str) -> Vec<String> {
    text.replace('\0', "\u{fffd}").split_whitespace().map(str::to_owned).collect()
}

const REPORT: &str = "\
# Laporan Kejadian

**Dokumen ini bukan nasihat hukum.**

## I. Identifikasi Kebutuhan

Pelapor ingin mendokumentasikan kejadian ini.

## II. Identifikasi Pelaku

- **Hubungan dengan pelapor:** dosen
- **Nama:** \\_\\_\\_\\_\\_\\_\\_\\_

## III. Kronologi Kejadian

- **Tempat:** kampus
- **Waktu:** \\[**ISI: tanggal dan waktu kejadian**\\]

Kejadian ini berupa sentuhan fisik.

> &nbsp;&nbsp;Dia datang, dan 3 \\< 4.\\
> &nbsp;\\
> 1\\. Saya \\*diam\\*.

## IV. Bukti Terlampir

Pesan tersedia.

---

- **Tempat dan tanggal:** \\_\\_\\_\\_\\_\\_\\_\\_
- **Tanda tangan:** \\_\\_\\_\\_\\_\\_\\_\\_

## Sumber

- UU 12/2022
- Permendikbudristek 55/2024
";

#[test]
fn a_report_as_markdown_has_headings_lists_and_a_block_quote() {
    assert_eq!(markdown(&report("  Dia datang, dan 3 < 4.\r\n\n1. Saya *diam*.")), REPORT);
}

#[test]
fn lines_to_write_by_hand_are_three_lines() {
    let mut document = report("x");
    document.sections[0].blocks.push(Block::Lines);
    let text = parse(&markdown(&document)).1;
    assert!(text.contains("kejadian ini.\n________\n________\n________\n"), "{text}");
}

#[test]
fn what_a_person_writes_never_becomes_markup() {
    let harmless = parse(&markdown(&report_full_of("x"))).0;
    for words in [
        "# x",
        "x\n===",
        "- x",
        "1. x",
        "1) x",
        "> x",
        "    x",
        "\tx",
        "```\nx\n```",
        "<script>x</script>",
        "<b>",
        "<!-- x -->",
        "<div\nx",
        "<?x",
        "<![CDATA[x",
        "</p\nx",
        "<x@x.id",
        "&lt;",
        "[x](http://x.id)",
        "![x](http://x.id)",
        "http://x.id",
        "www.x.id",
        "x@x.id",
        "*x*",
        "__x__",
        "~~x~~",
        "`x`",
        "| x |\n|---|",
        "x\n\n***",
        "[^1]: x",
        "$x$",
        "x  \ny",
        "\\",
        "x\\",
        "\n\n\n",
        "",
        "[ ] x",
        ": x",
        "{#x}",
        "x\n: y",
        "==x==",
        "^x^",
        "---\nx: y\n---",
        "+++\nx\n+++",
    ] {
        let (tags, _) = parse(&markdown(&report_full_of(words)));
        assert_eq!(tags, harmless, "{words:?}");
    }
}

proptest! {
    #[test]
    fn any_words_of_a_person_are_text_and_are_complete(written in any_words()) {
        let rendered = markdown(&report(&written));
        let (tags, text) = parse(&rendered);
        prop_assert_eq!(&tags, &parse(&markdown(&report("x"))).0, "{}", rendered);
        let (_, frame) = parse(&markdown(&report("IIII")));
        prop_assert_eq!(words(&text), words(&frame.replace("IIII", &written)), "{}", rendered);
    }
}
