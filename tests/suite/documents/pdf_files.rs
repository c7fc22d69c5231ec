//! Writes PDF files for tests/pdf.sh.

use std::path::Path;
use std::time::Instant;

use safespace::document::pdf;

use super::samples::report;

/// Narratives, each with the name of its file.
fn narratives() -> Vec<(&'static str, String)> {
    let many = |part: &str| part.chars().cycle().take(16_384).collect::<String>();
    vec![
        ("none", String::new()),
        ("short", "Pada hari itu dia memanggil saya ke ruangannya.\n\nSaya \"takut\" – dan diam. Café, naïve, fi ffi, e\u{301}.".to_owned()),
        ("latin", many("Dia memanggil saya ke ruangannya setelah kuliah selesai, lalu menutup pintu. ")),
        ("arabic", "قال لي إن عليّ أن أبقى بعد الدرس.\nثم أغلق الباب (في الساعة 3) وقال: لا تخبري أحداً!\nالسَّلَامُ عَلَيْكُمْ".to_owned()),
        ("mixed", "Dia berkata \"إن عليّ أن أبقى\" lalu pergi 12:30.\nثم كتب لي على WhatsApp: \"jangan bilang siapa-siapa\" وخرج.\nשלום dan Привет dan Γειά".to_owned()),
        ("emoji", "Saya takut 😢😭 sekali 👩‍👩‍👧 ❤️ dan 你好 ok 日本\u{e000}.".to_owned()),
        ("javanese", "ꦄꦏ꧀ꦱꦫꦗꦮ ꦱꦸꦒꦼꦁꦫꦮꦸꦃ\nᬅᬓ᭄ᬱᬭᬩᬮᬶ\nᮃᮊ᮪ᮞᮛ ᮞᮥᮔ᮪ᮓ\nᨒᨚᨈᨑ\nสวัสดี\nவணக்கம்\nᯅᯖᯂ᯲".to_owned()),
        ("word", many("a")),
        ("controls", "a\u{0}b\u{7}c\u{1b}[31m\td\u{202e}terbalik\u{202c} e\u{feff}f\u{ad}g\u{200b}h\u{fffe}".to_owned()),
        ("joiners", many("\u{200d}")),
        ("marks", format!("a{}", &many("\u{301}"))),
        ("different_marks", format!("a{}", &many("\u{301}\u{302}"))),
        ("breaks", many("\n")),
        ("letters_on_lines", many("a\n")),
        ("emojis", many("😢a👍🏽")),
        ("spaces", many(" ")),
        ("thai", many("สวัสดีครับ")),
        ("arabics", many("السلام عليكم ")),
        ("javaneses", many("ꦄꦏ꧀ꦱꦫꦗꦮꦱꦸꦒꦼꦁꦫꦮꦸꦃ")),
        ("directions", many("aا")),
        ("overrides", many("\u{202e}a\u{2067}ب")),
        ("devanagari", many("नमस्ते ")),
    ]
}

#[test]
fn writes_files() {
    let Ok(folder) = std::env::var("SAFESPACE_TEST_PDFS") else { return };
    for (name, narrative) in narratives() {
        let start = Instant::now();
        let file = pdf(&report(&narrative));
        println!("{name}: {:?}, {} bytes", start.elapsed(), file.len());
        assert!(file.starts_with(b"%PDF"));
        std::fs::write(Path::new(&folder).join(format!("{name}.pdf")), file).unwrap();
    }
}
