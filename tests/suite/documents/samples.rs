//! Documents to render.

use safespace::document::{Block, Document, Section, Span};
use safespace::language::Language;

/// Text as the only span.
pub(super) fn words(text: &str) -> Vec<Span> {
    vec![Span::Text(text.to_owned())]
}

/// A report as it looks with this narrative.
pub(super) fn report(narrative: &str) -> Document {
    let field = |label: &str, value| Block::Field { label: label.to_owned(), value };
    let placeholder = |what: &str| Span::Placeholder(what.to_owned());
    let section = |heading: &str, blocks| Section { heading: heading.to_owned(), blocks };
    Document {
        language: Language::Indonesian,
        title: "Laporan Kejadian".to_owned(),
        notice:
            "Dokumen ini dibuat dari jawaban pelapor sendiri. Dokumen ini bukan nasihat hukum. Periksa setiap kalimat \
                 sebelum diserahkan, dan isi bagian yang masih kosong."
                .to_owned(),
        sections: vec![
            section(
                "I. Identifikasi Kebutuhan",
                vec![
                    Block::Paragraph(words("Pelapor ingin mendokumentasikan kejadian ini dengan aman.")),
                    Block::List(vec![
                        words("Pendampingan psikologis"),
                        words(
                            "Bantuan hukum dari lembaga yang menangani kekerasan seksual, dengan kalimat yang cukup panjang agar baris kedua ada",
                        ),
                    ]),
                ],
            ),
            section(
                "II. Identifikasi Pelaku",
                vec![
                    field("Hubungan dengan pelapor", words("dosen")),
                    field("Nama", words("________________")),
                    field("Ketimpangan relasi kuasa", words("tinggi")),
                ],
            ),
            section(
                "III. Kronologi Kejadian",
                vec![
                    field("Tempat", words("kampus")),
                    field("Waktu", vec![placeholder("tanggal dan waktu kejadian")]),
                    Block::Paragraph(vec![
                        Span::Text("Menurut pelapor, kejadian ini terjadi ".to_owned()),
                        placeholder("berapa kali, misalnya satu kali atau setiap minggu sejak kapan sampai kapan"),
                        Span::Text(" dan berupa sentuhan fisik yang tidak diinginkan.".to_owned()),
                    ]),
                    Block::Quotation(narrative.to_owned()),
                ],
            ),
            section("IV. Bukti Terlampir", vec![Block::Paragraph(words("Pesan (tangkapan layar) tersedia."))]),
        ],
        sources: vec![
            "Undang-Undang Nomor 12 Tahun 2022 tentang Tindak Pidana Kekerasan Seksual, dibaca pada 26 November 2026"
                .to_owned(),
            "Permendikbudristek Nomor 55 Tahun 2024".to_owned(),
        ],
    }
}
