//! How many of something, such as turns, each peer has at a time, and the limit of that.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::keys::PeerKey;

/// What each peer has that has any.
pub struct PeerLimit {
    max_of_peer: usize,
    counts: Arc<Mutex<HashMap<PeerKey, usize>>>,
}

/// The peer has as many as it may have.
pub struct TooMany;

/// One of those of a peer, until it is dropped.
#[must_use]
pub struct PeerPermit {
    counts: Arc<Mutex<HashMap<PeerKey, usize>>>,
    peer: PeerKey,
}

impl PeerLimit {
    /// None yet, and at most this many of each peer.
    #[must_use]
    pub fn new(max_of_peer: usize) -> PeerLimit {
        PeerLimit { max_of_peer, counts: Arc::default() }
    }

    /// Counts one more until the value is dropped; `None` for a peer that is not known, which has no limit.
    ///
    /// # Errors
    /// [`TooMany`] when the peer has as many as it may have.
    pub fn begin(&self, peer: Option<PeerKey>) -> Result<Option<PeerPermit>, TooMany> {
        let Some(peer) = peer else { return Ok(None) };
        let mut counts = self.counts.lock();
        let count = counts.get(&peer).copied().unwrap_or_default();
        if count >= self.max_of_peer {
            return Err(TooMany);
        }
        counts.insert(peer, count + 1);
        Ok(Some(PeerPermit { counts: self.counts.clone(), peer }))
    }
}

impl Drop for PeerPermit {
    fn drop(&mut self) {
        let mut counts = self.counts.lock();
        match counts.get_mut(&self.peer) {
            Some(count) if *count > 1 => *count -= 1,
            _ => _ = counts.remove(&self.peer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers::keys::{Distinct, Peers};

    #[test]
    fn a_peer_has_its_limit_and_no_other_is_counted_with_it() {
        let (peers, limit) = (Peers::new(Distinct::All), PeerLimit::new(2));
        let [one, other] = [[192, 0, 2, 1], [198, 51, 100, 1]].map(|address| peers.key(address.into()));
        let mut of_one = vec![limit.begin(one), limit.begin(one)];
        assert!(of_one.iter().all(Result::is_ok) && limit.begin(one).is_err());
        assert!(limit.begin(other).is_ok(), "another peer");
        let unknown: Vec<_> = (0..9).map(|_| limit.begin(None)).collect();
        assert!(unknown.iter().all(Result::is_ok), "peers that are not known");
        of_one.pop();
        of_one.push(limit.begin(one));
        assert!(of_one.iter().all(Result::is_ok) && limit.begin(one).is_err());
        drop(of_one);
        assert!(limit.counts.lock().is_empty());
    }
}
