//! The requests of attackers and victims.

use safespace::session_id::SessionId;
use uuid::Uuid;

/// Asks the fake model for an answer of a minute.
pub(crate) const LONG: &str = "Answer for a minute.";
/// Asks it for an answer of ten seconds.
pub(crate) const SLOW: &str = "Answer for ten seconds.";
/// Asks it for an answer of one letter in each piece.
pub(crate) const LETTERS: &str = "Answer letter by letter.";

/// A message of a victim, with a short answer.
pub(crate) const SHORT: &str = "I do not know what to do.";

/// A request with a body of JSON, or with none.
pub(crate) fn request(method: &str, path: &str, fields: &str, body: &str) -> String {
    let length = body.len();
    let content = match method {
        "POST" => format!("Content-Type: application/json\r\nContent-Length: {length}\r\n"),
        _ => String::new(),
    };
    format!("{method} {path} HTTP/1.1\r\nHost: safespace\r\n{content}{fields}\r\n{body}")
}

/// A request on a session, or on what belongs to it.
pub(crate) fn on_session(method: &str, session: &SessionId, below: &str) -> String {
    request(method, &format!("/api/v1/sessions/{}{below}", session.expose()), "", "")
}

/// A message with an `Idempotency-Key`, answered as JSON.
pub(crate) fn message(session: &SessionId, text: &str) -> String {
    chat(session, text, &format!("Idempotency-Key: {}\r\n", Uuid::new_v4()))
}

/// A message, answered as a stream.
pub(crate) fn streamed_message(session: &SessionId, text: &str) -> String {
    chat(session, text, "Accept: text/event-stream\r\n")
}

fn chat(session: &SessionId, text: &str, fields: &str) -> String {
    let path = format!("/api/v1/sessions/{}/chat", session.expose());
    request("POST", &path, fields, &format!("{{\"message\":\"{text}\"}}"))
}

/// Makes a report from five answers.
pub(crate) fn make_report(session: &SessionId) -> String {
    let path = format!("/api/v1/sessions/{}/report", session.expose());
    let answers = r#"{"location":"kampus","perpetrator":"lecturer","description":"repeated pressure","evidence":"messages","user_goal":"document safely"}"#;
    request("POST", &path, "", answers)
}

/// Reads the newest report.
pub(crate) fn read_report(session: &SessionId, media_type: &str) -> String {
    let path = format!("/api/v1/sessions/{}/report", session.expose());
    request("GET", &path, &format!("Accept: {media_type}\r\n"), "")
}

/// Creates a session. The fields may have a proof of work.
pub(crate) fn create(fields: &str) -> String {
    request("POST", "/api/v1/sessions", fields, "")
}

/// The session in the answer to [`create`].
pub(crate) fn created_session(body: &str) -> Option<SessionId> {
    body.split('"').find_map(|part| part.parse().ok())
}
