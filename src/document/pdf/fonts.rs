//! The fonts of a PDF. They are part of the binary, so that a document looks the same everywhere and needs no file.

use std::borrow::Cow;
use std::sync::Arc;

use krilla::text::Font;
use parley::fontique::{Blob, Collection, CollectionOptions, FontInfoOverride, SourceCache};
use parley::style::{FontFamily, FontFamilyName};
use parley::{FontContext, FontData};

const BOLD: &str = "bold";

/// Each font with the name of its family here, in the order in which they are asked for a letter.
const FONTS: [(&str, &[u8]); 14] = [
    (BOLD, include_bytes!("../fonts/NotoSans-Bold.ttf")),
    ("regular", include_bytes!("../fonts/NotoSans-Regular.ttf")),
    ("symbols", include_bytes!("../fonts/NotoSansSymbols-Regular.ttf")),
    ("more symbols", include_bytes!("../fonts/NotoSansSymbols2-Regular.ttf")),
    ("arabic", include_bytes!("../fonts/NotoNaskhArabic-Regular.ttf")),
    ("hebrew", include_bytes!("../fonts/NotoSansHebrew-Regular.ttf")),
    ("javanese", include_bytes!("../fonts/NotoSansJavanese-Regular.ttf")),
    ("balinese", include_bytes!("../fonts/NotoSerifBalinese-Regular.ttf")),
    ("sundanese", include_bytes!("../fonts/NotoSansSundanese-Regular.ttf")),
    ("batak", include_bytes!("../fonts/NotoSansBatak-Regular.ttf")),
    ("buginese", include_bytes!("../fonts/NotoSansBuginese-Regular.ttf")),
    ("rejang", include_bytes!("../fonts/NotoSansRejang-Regular.ttf")),
    ("thai", include_bytes!("../fonts/NotoSansThai-Regular.ttf")),
    ("tamil", include_bytes!("../fonts/NotoSansTamil-Regular.ttf")),
];

/// The fonts, for the layout of text and for the file.
pub(super) struct Fonts {
    /// For the layout.
    pub(super) context: FontContext,
    /// For the file, each with the id of its data.
    embedded: Vec<(u64, Font)>,
}

impl Fonts {
    /// Reads the fonts.
    pub(super) fn new() -> Self {
        let mut collection = Collection::new(CollectionOptions { shared: false, system_fonts: false });
        let mut embedded = Vec::new();
        for (family, data) in FONTS {
            let blob = Blob::new(Arc::new(data));
            embedded.extend(Font::new(data.into(), 0).map(|font| (blob.id(), font)));
            let info = FontInfoOverride { family_name: Some(family), ..FontInfoOverride::default() };
            collection.register_fonts(blob, Some(info));
        }
        Self { context: FontContext { collection, source_cache: SourceCache::default() }, embedded }
    }

    /// The font to embed for one of the layout.
    pub(super) fn embedded(&self, font: &FontData) -> Option<&Font> {
        self.embedded.iter().find(|(id, _)| *id == font.data.id()).map(|(_, font)| font)
    }
}

/// The families to ask for a letter, bold letters first or not at all.
pub(super) fn families(bold: bool) -> FontFamily<'static> {
    let asked = FONTS.iter().filter(|(family, _)| bold || *family != BOLD);
    FontFamily::List(asked.map(|(family, _)| FontFamilyName::Named(Cow::Borrowed(*family))).collect())
}
