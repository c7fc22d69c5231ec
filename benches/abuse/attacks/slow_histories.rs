//! A large history, read slowly: what is not yet sent stays in memory.

use crate::attack::Attacker;
use crate::crowd::{Crowd, FOREVER, SLOWLY};
use crate::database::Database;
use crate::requests::on_session;
use crate::support::outcome::Outcome;

/// Control characters take six bytes each in JSON. The text fills a sealed message of 4 KiB.
pub(super) fn expanding_text() -> String {
    "\u{1}".repeat(4_083)
}

/// Messages of the history: 5.9 MB of JSON, and less than 1 MiB as stored.
pub(super) const MESSAGES: i32 = 240;

pub(super) fn prepare(database: &mut Database, connections: usize, sessions: usize) -> Outcome<Vec<Attacker>> {
    let mut sessions = database.store(sessions, MESSAGES, &expanding_text())?.into_iter().cycle();
    let crowd = Crowd { connections, opened_per_second: 200.0, bytes_read_per_second: SLOWLY, leaves_after: FOREVER };
    Ok(vec![crowd.attacker(move || Some(on_session("GET", &sessions.next()?, "/chat")))])
}
