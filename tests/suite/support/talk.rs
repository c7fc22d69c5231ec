//! One session as its client uses it.

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::app::TestApp;
use super::events::Events;
use super::http::{Answer, Client};

/// A session and the way to it.
pub(crate) struct Talk<'a> {
    client: &'a Client,
    pub(crate) id: String,
}

impl<'a> Talk<'a> {
    /// A new session.
    #[track_caller]
    pub(crate) fn new(app: &'a TestApp) -> Talk<'a> {
        Talk::by(&app.client)
    }

    /// A new session through this client.
    #[track_caller]
    pub(crate) fn by(client: &'a Client) -> Talk<'a> {
        let session = client.post("/api/v1/sessions").assert_status(201).json();
        Talk::with(client, session["session_id"].as_str().unwrap())
    }

    /// A session that exists, or not.
    pub(crate) fn with(client: &'a Client, id: &str) -> Talk<'a> {
        Talk { client, id: id.to_owned() }
    }

    pub(crate) fn path(&self) -> String {
        format!("/api/v1/sessions/{}/chat", self.id)
    }

    /// Says something and waits for the answer.
    #[track_caller]
    pub(crate) fn say(&self, message: &str) -> Answer {
        self.client.post_json(&self.path(), &json!({"message": message}), &[])
    }

    /// The same under a key.
    #[track_caller]
    pub(crate) fn say_as(&self, key: &str, message: &str) -> Answer {
        self.client.post_json(&self.path(), &json!({"message": message}), &[("Idempotency-Key", key)])
    }

    /// Says something and has the answer come as a stream.
    #[track_caller]
    pub(crate) fn stream(&self, message: &str) -> Events {
        refuse_problem(self.try_stream(None, message))
    }

    /// The same under a key.
    #[track_caller]
    pub(crate) fn stream_as(&self, key: &str, message: &str) -> Events {
        refuse_problem(self.try_stream(Some(key), message))
    }

    /// The same, where an answer may come that is no stream.
    #[track_caller]
    pub(crate) fn try_stream(&self, key: Option<&str>, message: &str) -> Result<Events, Answer> {
        Events::ask(self.address(), &self.request(key, message))
    }

    /// The bytes that ask for a stream.
    pub(crate) fn request(&self, key: Option<&str>, message: &str) -> Vec<u8> {
        let key = key.map_or_else(String::new, |key| format!("Idempotency-Key: {key}\r\n"));
        let body = json!({"message": message}).to_string();
        let head = format!("POST {} HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n{key}", self.path());
        format!("{head}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
    }

    /// Says something under a key in a session that is erased before the answer, and is told so either way.
    #[track_caller]
    pub(crate) fn say_until_erased(&self, is_streamed: bool) {
        if is_streamed {
            self.stream_as("key", "hello").error(404);
        } else {
            self.say_as("key", "hello").assert_problem(404);
        }
    }

    pub(crate) fn stop(&self) -> Answer {
        self.client.post(&format!("{}/stop", self.path()))
    }

    pub(crate) fn erase(&self) -> Answer {
        self.client.delete(&format!("/api/v1/sessions/{}", self.id))
    }

    /// The answer to a question for what was said, with this after the path.
    pub(crate) fn history(&self, query: &str) -> Answer {
        self.client.get(&format!("{}{query}", self.path()))
    }

    /// The messages that are stored, the oldest first.
    #[track_caller]
    pub(crate) fn messages(&self) -> Vec<Value> {
        self.history("").assert_status(200).json()["messages"].as_array().unwrap().clone()
    }

    /// What was said, each after who said it.
    #[track_caller]
    pub(crate) fn said(&self) -> Vec<String> {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        self.messages()
            .iter()
            .map(|message| format!("{}: {}", text(&message["role"]), text(&message["content"])))
            .collect()
    }

    fn address(&self) -> SocketAddr {
        self.client.address()
    }
}

#[track_caller]
fn refuse_problem(events: Result<Events, Answer>) -> Events {
    events.unwrap_or_else(|answer| panic!("no stream but {}: {}", answer.status, answer.text()))
}
