//! Challenges for proof of work, and their solutions.
//!
//! A challenge is random and authenticated (HMAC-SHA256), so the service remembers none. Its text is in hexadecimal:
//!
//! ```text
//! issued at (8 bytes: milliseconds since the start) ‖ random number (8) ‖ difficulty (1) ‖ HMAC of these (16)
//! ```
//!
//! A counter solves it if SHA-256 of the counter (8 bytes, big-endian), the challenge's text and zeros up to [`INPUT_BYTES`]
//! begins with as many zero bits as the difficulty. The input is long since a call of WebCrypto costs more than the hash of a
//! short one: a program without a browser would be a hundred times faster, while with 16 KiB it is two or three times. The
//! counter comes first, so that no part of the hash is the same for two attempts.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use hmac::{Hmac, KeyInit, Mac};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// How long a challenge can be solved: several times what a slow phone takes at the highest difficulty.
const LIFETIME: Duration = Duration::from_secs(2 * 60);

/// Bytes that are hashed in one attempt.
pub const INPUT_BYTES: usize = 16 * 1024;

/// Bits by which a challenge may be easier than what is required when it is redeemed: it may rise while a client solves.
const MAX_RISE_WHILE_SOLVING: u8 = 1;

/// Solved challenges that are remembered, in 2 MiB: 546 a second for as long as a challenge can be solved.
const MAX_REDEEMED: usize = 65_536;

const PAYLOAD_BYTES: usize = 17;
const TAG_BYTES: usize = 16;
const CHALLENGE_BYTES: usize = PAYLOAD_BYTES + TAG_BYTES;

/// A challenge for a client to solve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    /// Its text.
    pub text: String,
    /// Zero bits that the hash has to begin with.
    pub difficulty: u8,
    /// When it cannot be solved any more.
    pub expires_at: DateTime<Utc>,
}

/// Why a solution is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSolution {
    /// Not a challenge of this service, a colon and a number.
    #[error("is not a challenge, a colon and a decimal number")]
    Malformed,
    /// The authentication failed.
    #[error("is for a challenge that this service did not make, or made before it was restarted")]
    Unknown,
    /// Its time is over.
    #[error("is for a challenge that has expired")]
    Expired,
    /// More is required by now than the difficulty of the challenge.
    #[error("is for a challenge that is too easy by now, since more sessions are being created")]
    TooEasy,
    /// The hash has too few zero bits.
    #[error("does not solve its challenge: the hash does not begin with as many zero bits as the difficulty")]
    Wrong,
    /// A session was created with it.
    #[error("was used before")]
    Used,
}

/// Makes challenges and redeems solutions, under a key that is in memory only.
pub(super) struct ProofsOfWork {
    hmac: Hmac<Sha256>,
    started_at: Instant,
    redeemed: Mutex<Redeemed>,
}

/// The challenges that were solved, each as its time of issue and its random number.
#[derive(Default)]
struct Redeemed {
    challenges: BTreeSet<(u64, u64)>,
    /// Challenges that are not younger than this have expired.
    expired_at: Option<u64>,
}

impl ProofsOfWork {
    pub(super) fn new(now: Instant) -> ProofsOfWork {
        let random = [Uuid::new_v4().into_bytes(), Uuid::new_v4().into_bytes()].concat();
        let hmac = Hmac::new_from_slice(&random).expect("HMAC takes keys of any length");
        ProofsOfWork { hmac, started_at: now, redeemed: Mutex::default() }
    }

