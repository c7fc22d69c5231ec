//! One session as its client uses it.

use chrono::{DateTime, TimeDelta, Utc};
use postgres::types::ToSql;
use safespace::message::{self, Message, Role};
use safespace::sealing::SealingKey;
use safespace::session_id::SessionId;
use serde_json::{Value, json};
use uuid::Uuid;

use super::app::TestApp;
use super::events::Events;
use super::http::{Answer, Client};

/// A session and the client that owns it.
pub(crate) struct Chat<'a> {
    client: &'a Client,
    pub(crate) id: String,
}

impl<'a> Chat<'a> {
    /// A new session of a service.
    #[track_caller]
    pub(crate) fn new(app: &'a TestApp) -> Chat<'a> {
        Chat::create(&app.client)
    }

    /// A new session.
    #[track_caller]
    pub(crate) fn create(client: &'a Client) -> Chat<'a> {
        let session = client.post("/api/v1/sessions").assert_status(201).json();
        Chat::of(client, session["session_id"].as_str().unwrap())
    }

    /// The session with this id, which need not exist.
    pub(crate) fn of(client: &'a Client, id: &str) -> Chat<'a> {
        Chat { client, id: id.to_owned() }
    }

    pub(crate) fn path(&self) -> String {
        format!("/api/v1/sessions/{}/chat", self.id)
    }

    /// Sends a message and waits for the whole answer.
    #[track_caller]
    pub(crate) fn send(&self, message: &str) -> Answer {
        self.client.post_json(&self.path(), &json!({"message": message}), &[])
    }

    /// The same with an `Idempotency-Key`.
    #[track_caller]
    pub(crate) fn send_with_key(&self, key: &str, message: &str) -> Answer {
        self.client.post_json(&self.path(), &json!({"message": message}), &[("Idempotency-Key", key)])
    }

    /// Sends a message and reads the answer as a stream.
    #[track_caller]
    pub(crate) fn stream(&self, message: &str) -> Events {
        expect_stream(self.try_stream(None, message))
    }

    /// The same with an `Idempotency-Key`.
    #[track_caller]
    pub(crate) fn stream_with_key(&self, key: &str, message: &str) -> Events {
        expect_stream(self.try_stream(Some(key), message))
    }

    /// The same, where the response may be a problem document.
    #[track_caller]
    pub(crate) fn try_stream(&self, key: Option<&str>, message: &str) -> Result<Events, Answer> {
        Events::request(self.client.address(), &self.stream_request(key, message))
    }

    /// The bytes of a request for a stream.
    pub(crate) fn stream_request(&self, key: Option<&str>, message: &str) -> Vec<u8> {
        self.request("text/event-stream", key, message)
    }

    /// The bytes of a request with this `Accept`.
    pub(crate) fn request(&self, accept: &str, key: Option<&str>, message: &str) -> Vec<u8> {
        let key = key.map_or_else(String::new, |key| format!("Idempotency-Key: {key}\r\n"));
        let body = json!({"message": message}).to_string();
        let head = format!("POST {} HTTP/1.1\r\nHost: x\r\nAccept: {accept}\r\n{key}", self.path());
        format!("{head}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
    }

    /// Sends a message in a session that is erased during the turn, and asserts the 404.
    #[track_caller]
    pub(crate) fn assert_erased_while_sending(&self, streamed: bool) {
        if streamed {
            self.stream_with_key("key", "hello").error(404);
        } else {
            self.send_with_key("key", "hello").assert_problem(404);
        }
    }

    pub(crate) fn stop(&self) -> Answer {
        self.client.post(&format!("{}/stop", self.path()))
    }

    pub(crate) fn erase(&self) -> Answer {
        self.client.delete(&format!("/api/v1/sessions/{}", self.id))
    }

    /// The response to a request for the history, with this query.
    pub(crate) fn history(&self, query: &str) -> Answer {
        self.client.get(&format!("{}{query}", self.path()))
    }

    /// The stored messages, the oldest first.
    #[track_caller]
    pub(crate) fn messages(&self) -> Vec<Value> {
        self.history("").assert_status(200).json()["messages"].as_array().unwrap().clone()
    }

    /// The stored messages as `role: content`, the oldest first.
    #[track_caller]
    pub(crate) fn transcript(&self) -> Vec<String> {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        self.messages()
            .iter()
            .map(|message| format!("{}: {}", text(&message["role"]), text(&message["content"])))
            .collect()
    }
}

/// Stores messages of an existing session without turns: the user's and the companion's alternate.
pub(crate) fn store_messages(sql: &mut postgres::Client, session_id: &str, texts: &[String]) {
    let messages: Vec<(String, DateTime<Utc>)> = texts.iter().map(|text| (text.clone(), message::now())).collect();
    store_messages_at(sql, session_id, &messages);
}

/// Stores a session that was created so many seconds ago, with messages from so many seconds ago, and returns its id.
pub(crate) fn store_session(
    sql: &mut postgres::Client,
    created: i64,
    own_idle_timeout: Option<i32>,
    messages: &[i64],
) -> String {
    let id = Uuid::new_v4().to_string();
    let key = SealingKey::derive(&id.parse::<SessionId>().unwrap());
    let lookup = *key.lookup().expose();
    let ago = |seconds: &i64| message::now() - TimeDelta::seconds(*seconds);
    let hour = |seconds: &i64| i32::try_from(ago(seconds).timestamp() / 3600).unwrap();
    let sealed = message::seal_creation_time(&key, ago(&created));
    let row: [&(dyn ToSql + Sync); 5] =
        [&lookup, &sealed, &hour(&created), &hour(messages.last().unwrap_or(&created)), &own_idle_timeout];
    sql.execute("INSERT INTO sessions VALUES ($1, $2, $3, $4, $5)", &row).unwrap();
    let messages: Vec<(String, DateTime<Utc>)> = messages.iter().map(|at| ("halo".to_owned(), ago(at))).collect();
    store_messages_at(sql, &id, &messages);
    id
}

fn store_messages_at(sql: &mut postgres::Client, session_id: &str, messages: &[(String, DateTime<Utc>)]) {
    let key = SealingKey::derive(&session_id.parse::<SessionId>().unwrap());
    let lookup = *key.lookup().expose();
    let insert = "INSERT INTO messages (session_id, position, id, sealed, total_bytes) VALUES ($1, $2, $3, $4, $5)";
    let mut transaction = sql.transaction().unwrap();
    let (insert, mut total_bytes) = (transaction.prepare(insert).unwrap(), 0);
    for (position, (text, created_at)) in (1..).zip(messages) {
        let role = if position % 2 == 1 { Role::User } else { Role::Script };
        let message =
            Message { id: Uuid::new_v4(), position, role, created_at: *created_at, text: text.clone(), is_cut: false };
        let sealed = message.seal(&key);
        total_bytes += sealed.len() as i64;
        let row: [&(dyn ToSql + Sync); 5] = [&lookup, &position, &message.id, &sealed, &total_bytes];
        transaction.execute(&insert, &row).unwrap();
    }
    transaction.commit().unwrap();
}

/// Makes the newest message of a session one that can be read; the others may be any bytes.
pub(crate) fn seal_newest(sql: &mut postgres::Client, session_id: &str) {
    let key = SealingKey::derive(&session_id.parse::<SessionId>().unwrap());
    let lookup = *key.lookup().expose();
    let newest = "SELECT position, id FROM messages WHERE session_id = $1 ORDER BY position DESC LIMIT 1";
    let newest = sql.query_one(newest, &[&lookup]).unwrap();
    let (position, id) = (newest.get(0), newest.get(1));
    let (text, role) = ("halo".to_owned(), Role::User);
    let message = Message { id, position, role, created_at: message::now(), text, is_cut: false };
    let update = "UPDATE messages SET sealed = $3 WHERE session_id = $1 AND position = $2";
    sql.execute(update, &[&lookup, &position, &message.seal(&key)]).unwrap();
}

/// Asserts a 503 with `Retry-After`, the response where the companion or the database is not available.
#[track_caller]
pub(crate) fn assert_unavailable(answer: &Answer, case: &str) {
    assert_eq!(answer.status, 503, "{case}: {}", answer.text());
    answer.assert_problem(503);
    let seconds = answer.header("Retry-After").and_then(|seconds| seconds.parse::<u32>().ok());
    assert!(seconds.is_some_and(|seconds| seconds > 0), "{case}");
}

/// Rows of sessions and of what belongs to them; without claims, which are released some time after their turn, and never outlive
/// their session.
#[track_caller]
pub(crate) fn count_rows(sql: &mut postgres::Client) -> i64 {
    let tables = "SELECT tablename FROM pg_tables WHERE schemaname = current_schema
                  AND tablename NOT IN ('refinery_schema_history', 'compatibility', 'turns')";
    let tables: Vec<String> = sql.query(tables, &[]).unwrap().iter().map(|row| row.get(0)).collect();
    assert!(tables.len() >= 2, "{tables:?}");
    tables
        .iter()
        .map(|table| sql.query_one(&format!("SELECT count(*) FROM {table}"), &[]).unwrap().get::<_, i64>(0))
        .sum()
}

#[track_caller]
fn expect_stream(events: Result<Events, Answer>) -> Events {
    events.unwrap_or_else(|answer| panic!("no stream but {}: {}", answer.status, answer.text()))
}
