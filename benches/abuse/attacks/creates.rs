//! Sessions and messages without end: they fill the disk.

use crate::attack::{Attacker, Database};
use crate::client::Answer;
use crate::flood::flood;
use crate::requests::{create, created_session, message};
use crate::support::outcome::Outcome;

const CONNECTIONS: usize = 64;

pub(super) fn prepare(_: &mut Database) -> Outcome<Vec<Attacker>> {
    // A sealed message of 4 KiB.
    let text = "x".repeat(4_083);
    let attacker = |number: usize| {
        let text = text.clone();
        let writes = number.is_multiple_of(2);
        flood(move |answer| Some(next(answer.filter(|_| writes), &text)))
    };
    Ok((0..CONNECTIONS).map(attacker).collect())
}

/// A message into the session that was just created, or the next session.
fn next(answer: Option<&Answer>, text: &str) -> String {
    let created = answer.filter(|answer| answer.status == 201).and_then(|answer| created_session(&answer.body));
    created.map_or_else(create, |session| message(&session, text))
}
