//! Erasing long sessions: the statement of one client, and of the batch that it is in.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::attack::{Attacker, Database};
use crate::flood::flood;
use crate::requests::{SHORT, on_session};
use crate::support::outcome::Outcome;

/// Messages of a long session.
const MESSAGES: i32 = 5_000;

/// Clients that delete at once.
const AT_ONCE: usize = 4;

/// From one group to the next.
const INTERVAL: Duration = Duration::from_secs(5);

/// Sessions that are deleted one after another in a second, at most.
const PER_SECOND: u64 = 10;

/// Long messages, in groups that are deleted at once.
pub(super) fn four_at_once(database: &mut Database) -> Outcome<Vec<Attacker>> {
    let groups = usize::try_from(database.seconds / INTERVAL.as_secs())?;
    // A sealed message of 4 KiB.
    let text = "x".repeat(4_083);
    let mut attackers: Vec<Attacker> = Vec::new();
    for _ in 0..AT_ONCE {
        let mut sessions = database.store(groups, MESSAGES, &text)?.into_iter();
        let mut due = None;
        attackers.push(flood(move |_| {
            let session = sessions.next()?;
            // The groups begin with the attack, not when it is prepared.
            let group = *due.get_or_insert_with(Instant::now);
            thread::sleep(group.saturating_duration_since(Instant::now()));
            due = Some(group + INTERVAL);
            Some(on_session("DELETE", &session, ""))
        }));
    }
    Ok(attackers)
}

/// Short messages, one session after another.
pub(super) fn continuous(database: &mut Database) -> Outcome<Vec<Attacker>> {
    let count = usize::try_from(database.seconds * PER_SECOND)?;
    let sessions = Arc::new(Mutex::new(database.store(count, MESSAGES, SHORT)?));
    let attacker = |_| {
        let sessions = sessions.clone();
        flood(move |_| sessions.lock().pop().map(|session| on_session("DELETE", &session, "")))
    };
    Ok((0..2).map(attacker).collect())
}
