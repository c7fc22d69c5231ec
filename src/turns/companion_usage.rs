//! How long each client has used the companion in the last minutes.
//!
//! All times halve in a minute, so the order of two clients only changes when one of them uses the companion again. What is
//! kept of a client is therefore its rank: the logarithm of its time, plus the minutes until now. It does not change by
//! itself (forward decay: Cormode, Shkapenyuk, Srivastava and Xu, 2009).

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

use super::event::ClientKey;

/// A time halves in this.
const HALF_LIFE: Duration = Duration::from_secs(60);

/// A shorter time is forgotten: ten minutes after a client used the companion without a pause.
const NEGLIGIBLE: Duration = Duration::from_millis(100);

/// Clients that are remembered, in 2 MiB. Above it, the half with the least time is forgotten.
const MAX_CLIENTS: usize = 65_536;

/// How much a client has used the companion; less is less. `None`: little. Clients with little use are equal, so that new
/// ones, which cost little, do not keep the companion from a conversation.
pub(super) type Rank = Option<i64>;

/// The time of each client.
pub(super) struct CompanionUsage {
    /// The time up to which a use is little.
    little: Duration,
    /// Where ranks begin.
    started_at: Instant,
    swept_at: Instant,
    /// The base-2 logarithm of the seconds, plus the half-lives from the start to the time of that. By a random hash of the
    /// client, since the number says nothing of a session outside of this process.
    ranks: HashMap<u64, f64>,
    hash: RandomState,
}

impl CompanionUsage {
    pub(super) fn new(little: Duration, now: Instant) -> CompanionUsage {
        CompanionUsage { little, started_at: now, swept_at: now, ranks: HashMap::new(), hash: RandomState::new() }
    }

    pub(super) fn rank(&self, client: ClientKey, now: Instant) -> Rank {
        let rank =
            self.ranks.get(&self.hash.hash_one(client)).filter(|rank| **rank > self.rank_of(self.little, now))?;
        // To a thousandth of a factor of two.
        Some((rank * 1000.0) as i64)
    }

    pub(super) fn add(&mut self, client: ClientKey, time: Duration, now: Instant) {
        self.add_hash(self.hash.hash_one(client), time, now);
    }

    fn add_hash(&mut self, client: u64, time: Duration, now: Instant) {
        let since_start = self.half_lives(now);
        let before = self.ranks.get(&client).map_or(0.0, |rank| (rank - since_start).exp2());
        let rank = (before + time.as_secs_f64()).log2() + since_start;
        if rank < self.rank_of(NEGLIGIBLE, now) {
            self.ranks.remove(&client);
            return;
        }
        self.ranks.insert(client, rank);
        if self.ranks.len() > MAX_CLIENTS {
            let mut ranks: Vec<f64> = self.ranks.values().copied().collect();
            let (_, median, _) = ranks.select_nth_unstable_by(MAX_CLIENTS / 2, f64::total_cmp);
            self.ranks.retain(|_, rank| *rank > *median);
        }
        if now.saturating_duration_since(self.swept_at) >= HALF_LIFE {
            self.swept_at = now;
            let least = self.rank_of(NEGLIGIBLE, now);
            self.ranks.retain(|_, rank| *rank >= least);
        }
    }

    /// The rank of a client that has used the companion for so long just now.
    fn rank_of(&self, time: Duration, now: Instant) -> f64 {
        time.as_secs_f64().log2() + self.half_lives(now)
    }

    fn half_lives(&self, now: Instant) -> f64 {
        now.saturating_duration_since(self.started_at).div_duration_f64(HALF_LIFE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session_id::SessionId;

    fn client() -> ClientKey {
        ClientKey::Session(SessionId::random().lookup())
    }

    const LITTLE: Duration = Duration::from_secs(10);
    const MINUTE: Duration = Duration::from_secs(60);

    fn usage() -> (CompanionUsage, Instant) {
        let now = Instant::now();
        (CompanionUsage::new(LITTLE, now), now)
    }

    #[test]
    fn a_client_with_more_time_ranks_above_and_times_add_up() {
        let (mut usage, now) = usage();
        let (newcomer, light, heavy, heavier) = (client(), client(), client(), client());
        usage.add(light, LITTLE / 2, now);
        (0..3).for_each(|_| usage.add(heavy, LITTLE / 2, now));
        usage.add(heavier, LITTLE * 2, now);
        let [newcomer, light, heavy, heavier] = [newcomer, light, heavy, heavier].map(|client| usage.rank(client, now));
        assert_eq!((newcomer, light), (None, None));
        assert!(heavy.is_some() && heavy < heavier, "{heavy:?} {heavier:?}");
    }

    #[test]
    fn a_time_halves_in_a_minute() {
        let (mut usage, now) = usage();
        let (earlier, less, more) = (client(), client(), client());
        usage.add(earlier, Duration::from_secs(80), now);
        let later = now + 2 * MINUTE;
        usage.add(less, Duration::from_millis(19_900), later);
        usage.add(more, Duration::from_millis(20_100), later);
        let [earlier, less, more] = [earlier, less, more].map(|client| usage.rank(client, later));
        assert!(less < earlier && earlier < more, "{less:?} {earlier:?} {more:?}");
    }

    #[test]
    fn a_client_that_stops_using_the_companion_is_like_a_new_one_and_is_forgotten() {
        let (mut usage, now) = usage();
        let heavy = client();
        usage.add(heavy, 2 * MINUTE, now);
        assert!(usage.rank(heavy, now + 3 * MINUTE).is_some());
        assert_eq!(usage.rank(heavy, now + 4 * MINUTE), None);
        usage.add(client(), Duration::from_secs(1), now + 10 * MINUTE);
        assert_eq!(usage.ranks.len(), 2);
        usage.add(client(), Duration::from_secs(1), now + 11 * MINUTE);
        assert_eq!(usage.ranks.len(), 2);
    }

    #[test]
    fn a_negligible_time_is_not_remembered() {
        let (mut usage, now) = usage();
        usage.add(client(), Duration::ZERO, now);
        usage.add(client(), NEGLIGIBLE / 2, now);
        assert!(usage.ranks.is_empty());
    }

    #[test]
    fn many_clients_take_bounded_memory_and_those_with_the_most_time_are_remembered() {
        let (mut usage, now) = usage();
        let heavy = client();
        usage.add(heavy, MINUTE, now);
        for client in 0..2 * MAX_CLIENTS as u64 {
            usage.add_hash(client, Duration::from_secs(1), now);
            assert!(usage.ranks.len() <= MAX_CLIENTS);
        }
        assert!(usage.rank(heavy, now).is_some());
    }
}
