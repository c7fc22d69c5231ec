//! Erasing long sessions: the statement of one client, and of the batch that it is in.

use std::thread;
use std::time::{Duration, Instant};

use crate::attack::Attacker;
use crate::database::Database;
use crate::flood::flood;
use crate::requests::{SHORT, on_session};
use crate::support::outcome::Outcome;

/// Messages of a long session.
const MESSAGES: i32 = 5_000;

/// Clients that delete at the same time.
const CLIENTS: usize = 4;

/// Long messages: the clients delete one session each, and wait.
pub(super) fn four_at_once(database: &mut Database) -> Outcome<Vec<Attacker>> {
    // Each fills a sealed message of 4 KiB.
    prepare(database, &"x".repeat(4_083), Duration::from_secs(5))
}

/// Short messages, without a pause if a deletion takes longer than the interval.
pub(super) fn continuous(database: &mut Database) -> Outcome<Vec<Attacker>> {
    prepare(database, SHORT, Duration::from_millis(400))
}

fn prepare(database: &mut Database, text: &str, interval: Duration) -> Outcome<Vec<Attacker>> {
    let count = Duration::from_secs(database.seconds).div_duration_f64(interval) as usize;
    let mut attackers = Vec::new();
    for _ in 0..CLIENTS {
        let mut sessions = database.store(count, MESSAGES, text)?.into_iter();
        let mut due = None;
        attackers.push(flood(move |_| {
            let session = sessions.next()?;
            // The first is due when the attack begins, not when it is prepared.
            let this = *due.get_or_insert_with(Instant::now);
            thread::sleep(this.saturating_duration_since(Instant::now()));
            due = Some(this + interval);
            Some(on_session("DELETE", &session, ""))
        }));
    }
    Ok(attackers)
}
