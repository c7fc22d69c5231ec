//! A report in the format that its client accepts.

use std::io;

use super::wire::ReportBody;
use crate::api::respond;
use crate::document;
use crate::http::{Response, ResponseBody};
use crate::report::Report;

/// The page shows what a person wrote, and needs nothing but its own styles.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'; sandbox";

/// A format of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Json,
    Pdf,
    Text,
    Markdown,
    Html,
}

impl Format {
    pub(super) const ALL: [Format; 5] = [Format::Json, Format::Pdf, Format::Text, Format::Markdown, Format::Html];

    /// The media type, without parameters.
    pub(super) fn media_type(self) -> &'static str {
        match self {
            Format::Json => "application/json",
            Format::Pdf => "application/pdf",
            Format::Text => "text/plain",
            Format::Markdown => "text/markdown",
            Format::Html => "text/html",
        }
    }

    /// The response to `HEAD`, of an unknown length.
    pub(super) fn head(self) -> Response {
        Response { data: ResponseBody::from_reader(io::empty()), ..self.response(Vec::new()) }
    }

    /// A response with this body. A file's name says nothing of what is in it: it stays in the list of downloads.
    fn response(self, body: Vec<u8>) -> Response {
        let file = match self {
            Format::Json => None,
            Format::Pdf => Some("dokumen.pdf"),
            Format::Text => Some("dokumen.txt"),
            Format::Markdown => Some("dokumen.md"),
            Format::Html => Some("dokumen.html"),
        };
        let media_type = match self {
            Format::Json | Format::Pdf => self.media_type().to_owned(),
            _ => format!("{}; charset=utf-8", self.media_type()),
        };
        let mut response = respond::with_vary(respond::with_body(200, media_type, body), "Accept");
        if let Some(file) = file {
            let disposition = format!("attachment; filename=\"{file}\"");
            response = response.with_additional_header("Content-Disposition", disposition);
        }
        match self {
            Format::Html => response.with_additional_header("Content-Security-Policy", CONTENT_SECURITY_POLICY),
            _ => response,
        }
    }

    /// A report in this format.
    pub(super) fn render(self, report: &Report, json: impl FnOnce() -> ReportBody) -> Response {
        self.response(match self {
            Format::Json => respond::to_json(&json()),
            Format::Pdf => document::pdf(&report.document),
            Format::Text => document::text(&report.document).into_bytes(),
            Format::Markdown => document::markdown(&report.document).into_bytes(),
            Format::Html => document::html(&report.document).into_bytes(),
        })
    }
}