    /// A new challenge.
    pub(super) fn challenge(&self, difficulty: u8, now: Instant) -> Challenge {
        let mut bytes = Vec::with_capacity(CHALLENGE_BYTES);
        bytes.extend(self.milliseconds(now).to_be_bytes());
        bytes.extend(Uuid::new_v4().as_u64_pair().0.to_be_bytes());
        bytes.push(difficulty);
        let tag = self.hmac.clone().chain_update(&bytes).finalize().into_bytes();
        bytes.extend(&tag[..TAG_BYTES]);
        let text = bytes.iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        });
        Challenge { text, difficulty, expires_at: Utc::now() + TimeDelta::seconds(LIFETIME.as_secs() as i64) }
    }

    /// Redeems a solution, `challenge:counter`, once, where `required` is the difficulty at the moment: challenges that were
    /// asked for before a flood are worth no more than those of the flood. The cheap checks come first.
    pub(super) fn redeem(&self, solution: &str, required: u8, now: Instant) -> Result<(), InvalidSolution> {
        let (text, counter) = solution.split_once(':').ok_or(InvalidSolution::Malformed)?;
        let bytes = decode(text).ok_or(InvalidSolution::Malformed)?;
        let counter: u64 = counter.trim().parse().map_err(|_| InvalidSolution::Malformed)?;
        let (payload, tag) = bytes.split_at(PAYLOAD_BYTES);
        let hmac = self.hmac.clone().chain_update(payload);
        hmac.verify_truncated_left(tag).map_err(|_| InvalidSolution::Unknown)?;
        let number = |at: usize| payload[at..at + 8].iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
        let (issued_at, random, difficulty) = (number(0), number(8), payload[16]);
        let oldest = self.milliseconds(now).saturating_sub(LIFETIME.as_millis() as u64);
        if issued_at < oldest {
            return Err(InvalidSolution::Expired);
        }
        if difficulty + MAX_RISE_WHILE_SOLVING < required {
            return Err(InvalidSolution::TooEasy);
        }
        if zero_bits(text, counter) < u32::from(difficulty) {
            return Err(InvalidSolution::Wrong);
        }
        self.redeemed.lock().insert((issued_at, random), oldest)
    }

    fn milliseconds(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.started_at).as_millis() as u64
    }
}

impl Redeemed {
    /// Remembers a challenge that was issued not before `oldest`. If there are too many, the oldest is forgotten, and with
    /// it all that are as old have expired: under such a flood a challenge has less time, and still none is redeemed twice.
    fn insert(&mut self, challenge: (u64, u64), oldest: u64) -> Result<(), InvalidSolution> {
        if self.expired_at.is_some_and(|expired_at| challenge.0 <= expired_at) {
            return Err(InvalidSolution::Expired);
        }
        if !self.challenges.insert(challenge) {
            return Err(InvalidSolution::Used);
        }
        while self.challenges.first().is_some_and(|(issued_at, _)| *issued_at < oldest) {
            self.challenges.pop_first();
        }
        if self.challenges.len() > MAX_REDEEMED {
            self.expired_at = self.challenges.pop_first().map(|(issued_at, _)| issued_at);
        }
        Ok(())
    }
}

/// The bytes of a challenge's text, which is in lower case: another spelling would be another input of the hash.
fn decode(text: &str) -> Option<[u8; CHALLENGE_BYTES]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; CHALLENGE_BYTES];
    if text.len() != 2 * CHALLENGE_BYTES {
        return None;
    }
    for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = digit(digits[0])? << 4 | digit(digits[1])?;
    }
    Some(bytes)
}

