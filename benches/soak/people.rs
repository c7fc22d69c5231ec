//! The people of the soak: who rests, whose session was erased, and whose ends by itself.

use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use safespace::sealing::SealingKey;
use safespace::session_id::SessionId;
use uuid::Uuid;

use crate::chance;
use crate::ledger::Ledger;

/// From one visit of a person to the next: the time in which the rate of messages of a session recovers.
const REST: Duration = Duration::from_secs(20);

/// The first network of the people, of which each has one: a public address.
const FIRST_NETWORK: u32 = u32::from_be_bytes([60, 0, 0, 1]);

/// A session as its client knows it.
#[derive(Clone)]
pub(crate) struct Session {
    pub(crate) id: String,
    /// The key of its rows.
    pub(crate) lookup: Uuid,
}

impl Session {
    /// That of an answer to a creation.
    pub(crate) fn new(id: &str) -> Option<Session> {
        let parsed: SessionId = id.parse().ok()?;
        Some(Session { id: id.to_owned(), lookup: *SealingKey::derive(&parsed).lookup().expose() })
    }
}

/// A person with a session.
pub(crate) struct Person {
    pub(crate) session: Session,
    pub(crate) address: Ipv4Addr,
    pub(crate) ledger: Ledger,
    /// A request to erase was not answered, so the session may be gone.
    pub(crate) may_be_erased: bool,
}

/// A session that ends by itself.
pub(crate) struct Ending {
    pub(crate) session: Session,
    pub(crate) ends_at: DateTime<Utc>,
    /// When its rows were made so old that the next sweep deletes them.
    pub(crate) swept_from: Option<Instant>,
}

/// Everybody who makes no request now.
#[derive(Default)]
pub(crate) struct People {
    resting: Mutex<VecDeque<(Instant, Person)>>,
    erased: Mutex<Vec<Session>>,
    pub(crate) ending: Mutex<Vec<Ending>>,
    networks: AtomicU32,
}

impl People {
    /// An address in a network that nobody else has.
    pub(crate) fn new_address(&self) -> Ipv4Addr {
        Ipv4Addr::from_bits(FIRST_NETWORK + (self.networks.fetch_add(1, Ordering::Relaxed) << 8))
    }

    /// The person who has rested for longest, and long enough.
    pub(crate) fn take_rested(&self) -> Option<Person> {
        let mut resting = self.resting.lock();
        let is_rested = resting.front().is_some_and(|(since, _)| since.elapsed() > REST);
        if is_rested { resting.pop_front().map(|(_, person)| person) } else { None }
    }

    /// Those who began to rest last.
    pub(crate) fn take_newest(&self, count: usize) -> Vec<Person> {
        let mut resting = self.resting.lock();
        let first = resting.len().saturating_sub(count);
        resting.split_off(first).into_iter().map(|(_, person)| person).collect()
    }

    pub(crate) fn rest(&self, person: Person) {
        self.resting.lock().push_back((Instant::now(), person));
    }

    pub(crate) fn note_erased(&self, session: Session) {
        self.erased.lock().push(session);
    }

    /// How many rest, and how many were erased.
    pub(crate) fn counts(&self) -> [usize; 2] {
        [self.resting.lock().len(), self.erased.lock().len()]
    }

    /// Some of those that were erased: the last ones, and others by chance.
    pub(crate) fn sample_erased(&self, newest: usize, by_chance: usize) -> Vec<Session> {
        let erased = self.erased.lock();
        let last = erased.iter().rev().take(newest);
        let any = (0..by_chance).filter_map(|_| erased.get(chance::below(erased.len())));
        last.chain(any).cloned().collect()
    }

    pub(crate) fn all_erased(&self) -> Vec<Session> {
        self.erased.lock().clone()
    }
}
