//! Keyed messages into long sessions: the service looks for the answer to the key among all messages.

use crate::attack::Attacker;
use crate::database::Database;
use crate::flood::flood;
use crate::requests::{SHORT, message};
use crate::support::outcome::Outcome;

/// More than the statements that run at the same time.
const CLIENTS: usize = 8;

pub(super) fn prepare(database: &mut Database, messages: i32) -> Outcome<Vec<Attacker>> {
    let sessions = database.store(CLIENTS, messages, SHORT)?;
    Ok(sessions.into_iter().map(|session| flood(move |_| Some(message(&session, SHORT)))).collect())
}
