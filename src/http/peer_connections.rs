//! Which connections and incomplete requests each peer has, and which of them give way to others. Nothing is kept of a peer
//! without a connection.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Instant;

use super::limits::Limits;
use crate::peers::PeerKey;

/// Incomplete requests, each as when it began and the key of its connection.
pub(super) type Incomplete = BTreeSet<(Instant, usize)>;

/// The connections of all peers. A client without a peer has no limit of its own, but its incomplete requests are known.
pub(super) struct PeerConnections {
    peers: HashMap<PeerKey, Peer>,
    /// The incomplete requests of all clients.
    pub(super) incomplete: Incomplete,
    last_number: u64,
    max_connections: usize,
    max_incomplete: usize,
}

#[derive(Default)]
struct Peer {
    /// Keys of connections by their numbers, which rise with time.
    connections: BTreeMap<u64, usize>,
    incomplete: Incomplete,
}

impl PeerConnections {
    pub(super) fn new(limits: &Limits) -> PeerConnections {
        let (peers, incomplete) = Default::default();
        let (max_connections, max_incomplete) = (limits.max_connections_of_peer(), limits.max_incomplete_of_peer());
        PeerConnections { peers, incomplete, last_number: 0, max_connections, max_incomplete }
    }

    /// Whether the peer may have one more connection.
    pub(super) fn may_connect(&self, peer: Option<PeerKey>) -> bool {
        let Some(peer) = peer.and_then(|peer| self.peers.get(&peer)) else { return true };
        peer.connections.len() < self.max_connections
    }

    /// Adds a connection, and returns its number.
    pub(super) fn connect(&mut self, peer: Option<PeerKey>, key: usize) -> u64 {
        self.last_number += 1;
        if let Some(peer) = peer {
            self.peers.entry(peer).or_default().connections.insert(self.last_number, key);
        }
        self.last_number
    }

    pub(super) fn disconnect(&mut self, peer: Option<PeerKey>, number: u64) {
        let Some(peer) = peer else { return };
        let connections = &mut self.peers.entry(peer).or_default().connections;
        connections.remove(&number);
        if connections.is_empty() {
            self.peers.remove(&peer);
        }
    }

    /// The peer's oldest connection.
    pub(super) fn oldest(&self, peer: PeerKey) -> Option<(u64, usize)> {
        let (number, key) = self.peers.get(&peer)?.connections.first_key_value()?;
        Some((*number, *key))
    }

    /// A request is incomplete.
    pub(super) fn insert_incomplete(&mut self, peer: Option<PeerKey>, began: Instant, key: usize) {
        self.incomplete.insert((began, key));
        if let Some(peer) = peer.and_then(|peer| self.peers.get_mut(&peer)) {
            peer.incomplete.insert((began, key));
        }
    }

    /// A request is not incomplete any more.
    pub(super) fn remove_incomplete(&mut self, peer: Option<PeerKey>, began: Instant, key: usize) {
        self.incomplete.remove(&(began, key));
        if let Some(peer) = peer.and_then(|peer| self.peers.get_mut(&peer)) {
            peer.incomplete.remove(&(began, key));
        }
    }

    /// The incomplete requests of a peer, if they are more than it may have.
    pub(super) fn too_many_incomplete(&self, peer: Option<PeerKey>) -> Option<&Incomplete> {
        let incomplete = &self.peers.get(&peer?)?.incomplete;
        (incomplete.len() > self.max_incomplete).then_some(incomplete)
    }
}
