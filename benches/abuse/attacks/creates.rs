//! Sessions and messages without end: they fill the disk.

use crate::attack::Attacker;
use crate::database::Database;
use crate::flood::flood;
use crate::requests::{create, created_session, message};
use crate::support::client::Answer;
use crate::support::outcome::Outcome;
use crate::support::proof_of_work;

/// They ignore a required proof of work.
pub(super) fn without_proof(_: &mut Database) -> Outcome<Vec<Attacker>> {
    Ok(attackers(128, |_| None))
}

/// They solve every challenge, with all the processors that the others leave.
pub(super) fn with_proof(_: &mut Database) -> Outcome<Vec<Attacker>> {
    Ok(attackers(8, proof_of_work::solve))
}

/// Every fourth also writes into each session.
fn attackers(count: usize, solve: fn(&Answer) -> Option<String>) -> Vec<Attacker> {
    // It fills a sealed message of 4 KiB.
    let text = "x".repeat(4_083);
    let attacker = |number: usize| {
        let text = text.clone();
        flood(move |answer| {
            let created = answer.filter(|answer| answer.status == 201 && number.is_multiple_of(4));
            Some(match created.and_then(|answer| created_session(&answer.body)) {
                Some(session) => message(&session, &text),
                None => create(&answer.and_then(solve).unwrap_or_default()),
            })
        })
    };
    (0..count).map(attacker).collect()
}
