//! Answers that take almost the time that a turn has: more than the model has places for.

use std::time::Duration;

use crate::attack::Attacker;
use crate::crowd::{Crowd, FAST};
use crate::database::Database;
use crate::requests::{SLOW, message};
use crate::support::outcome::Outcome;

/// More than the places divided by the seconds of an answer.
const PER_SECOND: u32 = 40;

/// Longer than any answer takes.
const STAY: Duration = Duration::from_secs(15);

pub(super) fn prepare(database: &mut Database) -> Outcome<Vec<Attacker>> {
    // Some victims wait for their answers after the end.
    let seconds = usize::try_from(database.seconds + STAY.as_secs())?;
    let mut sessions = database.store(PER_SECOND as usize * seconds, 0, SLOW)?.into_iter().cycle();
    let crowd = Crowd {
        connections: 1_000,
        opened_per_second: f64::from(PER_SECOND),
        bytes_read_per_second: FAST,
        leaves_after: STAY,
    };
    Ok(vec![crowd.attacker(move || sessions.next().map(|session| message(&session, SLOW)))])
}
