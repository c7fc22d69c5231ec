//! Companions, calls and raw replies of a model's server.

use std::io::Write;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use safespace::companion::{self, BuildError, Call, ChatMessage, Companion, Finish, Unavailable};
use safespace::config::{CompanionSettings, Config, ModelSettings};
use safespace::message::Role;
use safespace::resources::Registry;
use safespace::sync::CancellationToken;
use serde_json::json;

use crate::support::fake_model::{FakeModel, Reply};
use crate::support::variables;

/// The embedded help lines.
pub(super) static RESOURCES: LazyLock<Arc<Registry>> = LazyLock::new(|| Arc::new(Registry::load(None).unwrap()));

/// Longer than any call here takes.
pub(super) const LONG: Duration = Duration::from_secs(30);

/// The last chunk of a stream before `[DONE]`.
pub(super) const STOP: &str = "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";

/// A configuration with these variables and a home folder.
#[track_caller]
pub(super) fn config(pairs: &[(&str, &str)]) -> Config {
    Config::from_variables(&variables(&with_home(pairs))).unwrap()
}

pub(super) fn with_home<'a>(pairs: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    [&[("HOME", "/h")], pairs].concat()
}

#[track_caller]
pub(super) fn settings(pairs: &[(&str, &str)]) -> CompanionSettings {
    config(pairs).companion
}

#[track_caller]
pub(super) fn model_settings(pairs: &[(&str, &str)]) -> ModelSettings {
    settings(pairs).model.expect("a model")
}

#[track_caller]
pub(super) fn build(pairs: &[(&str, &str)]) -> Companion {
    companion::build(&settings(pairs), &RESOURCES).unwrap_or_else(|error| panic!("{error}"))
}

/// The companion of settings that no variable can express.
pub(super) fn build_model(model: ModelSettings) -> Result<Companion, BuildError> {
    let mut settings = settings(&[]);
    settings.model = Some(model);
    companion::build(&settings, &RESOURCES)
}

/// A client of the model at this URL.
#[track_caller]
pub(super) fn client_at(url: &str) -> Companion {
    build(&[("OPENAI_BASE_URL", url), ("COMPANION_MODEL", "m")])
}

/// A client of the fake model.
#[track_caller]
pub(super) fn client(model: &FakeModel) -> Companion {
    build(&model.variables().each_ref().map(|(name, value)| (*name, value.as_str())))
}

/// A fake model that always sends these bytes and then closes the connection.
pub(super) fn fake_sending(bytes: impl Into<Vec<u8>>) -> FakeModel {
    let bytes = bytes.into();
    let model = FakeModel::start();
    model.always(std::sync::Arc::new(move |reply: &mut Reply<'_>| reply.send(&bytes)));
    model
}

pub(super) fn call(limit: Duration) -> Call {
    Call { deadline: Instant::now() + limit, has_full_time: true, cancellation: CancellationToken::default() }
}

pub(super) fn message(role: Role, text: &str) -> ChatMessage {
    ChatMessage { role, text: text.to_owned() }
}

/// Asks for an answer to this conversation, whose question is assessed as in a turn, and returns the result with the pieces.
pub(super) fn answer(
    companion: &Companion,
    conversation: &[ChatMessage],
    call: &Call,
) -> (Result<Finish, Unavailable>, Vec<String>) {
    let mut pieces = Vec::new();
    let question = conversation.iter().rev().find(|message| message.role == Role::User);
    let safety = question.and_then(|question| companion.assess(&question.text));
    let result = companion.answer(conversation, safety, call, &mut |piece| pieces.push(piece.to_owned()));
    (result, pieces)
}

/// The same for a conversation of one message.
pub(super) fn ask(companion: &Companion, call: &Call) -> (Result<Finish, Unavailable>, Vec<String>) {
    answer(companion, &[message(Role::User, "help")], call)
}

/// A response that ends with its connection, because it has no length.
pub(super) fn response(media_type: &str, body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Type: {media_type}\r\nConnection: close\r\n\r\n{body}")
}

pub(super) fn stream(body: &str) -> String {
    response("Text/Event-Stream; charset=utf-8", body)
}

/// A response with another status, which redirects and has a body.
pub(super) fn status(code: u16) -> String {
    format!("HTTP/1.1 {code} Reason\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 2\r\n\r\n{{}}")
}

/// A response with a complete answer.
pub(super) fn completion(content: &str) -> String {
    let message = json!({"role": "assistant", "content": content});
    let body = json!({"id": "1", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]});
    response("application/json", &body.to_string())
}

/// Bytes as gzip compresses them.
pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Bytes as zlib compresses them.
pub(super) fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// One chunk of a stream.
pub(super) fn delta(content: &str) -> String {
    format!("data: {}\n\n", json!({"choices": [{"index": 0, "delta": {"content": content}, "finish_reason": null}]}))
}

/// A file with this content, which exists as long as the value.
pub(super) fn file(content: &[u8]) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), content).unwrap();
    file
}

/// The path of a file as the value of a variable.
pub(super) fn path(file: &tempfile::NamedTempFile) -> &str {
    file.path().to_str().unwrap()
}
