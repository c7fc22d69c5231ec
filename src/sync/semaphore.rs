//! A counting semaphore, first come, first served, whose waits end by a timeout or a cancellation.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use std::time::Duration;

use parking_lot::Mutex;

use super::cancellation_token::CancellationToken;

/// A counting semaphore.
pub struct Semaphore(Arc<Mutex<State>>);

struct State {
    /// Above 0 only while no thread waits.
    free_permits: usize,
    /// What wakes each waiting thread, by the number of its arrival.
    waiters: BTreeMap<u64, Sender<()>>,
    next_number: u64,
}

/// One permit. Dropping it hands it to the thread that has waited longest, or returns it to the semaphore.
#[must_use]
pub struct Permit(Arc<Mutex<State>>);

impl Semaphore {
    /// A semaphore with this many permits.
    #[must_use]
    pub fn new(permits: usize) -> Semaphore {
        Semaphore(Arc::new(Mutex::new(State { free_permits: permits, waiters: BTreeMap::new(), next_number: 0 })))
    }

    /// Takes a permit. Waits for one until the timeout or the cancellation, and then returns `None`. A free permit is
    /// taken even where the token is cancelled or the timeout is 0.
    #[must_use]
    pub fn acquire(&self, timeout: Duration, cancellation: &CancellationToken) -> Option<Permit> {
        let mut state = self.0.lock();
        if state.free_permits > 0 {
            state.free_permits -= 1;
            return Some(Permit(self.0.clone()));
        }
        let (wake, woken) = mpsc::channel();
        let number = state.next_number;
        state.next_number += 1;
        state.waiters.insert(number, wake.clone());
        drop(state);
        cancellation.on_cancel(move || _ = wake.send(()));
        let _ = woken.recv_timeout(timeout);
        // A thread that waits no more was granted a permit, perhaps at the moment of its timeout or cancellation.
        let permit = self.0.lock().waiters.remove(&number).is_none().then(|| Permit(self.0.clone()));
        permit.filter(|_| !cancellation.is_cancelled())
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        match state.waiters.pop_first() {
            Some((_, wake)) => _ = wake.send(()),
            None => state.free_permits += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::Instant;

    use super::*;

    const LONG: Duration = Duration::from_secs(30);

    fn try_acquire(semaphore: &Semaphore) -> Option<Permit> {
        semaphore.acquire(Duration::ZERO, &CancellationToken::default())
    }

    fn wait_for_waiters(semaphore: &Semaphore, count: usize) {
        let deadline = Instant::now() + LONG;
        while semaphore.0.lock().waiters.len() != count {
            assert!(Instant::now() < deadline, "{count} threads should wait");
            thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn permits_are_as_many_as_given_and_return_when_dropped() {
        let semaphore = Semaphore::new(2);
        let permits = [try_acquire(&semaphore), try_acquire(&semaphore)];
        assert!(permits.iter().all(Option::is_some));
        assert!(try_acquire(&semaphore).is_none());
        drop(permits);
        assert!(try_acquire(&semaphore).is_some());
        assert_eq!(semaphore.0.lock().free_permits, 2);
    }

    #[test]
    fn waiting_threads_are_served_in_the_order_of_their_arrival() {
        let semaphore = Semaphore::new(1);
        let permit = try_acquire(&semaphore);
        let order = Mutex::new(Vec::new());
        thread::scope(|scope| {
            for number in 0..5 {
                let (semaphore, order) = (&semaphore, &order);
                scope.spawn(move || {
                    let permit = semaphore.acquire(LONG, &CancellationToken::default());
                    order.lock().push(number);
                    drop(permit);
                });
                wait_for_waiters(semaphore, number + 1);
            }
            drop(permit);
        });
        assert_eq!(*order.lock(), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn a_timeout_ends_the_wait_and_leaves_the_queue() {
        let semaphore = Semaphore::new(1);
        let permit = try_acquire(&semaphore);
        assert!(semaphore.acquire(Duration::from_millis(20), &CancellationToken::default()).is_none());
        drop(permit);
        assert_eq!(semaphore.0.lock().free_permits, 1);
    }

    #[test]
    fn a_cancellation_ends_the_wait_at_once() {
        let (semaphore, token) = (Semaphore::new(1), CancellationToken::default());
        let _permit = try_acquire(&semaphore);
        let started = Instant::now();
        thread::scope(|scope| {
            let waiting = scope.spawn(|| semaphore.acquire(LONG, &token));
            wait_for_waiters(&semaphore, 1);
            token.cancel();
            assert!(waiting.join().expect("no panic").is_none());
        });
        // A cancelled token does not begin to wait.
        assert!(semaphore.acquire(LONG, &token).is_none());
        assert!(started.elapsed() < LONG / 2, "{:?}", started.elapsed());
    }

    #[test]
    fn no_permit_is_lost_when_grants_race_with_timeouts_and_cancellations() {
        let semaphore = Semaphore::new(1);
        thread::scope(|scope| {
            for number in 0..4 {
                let semaphore = &semaphore;
                scope.spawn(move || {
                    for round in 0..500 {
                        let token = CancellationToken::default();
                        if (number + round) % 3 == 0 {
                            token.cancel();
                        }
                        drop(semaphore.acquire(Duration::from_micros(round % 7 * 10), &token));
                    }
                });
            }
        });
        let state = semaphore.0.lock();
        assert_eq!((state.free_permits, state.waiters.len()), (1, 0));
    }
}
