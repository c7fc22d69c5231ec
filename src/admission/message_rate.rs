//! The rate of messages of each session: a token bucket (GCRA) in memory.

use std::hash::{BuildHasher, RandomState};
use std::num::NonZeroU32;
use std::time::Duration;

use governor::RateLimiter;
use governor::clock::{Clock, Reference};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::HashMapStateStore;

use crate::sealing::Lookup;

/// Messages of a session in a minute.
pub const PER_MINUTE: NonZeroU32 = NonZeroU32::new(20).unwrap();

/// Messages of a session at once.
pub const BURST: NonZeroU32 = NonZeroU32::new(5).unwrap();

/// Bytes of a request's body for which a message counts once more, so that a session cannot fill the disk with messages of
/// the maximum length at the rate of ordinary ones. One with 4,096 characters of ASCII counts once, of Chinese twice, of emoji
/// three times.
const COUNTED_BYTES: usize = 8 * 1024;

/// Sessions that are remembered, in 2 MiB. One with a full bucket need not be: it is full 15 s after its last message at the
/// latest, mostly 3 s after it.
const MAX_SESSIONS: usize = 100_000;

/// How often sessions with a full bucket are forgotten.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);

/// What a session may still send, for the fields `RateLimit` and `RateLimit-Policy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// Messages that may be sent at once.
    pub remaining: u32,
    /// Seconds until there is one more, at most.
    pub reset_s: u64,
}

/// The message is above the rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Denied {
    /// Seconds until the next message is admitted, at least 1.
    pub retry_after_s: u64,
}

/// A random hash of the lookup, since the number says nothing of a session outside of this process.
type Buckets<C> = RateLimiter<u64, HashMapStateStore<u64>, C, StateInformationMiddleware>;

/// The token buckets of all sessions.
pub(super) struct MessageRate<C: Clock> {
    buckets: Buckets<C>,
    hash: RandomState,
    clock: C,
    swept_at: C::Instant,
}

impl<C: Clock + Clone> MessageRate<C> {
    pub(super) fn new(clock: C) -> MessageRate<C> {
        MessageRate { buckets: new_buckets(clock.clone()), hash: RandomState::new(), swept_at: clock.now(), clock }
    }

    /// Takes the tokens of a message whose request has this many bytes from the bucket of a session.
    pub(super) fn check(&mut self, session: &Lookup, body_bytes: usize) -> Result<Quota, Denied> {
        let more = u32::try_from(body_bytes / COUNTED_BYTES).unwrap_or(u32::MAX);
        self.check_hash(self.hash.hash_one(session), NonZeroU32::MIN.saturating_add(more).min(BURST))
    }

    fn check_hash(&mut self, key: u64, tokens: NonZeroU32) -> Result<Quota, Denied> {
        self.sweep();
        let checked = self.buckets.check_key_n(&key, tokens).expect("it is at most the burst");
        let state = checked.map_err(|until| {
            let wait = until.wait_time_from(self.clock.now());
            Denied { retry_after_s: wait.as_secs_f64().ceil().max(1.0) as u64 }
        })?;
        let interval = 60_u64.div_ceil(PER_MINUTE.get().into());
        Ok(Quota { remaining: state.remaining_burst_capacity(), reset_s: interval })
    }

    /// Forgets full buckets once in a while, and when there are too many. If that does not leave half of the room, all are
    /// forgotten, so that a sweep is paid for by many new sessions. Somebody invents sessions then, and what every session
    /// gains is one more burst; to refuse unknown sessions instead would let one client refuse all others.
    fn sweep(&mut self) {
        let now = self.clock.now();
        let since: Duration = now.duration_since(self.swept_at).into();
        if since < SWEEP_INTERVAL && self.buckets.len() < MAX_SESSIONS {
            return;
        }
        self.swept_at = now;
        self.buckets.retain_recent();
        if self.buckets.len() > MAX_SESSIONS / 2 {
            self.buckets = new_buckets(self.clock.clone());
        }
    }
}

