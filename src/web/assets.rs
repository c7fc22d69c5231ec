//! The style, the script, the logo and the widget, each with its entity tag.

use std::borrow::Cow;

use sha2::{Digest, Sha256};

use super::colours;
use super::folder::{Folder, MAX_FILE_BYTES, VARIABLE, unusable};
use crate::data_file::{self, FileError, Mistake, ParseError};

/// The first bytes of a PNG (ISO/IEC 15948, 5.2).
const PNG_SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";

/// A file that the page loads.
#[derive(Debug)]
pub struct Asset {
    /// Its media type.
    pub media_type: &'static str,
    /// Its bytes.
    pub body: Cow<'static, [u8]>,
    /// Its strong entity tag (RFC 9110, section 8.8.3), in quotes.
    pub etag: String,
}

/// The files that the page loads.
#[derive(Debug)]
pub struct Assets {
    /// The colours and `style.css`.
    pub style: Asset,
    /// `page.js`.
    pub script: Asset,
    /// The logo, an SVG or PNG.
    pub logo: Asset,
    /// `widget.js`, for other sites.
    pub widget: Asset,
}

impl Assets {
    pub(super) fn load(folder: &Folder<'_>) -> Result<Assets, FileError> {
        let own_style = folder.parse("style.css", checked_style)?;
        let style = colours::load(folder)? + own_style.as_deref().unwrap_or(include_str!("style.css"));
        Ok(Assets {
            style: Asset::new("text/css; charset=utf-8", style.into_bytes()),
            script: Asset::new("text/javascript; charset=utf-8", include_bytes!("page.js").as_slice()),
            logo: logo(folder)?,
            widget: Asset::new("text/javascript; charset=utf-8", include_bytes!("widget.js").as_slice()),
        })
    }

    /// The file of this name under `/page/`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Asset> {
        match name {
            "style.css" => Some(&self.style),
            "page.js" => Some(&self.script),
            "logo" => Some(&self.logo),
            _ => None,
        }
    }
}

impl Asset {
    fn new(media_type: &'static str, body: impl Into<Cow<'static, [u8]>>) -> Asset {
        let body = body.into();
        let hash = Sha256::digest(&body);
        let digits: String = hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        Asset { media_type, body, etag: format!("\"{digits}\"") }
    }
}

/// A style that loads nothing. The page's Content-Security-Policy would stop it anyway, without a word to the author.
fn checked_style(style: &str) -> Result<String, ParseError> {
    let lower = style.to_ascii_lowercase();
    if let Some(start) = lower.find("@import") {
        let what = "@import loads another style, which the page's Content-Security-Policy forbids; copy it in here";
        return Err(Mistake(start, what.to_owned()).in_text(style));
    }
    for (start, found) in lower.match_indices("url(") {
        let target = lower[start + found.len()..].trim_start_matches([' ', '\t', '\n', '\r', '"', '\'']);
        let scheme = target.split([':', '/', '#', '?', ')']).next().unwrap_or_default();
        if target.starts_with("//") || target[scheme.len()..].starts_with(':') {
            let what = "this url(…) is of another host, or a data: URL, which the page's Content-Security-Policy forbids; \
                        /page/logo is the one picture there is";
            return Err(Mistake(start, what.to_owned()).in_text(style));
        }
    }
    Ok(style.to_owned())
}

fn logo(folder: &Folder<'_>) -> Result<Asset, FileError> {
    match (folder.parse("logo.svg", checked_svg)?, folder.file("logo.png")?) {
        (Some(_), Some(png)) => {
            Err(unusable(format!("{} and logo.svg are both there; the page has one logo", png.display())))
        }
        (Some(svg), None) => Ok(Asset::new("image/svg+xml", svg.into_bytes())),
        (None, Some(path)) => {
            let png = data_file::read_bytes(VARIABLE, &path, MAX_FILE_BYTES)?;
            if !png.starts_with(PNG_SIGNATURE) {
                return Err(unusable(format!("{} is not a PNG; save the picture as PNG or SVG", path.display())));
            }
            Ok(Asset::new("image/png", png))
        }
        (None, None) => Ok(Asset::new("image/svg+xml", include_bytes!("logo.svg").as_slice())),
    }
}

fn checked_svg(text: &str) -> Result<String, ParseError> {
    let is_xml = ["<svg", "<?xml", "<!"].iter().any(|start| text.trim_start().starts_with(start));
    if is_xml && text.contains("<svg") {
        return Ok(text.to_owned());
    }
    Err(Mistake(0, "this is no SVG, which begins with <svg or <?xml".to_owned()).in_text(text))
}
