//! The sessions that wait to be deleted alone: the smallest is next, and each is there once, whatever number of requests
//! wants it deleted.

use std::collections::{BTreeMap, HashMap};

use crate::sealing::Lookup;

/// Requests that wait for one session to be deleted; further ones give way. A client that is gone leaves its own behind.
const MAX_WAITERS: usize = 64;

/// Sessions without a thread, and the requests that wait for these and for those being deleted.
pub(super) struct Queue<Waiter> {
    max_entries: usize,
    /// By sealed bytes; of equal ones the first to arrive is next.
    entries: BTreeMap<(i64, u64), Lookup>,
    /// In the order in which they arrived.
    waiters: HashMap<Lookup, Vec<Waiter>>,
    arrivals: u64,
}

/// The result of [`Queue::add`].
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Added<Waiter> {
    /// The session has a new entry.
    Queued,
    /// The session is queued or being deleted.
    Joined,
    /// The queue was full: the largest session has no entry any more, perhaps the added one, and these waited for it. Or too
    /// many wait for the added one, and this is the one that was added.
    GaveWay(Vec<Waiter>),
}

impl<Waiter> Queue<Waiter> {
    pub(super) fn new(max_entries: usize) -> Queue<Waiter> {
        Queue { max_entries, entries: BTreeMap::new(), waiters: HashMap::new(), arrivals: 0 }
    }

    pub(super) fn add(&mut self, session: Lookup, bytes: i64, waiter: Waiter) -> Added<Waiter> {
        if let Some(waiters) = self.waiters.get_mut(&session) {
            if waiters.len() >= MAX_WAITERS {
                return Added::GaveWay(vec![waiter]);
            }
            waiters.push(waiter);
            return Added::Joined;
        }
        self.waiters.insert(session, vec![waiter]);
        self.arrivals += 1;
        self.entries.insert((bytes, self.arrivals), session);
        if self.entries.len() <= self.max_entries {
            return Added::Queued;
        }
        let largest = self.entries.pop_last();
        Added::GaveWay(largest.map(|(_, session)| self.finish(session)).unwrap_or_default())
    }

    /// The smallest session. Requests for it still join, until [`Queue::finish`].
    pub(super) fn take(&mut self) -> Option<Lookup> {
        self.entries.pop_first().map(|(_, session)| session)
    }

    /// Those who wait for a session that was taken, the first to arrive first.
    pub(super) fn finish(&mut self, session: Lookup) -> Vec<Waiter> {
        self.waiters.remove(&session).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session_id::SessionId;

    fn sessions<const N: usize>() -> [Lookup; N] {
        std::array::from_fn(|_| SessionId::random().lookup())
    }

    #[test]
    fn the_smallest_session_is_next_and_of_equal_ones_the_first_to_arrive() {
        let mut queue = Queue::new(4);
        let [large, first, second, small] = sessions();
        for (session, bytes) in [(large, 300), (first, 200), (second, 200), (small, 0)] {
            assert_eq!(queue.add(session, bytes, ()), Added::Queued);
        }
        assert_eq!([(); 5].map(|()| queue.take()), [Some(small), Some(first), Some(second), Some(large), None]);
    }

    #[test]
    fn requests_for_a_session_join_until_it_is_finished() {
        let mut queue = Queue::new(4);
        let [session, other] = sessions();
        assert_eq!(queue.add(session, 100, 1), Added::Queued);
        assert_eq!(queue.add(session, 100, 2), Added::Joined);
        assert_eq!(queue.add(other, 200, 3), Added::Queued);
        assert_eq!(queue.take(), Some(session));
        assert_eq!(queue.add(session, 100, 4), Added::Joined);
        assert_eq!(queue.finish(session), [1, 2, 4]);
        assert_eq!(queue.add(session, 100, 5), Added::Queued);
        assert_eq!(queue.finish(other), [3]);
    }

    #[test]
    fn of_many_requests_for_a_session_those_above_the_bound_give_way() {
        let mut queue = Queue::new(4);
        let [session] = sessions();
        assert_eq!(queue.add(session, 100, 0), Added::Queued);
        (1..MAX_WAITERS).for_each(|waiter| assert_eq!(queue.add(session, 100, waiter), Added::Joined));
        assert_eq!(queue.add(session, 100, MAX_WAITERS), Added::GaveWay(vec![MAX_WAITERS]));
        assert_eq!(queue.finish(session).len(), MAX_WAITERS);
    }

    #[test]
    fn in_a_full_queue_the_largest_session_gives_way_with_all_that_wait_for_it() {
        let mut queue = Queue::new(2);
        let [small, large, medium, larger] = sessions();
        assert_eq!(queue.add(large, 300, 1), Added::Queued);
        assert_eq!(queue.add(large, 300, 2), Added::Joined);
        assert_eq!(queue.add(medium, 200, 3), Added::Queued);
        assert_eq!(queue.add(larger, 400, 4), Added::GaveWay(vec![4]));
        assert_eq!(queue.add(small, 100, 5), Added::GaveWay(vec![1, 2]));
        assert_eq!([(); 3].map(|()| queue.take()), [Some(small), Some(medium), None]);
    }
}
