//! The style, the script, the logo and the widget, each with its entity tag.

use std::borrow::Cow;

use sha2::{Digest, Sha256};

use crate::config::WebSettings;

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
    /// `style.css`.
    pub style: Asset,
    /// `page.js`.
    pub script: Asset,
    /// The logo, an SVG or PNG.
    pub logo: Asset,
    /// `widget.js`, for other sites.
    pub widget: Asset,
}

impl Assets {
    pub(super) fn load(_settings: &WebSettings) -> Assets {
        Assets {
            style: Asset::new("text/css; charset=utf-8", include_bytes!("style.css").as_slice()),
            script: Asset::new("text/javascript; charset=utf-8", include_bytes!("page.js").as_slice()),
            logo: Asset::new("image/svg+xml", include_bytes!("logo.svg").as_slice()),
            widget: Asset::new("text/javascript; charset=utf-8", include_bytes!("widget.js").as_slice()),
        }
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
