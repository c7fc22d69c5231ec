//! How fast sessions are created, by each peer and altogether, and the proof of work that this takes.
//!
//! Each is a leaky bucket: a creation adds one, and it leaks at a steady rate. Creations are free while it is not full. Above
//! that, the difficulty grows with the level, so a flood slows itself down until the bucket leaks as fast as it fills, or the
//! difficulty is at its maximum. The bucket of a peer is full long before the one of all, and what a peer creates with a full
//! bucket does not count for the others: its flood makes nobody else solve anything.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::peers::PeerKey;

/// Zero bits of the hash: 4,096 attempts on average, about a second of `crypto.subtle.digest` on a slow phone (docs/operations.md).
pub(super) const BASE_DIFFICULTY: u8 = 12;

/// The most that load adds. Each bit doubles the attempts: about 16 s on a slow phone.
const MAX_RISE: u8 = 4;

/// Peers that are remembered, in 4 MiB.
const MAX_PEERS: usize = 65_536;

/// How often peers with an empty bucket are forgotten.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);

/// The shape of a bucket.
struct Shape {
    /// What leaks in a second.
    per_second: f64,
    /// Creations without proof of work at once.
    burst: f64,
    /// Creations above the burst after which the difficulty is one bit higher.
    step: f64,
}

/// All clients together: 20 GB of disk bear it for a day with the write-ahead log (docs/operations.md), and more than a
/// minute of it at once.
const ALL: Shape = Shape { per_second: 20.0, burst: 1_200.0, step: 300.0 };

/// One network: a school class at once, and a person every two seconds.
const PEER: Shape = Shape { per_second: 0.5, burst: 60.0, step: 30.0 };

/// The buckets of all clients.
pub(super) struct CreationRate {
    all: Bucket,
    by_peer: HashMap<PeerKey, Bucket>,
    swept_at: Instant,
    is_flooded: bool,
}

struct Bucket {
    level: f64,
    updated_at: Instant,
}

impl CreationRate {
    pub(super) fn new(now: Instant) -> CreationRate {
        CreationRate { all: Bucket::new(now), by_peer: HashMap::new(), swept_at: now, is_flooded: false }
    }

    /// Counts a creation if it is free; otherwise the difficulty of the proof of work that it takes.
    pub(super) fn admit(&mut self, peer: Option<PeerKey>, now: Instant) -> Result<(), u8> {
        self.log_change(now);
        match self.difficulty(peer, now) {
            None => {
                self.count(peer, now);
                Ok(())
            }
            Some(difficulty) => Err(difficulty),
        }
    }

    /// The difficulty of the proof of work that a creation takes; `None` if it is free.
    pub(super) fn difficulty(&self, peer: Option<PeerKey>, now: Instant) -> Option<u8> {
        let of_peer = peer.and_then(|peer| self.by_peer.get(&peer)).and_then(|bucket| bucket.difficulty(&PEER, now));
        // `None` is less than any difficulty.
        of_peer.max(self.all.difficulty(&ALL, now))
    }

    /// Counts a creation, free or not.
    pub(super) fn count(&mut self, peer: Option<PeerKey>, now: Instant) {
        if let Some(peer) = peer {
            self.sweep(now);
            let bucket = self.by_peer.entry(peer).or_insert_with(|| Bucket::new(now));
            let was_full = bucket.difficulty(&PEER, now).is_some();
            bucket.add(&PEER, now);
            if was_full {
                return;
            }
        }
        self.all.add(&ALL, now);
    }

    /// Logs the beginning of a flood, when a creation is not free because of all the others, and its end, with the first
    /// creation afterwards.
    fn log_change(&mut self, now: Instant) {
        if !self.is_flooded && self.all.difficulty(&ALL, now).is_some() {
            self.is_flooded = true;
            log::warn!("Many sessions are created, new ones require proof of work");
        } else if self.is_flooded && self.all.level_at(&ALL, now) < ALL.burst / 2.0 {
            self.is_flooded = false;
            log::warn!("Fewer sessions are created, new ones require no proof of work");
        }
    }

    /// Forgets peers with an empty bucket once in a while, and when there are too many; then all, if that does not leave half
    /// of the room. Before it comes to that, the bucket of all is full.
    fn sweep(&mut self, now: Instant) {
        if now.saturating_duration_since(self.swept_at) < SWEEP_INTERVAL && self.by_peer.len() < MAX_PEERS {
            return;
        }
        self.swept_at = now;
        self.by_peer.retain(|_, bucket| bucket.level_at(&PEER, now) > 0.0);
        if self.by_peer.len() > MAX_PEERS / 2 {
            self.by_peer.clear();
        }
    }
}

impl Bucket {
    fn new(now: Instant) -> Bucket {
        Bucket { level: 0.0, updated_at: now }
    }

    fn level_at(&self, shape: &Shape, now: Instant) -> f64 {
        let leaked = now.saturating_duration_since(self.updated_at).as_secs_f64() * shape.per_second;
        (self.level - leaked).max(0.0)
    }

    fn difficulty(&self, shape: &Shape, now: Instant) -> Option<u8> {
        let excess = self.level_at(shape, now) + 1.0 - shape.burst;
        // A float that is out of range becomes the nearest number.
        (excess > 0.0).then(|| BASE_DIFFICULTY + ((excess / shape.step) as u8).min(MAX_RISE))
    }

