//! Solves a challenge as docs/sessions.md describes it.

use serde_json::Value;
use sha2::{Digest, Sha256};

/// The value of `Proof-Of-Work` that solves the member `proof_of_work` of a response.
#[track_caller]
pub(crate) fn solve(response: &Value) -> String {
    let proof_of_work = &response["proof_of_work"];
    assert_eq!(proof_of_work["algorithm"], "SHA-256", "{response}");
    let challenge = proof_of_work["challenge"].as_str().unwrap();
    let difficulty = proof_of_work["difficulty"].as_u64().unwrap();
    let mut input = vec![0; proof_of_work["input_bytes"].as_u64().unwrap().try_into().unwrap()];
    input[8..8 + challenge.len()].copy_from_slice(challenge.as_bytes());
    let solves = |counter: &u64| {
        input[..8].copy_from_slice(&counter.to_be_bytes());
        let hash = Sha256::digest(&input);
        let start = u64::from_be_bytes(hash[..8].try_into().unwrap());
        u64::from(start.leading_zeros()) >= difficulty
    };
    format!("{challenge}:{}", (0..).find(solves).unwrap())
}