fn new_buckets<C: Clock>(clock: C) -> Buckets<C> {
    let quota = governor::Quota::per_minute(PER_MINUTE).allow_burst(BURST);
    RateLimiter::hashmap_with_clock(quota, clock).with_middleware()
}

#[cfg(test)]
mod tests {
    use governor::clock::FakeRelativeClock;

    use super::*;
    use crate::session_id::SessionId;

    fn session() -> Lookup {
        SessionId::random().lookup()
    }

    fn rate() -> (MessageRate<FakeRelativeClock>, FakeRelativeClock) {
        let clock = FakeRelativeClock::default();
        (MessageRate::new(clock.clone()), clock)
    }

    #[test]
    fn a_session_has_a_burst_of_five_and_then_a_message_every_three_seconds() {
        let (mut rate, clock) = rate();
        let one = session();
        for remaining in (0..5).rev() {
            assert_eq!(rate.check(&one, 100), Ok(Quota { remaining, reset_s: 3 }));
        }
        assert_eq!(rate.check(&one, 100), Err(Denied { retry_after_s: 3 }));
        clock.advance(Duration::from_millis(2_999));
        assert_eq!(rate.check(&one, 100), Err(Denied { retry_after_s: 1 }));
        clock.advance(Duration::from_millis(1));
        assert_eq!(rate.check(&one, 100), Ok(Quota { remaining: 0, reset_s: 3 }));
        assert_eq!(rate.check(&one, 100), Err(Denied { retry_after_s: 3 }));
        // Another session has a bucket of its own.
        assert_eq!(rate.check(&session(), 100), Ok(Quota { remaining: 4, reset_s: 3 }));
    }

    #[test]
    fn a_long_message_counts_once_for_each_8_kib_and_never_more_than_the_burst() {
        for (bytes, remaining) in
            [(0, 4), (8 * 1024 - 1, 4), (8 * 1024, 3), (16 * 1024, 2), (32 * 1024, 0), (usize::MAX, 0)]
        {
            let (mut rate, _clock) = rate();
            assert_eq!(rate.check(&session(), bytes), Ok(Quota { remaining, reset_s: 3 }), "{bytes}");
        }
        // It waits until all of its tokens are there.
        let (mut rate, clock) = rate();
        let one = session();
        assert!(rate.check(&one, 16 * 1024).is_ok());
        assert_eq!(rate.check(&one, 16 * 1024), Err(Denied { retry_after_s: 3 }));
        clock.advance(Duration::from_secs(3));
        assert!(rate.check(&one, 16 * 1024).is_ok());
    }

    #[test]
    fn a_minute_admits_twenty_messages_after_the_burst() {
        let (mut rate, clock) = rate();
        let one = session();
        let mut admitted = 0;
        for _ in 0..600 {
            admitted += u32::from(rate.check(&one, 100).is_ok());
            clock.advance(Duration::from_millis(100));
        }
        assert_eq!(admitted, BURST.get() + PER_MINUTE.get() - 1);
    }

    #[test]
    fn a_bucket_that_is_full_again_is_forgotten_and_an_empty_one_is_not() {
        let (mut rate, clock) = rate();
        let (idle, busy) = (session(), session());
        assert!(rate.check(&idle, 100).is_ok());
        clock.advance(SWEEP_INTERVAL - Duration::from_secs(1));
        while rate.check(&busy, 100).is_ok() {}
        clock.advance(Duration::from_secs(1));
        assert!(rate.check(&busy, 100).is_err());
        assert_eq!(rate.buckets.len(), 1);
    }

    #[test]
    fn invented_sessions_take_bounded_memory_and_refuse_nobody() {
        let (mut rate, _clock) = rate();
        while rate.check_hash(0, NonZeroU32::MIN).is_ok() {}
        for invented in 1..2 * MAX_SESSIONS as u64 {
            assert!(rate.check_hash(invented, NonZeroU32::MIN).is_ok());
            assert!(rate.buckets.len() <= MAX_SESSIONS);
        }
        // Its bucket was forgotten among the others.
        assert!(rate.check_hash(0, NonZeroU32::MIN).is_ok());
    }
}
