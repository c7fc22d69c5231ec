//! The requests of a person. The session's id is in `Authorization`, and the address in `X-Forwarded-For`, as a proxy sends it.

use std::net::Ipv4Addr;

/// The five answers of a report.
const REPORT: &str = r#"{"location":"kampus","perpetrator":"lecturer","description":"repeated pressure","evidence":"messages","user_goal":"document safely","narrative":"NARRATIVE"}"#;

/// Who sends a request.
#[derive(Clone, Copy)]
pub(crate) struct From<'a> {
    pub(crate) address: Ipv4Addr,
    /// The session's id, if the request is about one.
    pub(crate) session: Option<&'a str>,
}

impl From<'_> {
    /// A request; a body is JSON unless the fields say otherwise.
    pub(crate) fn request(self, method: &str, path: &str, fields: &str, body: &str) -> String {
        let (address, length) = (self.address, body.len());
        let authorization = self.session.map_or(String::new(), |id| format!("Authorization: Bearer {id}\r\n"));
        let media_type =
            if fields.contains("Content-Type") || body.is_empty() { "" } else { "Content-Type: application/json\r\n" };
        format!(
            "{method} {path} HTTP/1.1\r\nHost: soak\r\nX-Forwarded-For: {address}\r\n{authorization}{media_type}\
             Content-Length: {length}\r\n{fields}\r\n{body}"
        )
    }

    pub(crate) fn get(self, path: &str, accept: &str) -> String {
        self.request("GET", path, &format!("Accept: {accept}\r\n"), "")
    }

    pub(crate) fn message(self, text: &str, key: &str, is_streamed: bool) -> String {
        let accept = if is_streamed { "text/event-stream" } else { "application/json" };
        let fields = format!("Accept: {accept}\r\nIdempotency-Key: {key}\r\n");
        self.request("POST", "/api/v1/session/chat", &fields, &format!("{{\"message\":\"{text}\"}}"))
    }

    pub(crate) fn report(self, narrative: &str) -> String {
        self.request("POST", "/api/v1/session/report", "", &REPORT.replace("NARRATIVE", narrative))
    }
}