/// The number of zero bits that the hash of an attempt begins with.
fn zero_bits(challenge: &str, counter: u64) -> u32 {
    static ZEROS: [u8; INPUT_BYTES - 8 - 2 * CHALLENGE_BYTES] = [0; _];
    let hash = Sha256::new().chain_update(counter.to_be_bytes()).chain_update(challenge).chain_update(ZEROS).finalize();
    let zeros = hash.iter().take_while(|byte| **byte == 0).count();
    zeros as u32 * 8 + hash.get(zeros).map_or(0, |byte| byte.leading_zeros())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A difficulty that a test solves at once.
    const EASY: u8 = 4;

    fn solve(challenge: &Challenge) -> String {
        let found = (0..).find(|counter| zero_bits(&challenge.text, *counter) >= challenge.difficulty.into());
        format!("{}:{}", challenge.text, found.expect("a counter solves it"))
    }

    fn proofs() -> (ProofsOfWork, Instant) {
        let now = Instant::now();
        (ProofsOfWork::new(now), now)
    }

    #[test]
    fn a_solution_is_redeemed_once() {
        let (proofs, now) = proofs();
        let solution = solve(&proofs.challenge(EASY, now));
        assert_eq!(proofs.redeem(&solution, EASY, now), Ok(()));
        assert_eq!(proofs.redeem(&solution, EASY, now), Err(InvalidSolution::Used));
        // Another spelling of the counter is the same challenge.
        assert_eq!(proofs.redeem(&solution.replace(':', ":0"), EASY, now), Err(InvalidSolution::Used));
        assert_eq!(proofs.redeem(&solve(&proofs.challenge(EASY, now)), EASY, now), Ok(()));
    }

    #[test]
    fn a_challenge_expires() {
        let (proofs, now) = proofs();
        let [early, late] = [0, 1].map(|_| solve(&proofs.challenge(EASY, now)));
        assert_eq!(proofs.redeem(&early, EASY, now + LIFETIME), Ok(()));
        assert_eq!(
            proofs.redeem(&late, EASY, now + LIFETIME + Duration::from_millis(1)),
            Err(InvalidSolution::Expired)
        );
        assert_eq!(
            proofs.redeem(&early, EASY, now + LIFETIME + Duration::from_millis(1)),
            Err(InvalidSolution::Expired)
        );
    }

    #[test]
    fn a_counter_that_does_not_solve_is_wrong() {
        let (proofs, now) = proofs();
        let challenge = proofs.challenge(EASY, now);
        let wrong = (0..).find(|counter| zero_bits(&challenge.text, *counter) < EASY.into());
        let wrong = format!("{}:{}", challenge.text, wrong.expect("most are wrong"));
        assert_eq!(proofs.redeem(&wrong, EASY, now), Err(InvalidSolution::Wrong));
        assert_eq!(proofs.redeem(&solve(&challenge), EASY, now), Ok(()));
    }

    #[test]
    fn a_challenge_may_be_one_bit_easier_than_what_is_required_and_no_more() {
        let (proofs, now) = proofs();
        let [once, again] = [0, 1].map(|_| solve(&proofs.challenge(EASY, now)));
        assert_eq!(proofs.redeem(&once, EASY + 2, now), Err(InvalidSolution::TooEasy));
        assert_eq!(proofs.redeem(&once, EASY + 1, now), Ok(()));
        assert_eq!(proofs.redeem(&again, EASY - 1, now), Ok(()));
    }

    #[test]
    fn every_changed_digit_and_every_other_key_makes_a_challenge_unknown() {
        let (proofs, now) = proofs();
        let solution = solve(&proofs.challenge(EASY, now));
        for at in 0..2 * CHALLENGE_BYTES {
            let changed = if &solution[at..=at] == "0" { "1" } else { "0" };
            let changed = format!("{}{changed}{}", &solution[..at], &solution[at + 1..]);
            assert_eq!(proofs.redeem(&changed, EASY, now), Err(InvalidSolution::Unknown), "digit {at}");
        }
        assert_eq!(ProofsOfWork::new(now).redeem(&solution, EASY, now), Err(InvalidSolution::Unknown));
        assert_eq!(proofs.redeem(&solution, EASY, now), Ok(()));
    }

    #[test]
    fn what_has_another_form_is_malformed() {
        let (proofs, now) = proofs();
        let challenge = proofs.challenge(EASY, now).text;
        let long = format!("{challenge}00:1");
        let upper = format!("{}:1", challenge.to_uppercase());
        let multibyte = format!("é{}:1", &challenge[2..]);
        for solution in [
            "",
            ":",
            "1:1",
            &challenge,
            &format!("{challenge}:"),
            &format!("{challenge}:-1"),
            &long,
            &upper,
            &multibyte,
        ] {
            assert_eq!(proofs.redeem(solution, EASY, now), Err(InvalidSolution::Malformed), "{solution}");
        }
    }

    #[test]
    fn redeemed_challenges_take_bounded_memory_and_the_oldest_expire_first() {
        let mut redeemed = Redeemed::default();
        for number in 0..MAX_REDEEMED as u64 {
            assert_eq!(redeemed.insert((number, 7), 0), Ok(()));
        }
        assert_eq!(redeemed.insert((0, 7), 0), Err(InvalidSolution::Used));
        assert_eq!(redeemed.insert((MAX_REDEEMED as u64, 7), 0), Ok(()));
        assert_eq!(redeemed.challenges.len(), MAX_REDEEMED);
        // Forgotten, but not redeemed twice, and neither is another of the same time.
        assert_eq!(redeemed.insert((0, 7), 0), Err(InvalidSolution::Expired));
        assert_eq!(redeemed.insert((0, 8), 0), Err(InvalidSolution::Expired));
        assert_eq!(redeemed.insert((1, 7), 0), Err(InvalidSolution::Used));
        // Challenges that have expired by time leave room.
        assert_eq!(redeemed.insert((MAX_REDEEMED as u64, 8), 1_000), Ok(()));
        assert_eq!(redeemed.challenges.len(), MAX_REDEEMED + 1 - 999);
    }

    #[test]
    fn the_hash_is_that_of_the_documented_input() {
        let (proofs, now) = proofs();
        let challenge = proofs.challenge(EASY, now).text;
        let mut input = vec![0; INPUT_BYTES];
        input[7] = 9;
        input[8..8 + challenge.len()].copy_from_slice(challenge.as_bytes());
        let expected = Sha256::digest(&input).iter().fold(String::new(), |bits, byte| format!("{bits}{byte:08b}"));
        assert_eq!(zero_bits(&challenge, 9) as usize, expected.find('1').expect("a bit is set"));
    }
}
