//! Rows of sessions and messages, in the format of SafeSpace and in that of its peers.

use postgres::Client;
use postgres::types::Type;
use safespace::message::{self, Role};
use safespace::sealing::SealingKey;
use safespace::session_id::SessionId;

use crate::support::outcome::Outcome;
use crate::support::rows;

/// How a service stores sessions and messages.
#[derive(Clone, Copy)]
pub(crate) enum Format {
    /// SafeSpace's format: a row is found under the lookup of a session's id, and opened with a key derived from the id.
    Sealed,
    /// The peers' format: plain text.
    Plain,
}

/// The two messages of a turn, about 100 characters each.
const TEXTS: [&str; 2] = [
    "He took my phone again last night, and this morning he said that it was only because he worries so much.",
    "That sounds frightening, and it is not your fault. Would you like to tell me what happened after that?",
];

impl Format {
    /// Stores sessions.
    pub(crate) fn store_sessions(self, client: &mut Client, ids: &[SessionId]) -> Outcome<()> {
        let now = message::now();
        match self {
            Format::Sealed => rows::store_sessions(client, ids),
            Format::Plain => {
                rows::copy(client, "sessions (id, created_at)", &[Type::UUID, Type::TIMESTAMPTZ], ids, |id| {
                    vec![Box::new(*id.expose()), Box::new(now)]
                })
            }
        }
    }

    /// Stores turns of an existing session.
    pub(crate) fn store_turns(self, client: &mut Client, id: &SessionId, turns: i32) -> Outcome<()> {
        match self {
            Format::Sealed => rows::store_messages(client, id, 2 * turns, TEXTS),
            Format::Plain => {
                let key = SealingKey::derive(id);
                let positions: Vec<i32> = (1..=2 * turns).collect();
                let types = [Type::UUID, Type::UUID, Type::TEXT, Type::TEXT, Type::TIMESTAMPTZ];
                let table = "messages (session_id, id, role, content, created_at)";
                rows::copy(client, table, &types, &positions, |position| {
                    let message = rows::message(&key, *position, TEXTS);
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

/// A creation time as SafeSpace seals it, for a load that does not pay for sealing.
pub(crate) fn sealed_creation_time() -> Vec<u8> {
    message::seal_creation_time(&SealingKey::derive(&SessionId::random()), message::now())
}
