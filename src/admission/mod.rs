//! Who is admitted before any work is done for them: the rate of a session's messages, and proof of work for new sessions.
//!
//! - `client_address`: whose request it is, behind proxies.
//! - `message_rate`: the rate of messages of each session.
//! - `creation_rate`: how fast sessions are created, by each peer and altogether.
//! - `proof_of_work`: challenges, and what is wrong with a solution.
//!
//! All of it is in memory and bounded, holds no address and no session, and is gone when the process ends.

mod client_address;
mod creation_rate;
mod message_rate;
mod proof_of_work;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use governor::clock::MonotonicClock;
use parking_lot::Mutex;

use crate::config::{ProofOfWork, ProtectionSettings};
use crate::http::Request;
use crate::metrics::Metrics;
use crate::peers::{Distinct, PeerKey, Peers};
use crate::sealing::Lookup;
use client_address::ClientAddress;
use creation_rate::{BASE_DIFFICULTY, CreationRate};
use message_rate::MessageRate;
use proof_of_work::ProofsOfWork;

pub use message_rate::{BURST, Denied, PER_MINUTE, Quota};
pub use proof_of_work::{Challenge, INPUT_BYTES, InvalidSolution};

/// Admits requests. One is shared by all handlers.
pub struct Admission {
    client_address: ClientAddress,
    peers: Peers,
    /// `None` where rates are not limited.
    message_rate: Option<Mutex<MessageRate<MonotonicClock>>>,
    /// The same of requests that make or change a report, so that neither takes from the other.
    report_rate: Option<Mutex<MessageRate<MonotonicClock>>>,
    proof_of_work: ProofOfWork,
    creations: Mutex<CreationRate>,
    proofs: ProofsOfWork,
    metrics: Arc<Metrics>,
}

/// The rules by which requests are admitted.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// Which addresses tell clients apart.
    pub distinct: Distinct,
    /// Whether the messages and the reports of a session have a rate: [`PER_MINUTE`], and [`BURST`] at once.
    pub has_message_rate: bool,
    /// When creating a session requires proof of work.
    pub proof_of_work: ProofOfWork,
}

/// A session is not created without proof of work.
#[derive(Debug)]
pub struct ProofRequired {
    /// What was wrong with the solution; `None` if there was none.
    pub invalid: Option<InvalidSolution>,
    /// What to solve.
    pub challenge: Challenge,
}

impl Admission {
    /// With nothing counted yet, and a fresh key for challenges.
    #[must_use]
    pub fn new(settings: &ProtectionSettings, peers: Peers, metrics: Arc<Metrics>) -> Admission {
        let now = Instant::now();
        let rate = || settings.rate_limit.then(|| Mutex::new(MessageRate::new(MonotonicClock)));
        Admission {
            client_address: ClientAddress::new(settings.trusted_proxies.clone()),
            peers,
            message_rate: rate(),
            report_rate: rate(),
            proof_of_work: if settings.rate_limit { settings.proof_of_work } else { ProofOfWork::Off },
            creations: Mutex::new(CreationRate::new(now)),
            proofs: ProofsOfWork::new(now),
            metrics,
        }
    }

    /// The rules that are in force.
    #[must_use]
    pub fn rules(&self) -> Rules {
        Rules {
            distinct: self.peers.distinct(),
            has_message_rate: self.message_rate.is_some(),
            proof_of_work: self.proof_of_work,
        }
    }

    /// The network of the client at the other end of a connection; `None` where it cannot be told from others, as behind a
    /// proxy.
    #[must_use]
    pub fn connection_peer(&self, address: IpAddr) -> Option<PeerKey> {
        if self.client_address.is_trusted(address) { None } else { self.peers.key(address) }
    }

    /// The network of the client that sent a request; `None` where it cannot be told from others.
    #[must_use]
    pub fn client_peer(&self, request: &Request) -> Option<PeerKey> {
        self.peers.key(self.client_address.of(request)?)
    }

    /// The key under which the responses to a client share memory: its network, else its session. `None` where nothing is
    /// limited.
    #[must_use]
    pub fn client(&self, request: &Request, session: &Lookup) -> Option<PeerKey> {
        let (peer, session) = self.shares(request, session);
        peer.or_else(|| self.message_rate.is_some().then_some(session))
    }

    /// The keys under which the requests of a network, where it can be told from others, and of a session are counted.
    #[must_use]
    pub fn shares(&self, request: &Request, session: &Lookup) -> (Option<PeerKey>, PeerKey) {
        (self.client_peer(request), self.peers.session_key(session.expose().as_bytes()))
    }

    /// Counts a message of a session, whose request has a body of this many bytes. `None` where rates are not limited.
    ///
    /// # Errors
    /// [`Denied`] above the rate; the message is not counted then.
    pub fn message(&self, session: &Lookup, body_bytes: usize) -> Result<Option<Quota>, Denied> {
        self.check(self.message_rate.as_ref(), session, body_bytes)
    }

