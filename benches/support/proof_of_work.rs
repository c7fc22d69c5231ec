//! A client's side of the proof of work, as docs/sessions.md describes it.

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::client::Answer;

/// The header field that solves the challenge in a response; none if there is no challenge in it.
pub(crate) fn solve(answer: &Answer) -> Option<String> {
    let problem: Value = serde_json::from_str(&answer.body).ok().filter(|_| answer.status == 429)?;
    let required = problem.get("proof_of_work")?;
    let (challenge, difficulty) = (required["challenge"].as_str()?, required["difficulty"].as_u64()?);
    // The counter, the challenge, and zeros.
    let mut input = vec![0; usize::try_from(required["input_bytes"].as_u64()?).ok()?];
    input.get_mut(8..8 + challenge.len())?.copy_from_slice(challenge.as_bytes());
    let counter = (0..u64::MAX).find(|counter| {
        input[..8].copy_from_slice(&counter.to_be_bytes());
        zero_bits(&Sha256::digest(&input)) >= difficulty
    })?;
    Some(format!("Proof-Of-Work: {challenge}:{counter}\r\n"))
}

/// The zero bits that a hash begins with.
fn zero_bits(hash: &[u8]) -> u64 {
    let zeros = hash.iter().take_while(|byte| **byte == 0).count();
    zeros as u64 * 8 + hash.get(zeros).map_or(0, |byte| u64::from(byte.leading_zeros()))
}
