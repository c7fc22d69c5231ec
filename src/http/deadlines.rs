//! When each connection's time is over. A phase has one duration, so a list of its connections in the order in which they
//! entered it is sorted by deadline: entering, leaving and finding the first one cost the same with any number of them.

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

impl Phase {
    /// All of them, in the order of a request's life.
    pub(super) const ALL: [Phase; 6] =
        [Phase::Idle, Phase::Head, Phase::Body, Phase::Answering, Phase::Writing, Phase::Lingering];
}

/// How long a client has to close its side after a response that ends the connection.
const LINGER_TIMEOUT: Duration = Duration::from_secs(2);

/// Stands for no connection in a link.
const NONE: usize = usize::MAX;

/// The deadlines of all connections, each known by its key in the table.
pub(super) struct Deadlines {
    links: Vec<Link>,
    lists: [List; Phase::ALL.len()],
    durations: [Duration; Phase::ALL.len()],
}

/// A connection's place in the list of its phase.
#[derive(Clone, Copy)]
struct Link {
    phase: Phase,
    deadline: Instant,
    previous: usize,
    next: usize,
}

#[derive(Clone, Copy)]
struct List {
    first: usize,
    last: usize,
    length: usize,
}

impl Deadlines {
    pub(super) fn new(limits: &Limits) -> Deadlines {
        let durations = Phase::ALL.map(|phase| match phase {
            Phase::Idle => limits.idle_timeout,
            Phase::Head => limits.head_timeout,
            Phase::Body => limits.body_timeout,
            Phase::Answering => limits.request_timeout,
            Phase::Writing => limits.write_timeout,
            Phase::Lingering => LINGER_TIMEOUT,
        });
        let empty = List { first: NONE, last: NONE, length: 0 };
        Deadlines { links: Vec::new(), lists: [empty; Phase::ALL.len()], durations }
    }

    /// How long a phase may last.
    pub(super) fn duration(&self, phase: Phase) -> Duration {
        self.durations[phase as usize]
    }

    /// How many connections are in a phase.
    pub(super) fn count(&self, phase: Phase) -> usize {
        self.lists[phase as usize].length
    }

    /// The connection that has been in a phase for the longest time.
    pub(super) fn first(&self, phase: Phase) -> Option<usize> {
        Some(self.lists[phase as usize].first).filter(|key| *key != NONE)
    }

    /// The phase of a connection.
    pub(super) fn phase(&self, key: usize) -> Phase {
        self.links[key].phase
    }

    /// The earliest deadline.
    pub(super) fn next(&self) -> Option<Instant> {
        Phase::ALL.into_iter().filter_map(|phase| self.first(phase)).map(|key| self.links[key].deadline).min()
    }

    /// The connections in a phase, the one with the earliest deadline first.
    pub(super) fn keys(&self, phase: Phase) -> impl Iterator<Item = usize> {
        let next = |key: &usize| Some(self.links[*key].next).filter(|key| *key != NONE);
        std::iter::successors(self.first(phase), next)
    }

    /// The connections whose deadline has passed.
    pub(super) fn expired(&self, now: Instant) -> impl Iterator<Item = usize> {
        Phase::ALL
            .into_iter()
            .flat_map(move |phase| self.keys(phase).take_while(move |key| self.links[*key].deadline <= now))
    }

    /// Adds a connection, in the phase [`Phase::Idle`]. Its key is that of one that has left, or the next one.
    pub(super) fn insert(&mut self, key: usize, now: Instant) {
        if key == self.links.len() {
            self.links.push(Link { phase: Phase::Idle, deadline: now, previous: NONE, next: NONE });
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
        let Link { phase, previous, next, .. } = self.links[key];
        let list = &mut self.lists[phase as usize];
        list.length -= 1;
        match previous {
            NONE => list.first = next,
            previous => self.links[previous].next = next,
        }
        match next {
            NONE => list.last = previous,
            next => self.links[next].previous = previous,
        }
    }

    fn append(&mut self, key: usize, phase: Phase, now: Instant) {
        let list = &mut self.lists[phase as usize];
        let previous = list.last;
        self.links[key] = Link { phase, deadline: now + self.durations[phase as usize], previous, next: NONE };
        list.length += 1;
        list.last = key;
        match previous {
            NONE => list.first = key,
            previous => self.links[previous].next = key,
        }
    }
}
