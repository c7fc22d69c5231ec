//! Which connections give way to others: in a full table, and where a peer has its share.

use std::mem;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::deadlines::Phase;
use super::peer_connections::Incomplete;
use super::slot::{Holder, Token, Victim};
use super::table::Table;
use crate::peers::PeerKey;

/// A connection that was idle for less than this gives way only where no request is incomplete: the first request of a new
/// client may be on its way.
const MIN_IDLE_TIME: Duration = Duration::from_secs(1);

/// A client that has read nothing for so long gives way where others need memory. epoll reports only a third of the send
/// buffer as free space: one that reads at the lowest rate, 4,096 bytes a second, has read that within 6 s.
const MIN_STALL_TIME: Duration = Duration::from_secs(6);

/// Clients that give way at once for their memory: a piece is as long as several of the parts that they have not read.
const MAX_STALLED: usize = 4;

/// Connections that are looked at to find one that waits for its client.
const MAX_LOOKS: usize = 64;

impl<C, R> Table<C, R> {
    /// The connection that gives way to a new one in a full table.
    pub(super) fn choose_victim(&mut self, now: Instant) -> Option<Victim> {
        if let Some(half_closed) = self.half_closed.first() {
            return Some(Victim::Close(*half_closed));
        }
        let idle = self.deadlines.keys(Phase::Idle).next();
        let is_unused = |key: &usize| now.saturating_duration_since(self.deadlines.entered(*key)) >= MIN_IDLE_TIME;
        if let Some(unused) = idle.filter(is_unused) {
            return Some(Victim::Close(unused));
        }
        if let Some(key) = self.oldest_incomplete(&self.peers.incomplete) {
            return self.withdraw(key).map(|stream| Victim::Refuse(key, stream));
        }
        // Where many clients have just read, the oldest of those gives way.
        let oldest_writing = |holder| {
            let mut keys = self.deadlines.keys(Phase::Writing).take(MAX_LOOKS);
            keys.find(|key| self.slots[*key].holder == holder)
        };
        let writing = || oldest_writing(Holder::Poller).or_else(|| oldest_writing(Holder::Queue));
        idle.or_else(writing).map(Victim::Close)
    }

    /// The connections that give way where others need memory: those whose clients have read nothing for the longest time.
    pub(super) fn stalled(&self, now: Instant) -> Vec<usize> {
        let is_stalled = |key: &usize| now.saturating_duration_since(self.deadlines.entered(*key)) >= MIN_STALL_TIME;
        let stalled = self.deadlines.keys(Phase::Writing).take(MAX_LOOKS).filter(is_stalled);
        stalled.filter(|key| self.slots[*key].holder == Holder::Poller).take(MAX_STALLED).collect()
    }

    /// The connection that gives way to a new one of the same peer, which has its share of them: its oldest one that waits
    /// for its client, or whose client has shut its side.
    pub(super) fn choose_victim_of(&mut self, peer: PeerKey) -> Option<Victim> {
        for _ in 0..MAX_LOOKS {
            let (number, key) = self.peers.oldest(peer)?;
            if self.slots[key].holder == Holder::Poller || self.half_closed.contains(&key) {
                return match self.deadlines.phase(key) {
                    Phase::Head | Phase::Body => self.withdraw(key).map(|stream| Victim::Refuse(key, stream)),
                    _ => Some(Victim::Close(key)),
                };
            }
            // It is in use. Behind the others, it is not looked at again soon.
            self.peers.disconnect(Some(peer), number);
            self.slots[key].number = self.peers.connect(Some(peer), key);
        }
        None
    }

    /// The oldest incomplete request that no worker is reading on: it lacks a part, or has just got more.
    pub(super) fn oldest_incomplete(&self, incomplete: &Incomplete) -> Option<usize> {
        incomplete.iter().map(|(_, key)| *key).find(|key| self.slots[*key].holder != Holder::Worker)
    }

    /// Whether [`Table::take_giving_way`] has something to do.
    pub(super) fn has_giving_way(&self) -> bool {
        !self.giving_way.is_empty()
    }

    /// The incomplete requests to be refused because their peers have too many.
    pub(super) fn take_giving_way(&mut self) -> Vec<(usize, Arc<TcpStream>)> {
        let tokens = mem::take(&mut self.giving_way);
        // One may be complete by now, or a worker reads on.
        let is_incomplete = |table: &Table<C, R>, token: Token| {
            table.is_current(token)
                && matches!(table.deadlines.phase(token.key), Phase::Head | Phase::Body)
                && matches!(table.slots[token.key].holder, Holder::Poller | Holder::Queue)
        };
        let tokens = tokens.into_iter().filter(|token| is_incomplete(self, *token)).collect::<Vec<_>>();
        tokens.into_iter().filter_map(|token| self.withdraw(token.key).map(|stream| (token.key, stream))).collect()
    }
}

#[cfg(test)]
mod tests;
