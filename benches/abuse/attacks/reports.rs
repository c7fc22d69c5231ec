//! Reading the reports of one session without end, as JSON and as PDF: a small request for what takes time and memory to make.

use crate::attack::Attacker;
use crate::database::Database;
use crate::flood::flood;
use crate::requests::{make_report, read_report};
use crate::support::outcome::Outcome;

const CONNECTIONS: usize = 64;

pub(super) fn prepare(database: &mut Database) -> Outcome<Vec<Attacker>> {
    let session = database.store(1, 1, "Please help me.")?.remove(0);
    Ok((0..CONNECTIONS)
        .map(|number| {
            // The first one makes a report, and the others read it: half of them as PDF.
            let accepted = if number % 2 == 0 { "application/json" } else { "application/pdf" };
            let (read, mut first) = (read_report(&session, accepted), (number == 0).then(|| make_report(&session)));
            flood(move |_| Some(first.take().unwrap_or_else(|| read.clone())))
        })
        .collect())
}
