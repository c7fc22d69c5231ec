//! The rows of sessions and of what was said in them, as SafeSpace writes them and as its peers do.

use postgres::Client;
use postgres::binary_copy::BinaryCopyInWriter;
use postgres::types::{ToSql, Type};
use safespace::conversation::{self, Message, Role};
use safespace::sealing::{Part, Seal};
use safespace::session_id::SessionId;
use uuid::Uuid;

use crate::Outcome;

/// How a service keeps what it stores.
#[derive(Clone, Copy)]
pub(crate) enum Shape {
    /// As SafeSpace does: found and read with a session's id alone.
    Sealed,
    /// As the peers do.
    Plain,
}

type Row = Vec<Box<dyn ToSql + Sync>>;

/// A turn of a conversation, of about 100 characters each.
const QUESTION: &str =
    "He took my phone again last night, and this morning he said that it was only because he worries so much.";
const ANSWER: &str =
    "That sounds frightening, and it is not your fault. Would you like to tell me what happened after that?";

impl Shape {
    /// Stores sessions.
    pub(crate) fn store_sessions(self, client: &mut Client, ids: &[SessionId]) -> Outcome<()> {
        let now = conversation::now();
        match self {
            Shape::Sealed => copy(client, "sessions (id, sealed)", &[Type::UUID, Type::BYTEA], ids, |id| {
                let seal = Seal::of(id);
                vec![Box::new(*seal.lookup().expose()), Box::new(conversation::seal_creation(&seal, now))]
            }),
            Shape::Plain => copy(client, "sessions (id, created_at)", &[Type::UUID, Type::TIMESTAMPTZ], ids, |id| {
                vec![Box::new(*id.expose()), Box::new(now)]
            }),
        }
    }

    /// Stores so many turns of a session that is there.
    pub(crate) fn store_turns(self, client: &mut Client, id: &SessionId, turns: i32) -> Outcome<()> {
        let seal = Seal::of(id);
        let message = |position: &i32| {
            let (role, part, text) = match position % 2 {
                1 => (Role::Person, Part::Question, QUESTION),
                _ => (Role::Script, Part::Answer, ANSWER),
            };
            let id = seal.message_id(part, Uuid::new_v4().as_bytes());
            Message { id, position: *position, role, created_at: conversation::now(), text: text.to_owned() }
        };
        let positions: Vec<i32> = (1..=2 * turns).collect();
        match self {
            Shape::Sealed => {
                let types = [Type::UUID, Type::INT4, Type::UUID, Type::BYTEA];
                copy(client, "messages (session_id, position, id, sealed)", &types, &positions, |position| {
                    let message = message(position);
                    let sealed = message.seal(&seal);
                    let session = *seal.lookup().expose();
                    vec![Box::new(session), Box::new(message.position), Box::new(message.id), Box::new(sealed)]
                })
            }
            Shape::Plain => {
                let types = [Type::UUID, Type::UUID, Type::TEXT, Type::TEXT, Type::TIMESTAMPTZ];
                let table = "messages (session_id, id, role, content, created_at)";
                copy(client, table, &types, &positions, |position| {
                    let message = message(position);
                    let role = if message.role == Role::Person { "user" } else { "model" };
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

fn copy<T>(client: &mut Client, table: &str, types: &[Type], items: &[T], row: impl Fn(&T) -> Row) -> Outcome<()> {
    let copy = client.copy_in(&format!("COPY {table} FROM STDIN (FORMAT binary)"))?;
    let mut writer = BinaryCopyInWriter::new(copy, types);
    for item in items {
        writer.write_raw(row(item))?;
    }
    writer.finish()?;
    Ok(())
}
