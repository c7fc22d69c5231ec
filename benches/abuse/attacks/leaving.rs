//! Long answers whose client leaves: the turns keep their places with the model.

use std::time::Duration;

use crate::attack::Attacker;
use crate::crowd::{Crowd, FAST};
use crate::database::Database;
use crate::requests::{LONG, streamed_message};
use crate::support::outcome::Outcome;

/// Messages at a time.
const CONNECTIONS: usize = 8;

const STAY: Duration = Duration::from_secs(2);

const PER_SECOND: f64 = 4.0;

pub(super) fn prepare(database: &mut Database) -> Outcome<Vec<Attacker>> {
    let rounds = usize::try_from(database.seconds)?;
    let mut sessions = database.store(CONNECTIONS * rounds, 0, LONG)?.into_iter().cycle();
    let crowd = Crowd {
        connections: CONNECTIONS,
        opened_per_second: PER_SECOND,
        bytes_read_per_second: FAST,
        leaves_after: STAY,
    };
    Ok(vec![crowd.attacker(move || sessions.next().map(|session| streamed_message(&session, LONG)))])
}
