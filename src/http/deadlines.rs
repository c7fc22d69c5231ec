//! When each connection's time is over. A phase has one duration, so a list of its connections in the order in which they
//! entered it is sorted by deadline: entering, leaving and finding the first one cost the same with any number of them.

use std::iter;
use std::time::{Duration, Instant};

use super::limits::Limits;

/// What a connection is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Between two requests.
    Idle,
    /// A head is coming in, since its first byte.
    Head,
    /// A body is coming in, since its head was complete.
    Body,
    /// The application makes the response, or its next piece.
    Answering,
    /// The client does not read, since it last read something.
    Writing,
    /// The response is written and our side is shut, while the client may still be sending. Closing at once would reset
    /// the connection and discard the response with it (RFC 9112, section 9.6).
    Lingering,
}

/// How many phases there are.
pub(super) const PHASES: usize = 6;

impl Phase {
    /// All of them, in the order of a request's life.
    pub(super) const ALL: [Phase; PHASES] =
        [Phase::Idle, Phase::Head, Phase::Body, Phase::Answering, Phase::Writing, Phase::Lingering];
}

/// How long a client has to close its side after a response that ends the connection.
const LINGER_TIMEOUT: Duration = Duration::from_secs(2);

/// The deadlines of all connections, each known by its key in the table.
pub(super) struct Deadlines {
    /// The list of each phase is a ring of links: its head at the phase's number, a connection at its key + [`PHASES`].
    links: Vec<Link>,
    counts: [usize; PHASES],
    durations: [Duration; PHASES],
}

#[derive(Clone, Copy)]
struct Link {
    phase: Phase,
    deadline: Instant,
    previous: usize,
    next: usize,
}

impl Deadlines {
    pub(super) fn new(limits: &Limits) -> Deadlines {
        let now = Instant::now();
        let head = |phase| Link { phase, deadline: now, previous: phase as usize, next: phase as usize };
        let durations = Phase::ALL.map(|phase| match phase {
            Phase::Idle => limits.idle_timeout,
            Phase::Head => limits.head_timeout,
            Phase::Body => limits.body_timeout,
            Phase::Answering => limits.request_timeout,
            Phase::Writing => limits.write_timeout,
            Phase::Lingering => LINGER_TIMEOUT,
        });
        Deadlines { links: Phase::ALL.map(head).to_vec(), counts: [0; PHASES], durations }
    }

    /// How long a phase may last.
    pub(super) fn duration(&self, phase: Phase) -> Duration {
        self.durations[phase as usize]
    }

    /// How many connections are in a phase.
    pub(super) fn count(&self, phase: Phase) -> usize {
        self.counts[phase as usize]
    }

    /// The connections in a phase, the one that has been in it for the longest time first.
    pub(super) fn keys(&self, phase: Phase) -> impl Iterator<Item = usize> {
        let next = |link: usize| self.links[link].next.checked_sub(PHASES);
        iter::successors(next(phase as usize), move |key| next(key + PHASES))
    }

    /// The phase of a connection.
    pub(super) fn phase(&self, key: usize) -> Phase {
        self.links[key + PHASES].phase
    }

    /// When a connection has entered its phase.
    pub(super) fn entered(&self, key: usize) -> Instant {
        self.deadline(key) - self.duration(self.phase(key))
    }

    fn deadline(&self, key: usize) -> Instant {
        self.links[key + PHASES].deadline
    }

    /// The earliest deadline.
    pub(super) fn next(&self) -> Option<Instant> {
        Phase::ALL.into_iter().filter_map(|phase| self.keys(phase).next()).map(|key| self.deadline(key)).min()
    }

    /// The connections whose deadline has passed.
    pub(super) fn expired(&self, now: Instant) -> impl Iterator<Item = usize> {
        let expired = move |phase| self.keys(phase).take_while(move |key| self.deadline(*key) <= now);
        Phase::ALL.into_iter().flat_map(expired)
    }

    /// Adds a connection, in the phase [`Phase::Idle`]. Its key is that of one that has left, or the next one.
    pub(super) fn insert(&mut self, key: usize, now: Instant) {
        if key + PHASES == self.links.len() {
            self.links.push(self.links[Phase::Idle as usize]);
        }
        self.append(key, Phase::Idle, now);
    }

    /// Moves a connection to the end of a phase's list, with the full duration ahead of it.
    pub(super) fn enter(&mut self, key: usize, phase: Phase, now: Instant) {
        self.remove(key);
        self.append(key, phase, now);
    }

    /// Takes a connection out.
    pub(super) fn remove(&mut self, key: usize) {
        let Link { phase, previous, next, .. } = self.links[key + PHASES];
        self.links[previous].next = next;
        self.links[next].previous = previous;
        self.counts[phase as usize] -= 1;
    }

    fn append(&mut self, key: usize, phase: Phase, now: Instant) {
        let (head, link) = (phase as usize, key + PHASES);
        let previous = self.links[head].previous;
        self.links[link] = Link { phase, deadline: now + self.durations[head], previous, next: head };
        self.links[previous].next = link;
        self.links[head].previous = link;
        self.counts[head] += 1;
    }
}
