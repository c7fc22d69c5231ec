//! Which connections and incomplete requests each peer has, and which of them give way to others. Nothing is kept of a peer
//! without a connection.

use std::collections::{BTreeMap, HashMap};

use super::limits::Limits;
use crate::peers::PeerKey;

/// Keys of connections by numbers that rise with time.
pub(super) type Ordered = BTreeMap<u64, usize>;

/// The connections of all peers. A client without a peer has no limit of its own, but its incomplete requests are known.
pub(super) struct PeerConnections {
    peers: HashMap<PeerKey, Peer>,
    /// The incomplete requests of all clients.
    pub(super) incomplete: Ordered,
    last_number: u64,
    max_connections: usize,
    max_incomplete: usize,
}

#[derive(Default)]
struct Peer {
    connections: Ordered,
    incomplete: Ordered,
}

impl PeerConnections {
    pub(super) fn new(limits: &Limits) -> PeerConnections {
        let (peers, incomplete) = Default::default();
        let (max_connections, max_incomplete) = (limits.max_connections_of_peer(), limits.max_incomplete_of_peer());
        PeerConnections { peers, incomplete, last_number: 0, max_connections, max_incomplete }
    }

    fn next_number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    /// Whether the peer may have one more connection.
    pub(super) fn may_connect(&self, peer: Option<PeerKey>) -> bool {
        let Some(peer) = peer.and_then(|peer| self.peers.get(&peer)) else { return true };
        peer.connections.len() < self.max_connections
    }

    /// Adds a connection, and returns its number.
    pub(super) fn connect(&mut self, peer: Option<PeerKey>, key: usize) -> u64 {
        let number = self.next_number();
        if let Some(peer) = peer {
            self.peers.entry(peer).or_default().connections.insert(number, key);
        }
        number
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

    /// A request is incomplete. Returns its number.
    pub(super) fn begin_incomplete(&mut self, peer: Option<PeerKey>, key: usize) -> u64 {
        let number = self.next_number();
        self.incomplete.insert(number, key);
        if let Some(peer) = peer.and_then(|peer| self.peers.get_mut(&peer)) {
            peer.incomplete.insert(number, key);
        }
        number
    }

    /// A request is not incomplete any more.
    pub(super) fn end_incomplete(&mut self, peer: Option<PeerKey>, number: u64) {
        self.incomplete.remove(&number);
        if let Some(peer) = peer.and_then(|peer| self.peers.get_mut(&peer)) {
            peer.incomplete.remove(&number);
        }
    }

    /// The incomplete requests of a peer, if they are more than it may have.
    pub(super) fn too_many_incomplete(&self, peer: Option<PeerKey>) -> Option<&Ordered> {
        let incomplete = &self.peers.get(&peer?)?.incomplete;
        (incomplete.len() > self.max_incomplete).then_some(incomplete)
    }
}
