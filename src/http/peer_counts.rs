//! How many connections and incomplete requests each peer has. Nothing is kept of a peer without a connection.

use std::collections::HashMap;

use super::limits::Limits;
use crate::peers::PeerKey;

/// The counts of all peers. A client without a peer is not counted and has no limit of its own.
pub(super) struct PeerCounts {
    counts: HashMap<PeerKey, Counts>,
    max: Counts,
}

#[derive(Default, Clone, Copy)]
struct Counts {
    connections: usize,
    incomplete: usize,
}

impl PeerCounts {
    pub(super) fn new(limits: &Limits) -> PeerCounts {
        let max = Counts { connections: limits.max_connections_of_peer(), incomplete: limits.max_incomplete_of_peer() };
        PeerCounts { counts: HashMap::new(), max }
    }

    fn of(&self, peer: Option<PeerKey>) -> Counts {
        peer.and_then(|peer| self.counts.get(&peer)).copied().unwrap_or_default()
    }

    /// Whether the peer may have one more connection.
    pub(super) fn may_connect(&self, peer: Option<PeerKey>) -> bool {
        self.of(peer).connections < self.max.connections
    }

    /// Whether the peer may have one more incomplete request.
    pub(super) fn may_be_incomplete(&self, peer: Option<PeerKey>) -> bool {
        self.of(peer).incomplete < self.max.incomplete
    }

    pub(super) fn connect(&mut self, peer: Option<PeerKey>) {
        if let Some(peer) = peer {
            self.counts.entry(peer).or_default().connections += 1;
        }
    }

    pub(super) fn disconnect(&mut self, peer: Option<PeerKey>) {
        let Some(peer) = peer else { return };
        let counts = self.counts.entry(peer).or_default();
        counts.connections -= 1;
        if counts.connections == 0 {
            self.counts.remove(&peer);
        }
    }

    /// A request of the peer is incomplete, or is so no longer.
    pub(super) fn set_incomplete(&mut self, peer: Option<PeerKey>, was: bool, is: bool) {
        if let Some(counts) = peer.filter(|_| was != is).and_then(|peer| self.counts.get_mut(&peer)) {
            counts.incomplete = counts.incomplete + usize::from(is) - usize::from(was);
        }
    }
}