    /// Counts a request that makes or changes a report, as [`Admission::message`] counts a message.
    ///
    /// # Errors
    /// [`Denied`] above the rate; the request is not counted then.
    pub fn report(&self, session: &Lookup, body_bytes: usize) -> Result<Option<Quota>, Denied> {
        self.check(self.report_rate.as_ref(), session, body_bytes)
    }

    fn check(
        &self,
        rate: Option<&Mutex<MessageRate<MonotonicClock>>>,
        session: &Lookup,
        body_bytes: usize,
    ) -> Result<Option<Quota>, Denied> {
        let Some(rate) = rate else { return Ok(None) };
        let checked = rate.lock().check(session, body_bytes);
        if checked.is_err() {
            self.metrics.refused("rate_limited");
        }
        checked.map(Some)
    }

    /// Counts the creation of a session.
    ///
    /// # Errors
    /// [`ProofRequired`] if it takes proof of work, and `solution` is none. It is not counted then.
    pub fn creation(&self, peer: Option<PeerKey>, solution: Option<&str>) -> Result<(), ProofRequired> {
        let now = Instant::now();
        let difficulty = match self.proof_of_work {
            ProofOfWork::Off => return Ok(()),
            ProofOfWork::Auto => match self.creations.lock().admit(peer, now) {
                Ok(()) => return Ok(()),
                Err(difficulty) => difficulty,
            },
            ProofOfWork::Always => self.difficulty(peer, now).unwrap_or(BASE_DIFFICULTY),
        };
        let (reason, invalid) = match solution.map(|solution| self.proofs.redeem(solution, difficulty, now)) {
            Some(Ok(())) => {
                self.creations.lock().count(peer, now);
                return Ok(());
            }
            Some(Err(invalid)) => ("proof_of_work_invalid", Some(invalid)),
            None => ("proof_of_work", None),
        };
        self.metrics.refused(reason);
        Err(ProofRequired { invalid, challenge: self.proofs.challenge(difficulty, now) })
    }

    /// Whether a client has to solve a challenge to create a session, and one for it to solve; `None` where none ever has to.
    #[must_use]
    pub fn challenge(&self, peer: Option<PeerKey>) -> Option<(bool, Challenge)> {
        let now = Instant::now();
        let difficulty = match self.proof_of_work {
            ProofOfWork::Off => return None,
            ProofOfWork::Auto => self.difficulty(peer, now),
            ProofOfWork::Always => Some(self.difficulty(peer, now).unwrap_or(BASE_DIFFICULTY)),
        };
        Some((difficulty.is_some(), self.proofs.challenge(difficulty.unwrap_or(BASE_DIFFICULTY), now)))
    }

    fn difficulty(&self, peer: Option<PeerKey>, now: Instant) -> Option<u8> {
        self.creations.lock().difficulty(peer, now)
    }
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;
    use crate::config::ByAddress;
    use crate::peers::Distinct;

    /// Solves a challenge as docs/sessions.md describes it.
    fn solve(challenge: &Challenge) -> String {
        let mut input = vec![0; INPUT_BYTES];
        input[8..8 + challenge.text.len()].copy_from_slice(challenge.text.as_bytes());
        let solves = |counter: &u32| {
            input[4..8].copy_from_slice(&counter.to_be_bytes());
            let hash = Sha256::digest(&input);
            let start = hash.iter().take(8).fold(0, |start: u64, byte| start << 8 | u64::from(*byte));
            start.leading_zeros() >= challenge.difficulty.into()
        };
        format!("{}:{}", challenge.text, (0..).find(solves).expect("a counter solves it"))
    }

    #[test]
    fn a_challenge_from_before_a_flood_is_refused_with_a_harder_one_that_is_accepted() {
        let settings = ProtectionSettings {
            rate_limit: true,
            by_address: ByAddress::On,
            trusted_proxies: Vec::new(),
            proof_of_work: ProofOfWork::Auto,
        };
        let peers = Peers::new(Distinct::All);
        let peer = peers.key([203, 0, 113, 1].into());
        let admission = Admission::new(&settings, peers, Arc::default());
        let (is_required, before) = admission.challenge(peer).expect("it may be required");
        assert_eq!((is_required, before.difficulty), (false, BASE_DIFFICULTY));
        let before = solve(&before);
        let count = || admission.creations.lock().count(peer, Instant::now());
        while admission.difficulty(peer, Instant::now()) < Some(BASE_DIFFICULTY + 2) {
            count();
        }
        // Some more, since the bucket leaks.
        (0..20).for_each(|_| count());
        let refused = admission.creation(peer, Some(&before)).expect_err("it is too easy");
        assert_eq!(refused.invalid, Some(InvalidSolution::TooEasy));
        assert_eq!(refused.challenge.difficulty, BASE_DIFFICULTY + 2);
        assert!(admission.creation(peer, Some(&solve(&refused.challenge))).is_ok());
    }
}