    /// Adds a creation. The level has a maximum, so that creations are free again soon after a flood.
    fn add(&mut self, shape: &Shape, now: Instant) {
        let max = shape.burst + shape.step * f64::from(MAX_RISE + 1);
        (self.level, self.updated_at) = ((self.level_at(shape, now) + 1.0).min(max), now);
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};
    use std::time::Duration;

    use super::*;
    use crate::peers::{Distinct, Peers};

    const BURST: usize = ALL.burst as usize;
    const PEER_BURST: usize = PEER.burst as usize;

    fn peers(count: usize) -> Vec<Option<PeerKey>> {
        let peers = Peers::new(Distinct::All);
        let networks = (0..count).map(|number| Ipv4Addr::from_bits(u32::try_from(number << 8).expect("a network")));
        networks.map(|network| peers.key(IpAddr::V4(network))).collect()
    }

    /// Creates free sessions until one is not, and returns their number.
    fn count_free(rate: &mut CreationRate, peer: Option<PeerKey>, now: Instant) -> usize {
        (0..).take_while(|_| rate.admit(peer, now).is_ok()).count()
    }

    #[test]
    fn creations_are_free_up_to_the_burst_and_then_at_the_rate() {
        let now = Instant::now();
        let mut rate = CreationRate::new(now);
        assert_eq!(count_free(&mut rate, None, now), BURST);
        assert_eq!(rate.admit(None, now), Err(BASE_DIFFICULTY));
        assert_eq!(count_free(&mut rate, None, now + Duration::from_millis(49)), 0);
        assert_eq!(count_free(&mut rate, None, now + Duration::from_millis(51)), 1);
        assert_eq!(count_free(&mut rate, None, now + Duration::from_secs(3600)), BURST);
    }

    #[test]
    fn a_flood_begins_with_a_creation_that_is_not_free_and_ends_when_half_has_leaked() {
        let mut now = Instant::now();
        let mut rate = CreationRate::new(now);
        // The bucket leaks all the time, so its level stays a little below the burst.
        while rate.admit(None, now).is_ok() {
            assert!(!rate.is_flooded);
            now += Duration::from_millis(1);
        }
        assert!(rate.is_flooded);
        for (seconds, is_flooded) in [(20, true), (20, false)] {
            now += Duration::from_secs(seconds);
            assert!(rate.admit(None, now).is_ok());
            assert_eq!(rate.is_flooded, is_flooded, "{seconds}");
        }
    }

    #[test]
    fn a_refused_creation_does_not_count() {
        let now = Instant::now();
        let mut rate = CreationRate::new(now);
        count_free(&mut rate, None, now);
        for _ in 0..10_000 {
            assert_eq!(rate.admit(None, now), Err(BASE_DIFFICULTY));
        }
    }

    #[test]
    fn the_difficulty_rises_with_solved_creations_up_to_its_maximum_and_falls_again() {
        let now = Instant::now();
        let mut rate = CreationRate::new(now);
        count_free(&mut rate, None, now);
        let mut seen = Vec::new();
        for _ in 0..10_000 {
            let difficulty = rate.difficulty(None, now).expect("the bucket is full");
            if seen.last() != Some(&difficulty) {
                seen.push(difficulty);
            }
            rate.count(None, now);
        }
        assert_eq!(seen, [12, 13, 14, 15, 16]);
        let seconds = |seconds| now + Duration::from_secs(seconds);
        assert_eq!(rate.difficulty(None, seconds(16)), Some(15));
        assert_eq!(rate.difficulty(None, seconds(74)), Some(12));
        assert_eq!(rate.difficulty(None, seconds(76)), None);
    }

    #[test]
    fn the_flood_of_one_peer_costs_no_other() {
        let now = Instant::now();
        let mut rate = CreationRate::new(now);
        let (attacker, victim) = (peers(2)[0], peers(2)[1]);
        assert_eq!(count_free(&mut rate, attacker, now), PEER_BURST);
        for _ in 0..10_000 {
            rate.count(attacker, now);
        }
        assert_eq!(rate.difficulty(attacker, now), Some(BASE_DIFFICULTY + MAX_RISE));
        assert_eq!(rate.difficulty(victim, now), None);
        assert_eq!(rate.difficulty(None, now), None);
        assert_eq!(count_free(&mut rate, None, now), BURST - PEER_BURST);
    }

    #[test]
    fn a_flood_of_many_peers_requires_proof_of_work_from_all() {
        let now = Instant::now();
        let mut rate = CreationRate::new(now);
        for attacker in peers(BURST) {
            assert_eq!(rate.admit(attacker, now), Ok(()));
        }
        assert_eq!(rate.difficulty(None, now), Some(BASE_DIFFICULTY));
    }

    #[test]
    fn a_peer_whose_bucket_is_empty_is_forgotten_and_another_is_not() {
        let now = Instant::now();
        let mut rate = CreationRate::new(now);
        let peers = peers(3);
        rate.count(peers[0], now);
        count_free(&mut rate, peers[1], now);
        rate.count(peers[2], now + SWEEP_INTERVAL);
        assert!(!rate.by_peer.contains_key(&peers[0].expect("all are distinct")));
        assert_eq!(rate.by_peer.len(), 2);
    }

    #[test]
    fn peers_take_bounded_memory() {
        let now = Instant::now();
        let mut rate = CreationRate::new(now);
        for peer in peers(MAX_PEERS) {
            rate.count(peer, now);
        }
        assert_eq!(rate.by_peer.len(), MAX_PEERS);
        rate.count(peers(1)[0], now);
        assert_eq!(rate.by_peer.len(), 1);
    }
}
