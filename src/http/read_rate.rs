//! How fast a client reads a response: the floor of a rate, which a client that reads a byte now and then does not keep.

use std::time::{Duration, Instant};

/// What a client has read while the server waited for it.
#[derive(Default)]
pub(super) struct ReadRate {
    /// How long the server has waited, without the current wait.
    waited: Duration,
    waits_since: Option<Instant>,
    /// Bytes that the socket accepted since it was full for the first time. Those before are in its buffer, and say nothing
    /// about the client.
    accepted: u64,
    was_full: bool,
}

impl ReadRate {
    /// The socket is full.
    pub(super) fn wait(&mut self, now: Instant) {
        (self.waits_since, self.was_full) = (Some(now), true);
    }

    /// The server writes again; `now` is asked only if it has waited.
    pub(super) fn resume(&mut self, now: impl FnOnce() -> Instant) {
        if let Some(since) = self.waits_since.take() {
            self.waited += now().saturating_duration_since(since);
        }
    }

    /// The socket accepted bytes.
    pub(super) fn accept(&mut self, bytes: usize) {
        self.accepted += if self.was_full { bytes as u64 } else { 0 };
    }

    /// Whether the client has read fewer bytes a second than this, not counting the first `grace` of the wait.
    pub(super) fn is_below(&self, bytes_per_second: u32, grace: Duration) -> bool {
        let expected = self.waited.saturating_sub(grace).as_secs_f64() * f64::from(bytes_per_second);
        (self.accepted as f64) < expected
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_secs(30);

    /// Whether a client that reads `bytes` every `interval` is too slow, and after how long.
    fn too_slow_after(bytes: usize, interval: Duration) -> Option<Duration> {
        let (start, mut rate) = (Instant::now(), ReadRate::default());
        // The socket's buffer takes some before the client reads anything.
        rate.accept(1_000_000);
        let mut now = start;
        for _ in 0..1000 {
            rate.wait(now);
            now += interval;
            rate.resume(|| now);
            rate.accept(bytes);
            if rate.is_below(4096, GRACE) {
                return Some(now - start);
            }
        }
        None
    }

    #[test]
    fn a_client_below_the_rate_is_too_slow_soon_after_the_grace_and_one_above_it_never() {
        let second = Duration::from_secs(1);
        assert_eq!(too_slow_after(0, second), Some(GRACE + second));
        assert_eq!(too_slow_after(357, second), Some(GRACE + 3 * second));
        assert_eq!(too_slow_after(2048, second), Some(2 * GRACE + second));
        assert_eq!(too_slow_after(4096, second), None);
        // In lumps, as epoll reports the free space of a socket.
        assert_eq!(too_slow_after(100_000, 24 * second), None);
        assert_eq!(too_slow_after(100_000, 100 * second), Some(100 * second));
    }

    #[test]
    fn the_time_for_which_the_application_lets_the_client_wait_does_not_count() {
        let (start, mut rate) = (Instant::now(), ReadRate::default());
        rate.wait(start);
        rate.resume(|| start + GRACE);
        rate.resume(|| start + 100 * GRACE);
        assert!(!rate.is_below(4096, GRACE));
    }
}
