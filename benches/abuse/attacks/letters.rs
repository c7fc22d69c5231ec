//! Streams of many small pieces, read slowly: the frame of a piece is larger than its text.

use crate::attack::Attacker;
use crate::crowd::{Crowd, FOREVER, SLOWLY};
use crate::database::Database;
use crate::requests::{LETTERS, streamed_message};
use crate::support::outcome::Outcome;

const OPENED_PER_SECOND: f64 = 200.0;

/// Sessions for each connection, which the service may close.
const SESSIONS: usize = 4;

pub(super) fn prepare(database: &mut Database, connections: usize) -> Outcome<Vec<Attacker>> {
    let mut sessions = database.store(SESSIONS * connections, 0, LETTERS)?.into_iter().cycle();
    let crowd = Crowd {
        connections,
        opened_per_second: OPENED_PER_SECOND,
        bytes_read_per_second: SLOWLY,
        leaves_after: FOREVER,
    };
    Ok(vec![crowd.attacker(move || sessions.next().map(|session| streamed_message(&session, LETTERS)))])
}
