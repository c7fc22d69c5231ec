//! Rows of sessions and messages as SafeSpace stores them: sealed by its library, and written with `COPY`.

use postgres::Client;
use postgres::binary_copy::BinaryCopyInWriter;
use postgres::types::{ToSql, Type};
use safespace::message::{self, Message, Role};
use safespace::sealing::{Part, SealingKey};
use safespace::session_id::SessionId;
use uuid::Uuid;

use super::outcome::Outcome;

/// The values of one row.
pub(crate) type Row = Vec<Box<dyn ToSql + Sync>>;

/// Stores sessions. A row is found under the lookup of the session's id, and opened with a key derived from the id.
pub(crate) fn store_sessions(client: &mut Client, ids: &[SessionId]) -> Outcome<()> {
    let now = message::now();
    copy(client, "sessions (id, sealed)", &[Type::UUID, Type::BYTEA], ids, |id| {
        let key = SealingKey::derive(id);
        vec![Box::new(*key.lookup().expose()), Box::new(message::seal_creation_time(&key, now))]
    })
}

/// Stores the first messages of an existing session, with the question and the answer of `texts` in turn.
pub(crate) fn store_messages(client: &mut Client, id: &SessionId, count: i32, texts: [&str; 2]) -> Outcome<()> {
    let key = SealingKey::derive(id);
    let types = [Type::UUID, Type::INT4, Type::UUID, Type::BYTEA, Type::INT8];
    let table = "messages (session_id, position, id, sealed, total_bytes)";
    let positions: Vec<i32> = (1..=count).collect();
    let mut total_bytes = 0;
    copy(client, table, &types, &positions, |position| {
        let message = message(&key, *position, texts);
        let sealed = message.seal(&key);
        total_bytes += i64::try_from(sealed.len()).unwrap_or(i64::MAX);
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

/// The message at a position: odd ones are the user's.
pub(crate) fn message(key: &SealingKey, position: i32, [question, answer]: [&str; 2]) -> Message {
    let (role, part, text) = match position % 2 {
        1 => (Role::User, Part::Question, question),
        _ => (Role::Script, Part::Answer, answer),
    };
    let id = key.message_id(part, Uuid::new_v4().as_bytes());
    Message { id, position, role, created_at: message::now(), text: text.to_owned(), is_cut: false }
}

/// Writes rows with `COPY`.
pub(crate) fn copy<T>(
    client: &mut Client,
    table: &str,
    types: &[Type],
    items: &[T],
    mut row: impl FnMut(&T) -> Row,
) -> Outcome<()> {
    let copy = client.copy_in(&format!("COPY {table} FROM STDIN (FORMAT binary)"))?;
    let mut writer = BinaryCopyInWriter::new(copy, types);
    for item in items {
        writer.write_raw(row(item))?;
    }
    writer.finish()?;
    Ok(())
}
