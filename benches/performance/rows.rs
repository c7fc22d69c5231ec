//! Rows of sessions and messages, in the format of SafeSpace and in that of its peers.

use postgres::Client;
use postgres::binary_copy::BinaryCopyInWriter;
use postgres::types::{ToSql, Type};
use safespace::message::{self, Message, Role};
use safespace::sealing::{Part, SealingKey};
use safespace::session_id::SessionId;
use uuid::Uuid;

use crate::outcome::Outcome;

/// How a service stores sessions and messages.
#[derive(Clone, Copy)]
pub(crate) enum Format {
    /// SafeSpace's format: a row is found under the lookup of a session's id, and opened with a key derived from the id.
    Sealed,
    /// The peers' format: plain text.
    Plain,
}

type Row = Vec<Box<dyn ToSql + Sync>>;

/// The two messages of a turn, about 100 characters each.
const QUESTION: &str =
    "He took my phone again last night, and this morning he said that it was only because he worries so much.";
const ANSWER: &str =
    "That sounds frightening, and it is not your fault. Would you like to tell me what happened after that?";

impl Format {
    /// Stores sessions.
    pub(crate) fn store_sessions(self, client: &mut Client, ids: &[SessionId]) -> Outcome<()> {
        let now = message::now();
        match self {
            Format::Sealed => copy(client, "sessions (id, sealed)", &[Type::UUID, Type::BYTEA], ids, |id| {
                let key = SealingKey::derive(id);
                vec![Box::new(*key.lookup().expose()), Box::new(message::seal_creation_time(&key, now))]
            }),
            Format::Plain => copy(client, "sessions (id, created_at)", &[Type::UUID, Type::TIMESTAMPTZ], ids, |id| {
                vec![Box::new(*id.expose()), Box::new(now)]
            }),
        }
    }

    /// Stores turns of an existing session.
    pub(crate) fn store_turns(self, client: &mut Client, id: &SessionId, turns: i32) -> Outcome<()> {
        let key = SealingKey::derive(id);
        let message = |position: &i32| {
            let (role, part, text) = match position % 2 {
                1 => (Role::User, Part::Question, QUESTION),
                _ => (Role::Script, Part::Answer, ANSWER),
            };
            let id = key.message_id(part, Uuid::new_v4().as_bytes());
            Message { id, position: *position, role, created_at: message::now(), text: text.to_owned() }
        };
        let positions: Vec<i32> = (1..=2 * turns).collect();
        match self {
            Format::Sealed => {
                let types = [Type::UUID, Type::INT4, Type::UUID, Type::BYTEA, Type::INT8];
                let table = "messages (session_id, position, id, sealed, total_bytes)";
                copy(client, table, &types, &positions, |position| {
                    let message = message(position);
                    let sealed = message.seal(&key);
                    // Padding gives all of them one length.
                    let total_bytes = i64::from(*position) * i64::try_from(sealed.len()).unwrap_or(i64::MAX);
                    let session = *key.lookup().expose();
                    vec![
                        Box::new(session),
                        Box::new(message.position),
                        Box::new(message.id),
                        Box::new(sealed),
                        Box::new(total_bytes),
                    ]
                })
            }
            Format::Plain => {
                let types = [Type::UUID, Type::UUID, Type::TEXT, Type::TEXT, Type::TIMESTAMPTZ];
                let table = "messages (session_id, id, role, content, created_at)";
                copy(client, table, &types, &positions, |position| {
                    let message = message(position);
                    let role = if message.role == Role::User { "user" } else { "model" };
                    let (session, created_at) = (*id.expose(), message.created_at);
                    vec![
                        Box::new(session),
                        Box::new(message.id),
                        Box::new(role),
                        Box::new(message.text),
                        Box::new(created_at),
                    ]
                })
            }
        }
    }
}

/// The SQL of one session as large as SafeSpace's, for a load that does not pay for sealing it.
pub(crate) fn insert_statement() -> String {
    let sealed = message::seal_creation_time(&SealingKey::derive(&SessionId::random()), message::now());
    let digits: String = sealed.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("INSERT INTO sessions (id, sealed) VALUES (gen_random_uuid(), '\\x{digits}');\n")
}

/// Writes rows with `COPY`.
fn copy<T>(client: &mut Client, table: &str, types: &[Type], items: &[T], row: impl Fn(&T) -> Row) -> Outcome<()> {
    let copy = client.copy_in(&format!("COPY {table} FROM STDIN (FORMAT binary)"))?;
    let mut writer = BinaryCopyInWriter::new(copy, types);
    for item in items {
        writer.write_raw(row(item))?;
    }
    writer.finish()?;
    Ok(())
}
